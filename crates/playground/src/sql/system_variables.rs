//! System variables: those that clients look at when they connect. They are remembered; few of them do anything.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::{Code, SqlError};
use crate::limits::{
    IDLE_TIMEOUT, LOCK_WAIT_TIMEOUT, PACKET_BYTES_MAX, READ_TIMEOUT, WRITE_TIMEOUT,
};

/// What the greeting says. Drivers look at its first number.
pub(crate) const VERSION: &str = concat!("8.4.0-playground-", env!("CARGO_PKG_VERSION"));

/// Those of one session.
#[derive(Debug, Clone)]
pub(crate) struct SystemVariables {
    values: BTreeMap<&'static str, Value>,
}

/// Said by the server alone.
const READ_ONLY: [&str; 11] = [
    "hostname",
    "license",
    "lower_case_table_names",
    "pseudo_thread_id",
    "port",
    "socket",
    "system_time_zone",
    "version",
    "version_comment",
    "version_compile_machine",
    "version_compile_os",
];

const TEXTS: &[(&str, &str)] = &[
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_database", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("character_set_system", "utf8mb3"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("collation_database", "utf8mb4_general_ci"),
    ("collation_server", "utf8mb4_general_ci"),
    ("default_storage_engine", "SQLite"),
    ("init_connect", ""),
    ("license", "MIT OR Apache-2.0"),
    ("session_track_schema", "ON"),
    ("socket", ""),
    ("sql_mode", "STRICT_TRANS_TABLES"),
    ("system_time_zone", "UTC"),
    ("time_zone", "SYSTEM"),
    ("transaction_isolation", "SERIALIZABLE"),
    ("tx_isolation", "SERIALIZABLE"),
    ("version", VERSION),
    ("version_compile_machine", std::env::consts::ARCH),
    ("version_compile_os", std::env::consts::OS),
];

const NUMBERS: &[(&str, i64)] = &[
    ("auto_increment_increment", 1),
    ("auto_increment_offset", 1),
    ("autocommit", 1),
    ("foreign_key_checks", 1),
    (
        "innodb_lock_wait_timeout",
        LOCK_WAIT_TIMEOUT.as_secs() as i64,
    ),
    ("interactive_timeout", IDLE_TIMEOUT.as_secs() as i64),
    ("lower_case_table_names", 2),
    ("max_allowed_packet", PACKET_BYTES_MAX as i64),
    ("max_execution_time", 0),
    ("net_buffer_length", 16_384),
    ("net_read_timeout", READ_TIMEOUT.as_secs() as i64),
    ("net_write_timeout", WRITE_TIMEOUT.as_secs() as i64),
    ("performance_schema", 0),
    ("query_cache_size", 0),
    ("query_cache_type", 0),
    ("sql_auto_is_null", 0),
    ("sql_notes", 1),
    ("sql_safe_updates", 0),
    ("sql_select_limit", i64::MAX),
    ("transaction_read_only", 0),
    ("tx_read_only", 0),
    ("unique_checks", 1),
    ("wait_timeout", IDLE_TIMEOUT.as_secs() as i64),
];

impl SystemVariables {
    pub(crate) fn new(server_name: &str, session_id: u32, port: u16) -> Self {
        let texts = TEXTS.iter();
        let texts = texts.map(|&(name, text)| (name, Value::Text(text.to_owned())));
        let numbers = NUMBERS.iter();
        let numbers = numbers.map(|&(name, number)| (name, Value::Integer(number)));
        let mut values: BTreeMap<_, _> = texts.chain(numbers).collect();
        let comment = format!("mysql-proxy playground, server {server_name}");
        values.insert("hostname", Value::Text(server_name.to_owned()));
        values.insert("version_comment", Value::Text(comment));
        values.insert("pseudo_thread_id", Value::Integer(session_id.into()));
        values.insert("port", Value::Integer(port.into()));
        Self { values }
    }

    /// By its name in lower case, without scope.
    pub(crate) fn get(&self, name: &str) -> Result<&Value, SqlError> {
        self.values.get(name).ok_or_else(|| unknown(name))
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), SqlError> {
        if READ_ONLY.contains(&name) {
            let message = format!("variable '{name}' is read-only");
            return Err(SqlError::new(Code::READ_ONLY_VARIABLE, message));
        }
        let known = self.values.get_mut(name).ok_or_else(|| unknown(name))?;
        *known = value;
        Ok(())
    }

    /// In the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }
}

fn unknown(name: &str) -> SqlError {
    let message = format!("unknown system variable '{name}'");
    SqlError::new(Code::UNKNOWN_SYSTEM_VARIABLE, message)
}
