//! `lua/scripts/rw-splitting.lua` on a primary with a replica.

mod scripted;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::Command;
use testkit::{Client, ClientError, MariaDb, ProxyProcess, Server};

use scripted::{BINARY, connect, value};

const PATIENCE: Duration = Duration::from_secs(60);

struct Pair {
    primary: Server,
    replica: Server,
}

impl Pair {
    fn start() -> Self {
        let primary = MariaDb::start(&["--log-bin", "--binlog-format=ROW", "--server-id=1"]);
        let replica = MariaDb::start(&["--server-id=2", "--read-only=ON"]);
        for sql in [
            &format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'repl', \
                 MASTER_PASSWORD = 'repl', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
                primary.port()
            ),
            "START SLAVE",
        ] {
            replica.query(sql);
        }
        primary.query("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, tag VARCHAR(64))");
        let pair = Self { primary, replica };
        pair.catch_up();
        pair
    }

    /// The replica has all that the primary has.
    fn catch_up(&self) {
        let position = self.primary.query("SELECT @@gtid_binlog_pos");
        let position = position[0][0].clone().expect("a position");
        let sql = format!("SELECT MASTER_GTID_WAIT('{position}', 60)");
        assert_eq!(self.replica.query(&sql)[0][0].as_deref(), Some("0"));
    }

    fn proxy(&self, more: &[&str]) -> ProxyProcess {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lua/scripts/rw-splitting.lua");
        let arguments = [
            format!("--proxy-lua-script={}", script.display()),
            format!("--proxy-backend-addresses={}", self.primary.address()),
            format!(
                "--proxy-read-only-backend-addresses={}",
                self.replica.address()
            ),
            "--lua-on-load-error=error".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ProxyProcess::start(BINARY, &[&arguments, more].concat())
    }
}

/// Enough clients that their user has connections to both servers.
fn clients(proxy: &ProxyProcess, count: usize) -> Vec<Client> {
    (0..count).map(|_| connect(proxy)).collect()
}

/// Which server a statement runs on.
fn server_id(client: &mut Client) -> String {
    value(client, "SELECT @@server_id")
}

const PRIMARY: &str = "1";
const REPLICA: &str = "2";

#[test]
fn reads_go_to_the_replica_and_all_else_to_the_primary() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    let client = &mut clients[0];
    assert_eq!(server_id(client), REPLICA);
    // The replica would refuse them.
    client
        .query("INSERT INTO test.t (tag) VALUES ('a'), ('b')")
        .expect("the primary takes it");
    client
        .query("UPDATE test.t SET tag = 'c' WHERE tag = 'b'")
        .expect("the primary takes it");
    assert_eq!(server_id(client), REPLICA);
    for sql in [
        "SELECT @@server_id FOR UPDATE",
        "SELECT @@server_id LOCK IN SHARE MODE",
        "SELECT @@server_id, GET_LOCK('x', 0), RELEASE_LOCK('x')",
        "/*! SELECT */ SELECT @@server_id",
    ] {
        if let Ok(result) = client.query(sql) {
            assert_eq!(result.text()[0][0].as_deref(), Some(PRIMARY), "{sql}");
        }
    }
    // It is on the primary for good: GET_LOCK may have left something.
    let client = &mut clients[1];
    client.query("BEGIN").expect("an OK");
    assert_eq!(server_id(client), PRIMARY);
    client
        .query("INSERT INTO test.t (tag) VALUES ('d')")
        .expect("an OK");
    assert_eq!(
        value(client, "SELECT COUNT(*) FROM test.t WHERE tag = 'd'"),
        "1"
    );
    client.query("ROLLBACK").expect("an OK");
    assert_eq!(server_id(client), REPLICA);
    client.query("SET @a = 7").expect("an OK");
    assert_eq!(value(client, "SELECT @a"), "7");
    assert_eq!(server_id(client), PRIMARY);
}

#[test]
fn the_default_database_and_settings_are_right_on_both() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    let client = &mut clients[0];
    client.query("USE test").expect("an OK");
    client.query("SET NAMES latin1").expect("an OK");
    client
        .query("INSERT INTO t (tag) VALUES ('a')")
        .expect("an OK");
    let all = "SELECT CONCAT(@@server_id, DATABASE(), @@character_set_client)";
    assert_eq!(value(client, all), format!("{REPLICA}testlatin1"));
    let other = &mut clients[1];
    assert_eq!(
        value(other, "SELECT IFNULL(@@character_set_client = 'latin1', 0)"),
        "0"
    );
}

#[test]
fn last_insert_id_is_the_clients_own() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    for client in &mut clients {
        assert_eq!(value(client, "SELECT LAST_INSERT_ID()"), "0");
    }
    let mut ids = Vec::new();
    for client in &mut clients {
        client
            .query("INSERT INTO test.t (tag) VALUES ('a')")
            .expect("an OK");
        ids.push(value(client, "SELECT MAX(id) FROM test.t FOR UPDATE"));
    }
    for (client, id) in clients.iter_mut().zip(&ids) {
        assert_eq!(server_id(client), REPLICA);
        assert_eq!(value(client, "SELECT LAST_INSERT_ID()"), *id);
        assert_eq!(value(client, "SELECT @@last_insert_id"), *id);
        client
            .query("INSERT INTO test.t (id, tag) VALUES (LAST_INSERT_ID() + 1000, 'b')")
            .expect("an OK");
    }
    let found = value(
        &mut clients[0],
        "SELECT COUNT(*) FROM test.t WHERE tag = 'b' FOR UPDATE",
    );
    assert_eq!(found, "4");
}

