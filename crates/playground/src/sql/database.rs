//! The SQLite side: one database in memory for a server, one connection to it for each session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::column::ResultSet;
use super::dialect::Variable;
use super::{Code, SqlError, VERSION};
use crate::limits::{LOCK_WAIT_TIMEOUT, PACKET_BYTES_MAX, RESULT_BYTES_MAX};
use crate::session_handle::SessionHandle;

/// SQLite asks whether to go on after so many steps of its machine: some microseconds.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// Lives as long as its server, whoever is connected.
#[derive(Debug)]
pub(crate) struct Database {
    uri: String,
    /// Keeps the database alive while no session is there.
    _anchor: Mutex<Connection>,
}

/// One session's connection.
#[derive(Debug)]
pub(crate) struct SqlSession {
    connection: Connection,
}

/// What a statement gave.
#[derive(Debug)]
pub(crate) enum Answer {
    Rows(ResultSet),
    Changed { rows: u64, last_insert_id: u64 },
}

/// What is known of a statement before it runs.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) result: ResultSet,
    /// Its `?`.
    pub(crate) parameters: usize,
}

impl Database {
    /// A new database with its table.
    pub(crate) fn new() -> rusqlite::Result<Self> {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        // A leading slash makes memdb share the database among the process's connections.
        let uri = format!("file:/playground-{number}?vfs=memdb");
        let anchor = open(&uri)?;
        anchor.execute_batch(include_str!("films.sql"))?;
        Ok(Self {
            uri,
            _anchor: Mutex::new(anchor),
        })
    }

    /// A connection whose statements end when `handle` says so.
    pub(crate) fn connect(&self, handle: &Arc<SessionHandle>) -> Result<SqlSession, SqlError> {
        let mut connection = open(&self.uri)?;
        let stop = Arc::clone(handle);
        let must_stop = Some(move || stop.must_stop());
        connection.progress_handler(STEPS_BETWEEN_CHECKS, must_stop)?;
        add_functions(&connection, handle)?;
        Ok(SqlSession { connection })
    }
}

/// Opens no file, ever: neither databases nor temporary ones.
fn open(uri: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(LOCK_WAIT_TIMEOUT)?;
    connection.execute_batch("PRAGMA temp_store = MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let bytes = 3 * PACKET_BYTES_MAX as i32;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, bytes)?;
    Ok(connection)
}

/// MySQL's functions that SQLite lacks and that every client uses.
fn add_functions(connection: &Connection, handle: &Arc<SessionHandle>) -> rusqlite::Result<()> {
    let add = |name: &str, value: fn(&SessionHandle) -> Value| {
        let handle = Arc::clone(handle);
        let flags = FunctionFlags::SQLITE_UTF8;
        connection.create_scalar_function(name, 0, flags, move |_| Ok(value(&handle)))
    };
    for name in ["database", "schema"] {
        add(name, |handle| {
            handle.database().map_or(Value::Null, Value::Text)
        })?;
    }
    for name in ["user", "current_user", "session_user", "system_user"] {
        add(name, |handle| Value::Text(handle.account()))?;
    }
    add("version", |_| Value::Text(VERSION.to_owned()))?;
    add("connection_id", |handle| Value::Integer(handle.id().into()))?;
    add("last_insert_id", |handle| {
        Value::Integer(handle.last_insert_id() as i64)
    })?;
    add("now", |_| {
        Value::Text(Timestamp::now().strftime("%F %T").to_string())
    })?;
    let handle = Arc::clone(handle);
    connection.create_scalar_function("sleep", 1, FunctionFlags::SQLITE_UTF8, move |context| {
        let seconds: f64 = context.get(0)?;
        Ok(handle.sleep(seconds))
    })
}

impl SqlSession {
    /// Runs one statement, already in SQLite's words. `parameters` stand for its `?`, `variable` gives the others.
    pub(crate) fn run(
        &self,
        sql: &str,
        parameters: &[Value],
        variable: impl Fn(&Variable) -> Result<Value, SqlError>,
    ) -> Result<Answer, SqlError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut parameters = parameters.iter();
        for index in 1..=statement.parameter_count() {
            let name = statement.parameter_name(index).map(Variable::of_parameter);
            match name {
                Some(name) => statement.raw_bind_parameter(index, variable(&name)?)?,
                None => {
                    let value = parameters.next().ok_or_else(wrong_arguments)?;
                    statement.raw_bind_parameter(index, value)?;
                }
            }
        }
        if parameters.next().is_some() {
            return Err(wrong_arguments());
        }
        let columns = statement.column_count();
        let rows = rows(&mut statement)?;
        if columns > 0 {
            return Ok(Answer::Rows(ResultSet::new(&statement, rows)));
        }
        let rows = self.connection.changes();
        let last = self.connection.last_insert_rowid();
        let first = last.saturating_sub_unsigned(rows.saturating_sub(1)).max(0);
        Ok(Answer::Changed {
            rows,
            last_insert_id: first.unsigned_abs(),
        })
    }

    /// Looks at one statement without running it.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Prepared, SqlError> {
        let statement = self.connection.prepare(sql)?;
        let parameters = 1..=statement.parameter_count();
        let parameters = parameters.filter(|index| statement.parameter_name(*index).is_none());
        Ok(Prepared {
            parameters: parameters.count(),
            result: ResultSet::new(&statement, Vec::new()),
        })
    }

    /// Runs a word of SQLite's that gives nothing back.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), SqlError> {
        Ok(self.connection.execute_batch(sql)?)
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }
}

fn wrong_arguments() -> SqlError {
    SqlError::new(
        Code::WRONG_ARGUMENTS,
        "the number of parameters is not the statement's",
    )
}

fn rows(statement: &mut rusqlite::Statement<'_>) -> Result<Vec<Vec<Value>>, SqlError> {
    let columns = statement.column_count();
    let mut bytes = 0;
    let mut all = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            let value = value(row.get_ref(column)?);
            bytes += size_of::<Value>() + heap_bytes(&value);
            values.push(value);
        }
        if bytes > RESULT_BYTES_MAX {
            let message = format!("the result is larger than {RESULT_BYTES_MAX} bytes");
            return Err(SqlError::new(Code::OUT_OF_RESOURCES, message));
        }
        all.push(values);
    }
    Ok(all)
}

/// SQLite does not check that its texts are UTF-8.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => match String::from_utf8(text.to_vec()) {
            Ok(text) => Value::Text(text),
            Err(error) => Value::Blob(error.into_bytes()),
        },
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

fn heap_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    }
}
