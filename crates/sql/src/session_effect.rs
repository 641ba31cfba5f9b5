//! What statements leave behind in the server's session: settings that can be said again elsewhere, a default database,
//! or something that ties the session to its connection.
//!
//! Errs on the side of the tie: what is not known to leave nothing behind is taken to leave something. What functions,
//! procedures and triggers do beyond that is not seen.

mod set;

#[cfg(test)]
mod tests;

use memchr::{memchr_iter, memchr3};

use crate::{Token, TokenId, tokenize};

/// What a text of one or several statements leaves behind, if the server says OK to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionEffects {
    /// In the order in which they were said.
    pub settings: Vec<Setting>,
    /// The default database afterwards.
    pub database: Option<Vec<u8>>,
    /// Why the session cannot be moved to another connection any more: a noun phrase for the log.
    pub pin: Option<&'static str>,
}

/// What can be said again on another connection, with the same effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it sets, in lower case: `sql_mode`, `names`, `transaction`. A later one of the same name takes its place.
    pub name: Vec<u8>,
    /// A statement of its own: `SET NAMES utf8mb4`
    pub sql: Vec<u8>,
}

/// Settings of one text.
const SETTINGS_MAX: usize = 64;

/// Statements that leave nothing behind by their first word, whatever follows it. What user variables, locks and other
/// words in them do is looked for beside this.
const HARMLESS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "WITH",
    "VALUES",
    "TABLE",
    "SHOW",
    "DESCRIBE",
    "DESC",
    "EXPLAIN",
    "ANALYZE",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "RENAME",
    "GRANT",
    "REVOKE",
    "OPTIMIZE",
    "CHECK",
    "CHECKSUM",
    "REPAIR",
    "COMMIT",
    "ROLLBACK",
    "START",
    "BEGIN",
    "SAVEPOINT",
    "RELEASE",
    "DO",
    "LOAD",
    "FLUSH",
    "KILL",
    "RESET",
    "PURGE",
    "CHANGE",
    "STOP",
    "UNLOCK",
    "HELP",
    "CACHE",
    "INSTALL",
    "UNINSTALL",
    "IMPORT",
];

/// Statements that tie the session to its connection by their first word.
const PINS: &[(&str, &str)] = &[
    ("LOCK", "LOCK TABLES"),
    ("HANDLER", "HANDLER"),
    ("PREPARE", "PREPARE"),
    ("EXECUTE", "EXECUTE"),
    ("DEALLOCATE", "PREPARE"),
    ("CALL", "CALL"),
    ("XA", "XA"),
    ("BINLOG", "BINLOG"),
];

/// Their bodies hold statements that run later.
const STORED_PROGRAMS: &[&str] = &["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"];

impl SessionEffects {
    /// Of a text as a query has it.
    pub fn of(text: &[u8]) -> Self {
        match is_plain(text) {
            true => Self::default(),
            false => Self::of_tokens(text),
        }
    }

