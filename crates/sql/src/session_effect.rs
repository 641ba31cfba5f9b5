//! What statements leave behind in a server's session: whether another client may have the connection afterwards, and
//! what must be said on another connection to go on there.
//!
//! In doubt a session is pinned to its connection. Left out is what servers report themselves: transactions. So is what
//! triggers, views, stored and loadable functions do.

mod assignments;
mod reader;
mod recall;
#[cfg(test)]
mod tests;

use memchr::{memchr_iter, memchr2_iter, memchr3_iter};

use self::assignments::Assignments;
use self::reader::{Piece, Reader, is_quoted};
pub use self::recall::Recall;
use self::recall::Recalling;
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
    /// Why the session cannot be moved to another connection any more.
    pub pin: Option<Pin>,
    /// What it asks about the statements before it, and leaves to be asked.
    pub recall: Recall,
    /// It says several things: when it fails, some of them may have been done.
    pub is_compound: bool,
}

/// Why a session stays where it is: a short noun phrase for a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// COM_RESET_CONNECTION and COM_CHANGE_USER undo it.
    UntilReset(&'static str),
    /// Nothing does.
    ForGood(&'static str),
}

impl Pin {
    /// The noun phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UntilReset(reason) | Self::ForGood(reason) => reason,
        }
    }

    /// The first of two stays, unless the second lasts longer.
    pub fn first(earlier: Option<Self>, later: Option<Self>) -> Option<Self> {
        match (earlier, later) {
            (Some(Self::UntilReset(_)), Some(Self::ForGood(_))) => later,
            _ => earlier.or(later),
        }
    }
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
        match plainly_harmless(text) {
            Some(recall) => Self {
                recall,
                ..Self::default()
            },
            None => Self::read(text),
        }
    }

    /// Nothing is left behind, and nothing is asked.
    pub fn is_empty(&self) -> bool {
        !self.sets() && self.pin.is_none() && self.recall.is_empty()
    }

    /// Something is left that can be repeated elsewhere.
    pub fn sets(&self) -> bool {
        !self.settings.is_empty() || self.database.is_some()
    }

    fn read(text: &[u8]) -> Self {
        let mut effects = Self::default();
        let mut recalling = Recalling::default();
        let mut statement = Statement::default();
        let mut statements = 0;
        for piece in Reader::new(text) {
            match piece {
                Piece::Ambiguous => {
                    effects.pin(Pin::ForGood("a text that servers read differently"))
                }
                Piece::Token(token, comment) if token.id == TokenId::SEMICOLON => {
                    statement.note_end_in(comment);
                    effects.add(&statement);
                    statement = Statement::default();
                }
                Piece::Token(token, comment) => {
                    statements += usize::from(statement.kind.is_none());
                    effects.note_anywhere(&token);
                    recalling.token(&token, comment, &mut effects.recall);
                    statement.push(token, comment);
                }
            }
        }
        effects.add(&statement);
        effects.is_compound |= statements > 1;
        if statements > 1 && effects.recall.contains(Recall::INSERTS) {
            effects.recall |= Recall::SETS_INSERT_ID;
        }
        effects
    }

    /// What pins in every statement.
    fn note_anywhere(&mut self, token: &Token<'_>) {
        if token.raw.starts_with(b"'") {
            return;
        }
        if LOCKING
            .iter()
            .any(|name| token.text.eq_ignore_ascii_case(name))
        {
            self.pin(Pin::UntilReset("GET_LOCK"));
        }
        let name = token.raw.strip_prefix(b"@@").unwrap_or(token.raw);
        if !is_quoted(token) && name.contains(&b'@') {
            self.pin(Pin::UntilReset("a user variable"));
        }
    }

    fn pin(&mut self, pin: Pin) {
        self.pin = Pin::first(self.pin, Some(pin));
    }

    fn add(&mut self, statement: &Statement<'_>) {
        let Some(kind) = statement.kind else {
            return;
        };
        self.recall |= statement.recall;
        match kind {
            Kind::Pin(pin) => self.pin(pin),
            Kind::Use if !statement.is_split => match used_by(&statement.tokens) {
                Some(name) => self.database = Some(name),
                None => self.pin(Pin::ForGood("a USE that cannot be read")),
            },
            Kind::Set if !statement.is_split => {
                Assignments::new(&statement.tokens).add_to(self);
                if self.settings.len() > SETTINGS_MAX {
                    self.settings.truncate(SETTINGS_MAX);
                    self.pin(Pin::UntilReset("too many settings"));
                }
                if statement.tokens.len() == TOKENS_MAX {
                    self.pin(Pin::ForGood("a SET that cannot be repeated"));
                }
            }
            _ => {}
        }
        if let Some(pin) = statement.pin {
            self.pin(pin);
        }
    }
}

