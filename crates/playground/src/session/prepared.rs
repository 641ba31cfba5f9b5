//! Prepared statements: each one is remembered as its text, and run from it every time.

use std::collections::BTreeMap;

use protocol::prepared_statement::{CursorType, ParameterType, StmtExecute, StmtPrepareOk};
use protocol::resultset::{
    ColumnCount, ColumnDefinition41, ColumnFlags, ColumnType, Value as Wire, collation,
};
use protocol::wire::Reader;
use protocol::{Capabilities, StatusFlags};
use rusqlite::types::Value;

use super::Session;
use super::execute::statements;
use super::response::{Outcome, RowFormat};
use crate::failure::Failure;
use crate::limits::{PREPARED_BYTES_MAX, PREPARED_STATEMENTS_MAX};
use crate::sql::{Code, ResultSet, SqlError, Statement, Token, tokenize, translate};

/// A session's statements.
#[derive(Debug, Default)]
pub(super) struct PreparedStatements {
    last_id: u32,
    statements: BTreeMap<u32, PreparedStatement>,
}

#[derive(Debug, Default)]
struct PreparedStatement {
    sql: Vec<u8>,
    parameters: u16,
    /// As of the last execution.
    types: Vec<ParameterType>,
    /// What came ahead of the next execution, by parameter.
    long_data: BTreeMap<u16, Vec<u8>>,
    /// Long data that is too long, or for no parameter, is the next execution's failure: it has no response.
    long_data_error: Option<SqlError>,
    cursor: Option<Cursor>,
}

/// Rows that wait for COM_STMT_FETCH.
#[derive(Debug)]
struct Cursor {
    result: ResultSet,
    fetched: usize,
}

impl PreparedStatements {
    fn get(&mut self, id: u32) -> Result<&mut PreparedStatement, SqlError> {
        self.statements.get_mut(&id).ok_or_else(|| {
            let message = format!("there is no prepared statement {id}");
            SqlError::new(Code::UNKNOWN_STATEMENT, message)
        })
    }

    /// Room for one more statement.
    fn check_room(&self, bytes: usize) -> Result<(), SqlError> {
        if self.statements.len() >= PREPARED_STATEMENTS_MAX {
            let message = format!("a session has {PREPARED_STATEMENTS_MAX} prepared statements");
            return Err(SqlError::new(Code::TOO_MANY_STATEMENTS, message));
        }
        self.check_bytes(bytes)
    }

    fn check_bytes(&self, more: usize) -> Result<(), SqlError> {
        let bytes = self.statements.values().map(PreparedStatement::bytes);
        if bytes.sum::<usize>() + more > PREPARED_BYTES_MAX {
            let message = "the session's prepared statements are too long together";
            return Err(SqlError::new(Code::OUT_OF_RESOURCES, message));
        }
        Ok(())
    }
}

impl PreparedStatement {
    fn bytes(&self) -> usize {
        let long_data = self.long_data.values().map(Vec::len);
        self.sql.len() + long_data.sum::<usize>()
    }

    /// The values of an execution, which uses the long data up.
    fn bind(&mut self, payload: &[u8]) -> Result<(Vec<Value>, CursorType), Failure> {
        let long_data = std::mem::take(&mut self.long_data);
        if let Some(error) = self.long_data_error.take() {
            return Err(error.into());
        }
        let is_long = |index: usize| {
            let index = u16::try_from(index);
            index.is_ok_and(|index| long_data.contains_key(&index))
        };
        let execute = StmtExecute::decode(payload, self.parameters, &self.types, is_long)?;
        let mut values = Vec::new();
        for (index, value) in (0..self.parameters).zip(&execute.values) {
            let bound = execute.types.get(usize::from(index));
            values.push(match (value, long_data.get(&index), bound) {
                (Some(value), _, Some(bound)) => parameter(*value, bound.column_type),
                (_, Some(data), _) => text_or_blob(data),
                _ => Value::Null,
            });
        }
        self.types = execute.types;
        Ok((values, execute.cursor_type))
    }
}

