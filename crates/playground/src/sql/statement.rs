//! What kind of statement it is: who runs it, and what it does to transactions.

use super::token::{Token, TokenKind};
use super::{Code, SqlError};

/// One statement, by its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement<'a> {
    /// Reads: gives a resultset.
    Query(&'a [Token]),
    /// Writes rows.
    Change(&'a [Token]),
    /// Writes tables: ends an open transaction before.
    Definition(&'a [Token]),
    /// BEGIN, START TRANSACTION
    Begin,
    /// COMMIT
    Commit,
    /// ROLLBACK
    Rollback,
    /// SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO
    Savepoint(&'a [Token]),
    /// What follows SET.
    Set(&'a [Token]),
    /// What follows SHOW.
    Show(&'a [Token]),
    /// DESCRIBE a table.
    Describe(&'a str),
    /// EXPLAIN a query.
    Explain(&'a [Token]),
    /// USE a database.
    Use(&'a str),
    /// KILL a session, or its query.
    Kill {
        /// The session.
        id: u32,
        /// KILL QUERY: the session lives on.
        query_only: bool,
    },
}

/// What EXPLAIN explains.
const EXPLAINED: [&str; 7] = [
    "SELECT", "WITH", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE",
];

impl<'a> Statement<'a> {
    /// # Errors
    /// No words at all, or first words that start no statement here.
    pub(crate) fn of(tokens: &'a [Token]) -> Result<Self, SqlError> {
        let Some((first, rest)) = tokens.split_first() else {
            return Err(SqlError::new(Code::EMPTY_QUERY, "the query is empty"));
        };
        let keyword = match &first.kind {
            TokenKind::Word(word) => word.to_ascii_uppercase(),
            TokenKind::Symbol('(') => return Ok(Self::Query(tokens)),
            _ => return Err(SqlError::syntax(b"")),
        };
        Ok(match keyword.as_str() {
            "SELECT" | "WITH" | "VALUES" => Self::Query(tokens),
            "INSERT" | "REPLACE" | "UPDATE" | "DELETE" => Self::Change(tokens),
            "TRUNCATE" => Self::Definition(tokens),
            "CREATE" | "DROP" | "ALTER" => Self::definition(tokens, rest)?,
            "BEGIN" | "START" => Self::Begin,
            "COMMIT" => Self::Commit,
            "ROLLBACK" if rest.iter().any(|token| token.is("TO")) => Self::Savepoint(tokens),
            "ROLLBACK" => Self::Rollback,
            "SAVEPOINT" | "RELEASE" => Self::Savepoint(tokens),
            "SET" => Self::Set(rest),
            "SHOW" => Self::Show(rest),
            "DESCRIBE" | "DESC" | "EXPLAIN" => Self::explain(rest)?,
            "USE" => match rest {
                [database] => Self::Use(database.name().ok_or_else(|| SqlError::syntax(b""))?),
                _ => return Err(SqlError::syntax(b"USE")),
            },
            "KILL" => Self::kill(rest)?,
            _ => return Err(SqlError::syntax(keyword.as_bytes())),
        })
    }

    fn definition(tokens: &'a [Token], rest: &[Token]) -> Result<Self, SqlError> {
        let what = rest.first();
        let is_of_database = what.is_some_and(|what| what.is("DATABASE") || what.is("SCHEMA"));
        if is_of_database {
            return Err(SqlError::new(
                Code::DATABASE_ACCESS_DENIED,
                "access denied: the playground has one database and keeps it",
            ));
        }
        Ok(Self::Definition(tokens))
    }

    fn explain(rest: &'a [Token]) -> Result<Self, SqlError> {
        match rest {
            [table] => Ok(Self::Describe(
                table.name().ok_or_else(|| SqlError::syntax(b""))?,
            )),
            // Names of another database do not get this far.
            [_, point, table] if point.is_symbol('.') => Ok(Self::Describe(
                table.name().ok_or_else(|| SqlError::syntax(b""))?,
            )),
            [first, ..] if EXPLAINED.iter().any(|word| first.is(word)) => Ok(Self::Explain(rest)),
            _ => Err(SqlError::syntax(b"EXPLAIN")),
        }
    }

    fn kill(rest: &[Token]) -> Result<Self, SqlError> {
        let (query_only, id) = match rest {
            [id] => (false, id),
            [what, id] => (what.is("QUERY"), id),
            _ => return Err(SqlError::syntax(b"KILL")),
        };
        let id = match &id.kind {
            TokenKind::Number(id) => id.parse().ok(),
            _ => None,
        };
        id.map(|id| Self::Kill { id, query_only })
            .ok_or_else(|| SqlError::syntax(b"KILL"))
    }

    /// True where it touches a table, which belongs to a transaction.
    pub(crate) fn is_transactional(self) -> bool {
        match self {
            Self::Query(tokens) => tokens.iter().any(|token| token.is("FROM")),
            Self::Change(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tokenize;

    fn kind(sql: &str) -> String {
        let tokens = tokenize(sql.as_bytes()).unwrap();
        match Statement::of(&tokens) {
            Ok(statement) => {
                let text = format!("{statement:?}");
                let end = text.find(['(', ' ']).unwrap_or(text.len());
                text[..end].to_owned()
            }
            Err(error) => error.code.0.to_string(),
        }
    }

    #[test]
    fn first_words_decide() {
        for (sql, expected) in [
            ("select 1", "Query"),
            ("(select 1)", "Query"),
            ("replace into t values (1)", "Change"),
            ("create table t (a int)", "Definition"),
            ("start transaction read only", "Begin"),
            ("rollback to savepoint a", "Savepoint"),
            ("rollback", "Rollback"),
            ("desc films", "Describe"),
            ("explain select 1", "Explain"),
            ("kill query 7", "Kill"),
            ("", "1065"),
            ("create database x", "1044"),
            ("selct 1", "1064"),
            ("attach database 'x' as y", "1064"),
            ("pragma user_version", "1064"),
            ("explain explain", "Describe"),
            ("explain kill 1", "1064"),
            ("kill 99999999999", "1064"),
            ("'x'", "1064"),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }
}
