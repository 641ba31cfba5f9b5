//! What a command leaves behind in the server's session: for the pool, which gives a connection to nobody who could meet
//! it there, and for scripts, which see the default database.

use backend::Settings;
use protocol::Command;
use sql::SessionEffects;

use super::link::Link;
use super::script::Script;

/// Of one command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Effect {
    #[default]
    Nothing,
    /// Of statements, if the server says OK to them.
    Statements(SessionEffects),
    /// A statement that the server keeps, if it can prepare it. What it will do counts from now on.
    Prepared(Option<&'static str>),
    Closed(u32),
    Reset,
    /// Something that cannot be undone, whatever the server says to it.
    Pin(&'static str),
}

impl Effect {
    /// `packet` is what scripts see: command byte and body.
    pub(super) fn of(packet: &[u8]) -> Self {
        let Some((&byte, body)) = packet.split_first() else {
            return Self::Nothing;
        };
        match Command(byte) {
            Command::QUERY => Self::of_statements(body),
            Command::INIT_DB => Self::Statements(SessionEffects {
                database: Some(body.to_vec()),
                ..SessionEffects::default()
            }),
            Command::STMT_PREPARE => {
                let effects = SessionEffects::of(body);
                let sets = !effects.is_empty();
                Self::Prepared(effects.pin.or(sets.then_some("a SET that is prepared")))
            }
            Command::STMT_CLOSE => Self::Closed(statement_id(body)),
            Command::RESET_CONNECTION => Self::Reset,
            Command::QUIT => Self::Pin("COM_QUIT was sent"),
            Command::SET_OPTION => Self::Pin("COM_SET_OPTION"),
            Command::SLEEP
            | Command::FIELD_LIST
            | Command::CREATE_DB
            | Command::DROP_DB
            | Command::REFRESH
            | Command::STATISTICS
            | Command::PROCESS_INFO
            | Command::PROCESS_KILL
            | Command::DEBUG
            | Command::PING
            | Command::STMT_EXECUTE
            | Command::STMT_SEND_LONG_DATA
            | Command::STMT_RESET
            | Command::STMT_FETCH
            | Command::STMT_BULK_EXECUTE
            // It says itself what it does.
            | Command::CHANGE_USER => Self::Nothing,
            _ => Self::Pin("a command for replication, or one that is not known"),
        }
    }

    fn of_statements(text: &[u8]) -> Self {
        let effects = SessionEffects::of(text);
        match effects.is_empty() {
            true => Self::Nothing,
            false => Self::Statements(effects),
        }
    }

    /// The command's response has ended, as `link` has it.
    pub(super) fn apply(self, link: &mut Link, script: &mut Script) {
        let summary = link.summary;
        let Some(session) = &mut link.session else {
            return;
        };
        match self {
            Self::Nothing => {}
            Self::Statements(effects) if summary.is_err => {
                // Some of several may have run before the one that failed.
                session.pin = session.pin.or(effects.pin);
                if effects.settings.len() + usize::from(effects.database.is_some()) > 1 {
                    session.pin = session.pin.or(Some("statements that failed half-way"));
                }
            }
            Self::Statements(effects) => {
                session.apply(&effects);
                let _too_many_are_pinned = script.settings.add(&effects.settings);
                if let Some(database) = &effects.database {
                    script.use_db(database);
                }
            }
            Self::Prepared(pin) => {
                session.statements.extend(summary.statement_id);
                session.pin = session.pin.or(pin);
            }
            Self::Closed(statement_id) => {
                session.statements.remove(&statement_id);
            }
            Self::Reset if summary.is_err => {}
            Self::Reset => {
                session.reset();
                script.settings = Settings::default();
            }
            Self::Pin(reason) => session.pin = Some(reason),
        }
    }
}

/// `int<4>`; 0, which no server uses, for one that is cut short.
fn statement_id(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |id| u32::from_le_bytes(*id))
}
