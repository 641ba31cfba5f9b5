//! A client that knows what it has to get: every statement names it and its number.

use std::io::ErrorKind;

use protocol::{Capabilities, Command};
use testkit::{Client, ClientError, Connection, Login, QueryResult, Random, Server};

/// Each has its own name for its password.
pub(crate) const USERS: [&str; 4] = ["app", "adm", "one", "two"];
/// latin1 and utf8mb4
const CHARACTER_SETS: [u16; 2] = [8, 45];
const SETTINGS: &str = "CONCAT_WS(' ', @@character_set_client, @@collation_connection, @@lock_wait_timeout, @@sql_mode)";
/// How ERR 1040 begins.
const BUSY: [u8; 3] = [0xff, 0x10, 0x04];
/// A longer result than any socket buffer takes at once.
const LONG_BYTES: usize = 300_000;

/// What the clients need on a server.
pub(crate) fn prepare(server: &Server) {
    for sql in [
        "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, tag VARCHAR(64))",
        "CREATE TABLE test.numbers (n INT PRIMARY KEY)",
        "INSERT INTO test.numbers WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 100) \
         SELECT n FROM r",
        "CREATE USER one@'%' IDENTIFIED BY 'one'",
        "CREATE USER two@'%' IDENTIFIED BY 'two'",
        "GRANT ALL ON test.* TO one@'%', two@'%'",
        "GRANT ALL ON sbtest.* TO one@'%', two@'%'",
    ] {
        server.query(sql);
    }
}

/// What a server gives whoever logs in, with each of [`CHARACTER_SETS`].
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    fresh: [Settings; 2],
    reset: [Settings; 2],
}

impl Expected {
    pub(crate) fn of(server: &Server) -> Self {
        let settings = |number: u16, is_reset: bool| {
            let connection = Connection::tcp(server.address()).expect("it listens");
            let login = Login::new("app", "app").character_set(number);
            let mut client = login.connect(connection).expect("the server serves");
            if is_reset {
                client.reset_connection().expect("an OK");
            }
            let mut value = |sql: &str| client.value(sql).expect("a value");
            Settings {
                character_set: value("SELECT @@character_set_client"),
                collation: value("SELECT @@collation_connection"),
                lock_wait_timeout: value("SELECT @@lock_wait_timeout"),
                sql_mode: value("SELECT @@sql_mode"),
            }
        };
        Self {
            fresh: CHARACTER_SETS.map(|number| settings(number, false)),
            reset: CHARACTER_SETS.map(|number| settings(number, true)),
        }
    }
}

#[derive(Debug, Clone)]
struct Settings {
    character_set: String,
    collation: String,
    lock_wait_timeout: String,
    sql_mode: String,
}

/// Why something was not done to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No connection came free; the command was not run.
    Busy,
    /// The connection is of no use any more.
    Lost,
    /// What must never be.
    Wrong(String),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Server { code: 1040, .. } => Self::Busy,
            ClientError::Io(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                Self::Wrong("neither an answer nor a close".to_owned())
            }
            ClientError::Malformed(_) | ClientError::Unexpected(_) => {
                Self::Wrong(error.to_string())
            }
            ClientError::Server { .. } | ClientError::Io(_) => Self::Lost,
        }
    }
}

type Done = Result<(), Trouble>;
type Action = fn(&mut PooledClient<'_>, &mut Random) -> Done;

/// A logged-in client with what it expects of its session.
pub(crate) struct PooledClient<'a> {
    client: Client,
    number: usize,
    statements: usize,
    user: &'static str,
    /// In [`CHARACTER_SETS`].
    character_set: usize,
    expected: &'a Expected,
    settings: Settings,
    database: Option<&'static str>,
    last_insert_id: u64,
}

const WEIGHTED: &[(usize, &str, Action)] = &[
    (12, "row", |client, _| client.row()),
    (6, "rows", |client, _| client.rows()),
    (4, "long row", |client, _| client.long_row()),
    (4, "two statements", |client, _| client.two_statements()),
    (4, "pipeline", |client, _| client.pipeline()),
    (6, "prepared statement", |client, random| {
        client.prepared_statement(random)
    }),
    (6, "transaction", |client, random| {
        client.transaction(random)
    }),
    (5, "set", |client, random| client.set(random)),
    (6, "settings", |client, _| client.settings()),
    (4, "use", |client, random| client.use_database(random)),
    (5, "database", |client, _| client.database()),
    (3, "variable", |client, _| client.variable()),
    (3, "temporary table", |client, _| client.temporary_table()),
    (3, "lock", |client, _| client.lock()),
    (3, "insert", |client, _| client.insert()),
    (4, "last insert id", |client, _| client.last_insert_id()),
    (3, "warnings", |client, _| client.warnings()),
    (3, "user", |client, _| client.user()),
    (2, "change of user", |client, _| client.change_user()),
    (2, "reset", |client, _| client.reset()),
    (2, "failure", |client, _| client.failure()),
    (1, "half-way", |client, _| client.half_way()),
];

