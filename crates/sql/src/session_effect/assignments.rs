//! What is behind the word SET.

use super::reader::is_surely_closed;
use super::{Pin, SessionEffects, Setting};
use crate::{Token, TokenId};

const UNREPEATABLE: &str = "a SET that cannot be repeated";

/// Of one setting's statement. A full optimizer_switch has 2,000.
const SETTING_BYTES_MAX: usize = 4096;

/// No variable: what these set, no reset undoes. They may stand behind variables.
const OTHER_TARGETS: &[&[u8]] = &[b"role", b"resource", b"authorization", b"statement"];

/// They hold for one statement, or are about who the session is.
const ONE_SHOT: &[&[u8]] = &[
    b"gtid_next",
    b"gtid_seq_no",
    b"identity",
    b"insert_id",
    b"last_insert_id",
    b"password",
    b"pseudo_thread_id",
    b"rand_seed1",
    b"rand_seed2",
    b"server_id",
    b"sql_log_bin",
    b"timestamp",
];

/// They change with the default database.
const OF_DATABASES: &[&[u8]] = &[b"character_set_database", b"collation_database"];

/// With `@@` and no scope they are for the next transaction only.
const OF_TRANSACTIONS: &[&[u8]] = &[
    b"transaction_isolation",
    b"transaction_read_only",
    b"tx_isolation",
    b"tx_read_only",
];

/// Texts are read differently with them.
const SQL_MODES: &[&[u8]] = &[
    b"ansi",
    b"no_backslash_escapes",
    b"oracle",
    b"db2",
    b"mssql",
    b"postgresql",
    b"maxdb",
];

/// A backslash may be the second byte of a character.
const CHARACTER_SETS: &[&[u8]] = &[b"big5", b"gbk", b"gb18030", b"sjis", b"cp932"];

/// Words that are values, but not the same ones everywhere and always.
const FUNCTIONS: &[&[u8]] = &[b"current_", b"localtime", b"utc_"];

const OF_CHARACTERISTICS: &[&[u8]] = &[
    b"isolation",
    b"level",
    b"read",
    b"write",
    b"only",
    b"committed",
    b"uncommitted",
    b"repeatable",
    b"serializable",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Global,
}

/// Reads assignment by assignment.
pub(super) struct Assignments<'t, 'a> {
    rest: &'t [Token<'a>],
    /// The last that was said; it holds for those that follow.
    scope: Option<Scope>,
}

