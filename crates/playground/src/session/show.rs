//! SHOW and DESCRIBE, each as a query of SQLite's.

use rusqlite::types::Value;

use super::Session;
use super::response::Outcome;
use crate::DATABASE;
use crate::login::known_database;
use crate::sql::{SqlError, Token, TokenKind, number_text, quote_text, translate};

/// Words that change what is shown in ways that make no difference here.
const MODIFIERS: [&str; 5] = ["FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL"];

/// A query and the column that LIKE looks at.
struct Shown {
    sql: String,
    like_column: &'static str,
}

impl Shown {
    fn new(like_column: &'static str, sql: impl Into<String>) -> Self {
        let sql = sql.into();
        Self { sql, like_column }
    }
}

impl Session<'_> {
    /// What follows SHOW, in SQLite's words.
    pub(super) fn show(&self, tokens: &[Token]) -> Result<String, SqlError> {
        let is_full = tokens.first().is_some_and(|token| token.is("FULL"));
        let modifiers = tokens.iter().take_while(|token| is_any(token, &MODIFIERS));
        let tokens = &tokens[modifiers.count()..];
        let filter = tokens
            .iter()
            .position(|token| is_any(token, &["LIKE", "WHERE"]));
        let (what, filter) = tokens.split_at(filter.unwrap_or(tokens.len()));
        let Shown { sql, like_column } = self.shown(what, is_full)?;
        let filter = match filter {
            [] => String::new(),
            [like, pattern] if like.is("LIKE") => match &pattern.kind {
                TokenKind::Text(text) => {
                    format!(
                        " WHERE `{like_column}` LIKE {} ESCAPE '\\'",
                        quote_text(text)
                    )
                }
                _ => return Err(SqlError::syntax(b"LIKE")),
            },
            condition => format!(" {}", translate(condition)),
        };
        Ok(format!("SELECT * FROM ({sql}){filter}"))
    }

    /// DESCRIBE, in SQLite's words.
    pub(super) fn describe(&self, table: &str) -> Result<String, SqlError> {
        self.check_table(table)?;
        let table = quote_text(table.as_bytes());
        Ok(format!(
            "SELECT name AS Field, lower(type) AS Type, \
             CASE WHEN `notnull` OR pk THEN 'NO' ELSE 'YES' END AS `Null`, \
             CASE WHEN pk THEN 'PRI' ELSE '' END AS `Key`, dflt_value AS `Default`, \
             CASE WHEN pk AND lower(type) = 'integer' THEN 'auto_increment' ELSE '' END AS Extra \
             FROM pragma_table_info({table})"
        ))
    }

    fn shown(&self, what: &[Token], is_full: bool) -> Result<Shown, SqlError> {
        let (first, rest) = what
            .split_first()
            .ok_or_else(|| SqlError::syntax(b"SHOW"))?;
        let word = match &first.kind {
            TokenKind::Word(word) => word.to_ascii_uppercase(),
            _ => return Err(SqlError::syntax(b"SHOW")),
        };
        Ok(match (word.as_str(), rest) {
            ("DATABASES" | "SCHEMAS", []) => {
                Shown::new("Database", format!("SELECT '{DATABASE}' AS `Database`"))
            }
            ("TABLES", of) => {
                check_database(of)?;
                tables(is_full)
            }
            ("COLUMNS" | "FIELDS", of) => Shown::new("Field", self.describe(table_of(of)?)?),
            ("CREATE", [table, name]) if table.is("TABLE") => self.create_table(name)?,
            ("VARIABLES", []) => self.variables(),
            ("STATUS", []) => self.server_status(),
            ("PROCESSLIST", []) => self.process_list(),
            ("COLLATION", []) => Shown::new(
                "Collation",
                "SELECT 'utf8mb4_general_ci' AS Collation, 'utf8mb4' AS Charset, 45 AS Id, \
                 'Yes' AS `Default`, 'Yes' AS Compiled, 1 AS Sortlen",
            ),
            ("ENGINES", []) => Shown::new(
                "Engine",
                "SELECT 'SQLite' AS Engine, 'DEFAULT' AS Support, 'YES' AS Transactions",
            ),
            _ => return Err(SqlError::not_supported(&format!("SHOW {word}"))),
        })
    }

    fn check_table(&self, table: &str) -> Result<(), SqlError> {
        let name = table.replace('`', "``");
        let columns = self.sql.prepare(&format!("SELECT * FROM `{name}`"));
        columns.map(drop)
    }

    fn create_table(&self, name: &Token) -> Result<Shown, SqlError> {
        let name = name.name().ok_or_else(|| SqlError::syntax(b"TABLE"))?;
        self.check_table(name)?;
        let name = quote_text(name.as_bytes());
        Ok(Shown::new(
            "Table",
            format!(
                "SELECT name AS `Table`, sql AS `Create Table` FROM sqlite_schema \
                 WHERE lower(name) = lower({name})"
            ),
        ))
    }

    fn variables(&self) -> Shown {
        let variables = self.system_variables.iter();
        pairs(variables.map(|(name, value)| (name, text(value))))
    }

    fn server_status(&self) -> Shown {
        let uptime = self.shared.uptime().as_secs().to_string();
        let threads = self.shared.sessions().len().to_string();
        pairs([("Threads_connected", threads), ("Uptime", uptime)].into_iter())
    }

    fn process_list(&self) -> Shown {
        let sessions = self.shared.sessions();
        let rows = sessions.values().map(|handle| {
            let account = handle.account();
            let (user, host) = account.split_once('@').unwrap_or((&account, ""));
            let database = handle.database();
            let database = database.map_or("NULL".to_owned(), |name| quote_text(name.as_bytes()));
            format!(
                "({}, {}, {}, {database})",
                handle.id(),
                quote_text(user.as_bytes()),
                quote_text(host.as_bytes())
            )
        });
        let rows = rows.collect::<Vec<_>>().join(", ");
        let columns = "column1 AS Id, column2 AS User, column3 AS Host, column4 AS db";
        Shown::new("Id", format!("SELECT {columns} FROM (VALUES {rows})"))
    }

    /// SHOW WARNINGS must not forget what it shows.
    pub(super) fn shows_errors(&self, tokens: &[Token]) -> bool {
        matches!(tokens, [first, ..] if is_any(first, &["WARNINGS", "ERRORS"]))
    }

    pub(super) fn show_errors(&self) -> Result<Outcome, SqlError> {
        let columns = "column1 AS Level, column2 AS Code, column3 AS Message";
        let (row, condition) = match &self.last_error {
            Some(error) => {
                let message = quote_text(error.message.as_bytes());
                (format!("('Error', {}, {message})", error.code.0), "")
            }
            None => ("('', 0, '')".to_owned(), " WHERE 0"),
        };
        self.run(
            &format!("SELECT {columns} FROM (VALUES {row}){condition}"),
            &[],
        )
    }
}

