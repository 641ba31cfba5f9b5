//! Capability flags: what both sides agreed to in the handshake.
//!
//! Follows MySQL's "Capabilities Flags" and MariaDB's "Connecting: Capabilities". MariaDB's extended flags are the
//! upper 32 bits; its servers send them in the greeting's filler when `LONG_PASSWORD` (their `CLIENT_MYSQL`) is off.

use bitflags::bitflags;

bitflags! {
    /// `CLIENT_*`. Unknown bits are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Capabilities: u64 {
        /// On: the peer speaks as MySQL does. Off: MariaDB's extended flags are present.
        const LONG_PASSWORD = 1;
        /// OK counts matched, not changed rows.
        const FOUND_ROWS = 1 << 1;
        /// Column definitions carry all flags.
        const LONG_FLAG = 1 << 2;
        /// The HandshakeResponse names a database.
        const CONNECT_WITH_DB = 1 << 3;
        /// `db.table.column` is refused.
        const NO_SCHEMA = 1 << 4;
        /// Packets are zlib-compressed after the login.
        const COMPRESS = 1 << 5;
        /// The client is ODBC.
        const ODBC = 1 << 6;
        /// LOAD DATA LOCAL may be asked for.
        const LOCAL_FILES = 1 << 7;
        /// Blanks before `(` are ignored.
        const IGNORE_SPACE = 1 << 8;
        /// The 4.1 protocol.
        const PROTOCOL_41 = 1 << 9;
        /// `interactive_timeout` instead of `wait_timeout`.
        const INTERACTIVE = 1 << 10;
        /// TLS after an SSLRequest.
        const SSL = 1 << 11;
        /// The client ignores SIGPIPE.
        const IGNORE_SIGPIPE = 1 << 12;
        /// OK and EOF carry status flags.
        const TRANSACTIONS = 1 << 13;
        /// Unused name for the 4.1 protocol.
        const RESERVED = 1 << 14;
        /// Auth plugin data of 20 bytes.
        const SECURE_CONNECTION = 1 << 15;
        /// Several statements in one COM_QUERY.
        const MULTI_STATEMENTS = 1 << 16;
        /// Several resultsets for one COM_QUERY.
        const MULTI_RESULTS = 1 << 17;
        /// Several resultsets for one COM_STMT_EXECUTE.
        const PS_MULTI_RESULTS = 1 << 18;
        /// Authentication plugins are named.
        const PLUGIN_AUTH = 1 << 19;
        /// Connection attributes follow.
        const CONNECT_ATTRS = 1 << 20;
        /// The auth response has a lenenc length.
        const PLUGIN_AUTH_LENENC_DATA = 1 << 21;
        /// Expired passwords may log in, to be changed.
        const CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22;
        /// OK packets carry session state changes.
        const SESSION_TRACK = 1 << 23;
        /// Rows end with an OK packet (header 0xfe), and no EOF follows column definitions.
        const DEPRECATE_EOF = 1 << 24;
        /// Column definitions may be left out.
        const OPTIONAL_RESULTSET_METADATA = 1 << 25;
        /// Packets are zstd-compressed after the login.
        const ZSTD_COMPRESSION = 1 << 26;
        /// Commands carry query attributes.
        const QUERY_ATTRIBUTES = 1 << 27;
        /// More than one factor authenticates.
        const MULTI_FACTOR_AUTHENTICATION = 1 << 28;
        /// MySQL: capability extension, reserved. MariaDB: an old name of PROGRESS.
        const CAPABILITY_EXTENSION = 1 << 29;
        /// A client's own note, never on the wire's contract.
        const SSL_VERIFY_SERVER_CERT = 1 << 30;
        /// A client's own note, never on the wire's contract.
        const REMEMBER_OPTIONS = 1 << 31;
        /// MariaDB: progress reports in ERR packets with code 0xffff.
        const MARIADB_PROGRESS = 1 << 32;
        /// MariaDB 10.2 only: COM_MULTI.
        const MARIADB_COM_MULTI = 1 << 33;
        /// MariaDB: COM_STMT_BULK_EXECUTE.
        const MARIADB_STMT_BULK_OPERATIONS = 1 << 34;
        /// MariaDB: column definitions carry extended types.
        const MARIADB_EXTENDED_METADATA = 1 << 35;
        /// MariaDB: column definitions of a repeated execution may be left out.
        const MARIADB_CACHE_METADATA = 1 << 36;
        /// MariaDB: one result for each row of a bulk execution.
        const MARIADB_BULK_UNIT_RESULTS = 1 << 37;

        const _ = !0;
    }
}

impl Capabilities {
    /// MariaDB's extended flags.
    pub const MARIADB_EXTENDED: Self = Self::from_bits_retain(0xffff_ffff << 32);

    /// The flags of the first 32 bits, as MySQL's packets hold them.
    pub fn low(self) -> u32 {
        (self.bits() & 0xffff_ffff) as u32
    }

    /// MariaDB's extended flags, as its packets hold them.
    pub fn extended(self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// Puts the two halves together.
    pub fn from_halves(low: u32, extended: u32) -> Self {
        Self::from_bits_retain(u64::from(low) | u64::from(extended) << 32)
    }

    /// True where column definitions may be left out of a resultset, which a byte behind the column count then says.
    pub fn has_metadata_flag(self) -> bool {
        self.intersects(Self::OPTIONAL_RESULTSET_METADATA | Self::MARIADB_CACHE_METADATA)
    }

    /// True where an ERR with code 0xffff is a progress report. MariaDB up to 10.1 and its clients agree on the old
    /// flag, with `LONG_PASSWORD` on; MySQL offers neither.
    pub fn has_progress_reports(self) -> bool {
        self.intersects(Self::MARIADB_PROGRESS | Self::CAPABILITY_EXTENSION)
    }
}
