//! The ways to one server: the direct one, and those through proxies that change nothing, each in its own way.

use std::net::SocketAddr;

use testkit::{Client, Connection, Login, ProxyProcess, Server};

use crate::difference::Comparison;
use crate::run::{Ends, Transcript, run};
use crate::scripted::{BINARY, SHARING, ScriptFile, TRANSPARENT};
use crate::session::Session;
use crate::statement_commands::TYPES;

/// Who may do everything in databases of runs, and read `test`. Each one's name is its password.
pub(crate) const USERS: [&str; 2] = ["one", "two"];

/// What sessions find in the database `test`, which nobody changes.
const OBJECTS: [&str; 8] = [
    "CREATE TABLE test.numbers (n INT PRIMARY KEY)",
    "INSERT INTO test.numbers WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 99) SELECT n FROM r",
    "CREATE PROCEDURE test.results(n INT) BEGIN \
     SELECT n, 'first'; SELECT * FROM test.numbers WHERE n < 0; SELECT n + 1 AS `last`; END",
    "CREATE PROCEDURE test.breaks() BEGIN SELECT 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken'; SELECT 2; END",
    "CREATE PROCEDURE test.nothing() BEGIN DO 1; END",
    "CREATE PROCEDURE test.outs(IN i INT, OUT o BIGINT, INOUT io VARCHAR(20)) BEGIN \
     SELECT i; SELECT n FROM test.numbers WHERE n < i ORDER BY n; SET o = i + 1, io = CONCAT(io, '!'); END",
    "CREATE PROCEDURE test.walks() BEGIN DECLARE x INT; DECLARE c CURSOR FOR SELECT n FROM test.numbers WHERE n < 3; \
     OPEN c; FETCH c INTO x; SELECT x; FETCH c INTO x; CLOSE c; SELECT x; END",
    "CREATE FUNCTION test.twice(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN 2 * n",
];

/// What a proxy does with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// There is no script.
    Plain,
    /// In the order of [`TRANSPARENT`].
    Seen,
    Injected,
    Kept,
    /// The connection is given up between commands, and another client uses it meanwhile.
    Pooled,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Seen,
        Self::Injected,
        Self::Kept,
        Self::Pooled,
    ];
}

/// A server and the proxies before it.
pub(crate) struct Routes {
    pub(crate) server: Server,
    plain: ProxyProcess,
    scripted: Vec<(ProxyProcess, ScriptFile)>,
}

impl Routes {
    pub(crate) fn to(server: Server) -> Self {
        for sql in OBJECTS.into_iter().chain(TYPES) {
            server.query(sql);
        }
        for user in USERS {
            server.query(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{user}'"));
            server.query(&format!("GRANT ALL ON `run\\_%`.* TO {user}@'%'"));
            server.query(&format!("GRANT SELECT, EXECUTE ON test.* TO {user}@'%'"));
            // From here on the scramble is enough.
            Client::connect(server.address(), user, user).expect("the server serves");
        }
        let backend = format!("--proxy-backend-addresses={}", server.address());
        let scripted = TRANSPARENT.map(|(_, script)| {
            let script = ScriptFile::new(script);
            (script.proxy(&[&server], &[]), script)
        });
        Self {
            plain: ProxyProcess::start(BINARY, &[&backend]),
            scripted: scripted.into(),
            server,
        }
    }

    /// A lane of its own for one session at a time.
    pub(crate) fn lane(&self, number: usize) -> Lane<'_> {
        let script = ScriptFile::new(&format!("{SHARING}{TURNS}"));
        Lane {
            pooled: script.proxy(&[&self.server], &[]),
            _script: script,
            root: Client::connect_unix(&self.server.socket(), "root", "")
                .expect("the server serves"),
            database: format!("run_{number:02}"),
            routes: self,
        }
    }
}

/// Has sessions one after the other, each in a new database of the same name.
pub(crate) struct Lane<'a> {
    routes: &'a Routes,
    pooled: ProxyProcess,
    _script: ScriptFile,
    root: Client,
    database: String,
}