fn is_any(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is(word))
}

fn tables(is_full: bool) -> Shown {
    let (name, kind) = (
        "name AS `Tables_in_playground`",
        "CASE type WHEN 'view' THEN 'VIEW' ELSE 'BASE TABLE' END AS Table_type",
    );
    let columns = if is_full {
        format!("{name}, {kind}")
    } else {
        name.to_owned()
    };
    let condition = "type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    Shown::new(
        "Tables_in_playground",
        format!("SELECT {columns} FROM sqlite_schema WHERE {condition} ORDER BY name"),
    )
}

/// `FROM database`, or nothing.
fn check_database(tokens: &[Token]) -> Result<(), SqlError> {
    match tokens {
        [] => Ok(()),
        [from, database] if is_any(from, &["FROM", "IN"]) => {
            let name = database.name().ok_or_else(|| SqlError::syntax(b"FROM"))?;
            known_database(name.as_bytes()).map(drop)
        }
        _ => Err(SqlError::syntax(b"FROM")),
    }
}

/// `FROM table [FROM database]`, `FROM database.table`
fn table_of(tokens: &[Token]) -> Result<&str, SqlError> {
    let table = match tokens {
        [from, database, point, table] if is_any(from, &["FROM", "IN"]) && point.is_symbol('.') => {
            let name = database.name().unwrap_or_default();
            known_database(name.as_bytes())?;
            table
        }
        [from, table, database @ ..] if is_any(from, &["FROM", "IN"]) => {
            check_database(database)?;
            table
        }
        _ => return Err(SqlError::syntax(b"FROM")),
    };
    table.name().ok_or_else(|| SqlError::syntax(b"FROM"))
}

/// Names and values, one a row.
fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> Shown {
    let rows = pairs.map(|(name, value)| format!("('{name}', {})", quote_text(value.as_bytes())));
    let rows = rows.collect::<Vec<_>>().join(", ");
    let columns = "column1 AS Variable_name, column2 AS Value";
    Shown::new(
        "Variable_name",
        format!("SELECT {columns} FROM (VALUES {rows})"),
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Blob(_) => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number_text(*number),
        Value::Text(text) => text.clone(),
    }
}
