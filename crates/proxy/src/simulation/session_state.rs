//! What a session is, as far as the simulation's SQL can tell. A server keeps one for each connection, of all that is run
//! there; a client keeps one of what it ran itself. They have to be the same.

use std::collections::BTreeMap;

/// Servers' own collation: what MySQL's reset goes back to.
pub(super) const SERVER_CHARACTER_SET: u16 = 8;

/// What each row of a resultset shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SessionState {
    pub(super) user: String,
    pub(super) database: String,
    login_character_set: u16,
    character_set: u16,
    settings: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    /// What the comment in its BEGIN says.
    pub(super) transaction: Option<String>,
    pub(super) insert_id: u64,
}

impl SessionState {
    pub(super) fn login(user: &str, database: &str, character_set: u16) -> Self {
        Self {
            user: user.to_owned(),
            database: database.to_owned(),
            login_character_set: character_set,
            character_set,
            ..Self::default()
        }
    }

    /// COM_RESET_CONNECTION
    pub(super) fn reset(&mut self, is_mariadb: bool) {
        let character_set = match is_mariadb {
            true => self.login_character_set,
            false => SERVER_CHARACTER_SET,
        };
        *self = Self {
            character_set,
            login_character_set: self.login_character_set,
            ..Self::login(&self.user, &self.database, 0)
        };
    }

    /// A statement has succeeded.
    pub(super) fn apply(&mut self, sql: &str) {
        match sql.split_once(' ').unwrap_or((sql, "")) {
            ("BEGIN", comment) => self.transaction = Some(comment.to_owned()),
            ("COMMIT" | "ROLLBACK", _) => self.transaction = None,
            ("USE", database) => self.database = database.to_owned(),
            ("SET", assignment) => self.set(assignment),
            // A script gives the client its own.
            ("SELECT", expression) => {
                let number = expression.strip_prefix("LAST_INSERT_ID(");
                let number = number.and_then(|number| number.strip_suffix(')')?.parse().ok());
                self.insert_id = number.unwrap_or(self.insert_id);
            }
            _ => {}
        }
    }

    fn set(&mut self, assignment: &str) {
        let assignment = assignment.strip_prefix("SESSION ").unwrap_or(assignment);
        let Some((name, value)) = assignment.split_once(" = ") else {
            return;
        };
        match name {
            "last_insert_id" => self.insert_id = 0,
            "collation_connection" => self.character_set = value.parse().expect("a number"),
            // From the collation.
            "character_set_client" => {}
            _ if name.starts_with('@') => {
                self.variables.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                self.settings.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// It is nowhere but on its connection.
    pub(super) fn is_tied(&self) -> bool {
        self.transaction.is_some() || !self.variables.is_empty()
    }

    /// In a row that answers `sql`.
    pub(super) fn describe(&self, sql: &str) -> String {
        let insert_id = match sql.contains("LAST_INSERT_ID()") {
            true => self.insert_id.to_string(),
            false => String::new(),
        };
        format!(
            "{}|{}|{}|{:?}|{:?}|{}|{insert_id}",
            self.user,
            self.database,
            self.character_set,
            self.settings,
            self.variables,
            self.transaction.as_deref().unwrap_or_default(),
        )
    }
}

/// A statement's own mark in each of its rows, and how much is asked for: `c1.2.3.400` are three rows with 400 bytes more
/// in each.
pub(super) fn tag(client: usize, number: usize, rows: usize, bytes: usize) -> String {
    format!("c{client}.{number}.{rows}.{bytes}")
}

/// What `sql` has in quotes.
pub(super) fn tag_of(sql: &str) -> &str {
    sql.split('\'').nth(1).unwrap_or_default()
}

impl SessionState {
    /// Tag, number, and the session with as many bytes of the tag as it asks for.
    pub(super) fn rows(&self, sql: &str) -> Vec<[String; 3]> {
        let tag = tag_of(sql);
        let mut numbers = tag.rsplit('.').map_while(|number| number.parse().ok());
        let (bytes, rows) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
        let padding = tag.repeat(bytes / tag.len().max(1));
        let session = format!("{}{padding}", self.describe(sql));
        let row = |number: usize| [tag.to_owned(), number.to_string(), session.clone()];
        (1..=rows).map(row).collect()
    }
}