#[test]
fn found_rows_are_those_of_the_statement_before() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    clients[0]
        .query("INSERT INTO test.t (tag) VALUES ('a'), ('b'), ('c'), ('d'), ('e')")
        .expect("an OK");
    pair.catch_up();
    for client in &mut clients {
        client
            .query("SELECT SQL_CALC_FOUND_ROWS id FROM test.t LIMIT 2")
            .expect("rows");
    }
    for client in &mut clients {
        assert_eq!(value(client, "SELECT FOUND_ROWS()"), "5");
    }
    assert_eq!(server_id(&mut clients[0]), REPLICA);
}

#[test]
fn warnings_are_those_of_the_statement_before() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    clients[0]
        .query("DROP TABLE IF EXISTS test.missing")
        .expect("a warning");
    let warnings = clients[0].query("SHOW WARNINGS").expect("rows").text();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        clients[1]
            .query("SHOW WARNINGS")
            .expect("no rows")
            .text()
            .len(),
        0
    );
    assert_eq!(server_id(&mut clients[0]), REPLICA);
}

#[test]
fn prepared_statements_stay_where_they_were_prepared() {
    let pair = Pair::start();
    let proxy = pair.proxy(&[]);
    let mut clients = clients(&proxy, 4);
    let client = &mut clients[0];
    client
        .send_command(Command::STMT_PREPARE, b"SELECT @@server_id")
        .expect("sent");
    let prepared = client.read_payload().expect("COM_STMT_PREPARE_OK");
    client.read_payload().expect("a definition");
    assert_eq!(server_id(client), PRIMARY);
    // The same number, another statement.
    let other = &mut clients[1];
    other
        .send_command(
            Command::STMT_EXECUTE,
            &[&prepared[1..5], &[0, 1, 0, 0, 0]].concat(),
        )
        .expect("sent");
    let refused = other.read_payload().expect_err("it is not there");
    assert_eq!(refused.code(), Some(1243));
    let client = &mut clients[0];
    client
        .send_command(Command::STMT_CLOSE, &prepared[1..5])
        .expect("sent");
    client.ping().expect("an OK");
    assert_eq!(server_id(client), REPLICA);
}

/// Clients that check each answer, and log in again when their connection is lost.
struct Crowd {
    served: AtomicUsize,
    written: AtomicUsize,
    is_over: AtomicBool,
}

impl Crowd {
    fn turn(&self, client: &mut Client, tag: &str) -> Result<(), ClientError> {
        let got = client.value(&format!("SELECT '{tag}'"))?;
        assert_eq!(got, tag);
        client.query(&format!("INSERT INTO test.t (tag) VALUES ('{tag}')"))?;
        self.written.fetch_add(1, Ordering::Relaxed);
        let id = client.value("SELECT LAST_INSERT_ID()")?;
        client.query("BEGIN")?;
        let mine = client.value(&format!("SELECT tag FROM test.t WHERE id = {id}"))?;
        client.query("COMMIT")?;
        assert_eq!(mine, tag);
        self.served.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn run(&self, proxy: &ProxyProcess, number: usize) {
        let mut client = None;
        for turn in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let Some(this) = &mut client else {
                client = Client::connect(proxy.address(), "app", "app").ok();
                continue;
            };
            if self.turn(this, &format!("{number}-{turn}")).is_err() {
                client = None;
            }
        }
    }

    fn wait_for(&self, what: &AtomicUsize, more: usize) {
        let before = what.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while what.load(Ordering::Relaxed) < before + more {
            assert!(Instant::now() < deadline, "nobody is served");
            thread::yield_now();
        }
    }
}

#[test]
fn no_answer_is_wrong_while_servers_die_and_come_back() {
    let mut pair = Pair::start();
    let proxy = pair.proxy(&["--proxy-pool-wait=1"]);
    let crowd = Crowd {
        served: AtomicUsize::new(0),
        written: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for number in 0..24 {
            let (crowd, proxy) = (&crowd, &proxy);
            scope.spawn(move || crowd.run(proxy, number));
        }
        crowd.wait_for(&crowd.served, 200);
        pair.replica.kill9();
        crowd.wait_for(&crowd.served, 100);
        pair.replica.restart();
        crowd.wait_for(&crowd.served, 100);
        pair.primary.kill9();
        pair.primary.restart();
        crowd.wait_for(&crowd.served, 200);
        crowd.is_over.store(true, Ordering::Relaxed);
    });
    let written = crowd.written.load(Ordering::Relaxed);
    let found = pair.primary.query("SELECT COUNT(*) FROM test.t")[0][0]
        .clone()
        .expect("a number");
    // One whose answer was lost may be there, too.
    assert!(
        found.parse::<usize>().expect("a number") >= written,
        "{found} of {written}"
    );
}