    /// True when nothing is left behind.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.database.is_none() && self.pin.is_none()
    }

    fn of_tokens(text: &[u8]) -> Self {
        let mut effects = Self::default();
        let mut statement = Statement::default();
        let mut tokens = tokenize(text);
        while let Some(token) = tokens.next() {
            match token.id {
                TokenId::SEMICOLON => effects.add(&std::mem::take(&mut statement)),
                TokenId::UNKNOWN if token.raw == b"#" => tokens.skip_line(),
                TokenId::MINUS if starts_comment(tokens.rest()) => tokens.skip_line(),
                TokenId::COMMENT_MYSQL | TokenId::COMMENT => {
                    if let Some(inside) = executed_comment(&token) {
                        statement.add_comment(inside);
                    }
                }
                _ => statement.tokens.push(token),
            }
        }
        effects.add(&statement);
        if effects.settings.len() > SETTINGS_MAX {
            effects.pin("too many settings");
            effects.settings.clear();
        }
        effects
    }

    fn pin(&mut self, reason: &'static str) {
        self.pin.get_or_insert(reason);
    }

    /// One statement more.
    fn add(&mut self, statement: &Statement<'_>) {
        let tokens = &statement.tokens[..];
        let Some(first) = tokens.first() else {
            return;
        };
        for token in tokens {
            self.add_anywhere(token);
        }
        let first = first.text.to_ascii_uppercase();
        let is = |word: &str| first == word.as_bytes();
        let has = |word: &str| tokens.iter().any(|token| is_word(token, word));
        if is("SET") && !statement.has_comment {
            set::add(self, &tokens[1..]);
        } else if is("USE") && !statement.has_comment {
            self.add_use(&tokens[1..]);
        } else if let Some((_, reason)) = PINS.iter().find(|(word, _)| is(word)) {
            self.pin(reason);
        } else if is("BEGIN") && tokens.get(1).is_some_and(|next| !is_word(next, "WORK")) {
            self.pin("a compound statement");
        } else if (is("CREATE") || is("ALTER")) && STORED_PROGRAMS.iter().any(|kind| has(kind)) {
            self.pin("a stored program");
        } else if is("CREATE") && has("TEMPORARY") {
            self.pin("a temporary table");
        } else if is("FLUSH") && (has("LOCK") || has("EXPORT")) {
            self.pin("FLUSH TABLES with a lock");
        } else if !is("(") && !HARMLESS.iter().any(|word| is(word)) {
            self.pin("a statement that is not known");
        }
    }

    /// What counts in any statement.
    fn add_anywhere(&mut self, token: &Token<'_>) {
        if token.raw.starts_with(b"@") && !token.raw.starts_with(b"@@") {
            self.pin("a user variable");
        } else if token.text.eq_ignore_ascii_case(b"GET_LOCK") {
            self.pin("GET_LOCK");
        } else if token.raw.iter().filter(|byte| **byte == b'$').count() > 1 {
            self.pin("a dollar-quoted string");
        }
    }

    fn add_use(&mut self, name: &[Token<'_>]) {
        match name {
            [name] if name.id != TokenId::STRING && !name.text.is_empty() => {
                self.database = Some(name.text.to_vec());
            }
            // The server says what is wrong with it.
            _ => {}
        }
    }
}

fn is_word(token: &Token<'_>, word: &str) -> bool {
    token.text.eq_ignore_ascii_case(word.as_bytes())
}

/// Behind a first dash: the second one, and what makes them a comment for servers. Tokens know fewer of these.
fn starts_comment(rest: &[u8]) -> bool {
    let Some(behind) = rest.strip_prefix(b"-") else {
        return false;
    };
    let next = behind.first();
    next.is_none_or(|next| next.is_ascii_whitespace() || next.is_ascii_control())
}

/// True for a statement of the most frequent kinds that has nothing special in it: no need for tokens.
fn is_plain(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let word = text.iter().take_while(|byte| byte.is_ascii_alphabetic());
    let word = &text[..word.count()];
    let frequent: [&[u8]; 7] = [
        b"SELECT",
        b"INSERT",
        b"UPDATE",
        b"DELETE",
        b"COMMIT",
        b"ROLLBACK",
        b"SHOW",
    ];
    frequent
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
        && memchr3(b'@', b';', b'$', text).is_none()
        && !memchr_iter(b'*', text).any(|at| at > 0 && text[at - 1] == b'/')
        && !memchr_iter(b'_', text).any(|at| {
            let before = at.checked_sub(3).map(|start| &text[start..at]);
            before.is_some_and(|before| before.eq_ignore_ascii_case(b"GET"))
                && text[at + 1..].len() >= 4
                && text[at + 1..at + 5].eq_ignore_ascii_case(b"LOCK")
        })
}

/// Up to a semicolon.
#[derive(Debug, Default)]
struct Statement<'a> {
    tokens: Vec<Token<'a>>,
    /// Some of them stand in a comment that servers of some versions execute.
    has_comment: bool,
}

impl<'a> Statement<'a> {
    fn add_comment(&mut self, inside: &'a [u8]) {
        self.has_comment = true;
        self.tokens.extend(tokenize(inside));
    }
}

/// What servers execute of the comment: `/*!40101 ... */`, `/*M!100100 ... */`
fn executed_comment<'a>(token: &Token<'a>) -> Option<&'a [u8]> {
    let inside = token.raw.strip_prefix(b"/*")?;
    let inside = inside
        .strip_prefix(b"M")
        .unwrap_or(inside)
        .strip_prefix(b"!")?;
    let inside = inside.strip_suffix(b"*/").unwrap_or(inside);
    let digits = inside.iter().take_while(|byte| byte.is_ascii_digit());
    Some(&inside[digits.count()..])
}
