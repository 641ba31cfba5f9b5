//! COM_QUERY, and what its statements do.

use protocol::response::{OkPacket, SessionStateChange};
use protocol::{Capabilities, StatusFlags};
use rusqlite::types::Value;

use super::Session;
use super::response::{Outcome, RowFormat};
use crate::failure::Failure;
use crate::login::known_database;
use crate::sql::{
    Answer, Code, SqlError, Statement, Token, TokenKind, Variable, tokenize, translate,
};

impl Session<'_> {
    /// One statement, or several where the client may send them: the first that fails ends it.
    pub(super) fn query(&mut self, sql: &[u8]) -> Result<(), Failure> {
        let tokens = tokenize(sql)?;
        let statements = statements(&tokens);
        let may_be_several = self.capabilities.contains(Capabilities::MULTI_STATEMENTS);
        if statements.len() > 1 && !may_be_several {
            return Err(SqlError::syntax(b";").into());
        }
        let last = statements.len() - 1;
        for (index, statement) in statements.into_iter().enumerate() {
            let outcome = self.execute(statement, &[])?;
            let more = match index == last {
                true => StatusFlags::empty(),
                false => StatusFlags::MORE_RESULTS_EXISTS,
            };
            self.write_result(outcome, RowFormat::Text, more)?;
        }
        Ok(())
    }

    /// Runs one statement; `parameters` are those of its `?`.
    pub(super) fn execute(
        &mut self,
        tokens: &[Token],
        parameters: &[Value],
    ) -> Result<Outcome, SqlError> {
        let statement = Statement::of(tokens)?;
        self.start_transaction_for(statement)?;
        let outcome = match statement {
            Statement::Query(tokens) => self.run(&translate(tokens), parameters)?,
            Statement::Change(tokens) => self.change(tokens, parameters)?,
            Statement::Definition(tokens) => self.define(tokens, parameters)?,
            Statement::Begin => {
                self.commit()?;
                self.sql.execute("BEGIN")?;
                Outcome::default()
            }
            Statement::Commit => self.commit()?,
            Statement::Rollback => self.rollback()?,
            Statement::Savepoint(tokens) => self.savepoint(tokens)?,
            Statement::Set(assignments) => self.set(assignments)?,
            Statement::Show(what) if self.shows_errors(what) => return self.show_errors(),
            Statement::Show(what) => self.run(&self.show(what)?, &[])?,
            Statement::Describe(table) => self.run(&self.describe(table)?, &[])?,
            Statement::Explain(query) => {
                let sql = format!("EXPLAIN QUERY PLAN {}", translate(query));
                self.run(&sql, parameters)?
            }
            Statement::Use(database) => self.use_database(database.as_bytes())?,
            Statement::Kill { id, query_only } => self.kill(id, query_only)?,
        };
        self.last_error = None;
        Ok(outcome)
    }

    pub(super) fn is_autocommit(&self) -> bool {
        self.system_variables.get("autocommit") != Ok(&Value::Integer(0))
    }

    /// Under `autocommit=0` whatever touches a table opens a transaction.
    fn start_transaction_for(&self, statement: Statement<'_>) -> Result<(), SqlError> {
        let is_in = self.is_autocommit() || self.sql.is_in_transaction();
        match statement.is_transactional() && !is_in {
            true => self.sql.execute("BEGIN"),
            false => Ok(()),
        }
    }

    pub(super) fn commit(&self) -> Result<Outcome, SqlError> {
        if self.sql.is_in_transaction() {
            self.sql.execute("COMMIT")?;
        }
        Ok(Outcome::default())
    }

    fn rollback(&self) -> Result<Outcome, SqlError> {
        if self.sql.is_in_transaction() {
            self.sql.execute("ROLLBACK")?;
        }
        Ok(Outcome::default())
    }

    /// Outside a transaction a savepoint is gone as soon as it is set; SQLite's would open one.
    fn savepoint(&self, tokens: &[Token]) -> Result<Outcome, SqlError> {
        let sets = tokens.first().is_some_and(|token| token.is("SAVEPOINT"));
        if !self.sql.is_in_transaction() {
            return match sets {
                true => Ok(Outcome::default()),
                false => Err(SqlError::new(Code::NO_SUCH_NAME, "no such savepoint")),
            };
        }
        self.sql.execute(&translate(tokens))?;
        Ok(Outcome::default())
    }

    /// Runs SQLite's words.
    pub(super) fn run(&self, sql: &str, parameters: &[Value]) -> Result<Outcome, SqlError> {
        let answer = self
            .sql
            .run(sql, parameters, |variable| self.variable(variable))?;
        Ok(match answer {
            Answer::Rows(result) => Outcome::Rows(result),
            Answer::Changed { rows, .. } => Outcome::Ok(OkPacket {
                affected_rows: rows,
                ..OkPacket::default()
            }),
        })
    }

    fn change(&self, tokens: &[Token], parameters: &[Value]) -> Result<Outcome, SqlError> {
        let variable = |variable: &Variable| self.variable(variable);
        let answer = self.sql.run(&translate(tokens), parameters, variable)?;
        let (affected_rows, id) = match answer {
            Answer::Rows(result) => return Ok(Outcome::Rows(result)),
            Answer::Changed {
                rows,
                last_insert_id,
            } => (rows, last_insert_id),
        };
        let inserts = ["INSERT", "REPLACE"]
            .iter()
            .any(|word| tokens.first().is_some_and(|token| token.is(word)));
        let last_insert_id = if inserts && affected_rows > 0 { id } else { 0 };
        if last_insert_id != 0 {
            self.handle.set_last_insert_id(last_insert_id);
        }
        Ok(Outcome::Ok(OkPacket {
            affected_rows,
            last_insert_id,
            ..OkPacket::default()
        }))
    }

    /// As in MySQL, a definition is no part of a transaction, and counts no rows.
    fn define(&self, tokens: &[Token], parameters: &[Value]) -> Result<Outcome, SqlError> {
        self.commit()?;
        let drops = tokens.first().is_some_and(|token| token.is("DROP"));
        match self.run(&translate(tokens), parameters) {
            Ok(_) => Ok(Outcome::default()),
            Err(error) if drops && error.code == Code::NO_SUCH_TABLE => {
                Err(SqlError::new(Code::UNKNOWN_TABLE, error.message))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn use_database(&self, name: &[u8]) -> Result<Outcome, SqlError> {
        let database = known_database(name)?;
        let mut session_state = Vec::new();
        if let Some(database) = &database {
            SessionStateChange::Schema(database.as_bytes()).encode(&mut session_state);
            self.handle.set_database(Some(database));
        }
        Ok(Outcome::Ok(OkPacket {
            session_state,
            ..OkPacket::default()
        }))
    }

    fn kill(&self, id: u32, query_only: bool) -> Result<Outcome, SqlError> {
        let handle = self.shared.sessions().get(&id).cloned();
        let handle = handle.ok_or_else(|| {
            SqlError::new(Code::NO_SUCH_SESSION, format!("there is no session {id}"))
        })?;
        match query_only {
            true => handle.kill_query(),
            false => handle.kill(),
        }
        Ok(Outcome::default())
    }

    /// The value of `@@name` or `@name`.
    fn variable(&self, variable: &Variable) -> Result<Value, SqlError> {
        let errors = i64::from(self.last_error.is_some());
        Ok(match variable {
            Variable::User(name) => self
                .user_variables
                .get(name)
                .cloned()
                .unwrap_or(Value::Null),
            Variable::System(name) => match name.as_str() {
                "warning_count" | "error_count" => Value::Integer(errors),
                "last_insert_id" | "identity" => {
                    Value::Integer(self.handle.last_insert_id() as i64)
                }
                name => self.system_variables.get(name)?.clone(),
            },
        })
    }
}

/// Split at semicolons; one at the end, or more, end nothing. Never empty.
pub(super) fn statements(tokens: &[Token]) -> Vec<&[Token]> {
    let mut statements: Vec<_> = tokens
        .split(|token| token.kind == TokenKind::Semicolon)
        .collect();
    while statements.len() > 1 && statements.last().is_some_and(|last| last.is_empty()) {
        statements.pop();
    }
    statements
}
