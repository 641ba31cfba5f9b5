//! MySQL's error codes and SQLSTATEs for what SQLite and this server complain about.

use std::borrow::Cow;

use protocol::response::ErrPacket;
use rusqlite::{ErrorCode, ffi};

use crate::DATABASE;

/// `ER_*`: number and SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u16, [u8; 5]);

impl Code {
    pub(crate) const HANDSHAKE: Self = Self(1043, *b"08S01");
    pub(crate) const TOO_MANY_CONNECTIONS: Self = Self(1040, *b"08004");
    pub(crate) const OUT_OF_RESOURCES: Self = Self(1041, *b"HY000");
    pub(crate) const DATABASE_ACCESS_DENIED: Self = Self(1044, *b"42000");
    pub(crate) const ACCESS_DENIED: Self = Self(1045, *b"28000");
    pub(crate) const UNKNOWN_COMMAND: Self = Self(1047, *b"08S01");
    pub(crate) const NULL_IN_COLUMN: Self = Self(1048, *b"23000");
    pub(crate) const UNKNOWN_DATABASE: Self = Self(1049, *b"42000");
    pub(crate) const TABLE_EXISTS: Self = Self(1050, *b"42S01");
    pub(crate) const UNKNOWN_TABLE: Self = Self(1051, *b"42S02");
    pub(crate) const AMBIGUOUS_COLUMN: Self = Self(1052, *b"23000");
    pub(crate) const UNKNOWN_COLUMN: Self = Self(1054, *b"42S22");
    pub(crate) const DUPLICATE_COLUMN: Self = Self(1060, *b"42S21");
    pub(crate) const DUPLICATE_KEY_NAME: Self = Self(1061, *b"42000");
    pub(crate) const DUPLICATE_KEY: Self = Self(1062, *b"23000");
    pub(crate) const SYNTAX: Self = Self(1064, *b"42000");
    pub(crate) const EMPTY_QUERY: Self = Self(1065, *b"42000");
    pub(crate) const NO_SUCH_SESSION: Self = Self(1094, *b"HY000");
    pub(crate) const UNKNOWN_ERROR: Self = Self(1105, *b"HY000");
    pub(crate) const TABLE_FULL: Self = Self(1114, *b"HY000");
    pub(crate) const VALUE_COUNT: Self = Self(1136, *b"21S01");
    pub(crate) const NO_SUCH_TABLE: Self = Self(1146, *b"42S02");
    pub(crate) const PACKET_TOO_LARGE: Self = Self(1153, *b"08S01");
    pub(crate) const PACKETS_OUT_OF_ORDER: Self = Self(1156, *b"08S01");
    pub(crate) const UNKNOWN_SYSTEM_VARIABLE: Self = Self(1193, *b"HY000");
    pub(crate) const LOCK_WAIT_TIMEOUT: Self = Self(1205, *b"HY000");
    pub(crate) const WRONG_ARGUMENTS: Self = Self(1210, *b"HY000");
    pub(crate) const WRONG_VALUE: Self = Self(1231, *b"42000");
    pub(crate) const NOT_SUPPORTED: Self = Self(1235, *b"42000");
    pub(crate) const READ_ONLY_VARIABLE: Self = Self(1238, *b"HY000");
    pub(crate) const OPERAND_COLUMNS: Self = Self(1241, *b"21000");
    pub(crate) const UNKNOWN_STATEMENT: Self = Self(1243, *b"HY000");
    pub(crate) const NO_SUCH_NAME: Self = Self(1305, *b"42000");
    pub(crate) const QUERY_INTERRUPTED: Self = Self(1317, *b"70100");
    pub(crate) const NO_OPEN_CURSOR: Self = Self(1421, *b"HY000");
    pub(crate) const FOREIGN_KEY: Self = Self(1452, *b"23000");
    pub(crate) const TOO_MANY_STATEMENTS: Self = Self(1461, *b"42000");
    pub(crate) const ARGUMENT_COUNT: Self = Self(1582, *b"42000");
    pub(crate) const VALUE_OUT_OF_RANGE: Self = Self(1690, *b"22003");
    pub(crate) const MALFORMED_PACKET: Self = Self(1835, *b"HY000");
    pub(crate) const CHECK: Self = Self(3819, *b"HY000");
}