/// Functions whose locks are the session's: MySQL's own, and those of its locking service and version tokens.
const LOCKING: &[&[u8]] = &[
    b"get_lock",
    b"service_get_read_locks",
    b"service_get_write_locks",
    b"version_tokens_lock_shared",
    b"version_tokens_lock_exclusive",
];

/// Words that say something wherever they stand.
fn is_telling(word: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"temporary",
        b"lock",
        b"export",
        b"database",
        b"schema",
        b"role",
        b"resource",
        b"authorization",
        b"statement",
        b"warnings",
        b"errors",
        b"count",
        b"last_insert_id",
        b"found_rows",
        b"row_count",
        b"lastval",
        b"nextval",
        b"next",
        b"previous",
        b"value",
    ];
    let mut words = WORDS.iter().chain(LOCKING);
    words.any(|of| word.eq_ignore_ascii_case(of))
}

/// What the first word says of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Harmless,
    Set,
    Use,
    Begin,
    Create,
    Drop,
    Explain,
    Flush,
    Get,
    Insert,
    Load,
    Show,
    Pin(Pin),
}

impl Kind {
    fn of(token: &Token<'_>) -> Self {
        if token.id == TokenId::OBRACE {
            return Self::Harmless;
        }
        let word = token.raw.to_ascii_uppercase();
        match word.as_slice() {
            b"SELECT" | b"UPDATE" | b"DELETE" | b"WITH" | b"VALUES" | b"TABLE" | b"ALTER"
            | b"TRUNCATE" | b"RENAME" | b"GRANT" | b"REVOKE" | b"OPTIMIZE" | b"CHECK"
            | b"CHECKSUM" | b"REPAIR" | b"COMMIT" | b"ROLLBACK" | b"START" | b"SAVEPOINT"
            | b"RELEASE" | b"DO" | b"KILL" | b"RESET" | b"PURGE" | b"CHANGE" | b"STOP"
            | b"UNLOCK" | b"HELP" | b"CACHE" | b"INSTALL" | b"UNINSTALL" | b"IMPORT" => {
                Self::Harmless
            }
            b"SET" => Self::Set,
            b"USE" => Self::Use,
            b"BEGIN" => Self::Begin,
            b"CREATE" => Self::Create,
            b"DROP" => Self::Drop,
            b"FLUSH" => Self::Flush,
            b"GET" => Self::Get,
            b"SHOW" => Self::Show,
            b"INSERT" | b"REPLACE" => Self::Insert,
            b"LOAD" => Self::Load,
            b"EXPLAIN" | b"ANALYZE" | b"DESCRIBE" | b"DESC" => Self::Explain,
            b"LOCK" => Self::Pin(Pin::UntilReset("LOCK TABLES")),
            b"HANDLER" => Self::Pin(Pin::UntilReset("HANDLER")),
            b"XA" => Self::Pin(Pin::UntilReset("XA")),
            // What these run may be SET ROLE, which outlives a reset.
            b"PREPARE" | b"EXECUTE" | b"DEALLOCATE" => Self::Pin(Pin::ForGood("PREPARE")),
            b"CALL" => Self::Pin(Pin::ForGood("CALL")),
            b"BINLOG" => Self::Pin(Pin::ForGood("BINLOG")),
            _ => Self::Pin(Pin::ForGood("a statement that is not known")),
        }
    }