impl<'t, 'a> Assignments<'t, 'a> {
    /// `tokens` are those behind SET.
    pub(super) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self {
            rest: tokens,
            scope: None,
        }
    }

    pub(super) fn add_to(mut self, effects: &mut SessionEffects) {
        if self.is_about_accounts() {
            return;
        }
        loop {
            let settings = match self.next() {
                Ok(settings) => settings,
                Err(pin) => return self.give_up(pin, effects),
            };
            if settings.iter().any(|of| of.sql.len() > SETTING_BYTES_MAX) {
                return self.give_up(Pin::UntilReset(UNREPEATABLE), effects);
            }
            effects.settings.extend(settings);
            if self.rest.is_empty() {
                return;
            }
            effects.is_compound = true;
            if self.symbol(TokenId::COMMA).is_none() {
                return self.give_up(Pin::UntilReset(UNREPEATABLE), effects);
            }
        }
    }

    /// What is left is not read.
    fn give_up(&self, pin: Pin, effects: &mut SessionEffects) {
        let is_other = |token: &Token<'_>| OTHER_TARGETS.iter().any(|word| is(token, word));
        effects.pin(pin);
        if self.rest.iter().any(is_other) {
            effects.pin(Pin::ForGood(UNREPEATABLE));
        }
    }

    /// `SET PASSWORD`, `SET DEFAULT ROLE`. Where a comma is, a variable may follow.
    fn is_about_accounts(&self) -> bool {
        match self.rest {
            [first, ..] if is(first, b"password") => {
                self.rest.iter().all(|token| token.id != TokenId::COMMA)
            }
            [first, second, ..] => is(first, b"default") && is(second, b"role"),
            _ => false,
        }
    }

    /// The settings of one assignment, or why there are none.
    fn next(&mut self) -> Result<Vec<Setting>, Pin> {
        let scope = self.scope_word();
        self.scope = scope.or(self.scope);
        if self.word(b"transaction") {
            return self.transaction(scope);
        }
        if scope.is_none() {
            for (word, why) in [
                (b"role".as_slice(), "SET ROLE"),
                (b"resource", "SET RESOURCE GROUP"),
                (b"statement", "SET STATEMENT"),
            ] {
                if self.is_next(word) {
                    return Err(Pin::ForGood(why));
                }
            }
            if self.word(b"names") {
                return self.character_set(b"NAMES");
            }
            let is_two_words = self.word(b"character") || self.word(b"char");
            if (is_two_words && self.word(b"set")) || self.word(b"charset") {
                return self.character_set(b"CHARACTER SET");
            }
            if is_two_words {
                return Err(Pin::ForGood(UNREPEATABLE));
            }
        }
        self.variable()
    }

    /// `SESSION`, `GLOBAL` and their like.
    fn scope_word(&mut self) -> Option<Scope> {
        let scope = scope_of(self.rest.first()?.raw)?;
        self.rest = &self.rest[1..];
        Some(scope)
    }

    /// Each characteristic is a setting of its own, so that a later one replaces only its like.
    fn transaction(&mut self, scope: Option<Scope>) -> Result<Vec<Setting>, Pin> {
        let tokens = std::mem::take(&mut self.rest);
        match scope {
            Some(Scope::Session) => {}
            Some(Scope::Global) => return Ok(Vec::new()),
            None => return Err(Pin::UntilReset("SET TRANSACTION")),
        }
        let parts = tokens.split(|token| token.id == TokenId::COMMA);
        let settings = parts.map(|part| {
            let is_known =
                |token: &Token<'_>| OF_CHARACTERISTICS.iter().any(|word| is(token, word));
            let name: &[u8] = match part.first() {
                Some(first) if is(first, b"isolation") => b"transaction isolation",
                _ => b"transaction access",
            };
            if part.is_empty() || !part.iter().all(is_known) {
                return Err(Pin::UntilReset(UNREPEATABLE));
            }
            let words: Vec<_> = part.iter().map(|token| token.raw).collect();
            Ok(Setting {
                name: name.to_vec(),
                sql: [b"SET SESSION TRANSACTION ", words.join(&b' ').as_slice()].concat(),
            })
        });
        settings.collect()
    }

    /// Behind `NAMES` and `CHARACTER SET`.
    fn character_set(&mut self, what: &[u8]) -> Result<Vec<Setting>, Pin> {
        let mut sql = [b"SET ", what, b" ", self.character_set_name()?].concat();
        if what == b"NAMES" && self.word(b"collate") {
            sql.extend_from_slice(b" COLLATE ");
            sql.extend_from_slice(self.character_set_name()?);
        }
        let name = what.to_ascii_lowercase();
        Ok(vec![Setting { name, sql }])
    }

    fn character_set_name(&mut self) -> Result<&'a [u8], Pin> {
        let (sign, value) = self.literal()?;
        check_value(b"character_set_", sign, value)?;
        Ok(value.raw)
    }

    /// `name = value`, `@@session.name = value`.
    fn variable(&mut self) -> Result<Vec<Setting>, Pin> {
        if self.is_user_variable() {
            return Err(Pin::UntilReset("a user variable"));
        }
        let unknown = Pin::ForGood(UNREPEATABLE);
        let (name, scope, is_for_next) = self.variable_name().ok_or(unknown)?;
        if self
            .symbol(TokenId::EQ)
            .or_else(|| self.symbol(TokenId::ASSIGN))
            .is_none()
        {
            return Err(unknown);
        }
        let (sign, value) = self.literal()?;
        if scope == Scope::Global {
            return Ok(Vec::new());
        }
        if ONE_SHOT.contains(&name.as_slice()) {
            let why = "a SET for one statement or of the session's identity";
            return Err(Pin::UntilReset(why));
        }
        if is_for_next && OF_TRANSACTIONS.contains(&name.as_slice()) {
            return Err(Pin::UntilReset("SET TRANSACTION"));
        }
        // With the latter, `IS NULL` asks for the last insert id.
        let is_off = name != b"sql_auto_is_null" || is_off(value);
        if OF_DATABASES.contains(&name.as_slice()) || !is_off {
            return Err(Pin::UntilReset(UNREPEATABLE));
        }
        check_value(&name, sign, value)?;
        let sql = [b"SET SESSION ", name.as_slice(), b" = ", sign, value.raw].concat();
        Ok(vec![Setting { name, sql }])
    }

    fn is_user_variable(&self) -> bool {
        let name = self.rest.first().map(|token| token.raw);
        name.is_some_and(|name| name.starts_with(b"@") && !name.starts_with(b"@@"))
    }

    /// In lower case, with its scope, and whether it has `@@` but no scope.
    fn variable_name(&mut self) -> Option<(Vec<u8>, Scope, bool)> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let Some(word) = first.raw.strip_prefix(b"@@") else {
            return Some((
                name_of(&first.text)?,
                self.scope.unwrap_or(Scope::Session),
                false,
            ));
        };
        if let Some(scope) = scope_of(word)
            && self.symbol(TokenId::DOT).is_some()
        {
            let (name, rest) = self.rest.split_first()?;
            self.rest = rest;
            return Some((name_of(&name.text)?, scope, false));
        }
        if !word.is_empty() {
            return Some((name_of(word)?, Scope::Session, true));
        }
        // In backticks, right behind.
        let (name, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((name_of(&name.text)?, Scope::Session, true))
    }

    /// A sign, if there is one, and a literal that means the same everywhere.
    fn literal(&mut self) -> Result<(&'a [u8], &'t Token<'a>), Pin> {
        let unreadable = Pin::UntilReset(UNREPEATABLE);
        let sign = self
            .symbol(TokenId::MINUS)
            .or_else(|| self.symbol(TokenId::PLUS));
        let (value, rest) = self.rest.split_first().ok_or(unreadable)?;
        self.rest = rest;
        let is_literal = match value.id {
            TokenId::INTEGER | TokenId::FLOAT => true,
            _ if sign.is_some() => false,
            TokenId::STRING => {
                value.raw.is_ascii() && !value.raw.contains(&b'\\') && is_surely_closed(value.raw)
            }
            TokenId::FUNCTION => false,
            _ => name_of(value.raw)
                .is_some_and(|word| !FUNCTIONS.iter().any(|of| word.starts_with(of))),
        };
        match is_literal {
            true => Ok((sign.map_or(b"", |sign| sign.raw), value)),
            false => Err(unreadable),
        }
    }

    fn symbol(&mut self, id: TokenId) -> Option<&'t Token<'a>> {
        let (token, rest) = self.rest.split_first()?;
        (token.id == id).then(|| {
            self.rest = rest;
            token
        })
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let is_next = self.is_next(word);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn is_next(&self, word: &[u8]) -> bool {
        self.rest.first().is_some_and(|token| is(token, word))
    }
}

