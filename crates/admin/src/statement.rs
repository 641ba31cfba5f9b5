//! What an operator can say, and what comes of it. Words are in any case, a `;` may follow, comments are passed over.
//!
//! `SELECT * FROM backends` and `SELECT * FROM help` are MySQL Proxy 0.8.5's, with its columns.

mod backends;
mod digests;
mod events;
mod help;
mod options;
mod pools;
mod reload;
mod scripts;
mod sessions;
mod status;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use backend::{Address, Availability, Role};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use protocol::response::error_code;
use proxy::Control;
use sql::{Token, TokenId, tokenize};
use thiserror::Error;

pub use options::{OptionOrigin, OptionValue};
pub use reload::OptionChange;

use self::digests::Selection;
use crate::login::SERVER_VERSION;
use crate::resultset::{Answer, Column, Kind, Value, value};
use crate::settings::Configuration;

/// A statement that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `SELECT * FROM backends`
    SelectBackends,
    /// `SELECT * FROM help`, `HELP`
    Help,
    /// `SHOW BACKENDS`
    ShowBackends,
    /// `SHOW SESSIONS`
    ShowSessions,
    /// `SHOW POOLS`
    ShowPools,
    /// `SHOW SCRIPTS`
    ShowScripts,
    /// `SHOW DIGESTS`, some of them in some order
    ShowDigests(Selection),
    /// `RESET DIGESTS`
    ResetDigests,
    /// `SHOW STATUS`
    ShowStatus,
    /// `SHOW EVENTS`
    ShowEvents,
    /// `SHOW SETTINGS`, of names like this
    ShowSettings(Option<String>),
    /// `RELOAD`
    Reload,
    /// `SET BACKEND 2 DRAIN`
    SetBackend(BackendName, Availability),
    /// `ADD BACKEND 'db3:3306' READ ONLY`
    AddBackend(String, Role),
    /// `REMOVE BACKEND 2`
    RemoveBackend(BackendName),
    /// `KILL 17`
    Kill(u64),
    /// What clients ask by themselves.
    Constant(Constant),
    /// What clients say by themselves, and what changes nothing here.
    Nothing,
    /// `SHOW WARNINGS`
    Warnings,
}

/// How a backend is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BackendName {
    /// By its number, from 1.
    Number(usize),
    /// By its address.
    Address(String),
}

/// What a row of one value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constant {
    Comment,
    Version,
    User,
    One,
    ConnectionId,
}

impl Constant {
    fn columns(self) -> &'static [Column] {
        match self {
            Self::Comment => &[("@@version_comment", Kind::Text)],
            Self::Version => &[("VERSION()", Kind::Text)],
            Self::User => &[("USER()", Kind::Text)],
            Self::One => &[("1", Kind::Integer)],
            Self::ConnectionId => &[("CONNECTION_ID()", Kind::Integer)],
        }
    }
}

/// Why a statement is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ParseError {
    #[error("use 'SELECT * FROM help' to see the supported commands")]
    Unknown,
    #[error("{0}: give its number, or its address in quotes, as SHOW BACKENDS shows them")]
    NoBackend(&'static str),
    #[error("ADD BACKEND: give the address in quotes, and READ ONLY behind it if that is so")]
    NoAddress,
    #[error("KILL: give the id that SHOW SESSIONS shows")]
    NoId,
    #[error(
        "SHOW DIGESTS: behind it may stand LIKE 'pattern', ORDER BY one of its columns, DESC, and LIMIT number, in this order"
    )]
    NoSelection,
}

/// Who says it, and what about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator<'a> {
    /// Of the connection.
    pub(crate) id: u32,
    pub(crate) control: &'a Control,
    pub(crate) username: &'a str,
    pub(crate) configuration: &'a Arc<dyn Configuration>,
}

const SQL_STATE: [u8; 5] = *b"HY000";

