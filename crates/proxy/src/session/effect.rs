//! What a command leaves behind in the server's session: for the pool, which gives a connection to nobody who could meet
//! it there, and for scripts, which see the default database.

use backend::Settings;
use protocol::Command;
use sql::{Pin, Recall, SessionEffects};

use super::link::Link;
use super::past::Past;
use super::script::Script;

/// Of one command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Effect {
    #[default]
    Nothing,
    /// Of statements, if the server says OK to them.
    Statements(SessionEffects),
    /// A statement that the server keeps, if it can prepare it. What it will do counts from now on.
    Prepared(Option<Pin>, Recall),
    Closed(u32),
    Reset,
    /// Something that nothing undoes, whatever the server says to it.
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
                let sets = effects.sets().then_some(Pin::ForGood("a SET that is prepared"));
                let mut recall = effects.recall;
                // What its executions answer is not looked at.
                recall.set(
                    Recall::SETS_INSERT_ID,
                    recall.intersects(Recall::INSERTS | Recall::SETS_INSERT_ID),
                );
                Self::Prepared(Pin::first(effects.pin, sets), recall)
            }
            Command::STMT_CLOSE => Self::Closed(statement_id(body)),
            Command::RESET_CONNECTION => Self::Reset,
            Command::QUIT => Self::Pin("COM_QUIT was sent"),
            Command::SET_OPTION => Self::Pin("COM_SET_OPTION"),
            // The default database goes with it.
            Command::DROP_DB => Self::Pin("COM_DROP_DB"),
            Command::SLEEP
            | Command::FIELD_LIST
            | Command::CREATE_DB
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

    /// The command itself names the default database, first of all.
    pub(super) fn uses_database(&self) -> bool {
        matches!(self, Self::Statements(effects) if effects.database.is_some() && !effects.is_compound)
    }

    /// What the command asks about those before it.
    pub(super) fn recall(&self) -> Recall {
        match self {
            Self::Statements(effects) => effects.recall,
            Self::Prepared(_, recall) => *recall,
            _ => Recall::default(),
        }
    }

    /// The command's response has ended, as `link` has it.
    pub(super) fn apply(self, link: &mut Link, script: &mut Script) {
        let (id, summary) = (link.id(), link.summary);
        let Some(session) = &mut link.session else {
            return;
        };
        let said = (&summary, self.recall());
        script.past.add(id, said, &mut session.traces);
        match self {
            Self::Nothing => {}
            Self::Statements(effects) if summary.is_err => {
                session.add_pin(effects.pin);
                // Some of several may have run before the one that failed.
                if effects.is_compound && effects.sets() {
                    session.add_pin(Some(Pin::ForGood("statements that failed half-way")));
                }
                // The default database may still be another client's.
                link.is_from_pool |= effects.database.is_some();
            }
            Self::Statements(effects) => {
                session.apply(&effects);
                let _too_many_are_pinned = script.settings.add(&effects.settings);
                if let Some(database) = &effects.database {
                    script.use_db(database);
                }
            }
            Self::Prepared(pin, _) => {
                session.statements.extend(summary.statement_id);
                session.add_pin(pin);
            }
            Self::Closed(statement_id) => {
                session.statements.remove(&statement_id);
            }
            Self::Reset if summary.is_err => {}
            Self::Reset => {
                session.reset();
                script.past = Past::default();
                script.settings = Settings::of_reset(&session.handshake, script.character_set);
                // The character set is that of the connection's login, which may be another client's.
                link.is_from_pool |= script.settings != session.settings;
            }
            Self::Pin(reason) => session.add_pin(Some(Pin::ForGood(reason))),
        }
    }
}

/// `int<4>`; 0, which no server uses, for one that is cut short.
fn statement_id(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |id| u32::from_le_bytes(*id))
}
