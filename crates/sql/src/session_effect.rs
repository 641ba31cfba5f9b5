//! What statements leave behind in a server's session: whether another client may have the connection afterwards, and
//! what must be said on another connection to go on there.
//!
//! In doubt a session is pinned to its connection. Left out is what servers report themselves: transactions, autocommit.
//! So is what holds only until the next statement, as `FOUND_ROWS()` and `LAST_INSERT_ID()`, and what procedures and
//! loadable functions do.

mod assignments;
mod reader;
#[cfg(test)]
mod tests;

use memchr::{memchr_iter, memchr3_iter};

use self::assignments::Assignments;
use self::reader::{Piece, Reader, is_quoted};
use crate::tokenizer::{is_space, is_word};
use crate::{Token, TokenId};

/// No text has more settings without being pinned.
const SETTINGS_MAX: usize = 64;

/// No SET and no USE is looked through beyond.
const TOKENS_MAX: usize = 1024;

/// What a text of one or several statements leaves behind in a session, if the server says OK to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionEffects {
    /// In the order in which they were said, 64 at most.
    pub settings: Vec<Setting>,
    /// The default database afterwards; `None` if it stays the one that it was.
    pub database: Option<Vec<u8>>,
    /// Why the session cannot be moved to another connection any more: a short noun phrase for a log line.
    pub pin: Option<&'static str>,
}

/// What can be said again on another connection with the same effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it sets, in lower case: `sql_mode`, `names`, `character set`, `transaction isolation`, `transaction access`.
    /// A later one of the same name makes this one needless; it must be said at its own, later place.
    pub name: Vec<u8>,
    /// A statement of its own: `SET SESSION sql_mode = 'STRICT_ALL_TABLES'`, `SET NAMES utf8mb4`.
    pub sql: Vec<u8>,
}

impl SessionEffects {
    /// Of a text as it is sent in COM_QUERY. Takes time linear in its length.
    pub fn of(text: &[u8]) -> Self {
        match is_plainly_harmless(text) {
            true => Self::default(),
            false => Self::read(text),
        }
    }

    /// Nothing is left behind.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.database.is_none() && self.pin.is_none()
    }

    fn read(text: &[u8]) -> Self {
        let mut effects = Self::default();
        let mut statement = Statement::default();
        for piece in Reader::new(text) {
            match piece {
                Piece::Ambiguous => effects.pin("a comment that servers read differently"),
                Piece::Token(token, comment) if token.id == TokenId::SEMICOLON => {
                    statement.note_end_in(comment);
                    effects.add(&statement);
                    statement = Statement::default();
                }
                Piece::Token(token, comment) => {
                    effects.note_anywhere(&token);
                    statement.push(token, comment);
                }
            }
        }
        effects.add(&statement);
        effects
    }

    /// What pins in every statement.
    fn note_anywhere(&mut self, token: &Token<'_>) {
        if token.id == TokenId::STRING {
            return;
        }
        if token.text.eq_ignore_ascii_case(b"get_lock") {
            self.pin("GET_LOCK");
        }
        let name = token.raw.strip_prefix(b"@@").unwrap_or(token.raw);
        if !is_quoted(token) && name.contains(&b'@') {
            self.pin("a user variable");
        }
    }

    /// The first reason stays.
    fn pin(&mut self, why: &'static str) {
        self.pin.get_or_insert(why);
    }

    fn add(&mut self, statement: &Statement<'_>) {
        let Some(kind) = statement.kind else {
            return;
        };
        match kind {
            Kind::Pin(why) => self.pin(why),
            Kind::Use if !statement.is_split => match used_by(&statement.tokens) {
                Some(name) => self.database = Some(name),
                None => self.pin("a USE that cannot be read"),
            },
            Kind::Set if !statement.is_split => {
                Assignments::new(&statement.tokens).add_to(self);
                if statement.tokens.len() == TOKENS_MAX || self.settings.len() > SETTINGS_MAX {
                    self.settings.truncate(SETTINGS_MAX);
                    self.pin("a SET that cannot be repeated");
                }
            }
            _ => {}
        }
        if let Some(why) = statement.pin {
            self.pin(why);
        }
    }
}

/// What the first word says of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Harmless,
    Set,
    Use,
    Begin,
    Create,
    Flush,
    Pin(&'static str),
}

