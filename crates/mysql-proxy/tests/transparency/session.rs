//! What a client does from its login to its end, as data: the same session can be had again, and without some of its steps.
//!
//! Statements go by slots, not by the server's numbers, so that every selection of steps is a session.

use std::collections::HashMap;
use std::fmt;

use protocol::{Capabilities, Command};
use testkit::Login;

use crate::statement_commands::{self, Execution, on_statement};

/// A statement that was never prepared.
const NO_STATEMENT: u32 = 4_000_000_000;

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) login: LoginChoice,
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

impl Session {
    /// That at its start, and COM_CHANGE_USER.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &LoginChoice> {
        let changes = self.steps.iter().filter_map(|step| match step {
            Step::ChangeUser(login) => Some(login),
            Step::Commands(_) | Step::LoadData { .. } => None,
        });
        std::iter::once(&self.login).chain(changes)
    }

    /// Whether it kills what its own thread does, by the thread's number.
    pub(crate) fn has_by_number(&self) -> bool {
        self.commands()
            .any(|say| matches!(say, Say::KillQuery(By::Number)))
    }

    /// Whether it becomes another one, of this user or of another.
    pub(crate) fn resets(&self) -> bool {
        let is_reset = |say: &Say| matches!(say, Say::Command(Command::RESET_CONNECTION, _));
        self.logins().count() > 1 || self.commands().any(is_reset)
    }

    /// Whether a statement ends it.
    pub(crate) fn ends_itself(&self) -> bool {
        self.commands().any(|say| say.releases().is_some())
    }

    /// Whether others stand behind that one in the same text.
    pub(crate) fn is_broken_off(&self) -> bool {
        let releases = self.commands().filter_map(Say::releases);
        releases.into_iter().any(|rest| rest.contains(&b';'))
    }

    /// Whether it runs or shows stored procedures or functions.
    pub(crate) fn calls(&self) -> bool {
        self.commands().any(|say| {
            let has = |word: &[u8]| position(say.sql(), word).is_some();
            has(b"CALL") || has(b"PROCEDURE") || has(b"test.twice")
        })
    }

    fn commands(&self) -> impl Iterator<Item = &Say> {
        let commands = self.steps.iter().filter_map(|step| match step {
            Step::Commands(commands) => Some(commands),
            Step::LoadData { .. } | Step::ChangeUser(_) => None,
        });
        commands.flatten()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.login)?;
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(f, "step {n}: {step:?}")?;
        }
        writeln!(f, "ending: {:?}", self.ending)
    }
}

/// Who logs in, and what is asked for beyond what ordinary clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginChoice {
    pub(crate) user: &'static str,
    pub(crate) has_right_password: bool,
    pub(crate) has_database: bool,
    pub(crate) with: Capabilities,
    pub(crate) without: Capabilities,
    pub(crate) character_set: u16,
}

impl LoginChoice {
    pub(crate) fn login(&self, database: &str) -> Login {
        let password = match self.has_right_password {
            true => self.user,
            false => "wrong",
        };
        let login = Login::new(self.user, password)
            .with(self.with)
            .without(self.without)
            .character_set(self.character_set);
        match self.has_database {
            true => login.database(database),
            false => login,
        }
    }
}

/// What a client does before it waits for the server.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// In one write; only the first may be a COM_STMT_PREPARE.
    Commands(Vec<Say>),
    /// The file goes in pieces of so many bytes when the server asks for it.
    LoadData {
        sql: String,
        file: Text,
        piece_bytes: usize,
    },
    ChangeUser(LoginChoice),
}

impl Step {
    /// Whether it asks about warnings, errors, insert ids or counts of statements before it.
    pub(crate) fn asks_about_past(&self) -> bool {
        matches!(self, Self::Commands(commands) if commands.iter().any(Say::asks_about_past))
    }
}

/// One command.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Command(Command, Text),
    Query(Text, Vec<Attribute>),
    Prepare {
        slot: u8,
        sql: String,
    },
    Execute {
        slot: u8,
        cursor: u8,
        parameters: Vec<Parameter>,
        attributes: Vec<Attribute>,
        is_rebound: bool,
    },
    /// MariaDB's many rows of parameters.
    BulkExecute {
        slot: u8,
        rows: Text,
    },
    Fetch {
        slot: u8,
        rows: u32,
    },
    LongData {
        slot: u8,
        parameter: u16,
        data: Text,
    },
    /// COM_STMT_RESET and COM_STMT_CLOSE
    OnStatement(Command, u8),
    /// KILL QUERY of the own thread, by its number or without.
    KillQuery(By),
}

/// How the own thread is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// `CONNECTION_ID()`
    Function,
    /// The number that the greeting had.
    Number,
    /// COM_PROCESS_KILL, which ends the session.
    Command,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Quit,
    /// Nothing more is sent, and the server's end is waited for.
    HalfClose,
    /// KILL of the own connection
    Kill(By),
}