    /// What its responses do not tell.
    fn recall(self) -> Recall {
        match self {
            // GET DIAGNOSTICS
            Self::Get => Recall::WARNINGS | Recall::ROW_COUNT,
            Self::Insert => Recall::INSERTS,
            Self::Load => Recall::SETS_INSERT_ID,
            _ => Recall::empty(),
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
    pin: Option<Pin>,
    /// By its first words.
    recall: Recall,
    /// The word behind the first one has been read.
    has_second_word: bool,
    /// Those of SET and USE behind the first word, [`TOKENS_MAX`] at most.
    tokens: Vec<Token<'a>>,
}

impl<'a> Statement<'a> {
    fn push(&mut self, token: Token<'a>, comment: usize) {
        let Some(kind) = self.kind else {
            let kind = Kind::of(&token);
            self.recall = kind.recall();
            self.kind = Some(kind);
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
        let mut pin = |pin| self.pin = Pin::first(self.pin, Some(pin));
        match kind {
            Kind::Create if is(b"TEMPORARY") => pin(Pin::UntilReset("a temporary table")),
            // The default database goes with it.
            Kind::Drop if is(b"DATABASE") || is(b"SCHEMA") => pin(Pin::ForGood("DROP DATABASE")),
            Kind::Flush if is(b"LOCK") || is(b"EXPORT") => pin(Pin::UntilReset("FLUSH TABLES")),
            Kind::Begin if !is(b"WORK") => pin(Pin::ForGood("a compound statement")),
            Kind::Show
                if !self.has_second_word && (is(b"WARNINGS") || is(b"ERRORS") || is(b"COUNT")) =>
            {
                self.recall |= Recall::WARNINGS;
            }
            // MariaDB's ANALYZE runs it.
            Kind::Explain if is(b"INSERT") || is(b"REPLACE") => {
                self.recall |= Recall::SETS_INSERT_ID;
            }
            _ if keeps_tokens && self.tokens.len() < TOKENS_MAX => self.tokens.push(token),
            _ => {}
        }
        self.has_second_word |= comment == self.comment;
    }

    /// A semicolon that may be none divides nothing.
    fn note_end_in(&mut self, comment: usize) {
        if comment > 0 && self.kind.is_some() && comment != self.comment {
            self.is_split = true;
            self.note_split();
        }
    }

    fn note_split(&mut self) {
        self.pin = Some(Pin::ForGood("a statement in part in a comment"));
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

/// The statements that make up nearly all of a load, if nothing in them can have an effect beside an insert id. Looks at few
/// bytes one by one.
fn plainly_harmless(text: &[u8]) -> Option<Recall> {
    let blanks = text.iter().take_while(|&&byte| is_space(byte)).count();
    let text = &text[blanks..];
    let length = text
        .iter()
        .take(9)
        .take_while(|&&byte| is_word(byte))
        .count();
    let word = &text[..length];
    let first = word.first()?.to_ascii_uppercase();
    let (words, recall): (&[&[u8]], _) = match (length, first) {
        (6, b'I') => (&[b"INSERT"], Recall::INSERTS),
        (6, _) => (
            &[b"SELECT", b"UPDATE", b"DELETE", b"COMMIT"],
            Recall::empty(),
        ),
        (7, _) => (&[b"REPLACE"], Recall::INSERTS),
        (8, _) => (&[b"ROLLBACK"], Recall::empty()),
        _ => return None,
    };
    let is_telling = |at: usize| text[at] != b'/' || text.get(at + 1) == Some(&b'*');
    let is_harmless = words.iter().any(|of| word.eq_ignore_ascii_case(of))
        && !memchr3_iter(b'@', b';', b'/', text).any(is_telling)
        && !memchr_iter(b'_', text).any(|at| is_in_telling_name(text, at))
        && !memchr2_iter(b'v', b'V', text).any(|at| is_in_sequence_name(text, at));
    is_harmless.then_some(recall)
}

/// `GET_LOCK`, `LAST_INSERT_ID` and their like, by one of their underscores.
fn is_in_telling_name(text: &[u8], at: usize) -> bool {
    const PARTS: &[(&[u8], &[u8])] = &[
        (b"", b"lock"),
        (b"last", b"insert_id"),
        (b"found", b"rows"),
        (b"row", b"count"),
    ];
    let (before, behind) = (&text[..at], &text[at + 1..]);
    PARTS
        .iter()
        .any(|(first, second)| ends_with(before, first) && starts_with(behind, second))
}

/// `NEXTVAL`, `LASTVAL` and `NEXT VALUE`, by their V.
fn is_in_sequence_name(text: &[u8], at: usize) -> bool {
    let (before, from) = text.split_at(at);
    let is_begun = before.last().is_some_and(|&byte| is_word(byte));
    match is_begun {
        true => {
            starts_with(from, b"val") && (ends_with(before, b"next") || ends_with(before, b"last"))
        }
        false => starts_with(from, b"value") && !from.get(5).is_some_and(|&byte| is_word(byte)),
    }
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let start = text.len().checked_sub(word.len());
    start.is_some_and(|start| text[start..].eq_ignore_ascii_case(word))
}