impl Kind {
    fn of(token: &Token<'_>) -> Self {
        if token.id == TokenId::OBRACE {
            return Self::Harmless;
        }
        let word = token.raw.to_ascii_uppercase();
        match word.as_slice() {
            b"SELECT" | b"INSERT" | b"UPDATE" | b"DELETE" | b"REPLACE" | b"WITH" | b"VALUES"
            | b"TABLE" | b"SHOW" | b"DESCRIBE" | b"DESC" | b"EXPLAIN" | b"ANALYZE" | b"ALTER"
            | b"DROP" | b"TRUNCATE" | b"RENAME" | b"GRANT" | b"REVOKE" | b"OPTIMIZE" | b"CHECK"
            | b"CHECKSUM" | b"REPAIR" | b"COMMIT" | b"ROLLBACK" | b"START" | b"SAVEPOINT"
            | b"RELEASE" | b"DO" | b"LOAD" | b"KILL" | b"RESET" | b"PURGE" | b"CHANGE"
            | b"STOP" | b"UNLOCK" | b"HELP" | b"CACHE" | b"INSTALL" | b"UNINSTALL" | b"IMPORT" => {
                Self::Harmless
            }
            b"SET" => Self::Set,
            b"USE" => Self::Use,
            b"BEGIN" => Self::Begin,
            b"CREATE" => Self::Create,
            b"FLUSH" => Self::Flush,
            b"LOCK" => Self::Pin("LOCK TABLES"),
            b"HANDLER" => Self::Pin("HANDLER"),
            b"PREPARE" | b"EXECUTE" | b"DEALLOCATE" => Self::Pin("PREPARE"),
            b"CALL" => Self::Pin("CALL"),
            b"XA" => Self::Pin("XA"),
            b"BINLOG" => Self::Pin("BINLOG"),
            _ => Self::Pin("a statement that is not known"),
        }
    }
}

/// A statement as far as it is read.
#[derive(Debug, Default)]
struct Statement<'a> {
    /// `None` as long as nothing is read.
    kind: Option<Kind>,
    /// The executed comment that it begins in.
    comment: usize,
    /// A part of it stands in an executed comment, so that what it says depends on the server's version.
    is_split: bool,
    pin: Option<&'static str>,
    /// Those of SET and USE behind the first word, [`TOKENS_MAX`] at most.
    tokens: Vec<Token<'a>>,
}

impl<'a> Statement<'a> {
    fn push(&mut self, token: Token<'a>, comment: usize) {
        let Some(kind) = self.kind else {
            self.kind = Some(Kind::of(&token));
            self.comment = comment;
            return;
        };
        let keeps_tokens = matches!(kind, Kind::Set | Kind::Use);
        if comment != self.comment {
            self.is_split = true;
            // With another first word it would be another statement.
            if self.comment > 0 || keeps_tokens {
                self.note_split();
            }
        }
        // Words are looked for anywhere: they stand at many places, and comments may hide those before them.
        let is = |word: &[u8]| token.raw.eq_ignore_ascii_case(word);
        match kind {
            Kind::Create if is(b"TEMPORARY") => self.pin = Some("a temporary table"),
            Kind::Flush if is(b"LOCK") || is(b"EXPORT") => self.pin = Some("FLUSH TABLES"),
            Kind::Begin if !is(b"WORK") => self.pin = Some("a compound statement"),
            _ if keeps_tokens && self.tokens.len() < TOKENS_MAX => self.tokens.push(token),
            _ => {}
        }
    }

    /// A semicolon that may be none divides nothing.
    fn note_end_in(&mut self, comment: usize) {
        if comment > 0 && self.kind.is_some() && comment != self.comment {
            self.is_split = true;
            self.note_split();
        }
    }

    fn note_split(&mut self) {
        self.pin = Some("a statement in part in a comment");
    }
}

/// `name`, as the only token.
fn used_by(tokens: &[Token<'_>]) -> Option<Vec<u8>> {
    let [name] = tokens else {
        return None;
    };
    let is_name = match name.raw.first()? {
        b'`' => reader::is_surely_closed(name.raw),
        _ => {
            !matches!(name.id, TokenId::INTEGER | TokenId::FLOAT)
                && name.raw.iter().all(|&byte| is_word(byte))
        }
    };
    let is_name = is_name && !name.text.is_empty();
    is_name.then(|| name.text.to_vec())
}

/// The statements that make up nearly all of a load, if nothing in them can have an effect. Looks at few bytes one by one.
fn is_plainly_harmless(text: &[u8]) -> bool {
    let blanks = text.iter().take_while(|&&byte| is_space(byte)).count();
    let text = &text[blanks..];
    let length = text
        .iter()
        .take(9)
        .take_while(|&&byte| is_word(byte))
        .count();
    let word = &text[..length];
    let words: &[&[u8]] = match length {
        4 => &[b"SHOW"],
        6 => &[b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"COMMIT"],
        7 => &[b"REPLACE"],
        8 => &[b"ROLLBACK"],
        _ => return false,
    };
    if !words.iter().any(|of| word.eq_ignore_ascii_case(of)) {
        return false;
    }
    let is_telling = |at: usize| text[at] != b'/' || text.get(at + 1) == Some(&b'*');
    if memchr3_iter(b'@', b';', b'/', text).any(is_telling) {
        return false;
    }
    let is_in_get_lock = |at: usize| {
        let around = at.checked_sub(3).and_then(|start| text.get(start..at + 5));
        around.is_some_and(|name| name.eq_ignore_ascii_case(b"get_lock"))
    };
    !memchr_iter(b'_', text).any(is_in_get_lock)
}
