//! What a server holds of whoever is logged in on a connection: who that is, and what was set since. It says whether
//! somebody else may have the connection.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::connection_phase::HandshakeV10;
use protocol::{Capabilities, StatusFlags};
use sql::{Pin, SessionEffects, Setting};

use crate::traces::Traces;

/// Settings that are remembered; a session with more stays where it is.
const SETTINGS_MAX: usize = 64;

/// Of big5, sjis, gbk, cp932 and gb18030: texts in them cannot be told apart from others without reading characters.
const BACKSLASH_COLLATIONS: [u16; 11] = [1, 13, 28, 84, 87, 88, 95, 96, 248, 249, 250];

/// Of one connection.
#[derive(Debug, Clone)]
pub struct ServerSession {
    /// What the server said first.
    pub handshake: Arc<HandshakeV10>,
    /// Who is logged in.
    pub username: Vec<u8>,
    /// The collation's number in the login.
    pub character_set: u16,
    /// What both sides agreed on. It cannot be changed.
    pub capabilities: Capabilities,
    /// The default database; empty for none.
    pub default_db: Vec<u8>,
    /// What was set, and can be set again elsewhere.
    pub settings: Settings,
    /// Prepared statements that were not closed.
    pub statements: HashSet<u32>,
    /// What else there is that other clients must not meet, and that no other connection has.
    pub pin: Option<Pin>,
    /// What the server said last.
    pub status: StatusFlags,
    /// The latest nonce.
    pub nonce: Vec<u8>,
    /// What statements have left for later ones to ask about.
    pub traces: Traces,
    /// It was in a pool: some of them may be other clients'.
    pub is_shared: bool,
    /// Which settings the connection was opened with: those of others are not for their sessions.
    pub generation: u64,
}

/// What a client has set in its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The collation's number in the login; `None` for the server's own.
    character_set: Option<u16>,
    /// In the order in which they were said.
    list: Vec<Setting>,
}

/// A statement that restores a part of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// Without parameters.
    pub sql: Vec<u8>,
    /// The server may not know what it says; then the session has the server's own.
    pub may_fail: bool,
}

impl Settings {
    /// Of a client that has just logged in.
    pub fn of_login(character_set: u16) -> Self {
        Self {
            character_set: Some(character_set),
            list: Vec::new(),
        }
    }

    /// Of one whose session was reset: MariaDB goes back to the login's character set, MySQL to its own.
    pub fn of_reset(handshake: &HandshakeV10, character_set: u16) -> Self {
        match handshake.is_mariadb() {
            true => Self::of_login(character_set),
            false => Self::default(),
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
}

/// Why nobody else may ever have a connection to this server that was logged in on with this character set.
pub fn pin_of_login(handshake: &HandshakeV10, character_set: u16) -> Option<Pin> {
    let own = u16::from(handshake.character_set);
    let is_telling = [own, character_set]
        .iter()
        .any(|number| BACKSLASH_COLLATIONS.contains(number));
    is_telling.then_some(Pin::ForGood(
        "a character set where a backslash may be a part of a character",
    ))
}

/// Why nobody else may have a connection in this state.
pub fn pinned_by(status: StatusFlags) -> Option<&'static str> {
    if status.contains(StatusFlags::IN_TRANS) {
        return Some("a transaction is open");
    }
    if !status.contains(StatusFlags::AUTOCOMMIT) {
        return Some("autocommit is off");
    }
    if status.contains(StatusFlags::NO_BACKSLASH_ESCAPES) {
        return Some("strings are read in another way");
    }
    None
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
        if let Some(reason) = pinned_by(self.status) {
            return Some(reason);
        }
        if !self.statements.is_empty() {
            return Some("a prepared statement is open");
        }
        self.pin.map(Pin::reason)
    }

    /// Nobody else may have the connection.
    pub fn add_pin(&mut self, pin: Option<Pin>) {
        self.pin = Pin::first(self.pin, pin);
    }

    /// A statement has run.
    pub fn apply(&mut self, effects: &SessionEffects) {
        self.add_pin(effects.pin);
        if !self.settings.add(&effects.settings) {
            self.add_pin(Some(Pin::UntilReset("too many settings")));
        }
        if let Some(database) = &effects.database {
            self.default_db.clone_from(database);
        }
    }

    /// COM_RESET_CONNECTION has run. The default database stays.
    pub fn reset(&mut self) {
        self.settings = Settings::of_reset(&self.handshake, self.character_set);
        self.statements.clear();
        self.traces.reset();
        self.pin = self.pin.filter(|pin| matches!(pin, Pin::ForGood(_)));
    }

    /// Another login has taken the place of the one before.
    pub fn change_user(&mut self, username: &[u8], database: &[u8], character_set: u16) {
        self.reset();
        if self.handshake.is_mariadb() && self.username != username {
            // The role of the user before may be in force.
            self.add_pin(Some(Pin::ForGood("COM_CHANGE_USER to another user")));
        }
        self.add_pin(pin_of_login(&self.handshake, character_set));
        self.settings = Settings::of_login(character_set);
        self.character_set = character_set;
        self.username = username.to_vec();
        self.default_db = database.to_vec();
    }