impl Session<'_> {
    pub(super) fn prepare(&mut self, sql: &[u8]) -> Result<(), Failure> {
        self.prepared.check_room(sql.len())?;
        let tokens = tokenize(sql)?;
        let statements = statements(&tokens);
        let [statement] = statements.as_slice() else {
            return Err(SqlError::syntax(b";").into());
        };
        let (columns, parameters) = self.look_at(statement)?;
        self.prepared.last_id = self.prepared.last_id.wrapping_add(1);
        let id = self.prepared.last_id;
        let prepared = PreparedStatement {
            sql: sql.to_vec(),
            parameters,
            ..PreparedStatement::default()
        };
        self.prepared.statements.insert(id, prepared);
        let ok = StmtPrepareOk {
            statement_id: id,
            columns: columns.len() as u16,
            parameters,
            warnings: 0,
        };
        let mut payload = Vec::new();
        ok.encode(&mut payload);
        self.stream.write_payload(&payload)?;
        let parameters = vec![parameter_definition(); parameters.into()];
        for definitions in [parameters, columns] {
            if !definitions.is_empty() {
                self.write_definitions(&definitions, self.status())?;
            }
        }
        Ok(())
    }

    /// A statement's columns and its number of parameters. SQLite has far less of both than 65,535.
    fn look_at(&self, tokens: &[Token]) -> Result<(Vec<ColumnDefinition41>, u16), SqlError> {
        let sql = match Statement::of(tokens)? {
            Statement::Query(tokens)
            | Statement::Change(tokens)
            | Statement::Definition(tokens) => translate(tokens),
            Statement::Explain(tokens) => format!("EXPLAIN QUERY PLAN {}", translate(tokens)),
            Statement::Show(what) if !self.shows_errors(what) => self.show(what)?,
            Statement::Describe(table) => self.describe(table)?,
            _ => return Ok((Vec::new(), 0)),
        };
        let prepared = self.sql.prepare(&sql)?;
        Ok((prepared.result.columns, prepared.parameters as u16))
    }

    pub(super) fn execute_prepared(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let id = StmtExecute::decode_statement_id(payload)?;
        let statement = self.prepared.get(id)?;
        statement.cursor = None;
        let (values, cursor_type) = statement.bind(payload)?;
        let tokens = tokenize(&statement.sql)?;
        let outcome = match statements(&tokens).as_slice() {
            [statement] => self.execute(statement, &values)?,
            _ => return Err(SqlError::syntax(b";").into()),
        };
        match (outcome, cursor_type) {
            (Outcome::Rows(result), CursorType::ReadOnly) => self.open_cursor(id, result),
            (outcome, _) => self.write_result(outcome, RowFormat::Binary, StatusFlags::empty()),
        }
    }

    /// Definitions alone; the rows stay here.
    fn open_cursor(&mut self, id: u32, result: ResultSet) -> Result<(), Failure> {
        let status = self.status() | StatusFlags::CURSOR_EXISTS;
        let mut payload = Vec::new();
        ColumnCount::new(result.columns.len()).encode(self.capabilities, &mut payload);
        self.stream.write_payload(&payload)?;
        self.write_definitions(&result.columns, status)?;
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.write_end(status)?;
        }
        self.prepared.get(id)?.cursor = Some(Cursor { result, fetched: 0 });
        Ok(())
    }

    /// `int<4>` statement, `int<4>` rows
    pub(super) fn fetch(&mut self, arguments: &[u8]) -> Result<(), Failure> {
        let mut reader = Reader::new("COM_STMT_FETCH", arguments);
        let id = reader.u32("statement id")?;
        let wanted = reader.u32("number of rows")?;
        let statement = self.prepared.get(id)?;
        let mut cursor = statement.cursor.take().ok_or_else(|| {
            SqlError::new(Code::NO_OPEN_CURSOR, "the statement has no open cursor")
        })?;
        let rows = &cursor.result.rows[cursor.fetched..];
        let rows = &rows[..rows.len().min(wanted as usize)];
        self.write_rows(&cursor.result.columns, rows, RowFormat::Binary)?;
        cursor.fetched += rows.len();
        let mut status = self.status() | StatusFlags::CURSOR_EXISTS;
        if cursor.fetched == cursor.result.rows.len() {
            status |= StatusFlags::LAST_ROW_SENT;
        } else {
            self.prepared.get(id)?.cursor = Some(cursor);
        }
        self.write_end(status)
    }

    /// `int<4>` statement, `int<2>` parameter, then data; never a response.
    pub(super) fn take_long_data(&mut self, arguments: &[u8]) {
        let mut reader = Reader::new("COM_STMT_SEND_LONG_DATA", arguments);
        let (Ok(id), Ok(index)) = (reader.u32("statement id"), reader.u16("parameter")) else {
            return;
        };
        let data = reader.rest();
        let room = self.prepared.check_bytes(data.len());
        let Ok(statement) = self.prepared.get(id) else {
            return;
        };
        if index >= statement.parameters {
            let message = format!("the statement has no parameter {index}");
            statement.long_data_error = Some(SqlError::new(Code::WRONG_ARGUMENTS, message));
        } else if let Err(error) = room {
            statement.long_data_error = Some(error);
        } else {
            let long_data = statement.long_data.entry(index).or_default();
            long_data.extend_from_slice(data);
        }
    }

    /// `int<4>` statement
    pub(super) fn reset_prepared(&mut self, arguments: &[u8]) -> Result<(), Failure> {
        let id = Reader::new("COM_STMT_RESET", arguments).u32("statement id")?;
        let statement = self.prepared.get(id)?;
        statement.long_data.clear();
        statement.long_data_error = None;
        statement.cursor = None;
        self.write_ok()
    }

    /// `int<4>` statement; never a response.
    pub(super) fn close_prepared(&mut self, arguments: &[u8]) {
        if let Ok(id) = Reader::new("COM_STMT_CLOSE", arguments).u32("statement id") {
            self.prepared.statements.remove(&id);
        }
    }
}

/// What a client may know of a `?`: nothing.
fn parameter_definition() -> ColumnDefinition41 {
    ColumnDefinition41 {
        schema: Vec::new(),
        table: Vec::new(),
        org_table: Vec::new(),
        name: b"?".to_vec(),
        org_name: Vec::new(),
        character_set: collation::BINARY,
        column_length: 0,
        column_type: ColumnType::VAR_STRING,
        flags: ColumnFlags::BINARY,
        decimals: 0,
    }
}

fn parameter(value: Wire<'_>, column_type: ColumnType) -> Value {
    match value {
        Wire::Null => Value::Null,
        Wire::Int(number) => Value::Integer(number),
        // SQLite's integers have a sign: the digits of larger ones are kept as text.
        Wire::UInt(number) => {
            i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Integer)
        }
        Wire::Float(number) => Value::Real(number.into()),
        Wire::Double(number) => Value::Real(number),
        Wire::DateTime(date) if column_type == ColumnType::DATE => Value::Text(date.date_text()),
        Wire::DateTime(date) => Value::Text(date.to_string()),
        Wire::Time(time) => Value::Text(time.to_string()),
        Wire::Bytes(bytes) => text_or_blob(bytes),
    }
}

/// Clients send texts and blobs alike; SQLite compares them as different.
fn text_or_blob(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Value::Text(text.to_owned()),
        _ => Value::Blob(bytes.to_vec()),
    }
}