/// A statement's failure, as the client gets it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({}): {message}", code.0, String::from_utf8_lossy(&code.1))]
pub(crate) struct SqlError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl SqlError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Something else was expected where `rest` starts.
    pub(crate) fn syntax(rest: &[u8]) -> Self {
        const SHOWN_BYTES_MAX: usize = 80;
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(SHOWN_BYTES_MAX)]);
        let near = match shown.as_ref() {
            "" => Cow::Borrowed("at the end"),
            shown => Cow::Owned(format!("near '{shown}'")),
        };
        Self::new(Code::SYNTAX, format!("syntax error {near}"))
    }

    pub(crate) fn no_such_table(name: &str) -> Self {
        let message = format!("table '{DATABASE}.{name}' does not exist");
        Self::new(Code::NO_SUCH_TABLE, message)
    }

    pub(crate) fn not_supported(what: &str) -> Self {
        let message = format!("the playground does not know {what}");
        Self::new(Code::NOT_SUPPORTED, message)
    }

    pub(crate) fn packet(&self) -> ErrPacket<'_> {
        ErrPacket::new(self.code.0, self.code.1, &self.message)
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        let (failure, message) = match error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                let text = message.unwrap_or_else(|| failure.to_string());
                (failure, text)
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => (error, msg),
            other => return Self::new(Code::UNKNOWN_ERROR, other.to_string()),
        };
        let by_code = by_code(failure, &message);
        by_code.unwrap_or_else(|| by_message(&message))
    }
}

/// Failures that have a code of their own in SQLite.
fn by_code(failure: ffi::Error, message: &str) -> Option<SqlError> {
    let columns = message.rsplit_once(": ").map_or("", |(_, columns)| columns);
    Some(match (failure.extended_code, failure.code) {
        (
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID,
            _,
        ) => SqlError::new(
            Code::DUPLICATE_KEY,
            format!("duplicate entry for key '{columns}'"),
        ),
        (ffi::SQLITE_CONSTRAINT_NOTNULL, _) => SqlError::new(
            Code::NULL_IN_COLUMN,
            format!("column '{columns}' cannot be NULL"),
        ),
        (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, _) => {
            SqlError::new(Code::FOREIGN_KEY, "a foreign key has no row to point at")
        }
        (ffi::SQLITE_CONSTRAINT_CHECK, _) => SqlError::new(
            Code::CHECK,
            format!("check constraint '{columns}' is violated"),
        ),
        (_, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqlError::new(
            Code::LOCK_WAIT_TIMEOUT,
            "waited too long for another session's lock; try the transaction again",
        ),
        (_, ErrorCode::OperationInterrupted) => {
            SqlError::new(Code::QUERY_INTERRUPTED, "the query was interrupted")
        }
        (_, ErrorCode::DiskFull) => SqlError::new(Code::TABLE_FULL, "the database is full"),
        (_, ErrorCode::TooBig | ErrorCode::OutOfMemory) => {
            SqlError::new(Code::OUT_OF_RESOURCES, message)
        }
        _ => return None,
    })
}

/// Failures that SQLite tells apart by their text only.
fn by_message(message: &str) -> SqlError {
    let after = |prefix: &str| message.strip_prefix(prefix);
    if let Some(name) = after("no such table: ") {
        return SqlError::no_such_table(name);
    }
    if let Some(rest) = after("near ") {
        let near = rest.trim_end_matches(": syntax error").trim_matches('"');
        return SqlError::syntax(near.as_bytes());
    }
    if let Some(name) = after("no such function: ") {
        let message = format!("FUNCTION {DATABASE}.{name} does not exist");
        return SqlError::new(Code::NO_SUCH_NAME, message);
    }
    let contains = |part: &str| message.contains(part);
    let code = match message {
        _ if contains("no such column") || contains("has no column named") => Code::UNKNOWN_COLUMN,
        _ if contains("no such savepoint") => Code::NO_SUCH_NAME,
        _ if contains("incomplete input") || contains("unrecognized token") => Code::SYNTAX,
        _ if contains("ambiguous column name") => Code::AMBIGUOUS_COLUMN,
        _ if contains("duplicate column name") => Code::DUPLICATE_COLUMN,
        _ if contains("index") && contains("already exists") => Code::DUPLICATE_KEY_NAME,
        _ if contains("already exists") => Code::TABLE_EXISTS,
        _ if contains("values were supplied") || contains("values for") => Code::VALUE_COUNT,
        _ if contains("wrong number of arguments") => Code::ARGUMENT_COUNT,
        _ if contains("integer overflow") => Code::VALUE_OUT_OF_RANGE,
        _ if contains("sub-select returns") => Code::OPERAND_COLUMNS,
        _ => Code::UNKNOWN_ERROR,
    };
    SqlError::new(code, message)
}
