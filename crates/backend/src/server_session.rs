//! What a server holds of whoever is logged in on a connection: who that is, and what was set since. It says whether
//! somebody else may have the connection.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::connection_phase::HandshakeV10;
use protocol::{Capabilities, StatusFlags};
use sql::{SessionEffects, Setting};

/// Settings that are remembered; a session with more stays where it is.
const SETTINGS_MAX: usize = 64;

/// Of big5, sjis, gbk, cp932 and gb18030: texts in them cannot be told apart from others without reading characters.
const BACKSLASH_COLLATIONS: [u8; 11] = [1, 13, 28, 84, 87, 88, 95, 96, 248, 249, 250];

/// Of one connection.
#[derive(Debug, Clone)]
pub struct ServerSession {
    /// What the server said first.
    pub handshake: Arc<HandshakeV10>,
    /// Who is logged in.
    pub username: Vec<u8>,
    /// What both sides agreed on. It cannot be changed.
    pub capabilities: Capabilities,
    /// The default database; empty for none.
    pub default_db: Vec<u8>,
    /// What was set, and can be set again elsewhere.
    pub settings: Settings,
    /// Prepared statements that were not closed.
    pub statements: HashSet<u32>,
    /// What else there is that other clients must not meet, and that no other connection has.
    pub pin: Option<&'static str>,
    /// What the server said last.
    pub status: StatusFlags,
    /// The latest nonce.
    pub nonce: Vec<u8>,
}

/// What a client has set in its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The collation's number in the login; `None` for the server's own, as after COM_RESET_CONNECTION.
    pub character_set: Option<u8>,
    /// In the order in which they were said.
    list: Vec<Setting>,
}

impl Settings {
    /// Of a client that has just logged in.
    pub fn of_login(character_set: u8) -> Self {
        Self {
            character_set: Some(character_set),
            list: Vec::new(),
        }
    }

    /// False when they are too many.
    pub fn add(&mut self, settings: &[Setting]) -> bool {
        for setting in settings {
            self.list.retain(|known| known.name != setting.name);
            self.list.push(setting.clone());
        }
        self.list.len() <= SETTINGS_MAX
    }

    /// Statements that make a fresh session's settings these.
    pub fn statements(&self) -> impl Iterator<Item = Vec<u8>> {
        let character_set = self.character_set.map(|number| {
            format!(
                "SET character_set_client={number}, character_set_results={number}, collation_connection={number}"
            )
            .into_bytes()
        });
        let list = self.list.iter().map(|setting| setting.sql.clone());
        character_set.into_iter().chain(list)
    }
}

impl ServerSession {
    /// The capabilities that matter after the login.
    pub fn flavor(capabilities: Capabilities) -> Capabilities {
        capabilities - Capabilities::CONNECT_WITH_DB
    }

    /// A client that agreed on `capabilities` may speak on it as it is.
    pub fn suits(&self, capabilities: Capabilities) -> bool {
        Self::flavor(self.capabilities) == Self::flavor(capabilities)
    }

    /// Why nobody else may have the connection now; `None` when somebody may.
    pub fn pinned(&self) -> Option<&'static str> {
        if self.status.contains(StatusFlags::IN_TRANS) {
            return Some("a transaction is open");
        }
        if !self.status.contains(StatusFlags::AUTOCOMMIT) {
            return Some("autocommit is off");
        }
        if self.status.contains(StatusFlags::NO_BACKSLASH_ESCAPES) {
            return Some("strings are read in another way");
        }
        if let Some(number) = self.settings.character_set
            && BACKSLASH_COLLATIONS.contains(&number)
        {
            return Some("a character set where a backslash may be a part of a character");
        }
        if !self.statements.is_empty() {
            return Some("a prepared statement is open");
        }
        self.pin
    }

    /// A statement has run.
    pub fn apply(&mut self, effects: &SessionEffects) {
        self.pin = self.pin.or(effects.pin);
        if !self.settings.add(&effects.settings) {
            self.pin = self.pin.or(Some("too many settings"));
        }
        if let Some(database) = &effects.database {
            self.default_db.clone_from(database);
        }
    }

    /// COM_RESET_CONNECTION has run.
    pub fn reset(&mut self) {
        self.settings = Settings::default();
        self.statements.clear();
        self.pin = None;
    }
}
