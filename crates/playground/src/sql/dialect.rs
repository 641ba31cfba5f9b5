//! Says a MySQL statement in SQLite's words. What both say alike goes through as it is, so that a resultset's columns
//! keep the names that the client wrote.
//!
//! A variable becomes a named parameter, for the session to bind. A name with signs of its own marks system variables:
//! SQLite takes any character beyond ASCII for a letter.

use super::create_table;
use super::token::{Token, TokenKind};
use crate::DATABASE;

/// Stands for the second `@` of a system variable.
const SYSTEM_SIGN: char = '＠';
/// Stands for the point behind its scope.
const SCOPE_SIGN: char = '．';

/// What a named parameter stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `@@name`, without its scope
    System(String),
    /// `@name`
    User(String),
}

impl Variable {
    /// The variable behind a parameter's name, as SQLite gives it.
    pub(crate) fn of_parameter(name: &str) -> Self {
        let name = name.trim_start_matches('@');
        match name.strip_prefix(SYSTEM_SIGN) {
            Some(name) => {
                let scope = name.rfind(SCOPE_SIGN);
                let name = scope.map_or(name, |at| &name[at + SCOPE_SIGN.len_utf8()..]);
                Self::System(name.to_ascii_lowercase())
            }
            None => Self::User(name.to_owned()),
        }
    }
}

/// A column's name as the client wrote it.
pub(crate) fn column_name(name: &str) -> String {
    if name.contains(SYSTEM_SIGN) {
        return name.replace(SYSTEM_SIGN, "@").replace(SCOPE_SIGN, ".");
    }
    let text = name
        .strip_prefix('\'')
        .and_then(|name| name.strip_suffix('\''));
    text.filter(|text| !text.contains('\''))
        .unwrap_or(name)
        .to_owned()
}

/// A literal in SQLite's form. What is no text to SQLite becomes a blob.
pub(crate) fn quote_text(text: &[u8]) -> String {
    match str::from_utf8(text) {
        Ok(text) if !text.contains('\0') => format!("'{}'", text.replace('\'', "''")),
        _ => {
            let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}'")
        }
    }
}

/// One statement.
pub(crate) fn translate(tokens: &[Token]) -> String {
    match tokens {
        [create, rest @ ..] if create.is("CREATE") => join(&create_table::rewrite(create, rest)),
        [truncate, table, rest @ ..] if truncate.is("TRUNCATE") => {
            let rest = if table.is("TABLE") {
                rest
            } else {
                &tokens[1..]
            };
            format!("DELETE FROM {}", join(rest))
        }
        tokens => join(without_locking_clause(tokens)),
    }
}

fn join(tokens: &[Token]) -> String {
    let mut sql = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at + 1..];
        if token.is_spaced && !sql.is_empty() {
            sql.push(' ');
        }
        let taken = skipped_behind(token, rest).unwrap_or_else(|| put(token, rest, &mut sql));
        at += 1 + taken;
    }
    sql
}

/// A read lock is not SQLite's to take for a row.
fn without_locking_clause(tokens: &[Token]) -> &[Token] {
    let clauses: [&[&str]; 3] = [
        &["FOR", "UPDATE"],
        &["FOR", "SHARE"],
        &["LOCK", "IN", "SHARE", "MODE"],
    ];
    for clause in clauses {
        let Some(start) = tokens.len().checked_sub(clause.len()) else {
            continue;
        };
        if tokens[start..]
            .iter()
            .zip(clause)
            .all(|(token, word)| token.is(word))
        {
            return &tokens[..start];
        }
    }
    tokens
}

/// For a token that is left out: how many behind it are left out too.
fn skipped_behind(token: &Token, rest: &[Token]) -> Option<usize> {
    let is_database = token
        .name()
        .is_some_and(|name| name.eq_ignore_ascii_case(DATABASE));
    match rest {
        [point, table, ..] if is_database && point.is_symbol('.') && table.name().is_some() => {
            Some(1)
        }
        [dual, ..] if token.is("FROM") && dual.is("DUAL") => Some(1),
        [text, ..] if is_charset(token) && matches!(text.kind, TokenKind::Text(_)) => Some(0),
        _ => None,
    }
}

/// `_utf8mb4'text'`
fn is_charset(token: &Token) -> bool {
    ["_binary", "_utf8mb4", "_utf8", "_latin1", "_ascii"]
        .iter()
        .any(|charset| token.is(charset))
}

