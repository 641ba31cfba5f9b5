//! Every bound of the wire format, with its unit and its reason; and what a bound is, for those who list them.

use std::fmt;
use std::time::Duration;

/// The longest payload of one packet; a longer one goes on in the next packet.
pub const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

/// A server's greeting. Version and plugin name are short texts; real greetings are below 200 bytes.
pub const HANDSHAKE_V10_BYTES_MAX: usize = 4 * 1024;

/// A client's packets before it is logged in. Servers take 64 KiB of connection attributes, the rest is names.
pub const LOGIN_PACKET_BYTES_MAX: usize = 80 * 1024;

/// A server's packets during the login: an RSA key is the longest; Kerberos tickets stay below this too.
pub const AUTH_PACKET_BYTES_MAX: usize = 80 * 1024;

/// What one response says of session state, where it is kept. A set of all GTIDs is the longest; of a server with a long history
/// it is below this.
pub const SESSION_STATE_BYTES_MAX: usize = 1024 * 1024;

/// A bound that no option changes, as operators read of it. Each crate lists its own.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What is bounded.
    pub what: &'static str,
    /// How much there may be of it.
    pub bound: Bound,
    /// Why so much.
    pub reason: &'static str,
    /// What comes of more.
    pub beyond: &'static str,
}

/// An amount with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many.
    Number(u64),
    /// Of memory, or on the wire.
    Bytes(u64),
    /// A wait.
    Time(Duration),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Bytes(bytes) if *bytes > 0 && bytes % (1 << 20) == 0 => {
                write!(f, "{} MiB", bytes >> 20)
            }
            Self::Bytes(bytes) if *bytes > 0 && bytes % (1 << 10) == 0 => {
                write!(f, "{} KiB", bytes >> 10)
            }
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}

/// Those of the wire format.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "A packet of a client's login",
        bound: Bound::Bytes(LOGIN_PACKET_BYTES_MAX as u64),
        reason: "servers take 64 KiB of connection attributes; the rest is names",
        beyond: "ERR 1043 (08S01), the session ends",
    },
    Limit {
        what: "A server's greeting",
        bound: Bound::Bytes(HANDSHAKE_V10_BYTES_MAX as u64),
        reason: "real ones are below 200 bytes",
        beyond: "the backend is marked down, with the reason",
    },
    Limit {
        what: "A server's packet during a login",
        bound: Bound::Bytes(AUTH_PACKET_BYTES_MAX as u64),
        reason: "an RSA key or a Kerberos ticket is below it",
        beyond: "ERR 2013 (HY000), the session ends",
    },
    Limit {
        what: "What a response says of session state, for scripts",
        bound: Bound::Bytes(SESSION_STATE_BYTES_MAX as u64),
        reason: "a set of all GTIDs of a server with a long history is below it",
        beyond: "`session_state` is nil; the client gets all of it",
    },
];