impl Statement {
    /// # Errors
    /// What is wrong with it, and what to say instead.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let read = Words::of(text);
        let words: Vec<&str> = read.0.iter().map(|word| &*word.upper).collect();
        let raw = |index: usize| read.0.get(index);
        Ok(match words.as_slice() {
            ["SELECT", "*", "FROM", "BACKENDS"] => Self::SelectBackends,
            ["SELECT", "*", "FROM", "HELP"] | ["HELP"] | ["SHOW", "HELP"] => Self::Help,
            ["SHOW", "BACKENDS"] => Self::ShowBackends,
            ["SHOW", "SESSIONS"] | ["SHOW", "PROCESSLIST"] | ["SHOW", "FULL", "PROCESSLIST"] => {
                Self::ShowSessions
            }
            ["SHOW", "POOLS"] => Self::ShowPools,
            ["SHOW", "SCRIPTS"] => Self::ShowScripts,
            ["SHOW", "DIGESTS", ..] => Self::ShowDigests(Selection::parse(&read.0[2..])?),
            ["RESET", "DIGESTS"] => Self::ResetDigests,
            ["SHOW", "STATUS"] => Self::ShowStatus,
            ["SHOW", "EVENTS"] => Self::ShowEvents,
            ["RELOAD"] | ["RELOAD", "SETTINGS"] => Self::Reload,
            ["SHOW", "SETTINGS"] => Self::ShowSettings(None),
            ["SHOW", "SETTINGS", "LIKE", _] => {
                Self::ShowSettings(raw(3).map(|word| word.text.clone()))
            }
            ["SHOW", "WARNINGS"] | ["SHOW", "ERRORS"] => Self::Warnings,
            ["SET", "BACKEND", name @ .., "UP" | "DOWN" | "DRAIN"] => {
                let availability = match words.last() {
                    Some(&"UP") => Availability::InService,
                    Some(&"DOWN") => Availability::OutOfService,
                    _ => Availability::Draining,
                };
                let name = backend_name("SET BACKEND", name.len(), raw(2))?;
                Self::SetBackend(name, availability)
            }
            ["SET", "BACKEND", ..] => return Err(ParseError::NoBackend("SET BACKEND")),
            ["ADD", "BACKEND", _] => Self::AddBackend(address(raw(2))?, Role::ReadWrite),
            ["ADD", "BACKEND", _, "READ", "ONLY"] => {
                Self::AddBackend(address(raw(2))?, Role::ReadOnly)
            }
            ["ADD", "BACKEND", ..] => return Err(ParseError::NoAddress),
            ["REMOVE", "BACKEND", name @ ..] => {
                Self::RemoveBackend(backend_name("REMOVE BACKEND", name.len(), raw(2))?)
            }
            ["KILL", id] | ["KILL", "CONNECTION", id] => {
                Self::Kill(id.parse().map_err(|_| ParseError::NoId)?)
            }
            ["KILL", ..] => return Err(ParseError::NoId),
            [] | ["SET", ..] => Self::Nothing,
            ["SELECT", rest @ ..] => constant(rest)?,
            _ => return Err(ParseError::Unknown),
        })
    }
}

/// What clients ask when they connect.
fn constant(words: &[&str]) -> Result<Statement, ParseError> {
    let words = match words {
        [words @ .., "LIMIT", "1"] => words,
        words => words,
    };
    Ok(Statement::Constant(match words {
        ["@@VERSION_COMMENT"] => Constant::Comment,
        ["@@VERSION"] | ["VERSION", "(", ")"] => Constant::Version,
        ["USER" | "CURRENT_USER", "(", ")"] => Constant::User,
        ["CONNECTION_ID", "(", ")"] => Constant::ConnectionId,
        ["1"] => Constant::One,
        _ => return Err(ParseError::Unknown),
    }))
}

fn backend_name(
    statement: &'static str,
    words: usize,
    word: Option<&Word>,
) -> Result<BackendName, ParseError> {
    let error = ParseError::NoBackend(statement);
    let Some(word) = word.filter(|_| words == 1) else {
        return Err(error);
    };
    if word.is_string {
        return Ok(BackendName::Address(word.text.clone()));
    }
    let number = word.text.parse().map_err(|_| error)?;
    Ok(BackendName::Number(number))
}

fn address(word: Option<&Word>) -> Result<String, ParseError> {
    match word {
        Some(word) if word.is_string => Ok(word.text.clone()),
        _ => Err(ParseError::NoAddress),
    }
}

/// A statement's words.
struct Words(Vec<Word>);

struct Word {
    text: String,
    /// For comparisons; that of a string is no word.
    upper: Cow<'static, str>,
    is_string: bool,
}

impl Words {
    fn of(text: &[u8]) -> Self {
        let tokens = tokenize(text).filter(|token| token.id != TokenId::COMMENT);
        let mut words: Vec<Word> = tokens.map(|token| Word::of(&token)).collect();
        while words.last().is_some_and(|word| word.upper == ";") {
            words.pop();
        }
        Self(words)
    }
}