    /// Statements that set what flags of a login have set, and neither COM_RESET_CONNECTION nor COM_CHANGE_USER sets again.
    pub fn restoring_flags(&self) -> impl Iterator<Item = &'static [u8]> {
        let statements: [(_, &[u8]); 2] = [
            (
                Capabilities::IGNORE_SPACE,
                b"SET SESSION sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE')",
            ),
            (
                Capabilities::INTERACTIVE,
                b"SET SESSION wait_timeout = @@global.interactive_timeout",
            ),
        ];
        let flags = match self.handshake.is_mariadb() {
            true => self.capabilities,
            false => Capabilities::empty(),
        };
        let set = statements
            .into_iter()
            .filter(move |set| flags.contains(set.0));
        set.map(|(_, sql)| sql)
    }

    /// Statements that give a session that was just reset these settings.
    pub fn restoring(&self, settings: &Settings) -> Vec<Restoring> {
        let is_mariadb = self.handshake.is_mariadb();
        let mut statements = Vec::new();
        let mut say = |sql: &[u8]| {
            statements.push(Restoring {
                sql: sql.to_vec(),
                may_fail: false,
            });
        };
        self.restoring_flags().for_each(&mut say);
        if let Some(number) = settings.character_set {
            if is_mariadb {
                // For a number that it does not know; MySQL's reset does this.
                say(b"SET NAMES DEFAULT");
            }
            statements.push(Restoring {
                sql: format!("SET collation_connection = {number}").into_bytes(),
                may_fail: true,
            });
            statements.push(Restoring {
                sql: b"SET character_set_client = @@character_set_connection, \
                       character_set_results = @@character_set_connection"
                    .to_vec(),
                may_fail: false,
            });
        }
        let list = settings.list.iter().map(|setting| Restoring {
            sql: setting.sql.clone(),
            may_fail: false,
        });
        statements.extend(list);
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(server_version: &str) -> ServerSession {
        ServerSession {
            handshake: Arc::new(HandshakeV10 {
                server_version: server_version.into(),
                character_set: 8,
                ..HandshakeV10::default()
            }),
            username: b"app".to_vec(),
            character_set: 45,
            capabilities: Capabilities::empty(),
            default_db: b"shop".to_vec(),
            settings: Settings::of_login(45),
            statements: HashSet::from([1]),
            pin: None,
            status: StatusFlags::AUTOCOMMIT,
            nonce: Vec::new(),
            traces: Traces::default(),
            is_shared: false,
            generation: 1,
        }
    }

    #[test]
    fn a_reset_undoes_what_it_can() {
        let mut session = session("9.7.0");
        session.apply(&SessionEffects::of(b"SET @a = 1"));
        session.reset();
        assert_eq!(session.pinned(), None);
        session.apply(&SessionEffects::of(b"SET @a = 1; SET ROLE a"));
        session.reset();
        assert_eq!(session.pinned(), Some("SET ROLE"));
        assert_eq!(session.settings, Settings::default());
        assert_eq!(session.default_db, b"shop");
    }

    #[test]
    fn a_change_of_user_is_a_login() {
        for (version, pin) in [
            ("9.7.0", None),
            (
                "5.5.5-10.11.6-MariaDB",
                Some("COM_CHANGE_USER to another user"),
            ),
        ] {
            let mut session = session(version);
            session.change_user(b"app", b"", 33);
            assert_eq!(session.pinned(), None);
            assert_eq!(session.settings, Settings::of_login(33));
            session.change_user(b"adm", b"mysql", 45);
            assert_eq!(session.pinned(), pin, "{version}");
            assert_eq!(
                (&*session.username, &*session.default_db),
                (&b"adm"[..], &b"mysql"[..])
            );
            session.change_user(b"adm", b"", 28);
            assert!(session.pinned().is_some());
        }
    }

    #[test]
    fn a_server_of_backslash_characters_keeps_its_clients() {
        let mut handshake = HandshakeV10::default();
        assert_eq!(pin_of_login(&handshake, 255), None);
        assert!(pin_of_login(&handshake, 88).is_some());
        handshake.character_set = 28;
        assert!(pin_of_login(&handshake, 255).is_some());
    }

    #[test]
    fn settings_are_restored_behind_what_the_login_has_set() {
        let mut session = session("9.7.0");
        session.capabilities = Capabilities::IGNORE_SPACE | Capabilities::INTERACTIVE;
        session.apply(&SessionEffects::of(b"SET a = 1"));
        let texts = |session: &ServerSession| -> Vec<_> {
            let statements = session.restoring(&session.settings).into_iter();
            statements
                .map(|of| String::from_utf8(of.sql).expect("SQL"))
                .collect()
        };
        let of_mysql = [
            "SET collation_connection = 45",
            "SET character_set_client = @@character_set_connection, \
             character_set_results = @@character_set_connection",
            "SET SESSION a = 1",
        ];
        assert_eq!(texts(&session), of_mysql);
        let handshake = Arc::make_mut(&mut session.handshake);
        handshake.server_version = b"11.4.2-MariaDB".to_vec();
        let of_mariadb = [
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',IGNORE_SPACE')",
            "SET SESSION wait_timeout = @@global.interactive_timeout",
            "SET NAMES DEFAULT",
        ];
        assert_eq!(texts(&session), [&of_mariadb[..], &of_mysql].concat());
    }
}
