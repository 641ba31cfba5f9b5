//! The commands of the command phase, and which kind of response each one gets.
//!
//! Follows MySQL's "Command Phase" and MariaDB's "Protocol Commands". A command byte that neither knows is kept as a
//! number: the server answers it, usually with ERR 1047.

/// `COM_*`: the first byte of a client's packet with sequence id 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

/// What follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    /// No response: the next command may follow at once.
    None,
    /// A response that [`ResponseTracker`](crate::ResponseTracker) finds the end of.
    Tracked(Layout),
    /// An authentication exchange in both directions.
    Authentication,
    /// An endless stream in both directions: a replica, a clone.
    Stream,
}

/// How a response is laid out. ERR may stand for any of them, and end any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One OK or EOF packet.
    Generic,
    /// One packet of text.
    Text,
    /// OK, LOCAL INFILE, or resultsets: any number of them.
    Resultsets,
    /// The same for a COM_STMT_EXECUTE that asks for a cursor: where one was opened, no rows follow the definitions.
    Cursor,
    /// COM_STMT_PREPARE_OK with its definitions.
    Prepare,
    /// Column definitions up to an EOF, without a count.
    Columns,
    /// Rows of an open cursor.
    Rows,
}

macro_rules! commands {
    ($($constant:ident = $byte:literal, $name:literal, $kind:expr;)*) => {
        impl Command {
            $(#[doc = $name] pub const $constant: Self = Self($byte);)*

            /// The documented name; `None` for an unknown byte.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($byte => Some($name),)* _ => None }
            }

            /// How its response is laid out. An unknown command's is taken for one packet, as every server answers it.
            pub fn response_kind(self) -> ResponseKind {
                match self.0 { $($byte => $kind,)* _ => Tracked(Generic) }
            }
        }
    };
}

use Layout::{Columns, Generic, Prepare, Resultsets, Rows, Text};
use ResponseKind::{Authentication, None as NoResponse, Stream, Tracked};

commands! {
    SLEEP = 0x00, "COM_SLEEP", Tracked(Generic);
    QUIT = 0x01, "COM_QUIT", NoResponse;
    INIT_DB = 0x02, "COM_INIT_DB", Tracked(Generic);
    QUERY = 0x03, "COM_QUERY", Tracked(Resultsets);
    FIELD_LIST = 0x04, "COM_FIELD_LIST", Tracked(Columns);
    CREATE_DB = 0x05, "COM_CREATE_DB", Tracked(Generic);
    DROP_DB = 0x06, "COM_DROP_DB", Tracked(Generic);
    REFRESH = 0x07, "COM_REFRESH", Tracked(Generic);
    SHUTDOWN = 0x08, "COM_SHUTDOWN", Tracked(Generic);
    STATISTICS = 0x09, "COM_STATISTICS", Tracked(Text);
    PROCESS_INFO = 0x0a, "COM_PROCESS_INFO", Tracked(Resultsets);
    CONNECT = 0x0b, "COM_CONNECT", Tracked(Generic);
    PROCESS_KILL = 0x0c, "COM_PROCESS_KILL", Tracked(Generic);
    DEBUG = 0x0d, "COM_DEBUG", Tracked(Generic);
    PING = 0x0e, "COM_PING", Tracked(Generic);
    TIME = 0x0f, "COM_TIME", Tracked(Generic);
    DELAYED_INSERT = 0x10, "COM_DELAYED_INSERT", Tracked(Generic);
    CHANGE_USER = 0x11, "COM_CHANGE_USER", Authentication;
    BINLOG_DUMP = 0x12, "COM_BINLOG_DUMP", Stream;
    TABLE_DUMP = 0x13, "COM_TABLE_DUMP", Stream;
    CONNECT_OUT = 0x14, "COM_CONNECT_OUT", Tracked(Generic);
    REGISTER_SLAVE = 0x15, "COM_REGISTER_SLAVE", Tracked(Generic);
    STMT_PREPARE = 0x16, "COM_STMT_PREPARE", Tracked(Prepare);
    STMT_EXECUTE = 0x17, "COM_STMT_EXECUTE", Tracked(Resultsets);
    STMT_SEND_LONG_DATA = 0x18, "COM_STMT_SEND_LONG_DATA", NoResponse;
    STMT_CLOSE = 0x19, "COM_STMT_CLOSE", NoResponse;
    STMT_RESET = 0x1a, "COM_STMT_RESET", Tracked(Generic);
    SET_OPTION = 0x1b, "COM_SET_OPTION", Tracked(Generic);
    STMT_FETCH = 0x1c, "COM_STMT_FETCH", Tracked(Rows);
    DAEMON = 0x1d, "COM_DAEMON", Tracked(Generic);
    BINLOG_DUMP_GTID = 0x1e, "COM_BINLOG_DUMP_GTID", Stream;
    RESET_CONNECTION = 0x1f, "COM_RESET_CONNECTION", Tracked(Generic);
    CLONE = 0x20, "COM_CLONE", Stream;
    SUBSCRIBE_GROUP_REPLICATION_STREAM = 0x21, "COM_SUBSCRIBE_GROUP_REPLICATION_STREAM", Stream;
    STMT_BULK_EXECUTE = 0xfa, "COM_STMT_BULK_EXECUTE", Tracked(Resultsets);
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "command 0x{:02x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_commands_keep_their_number() {
        assert_eq!(Command(0x03).to_string(), "COM_QUERY");
        assert_eq!(Command(0x7f).to_string(), "command 0x7f");
        assert_eq!(Command(0x7f).response_kind(), Tracked(Generic));
    }
}