impl Lane<'_> {
    pub(crate) fn directly(&mut self, session: &Session) -> Transcript {
        self.renew_database();
        let address = self.routes.server.address();
        run(session, address, &self.database, Ends::Found, &mut || {})
    }

    /// Each step that `is_proved` names is followed by COM_STATISTICS.
    pub(crate) fn proxied(
        &mut self,
        comparison: Comparison<'_>,
        is_proved: &dyn Fn(usize) -> bool,
    ) -> Transcript {
        self.renew_database();
        let Comparison {
            session,
            mode,
            direct,
        } = comparison;
        let address = self.address(mode);
        let is_pooled = mode == Mode::Pooled;
        let ends = Ends::Known {
            direct,
            is_right: &|part, packet, got| comparison.is_right(part, packet, got),
            is_proved: &|step| is_proved(step) && !is_pooled,
        };
        let mut others =
            is_pooled.then(|| Others::log_in(&session.login.login(&self.database), address));
        let mut between = || {
            if let Some(others) = &mut others {
                others.act();
            }
        };
        run(session, address, &self.database, ends, &mut between)
    }

    fn address(&self, mode: Mode) -> SocketAddr {
        match mode {
            Mode::Plain => self.routes.plain.address(),
            Mode::Seen => self.routes.scripted[0].0.address(),
            Mode::Injected => self.routes.scripted[1].0.address(),
            Mode::Kept => self.routes.scripted[2].0.address(),
            Mode::Pooled => self.pooled.address(),
        }
    }

    fn renew_database(&mut self) {
        let name = &self.database;
        let sql = format!(
            "DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; \
             CREATE TABLE {name}.t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(20) NOT NULL DEFAULT 'x', b INT, c BLOB); \
             INSERT INTO {name}.t (a, b, c) VALUES ('one', 1, NULL), ('two', 2, ''), ('three', NULL, 0x00ff)"
        );
        if let Err(error) = self.root.query_all(&sql) {
            panic!(
                "{error}, and the server says:\n{}",
                self.routes.server.error_log()
            );
        }
    }
}

/// Behind [`SHARING`]: two logins make connections, the third takes one of them over, and so on. At the end of sessions old
/// ones are closed: enough are kept that none of the next session's is.
const TURNS: &str = "
function connect_server()
  proxy.global.logins = (proxy.global.logins or 0) + 1
  if proxy.global.logins % 3 > 0 then return end
  proxy.connection.backend_ndx = 1
  if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
end
function disconnect_client()
  proxy.connection.backend_ndx = 0
  if proxy.global.backends[1].pool.users[''].cur_idle_connections > 20 then proxy.connection.backend_ndx = 1 end
end
";

/// Two clients of the same user, who do nothing that would let them keep a connection. There are two connections for them
/// and the client of the session, which therefore always finds one; one of them uses the other one's between two steps.
struct Others {
    clients: Vec<Client>,
    acts: usize,
}

impl Others {
    const ACTS: [&str; 7] = [
        "SET sql_select_limit = 3",
        "SELECT 1; SELECT 2, 3",
        "SET NAMES latin2",
        "USE test",
        "SELECT * FROM no_such_table",
        "SET sql_mode = 'NO_ZERO_DATE'",
        "DO 1 / 0",
    ];

    /// Who is refused is not there: the session's client will be refused, too.
    fn log_in(login: &Login, address: SocketAddr) -> Self {
        let log_in = || login.connect(Connection::tcp(address).expect("it listens"));
        Self {
            clients: (0..2).filter_map(|_| log_in().ok()).collect(),
            acts: 0,
        }
    }

    fn act(&mut self) {
        if let Some(client) = self.clients.first_mut() {
            // Some of it fails.
            let _ = client.query_all(Self::ACTS[self.acts % Self::ACTS.len()]);
            self.acts += 1;
        }
    }
}