/// A query attribute: its name and its value.
pub(crate) type Attribute = (&'static str, Parameter);

/// A parameter's type, flag, and value in the binary protocol.
#[derive(Clone)]
pub(crate) struct Parameter {
    pub(crate) column_type: u8,
    pub(crate) flag: u8,
    pub(crate) value: Option<Text>,
}

impl Parameter {
    fn bytes(&self) -> statement_commands::Parameter<'_> {
        let value = self.value.as_ref().map(|value| value.0.as_slice());
        (self.column_type, self.flag, value)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type {} flag {} ", self.column_type, self.flag)?;
        match &self.value {
            Some(value) => value.fmt(f),
            None => f.write_str("NULL"),
        }
    }
}

/// What a run knows of its server's session.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) capabilities: Capabilities,
    pub(crate) thread_id: u32,
    /// The statement in each slot.
    pub(crate) statements: HashMap<u8, u32>,
}

impl Numbers {
    fn statement(&self, slot: u8) -> u32 {
        let id = self.statements.get(&slot).copied();
        id.unwrap_or(NO_STATEMENT + u32::from(slot))
    }
}

impl Say {
    pub(crate) fn payload(&self, numbers: &Numbers) -> Vec<u8> {
        match self {
            Self::Command(command, arguments) => [&[command.0], arguments.0.as_slice()].concat(),
            Self::Query(sql, attributes) => {
                statement_commands::query(numbers.capabilities, &sql.0, &named(attributes))
            }
            Self::Prepare { sql, .. } => [&[Command::STMT_PREPARE.0], sql.as_bytes()].concat(),
            Self::Execute {
                slot,
                cursor,
                parameters,
                attributes,
                is_rebound,
            } => Execution {
                statement_id: numbers.statement(*slot),
                flags: *cursor,
                parameters: &parameters.iter().map(Parameter::bytes).collect::<Vec<_>>(),
                attributes: &named(attributes),
                is_rebound: *is_rebound,
            }
            .payload(numbers.capabilities),
            Self::BulkExecute { slot, rows } => {
                let id = numbers.statement(*slot);
                let start = on_statement(Command::STMT_BULK_EXECUTE, id, None);
                [start.as_slice(), &rows.0].concat()
            }
            Self::Fetch { slot, rows } => {
                on_statement(Command::STMT_FETCH, numbers.statement(*slot), Some(*rows))
            }
            Self::LongData {
                slot,
                parameter,
                data,
            } => statement_commands::long_data_of(numbers.statement(*slot), *parameter, &data.0),
            Self::OnStatement(command, slot) => {
                on_statement(*command, numbers.statement(*slot), None)
            }
            Self::KillQuery(by) => kill("KILL QUERY", *by, numbers),
        }
    }

    /// The statements in it, but for those that are as long as no other.
    fn sql(&self) -> &[u8] {
        const LONG_BYTES: usize = 4096;
        match self {
            Self::Query(sql, _) if sql.0.len() < LONG_BYTES => &sql.0,
            Self::Prepare { sql, .. } => sql.as_bytes(),
            _ => b"",
        }
    }

    /// What follows a statement that ends the session.
    fn releases(&self) -> Option<&[u8]> {
        let text = self.sql();
        Some(&text[position(text, b"COMMIT RELEASE")?..])
    }

    fn asks_about_past(&self) -> bool {
        const CLUES: [&[u8]; 7] = [
            b"warning",
            b"WARNINGS",
            b"ERRORS",
            b"DIAGNOSTICS",
            b"LAST_INSERT_ID()",
            b"last_insert_id",
            b"FOUND_ROWS()",
        ];
        CLUES
            .iter()
            .any(|clue| position(self.sql(), clue).is_some())
    }

    /// COM_STATISTICS, whose answer is told from all others.
    pub(crate) fn is_statistics(&self) -> bool {
        matches!(self, Self::Command(Command::STATISTICS, _))
    }
}

impl Ending {
    /// The last command; `None` for none.
    pub(crate) fn payload(self, numbers: &Numbers) -> Option<Vec<u8>> {
        match self {
            Self::Quit => Some(vec![Command::QUIT.0]),
            Self::HalfClose => None,
            Self::Kill(by) => Some(kill("KILL CONNECTION", by, numbers)),
        }
    }
}

fn kill(statement: &str, by: By, numbers: &Numbers) -> Vec<u8> {
    let id = numbers.thread_id;
    let sql = match by {
        By::Function => format!("{statement} CONNECTION_ID()"),
        By::Number => format!("{statement} {id}"),
        By::Command => {
            return [&[Command::PROCESS_KILL.0], id.to_le_bytes().as_slice()].concat();
        }
    };
    statement_commands::query(numbers.capabilities, sql.as_bytes(), &[])
}

fn named(attributes: &[Attribute]) -> Vec<(&str, statement_commands::Parameter<'_>)> {
    let attributes = attributes.iter();
    attributes
        .map(|(name, parameter)| (*name, parameter.bytes()))
        .collect()
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|at| at == word)
}

/// Bytes that may be too many to print.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl<T: AsRef<[u8]>> From<T> for Text {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 400;
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        match self.0.len() {
            ..=SHOWN_BYTES => Ok(()),
            bytes => write!(f, "... ({bytes} bytes)"),
        }
    }
}