impl<'a> PooledClient<'a> {
    pub(crate) const ACTIONS: [&'static str; WEIGHTED.len()] = {
        let mut names = [""; WEIGHTED.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = WEIGHTED[at].1;
            at += 1;
        }
        names
    };

    pub(crate) fn log_in(
        connection: Connection,
        number: usize,
        random: &mut Random,
        expected: &'a Expected,
    ) -> Result<Self, Trouble> {
        let user = USERS[number % USERS.len()];
        let character_set = random.below(CHARACTER_SETS.len());
        let database = [None, Some("test"), Some("sbtest")][random.below(3)];
        let client = login(user, character_set, database).connect(connection)?;
        Ok(Self {
            client,
            number,
            statements: random.below(1 << 30),
            user,
            character_set,
            expected,
            settings: expected.fresh[character_set].clone(),
            database,
            last_insert_id: 0,
        })
    }

    /// Does something, and says what.
    pub(crate) fn act(&mut self, random: &mut Random) -> Result<&'static str, Trouble> {
        let sum = WEIGHTED.iter().map(|(weight, ..)| weight).sum();
        let mut choice = random.below(sum);
        for (weight, name, action) in WEIGHTED {
            if choice < *weight {
                let done = action(self, random);
                return done.map(|()| *name).map_err(|trouble| match trouble {
                    Trouble::Wrong(what) => {
                        Trouble::Wrong(format!("client {} ({name}): {what}", self.number))
                    }
                    other => other,
                });
            }
            choice -= weight;
        }
        Err(Trouble::Lost)
    }

    /// Goes without a word, amid an answer or a transaction.
    pub(crate) fn vanish(mut self, random: &mut Random) {
        let tag = self.tag();
        if random.one_in(3) {
            let _ = self.client.query("BEGIN");
        }
        let sent = match random.below(4) {
            0 => self
                .client
                .send_query(&format!("SELECT '{tag}', SLEEP(0.01)")),
            1 => self
                .client
                .send_query(&format!("SELECT REPEAT('{tag}', 100000)")),
            2 => self
                .client
                .send_query("SELECT a.n FROM test.numbers a, test.numbers b"),
            _ => return,
        };
        match random.below(3) {
            0 if sent.is_ok() => drop(self.client.connection().read_packet()),
            1 => {
                let _ = self.client.into_connection().reset();
            }
            _ => {}
        }
    }

    fn tag(&mut self) -> String {
        self.statements += 1;
        format!("c{}-{}-", self.number, self.statements)
    }

    fn check(&self, sql: &str, got: &QueryResult, expected: &[Vec<String>]) -> Done {
        let got: Vec<Vec<_>> = got
            .text()
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        match got == expected {
            true => Ok(()),
            false => Err(Trouble::Wrong(format!(
                "{sql}: {got:?} instead of {expected:?}"
            ))),
        }
    }

    /// One row: the tag, and this.
    fn ask(&mut self, expression: &str, expected: &str) -> Done {
        let tag = self.tag();
        let sql = format!("SELECT '{tag}', {expression}");
        let got = self.client.query(&sql)?;
        self.check(&sql, &got, &[vec![tag, expected.to_owned()]])
    }

    fn row(&mut self) -> Done {
        self.ask("7", "7")
    }

    fn rows(&mut self) -> Done {
        let tag = self.tag();
        let sql = format!("SELECT '{tag}', n FROM test.numbers ORDER BY n");
        let got = self.client.query(&sql)?;
        let expected: Vec<_> = (1..=100)
            .map(|n: u32| vec![tag.clone(), n.to_string()])
            .collect();
        self.check(&sql, &got, &expected)
    }

    fn long_row(&mut self) -> Done {
        let tag = self.tag();
        let times = LONG_BYTES / tag.len();
        let got = self
            .client
            .query(&format!("SELECT REPEAT('{tag}', {times})"))?;
        self.check("a long row", &got, &[vec![tag.repeat(times)]])
    }

    fn two_statements(&mut self) -> Done {
        let tag = self.tag();
        let sql = format!("SELECT '{tag}1'; SELECT '{tag}2'");
        let results = self.client.query_all(&sql)?;
        for (result, at) in results.iter().zip(["1", "2"]) {
            self.check(&sql, result, &[vec![format!("{tag}{at}")]])?;
        }
        match results.len() {
            2 => Ok(()),
            count => Err(Trouble::Wrong(format!("{sql}: {count} results"))),
        }
    }

    /// The second is sent before the first is answered.
    fn pipeline(&mut self) -> Done {
        let tags = [self.tag(), self.tag()];
        for tag in &tags {
            self.client.send_query(&format!("SELECT '{tag}'"))?;
        }
        let mut is_busy = false;
        for tag in &tags {
            // Column count, definition, row, end
            let connection = self.client.connection();
            let mut packet = || {
                connection
                    .read_packet()
                    .map(|(_, payload)| payload)
                    .map_err(ClientError::from)
            };
            let first = packet()?;
            if first.starts_with(&BUSY) {
                is_busy = true;
                continue;
            }
            packet()?;
            let row = packet()?;
            packet()?;
            if row.get(1..) != Some(tag.as_bytes()) {
                let got = String::from_utf8_lossy(&row);
                return Err(Trouble::Wrong(format!("{got} instead of {tag}")));
            }
        }
        match is_busy {
            true => Err(Trouble::Busy),
            false => Ok(()),
        }
    }

    fn prepared_statement(&mut self, random: &mut Random) -> Done {
        let tag = self.tag();
        let sql = format!("SELECT '{tag}'");
        self.client
            .send_command(Command::STMT_PREPARE, sql.as_bytes())?;
        let prepared = self.client.read_payload()?;
        self.client.read_payload()?;
        let id = &prepared[1..5];
        for _ in 0..1 + random.below(3) {
            let execution = [id, &[0, 1, 0, 0, 0]].concat();
            self.client
                .send_command(Command::STMT_EXECUTE, &execution)?;
            // Column count, definition, row, end
            let response: Result<Vec<_>, _> = (0..4).map(|_| self.client.read_payload()).collect();
            let expected = [&[0, 0, tag.len() as u8], tag.as_bytes()].concat();
            let row = response?.swap_remove(2);
            if row != expected {
                let got = String::from_utf8_lossy(&row);
                return Err(Trouble::Wrong(format!("{sql}, prepared: {got}")));
            }
        }
        self.client.send_command(Command::STMT_CLOSE, id)?;
        Ok(self.client.ping()?)
    }

    fn transaction(&mut self, random: &mut Random) -> Done {
        self.client.query("BEGIN")?;
        for _ in 0..1 + random.below(2) {
            self.insert()?;
            let id = self.last_insert_id.to_string();
            self.ask("LAST_INSERT_ID()", &id)?;
        }
        let end = ["COMMIT", "ROLLBACK"][random.below(2)];
        self.client.query(end)?;
        Ok(())
    }

    fn set(&mut self, random: &mut Random) -> Done {
        let value = (1000 + random.below(1000)).to_string();
        let mode = ["", "STRICT_ALL_TABLES", "PIPES_AS_CONCAT"][random.below(3)];
        match random.below(4) {
            0 => {
                self.client
                    .query(&format!("SET SESSION lock_wait_timeout = {value}"))?;
                self.settings.lock_wait_timeout = value;
            }
            1 => {
                self.client.query(&format!(
                    "SET lock_wait_timeout = {value}, sql_mode = '{mode}'"
                ))?;
                self.settings.lock_wait_timeout = value;
                self.settings.sql_mode = mode.to_owned();
            }
            2 => {
                self.client.query(&format!("SET @@sql_mode = '{mode}'"))?;
                self.settings.sql_mode = mode.to_owned();
            }
            _ => {
                let (name, collation) =
                    [("latin2", "latin2_bin"), ("ascii", "ascii_bin")][random.below(2)];
                self.client
                    .query(&format!("SET NAMES {name} COLLATE {collation}"))?;
                self.settings.character_set = name.to_owned();
                self.settings.collation = collation.to_owned();
            }
        }
        Ok(())
    }

    fn settings(&mut self) -> Done {
        let Settings {
            character_set,
            collation,
            lock_wait_timeout,
            sql_mode,
        } = &self.settings;
        let expected = format!("{character_set} {collation} {lock_wait_timeout} {sql_mode}");
        self.ask(SETTINGS, &expected)
    }

    fn use_database(&mut self, random: &mut Random) -> Done {
        let name = ["test", "sbtest"][random.below(2)];
        match random.below(2) {
            0 => drop(self.client.query(&format!("USE {name}"))?),
            _ => {
                self.client
                    .send_command(Command::INIT_DB, name.as_bytes())?;
                self.client.read_ok()?;
            }
        }
        self.database = Some(name);
        Ok(())
    }

    /// A client without one may have one where nobody has anything.
    fn database(&mut self) -> Done {
        let of_none =
            "IF(DATABASE() IS NULL OR DATABASE() = 'information_schema', 'none', DATABASE())";
        let name = self.database.unwrap_or("none");
        self.ask(of_none, name)
    }

    /// What ties the session to its connection, until it is reset.
    fn variable(&mut self) -> Done {
        let tag = self.tag();
        self.client.query(&format!("SET @v = '{tag}'"))?;
        self.ask("@v", &tag)?;
        self.ask("@v", &tag)?;
        self.reset()
    }

    fn temporary_table(&mut self) -> Done {
        let tag = self.tag();
        self.client.query(&format!(
            "CREATE TEMPORARY TABLE test.mine AS SELECT '{tag}' AS tag"
        ))?;
        self.ask("tag FROM test.mine", &tag)?;
        self.reset()
    }

    fn lock(&mut self) -> Done {
        // A session that was lost may still have its own.
        let name = self.tag();
        self.ask(&format!("GET_LOCK('{name}', 0)"), "1")?;
        self.ask(&format!("IS_USED_LOCK('{name}') = CONNECTION_ID()"), "1")?;
        self.reset()?;
        self.ask(&format!("IS_FREE_LOCK('{name}')"), "1")
    }

    fn insert(&mut self) -> Done {
        let tag = self.tag();
        let result = self
            .client
            .query(&format!("INSERT INTO test.t (tag) VALUES ('{tag}')"))?;
        if result.affected_rows != 1 || result.last_insert_id == 0 {
            return Err(Trouble::Wrong(format!("an INSERT: {result:?}")));
        }
        self.last_insert_id = result.last_insert_id;
        Ok(())
    }

    /// Its own, or it cannot be had any more.
    fn last_insert_id(&mut self) -> Done {
        let tag = self.tag();
        let sql = format!("SELECT '{tag}', LAST_INSERT_ID()");
        match self.client.query(&sql) {
            Ok(got) => self.check(&sql, &got, &[vec![tag, self.last_insert_id.to_string()]]),
            Err(error) if error.code() == Some(1105) && self.last_insert_id > 0 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn warnings(&mut self) -> Done {
        let tag = self.tag();
        self.client
            .query(&format!("SELECT CAST('{tag}' AS SIGNED)"))?;
        match self.client.query("SHOW WARNINGS") {
            Ok(result) => {
                let text = format!("{:?}", result.text());
                match text.contains(&tag) && result.rows.len() == 1 {
                    true => Ok(()),
                    false => Err(Trouble::Wrong(format!("warnings of {tag}: {text}"))),
                }
            }
            Err(error) if error.code() == Some(1105) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn user(&mut self) -> Done {
        let user = self.user;
        self.ask("SUBSTRING_INDEX(CURRENT_USER(), '@', 1)", user)
    }

    fn change_user(&mut self) -> Done {
        let login = login(self.user, self.character_set, self.database);
        login.change_user(&mut self.client)?;
        self.settings = self.expected.fresh[self.character_set].clone();
        self.last_insert_id = 0;
        Ok(())
    }

    fn reset(&mut self) -> Done {
        self.client.reset_connection()?;
        self.settings = self.expected.reset[self.character_set].clone();
        self.last_insert_id = 0;
        Ok(())
    }

    /// What others have left would be there.
    fn failure(&mut self) -> Done {
        for (sql, code) in [("SELECT tag FROM test.mine", 1146), ("SELECT", 1064)] {
            match self.client.query(sql) {
                Ok(result) => return Err(Trouble::Wrong(format!("{sql}: {:?}", result.text()))),
                Err(error) if error.code() == Some(code) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Half-closes its connection behind a statement: it still gets the answer, and nothing after it.
    fn half_way(&mut self) -> Done {
        let tag = self.tag();
        self.client.send_query(&format!("SELECT '{tag}'"))?;
        self.client
            .connection()
            .shutdown_write()
            .map_err(ClientError::from)?;
        let results = self.client.read_results()?;
        self.check("half-closed", &results[0], &[vec![tag]])
    }
}

fn login(user: &str, character_set: usize, database: Option<&str>) -> Login {
    let login = Login::new(user, user)
        .character_set(CHARACTER_SETS[character_set])
        .without(Capabilities::SESSION_TRACK);
    match database {
        Some(database) => login.database(database),
        None => login,
    }
}