impl Word {
    fn of(token: &Token<'_>) -> Self {
        let text = String::from_utf8_lossy(&token.text).into_owned();
        let is_string = token.id == TokenId::STRING;
        Self {
            upper: match is_string {
                true => Cow::Borrowed("'...'"),
                false => Cow::Owned(text.to_uppercase()),
            },
            text,
            is_string,
        }
    }
}

impl Operator<'_> {
    /// Does it.
    pub(crate) async fn execute(self, statement: Statement) -> Answer {
        match statement {
            Statement::SelectBackends => backends::select(self.control),
            Statement::Help => help::show(),
            Statement::ShowBackends => backends::show(self.control, &self.configuration.options()),
            Statement::ShowSessions => sessions::show(self.control),
            Statement::ShowPools => pools::show(self.control),
            Statement::ShowScripts => scripts::show(self.control).await,
            Statement::ShowDigests(selection) => digests::show(self.control, &selection),
            Statement::ResetDigests => digests::reset(self.control),
            Statement::ShowStatus => status::show(&self.control.status()),
            Statement::ShowEvents => events::show(&self.configuration.events()),
            Statement::ShowSettings(pattern) => {
                options::show(&self.configuration.options(), pattern.as_deref())
            }
            Statement::Reload => reload::reload(self.configuration).await,
            Statement::SetBackend(name, availability) => self.set_availability(&name, availability),
            Statement::RemoveBackend(name) => self.set_availability(&name, Availability::Removed),
            Statement::AddBackend(address, role) => self.add_backend(&address, role),
            Statement::Kill(id) => self.kill(id),
            Statement::Constant(constant) => self.constant(constant),
            Statement::Nothing => Answer::Ok(0),
            Statement::Warnings => Answer::Rows(WARNINGS, Vec::new()),
        }
    }

    fn set_availability(self, name: &BackendName, availability: Availability) -> Answer {
        let backends = self.control.backends();
        let backend = match name {
            BackendName::Number(number) => {
                number.checked_sub(1).and_then(|index| backends.get(index))
            }
            BackendName::Address(address) => {
                let all = backends.all();
                let named = all
                    .iter()
                    .find(|backend| backend.address().to_string() == *address);
                named.and_then(|backend| backends.get(backend.index()))
            }
        };
        match backend {
            Some(backend) => {
                let ended = self.control.set_availability(&backend, availability);
                Answer::Ok(ended as u64)
            }
            None => error("there is no such backend; SHOW BACKENDS shows those that there are"),
        }
    }

    fn add_backend(self, text: &str, role: Role) -> Answer {
        let address: Address = match text.parse() {
            Ok(address) => address,
            Err(wrong) => return error(&format!("ADD BACKEND: {wrong}")),
        };
        match self.control.add_backend(address, role) {
            Ok(_) => Answer::Ok(1),
            Err(wrong) => error(&wrong.to_string()),
        }
    }

    fn kill(self, id: u64) -> Answer {
        match self.control.kill(id) {
            true => Answer::Ok(1),
            false => Answer::Err(
                error_code::NO_SUCH_THREAD,
                SQL_STATE,
                format!("there is no session {id}; SHOW SESSIONS shows those that there are"),
            ),
        }
    }

    fn constant(self, constant: Constant) -> Answer {
        let value = match constant {
            Constant::Comment => value("mysql-proxy, admin interface"),
            Constant::Version => value(SERVER_VERSION),
            Constant::User => value(self.username),
            Constant::ConnectionId => value(self.id),
            Constant::One => value(1),
        };
        Answer::Rows(constant.columns(), vec![vec![value]])
    }
}

const WARNINGS: &[Column] = &[
    ("Level", Kind::Text),
    ("Code", Kind::Integer),
    ("Message", Kind::Text),
];

/// `YYYY-MM-DD HH:MM:SS`, as in the log.
fn local_time(time: SystemTime) -> Value {
    let time = Timestamp::try_from(time).ok()?;
    let time = time.to_zoned(TimeZone::system());
    value(time.strftime("%Y-%m-%d %H:%M:%S"))
}

fn error(text: &str) -> Answer {
    Answer::Err(error_code::UNKNOWN_ERROR, SQL_STATE, text.to_owned())
}

#[cfg(test)]
mod tests;