/// Appends a token. Returns how many tokens behind it were taken too.
fn put(token: &Token, rest: &[Token], sql: &mut String) -> usize {
    match &token.kind {
        TokenKind::Word(word) => {
            sql.push_str(word);
            let changes = token.is("INSERT") || token.is("UPDATE");
            if changes && rest.first().is_some_and(|next| next.is("IGNORE")) {
                sql.push_str(" OR");
            }
        }
        TokenKind::Identifier(name) => {
            sql.push_str(&format!("`{}`", name.replace('`', "``")));
        }
        // SQLite's blob literal is MySQL's: x'CAFE'
        TokenKind::Text(text) => sql.push_str(&quote_text(text)),
        TokenKind::Number(number) => sql.push_str(number),
        TokenKind::Hex(digits) => {
            let zero = if digits.len() % 2 == 1 { "0" } else { "" };
            sql.push_str(&format!("x'{zero}{digits}'"));
        }
        TokenKind::SystemVariable(name) => {
            sql.push('@');
            sql.push(SYSTEM_SIGN);
            sql.extend(name.chars().map(|char| match char {
                '.' => SCOPE_SIGN,
                char => char,
            }));
        }
        TokenKind::UserVariable(name) => sql.push_str(&format!("@{name}")),
        // A digit behind it would make a numbered parameter of it.
        TokenKind::Parameter => sql.push_str("? "),
        TokenKind::Semicolon => sql.push(';'),
        TokenKind::Symbol(symbol) => return put_symbol(*symbol, rest, sql),
    }
    0
}

fn put_symbol(symbol: char, rest: &[Token], sql: &mut String) -> usize {
    let follows = |at: usize, symbol| {
        rest.get(at)
            .is_some_and(|next: &Token| !next.is_spaced && next.is_symbol(symbol))
    };
    match symbol {
        '<' if follows(0, '=') && follows(1, '>') => {
            sql.push_str(" IS ");
            2
        }
        '|' if follows(0, '|') => {
            sql.push_str(" OR ");
            1
        }
        '&' if follows(0, '&') => {
            sql.push_str(" AND ");
            1
        }
        symbol => {
            sql.push(symbol);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tokenize;

    fn said(sql: &str) -> String {
        translate(&tokenize(sql.as_bytes()).unwrap())
    }

    #[test]
    fn what_both_say_alike_stays() {
        for sql in [
            "SELECT count(*), `a b`, 1+1 FROM films f WHERE f.id >= 1.5 LIMIT 2, 3",
            "INSERT INTO t (a) VALUES ('x''y')",
            "SELECT x'CAFE', @counter",
        ] {
            assert_eq!(said(sql), sql);
        }
    }

    #[test]
    fn what_sqlite_says_otherwise() {
        for (mysql, sqlite) in [
            (r"SELECT 'it\'s'", "SELECT 'it''s'"),
            (r"SELECT 'a\0'", "SELECT x'6100'"),
            (r#"SELECT "x""#, "SELECT 'x'"),
            ("SELECT 0xABC", "SELECT x'0ABC'"),
            ("SELECT 1 FROM DUAL", "SELECT 1 "),
            ("SELECT a <=> NULL", "SELECT a  IS  NULL"),
            ("SELECT a || b && c", "SELECT a  OR  b  AND  c"),
            ("SELECT 1 FOR UPDATE", "SELECT 1"),
            ("SELECT * FROM `playground`.films", "SELECT * FROM films"),
            ("SELECT _utf8mb4'x'", "SELECT 'x'"),
            ("insert ignore into t", "insert OR ignore into t"),
            ("TRUNCATE TABLE films", "DELETE FROM films"),
            ("truncate films", "DELETE FROM films"),
            ("SELECT ?1", "SELECT ? 1"),
        ] {
            assert_eq!(said(mysql).trim_end(), sqlite.trim_end(), "{mysql}");
        }
    }

    #[test]
    fn variables_are_parameters_that_can_be_read_back() {
        assert_eq!(
            said("SELECT @@SESSION.Hostname"),
            "SELECT @＠SESSION．Hostname"
        );
        assert_eq!(
            Variable::of_parameter("@＠SESSION．Hostname"),
            Variable::System("hostname".into())
        );
        assert_eq!(Variable::of_parameter("@n"), Variable::User("n".into()));
        assert_eq!(column_name("@＠session．x"), "@@session.x");
        assert_eq!(column_name("'x'"), "x");
        assert_eq!(column_name("'x'||'y'"), "'x'||'y'");
    }
}