fn is(token: &Token<'_>, word: &[u8]) -> bool {
    token.raw.eq_ignore_ascii_case(word)
}

fn is_off(value: &Token<'_>) -> bool {
    [b"0".as_slice(), b"off", b"false"]
        .iter()
        .any(|off| value.text.eq_ignore_ascii_case(off))
}

fn scope_of(word: &[u8]) -> Option<Scope> {
    match word.to_ascii_lowercase().as_slice() {
        b"session" | b"local" => Some(Scope::Session),
        b"global" | b"persist" | b"persist_only" => Some(Scope::Global),
        _ => None,
    }
}

/// Letters, digits and underscores, in lower case.
fn name_of(text: &[u8]) -> Option<Vec<u8>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_name = !text.is_empty() && text.iter().all(is_part);
    is_name.then(|| text.to_ascii_lowercase())
}

/// Whether texts are read the same way as before with this value of a variable.
fn check_value(name: &[u8], sign: &[u8], value: &Token<'_>) -> Result<(), Pin> {
    let (refused, why) = match name {
        b"sql_mode" => (SQL_MODES, "an SQL mode that changes how texts are read"),
        _ if name.starts_with(b"character_set_") || name.starts_with(b"collation_") => (
            CHARACTER_SETS,
            "a character set with backslashes in its characters",
        ),
        _ => return Ok(()),
    };
    // A number stands for names too.
    let is_number = !sign.is_empty() || value.raw[0].is_ascii_digit() || value.raw[0] == b'.';
    let text = value.text.to_ascii_lowercase();
    let is_refused = refused
        .iter()
        .any(|of| memchr::memmem::find(&text, of).is_some());
    match is_number || is_refused {
        // Nobody knows what was said since.
        true => Err(Pin::ForGood(why)),
        false => Ok(()),
    }
}
