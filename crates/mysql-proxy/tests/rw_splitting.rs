//! `lua/scripts/rw-splitting.lua` on a primary with a replica.

mod replicated;
mod scripted;
mod shipped;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::Command;
use testkit::{Client, ClientError, ProxyProcess};

use replicated::{PRIMARY, Pair, REPLICA, server_id};
use scripted::{connect, value};

const PATIENCE: Duration = Duration::from_secs(60);

/// Enough clients that their user has connections to both servers.
fn clients(proxy: &ProxyProcess, count: usize) -> Vec<Client> {
    (0..count).map(|_| connect(proxy)).collect()
}

#[test]
fn reads_go_to_the_replica_and_all_else_to_the_primary() {
    let pair = Pair::start();
    let proxy = pair.proxy("rw-splitting", &[]);
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
    let proxy = pair.proxy("rw-splitting", &[]);
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
    let proxy = pair.proxy("rw-splitting", &[]);
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
    let client = &mut clients[0];
    client.reset_connection().expect("an OK");
    assert_eq!(value(client, "SELECT LAST_INSERT_ID()"), "0");
}

#[test]
fn found_rows_are_those_of_the_statement_before() {
    let pair = Pair::start();
    let proxy = pair.proxy("rw-splitting", &[]);
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
    let proxy = pair.proxy("rw-splitting", &[]);
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
fn what_is_asked_about_the_statement_before_is_never_anothers() {
    let pair = Pair::start();
    let (_script, proxy) = pair.proxy_with("rw-splitting", "rwsplit = { operators = 'app' }");
    let mut clients = clients(&proxy, 4);
    let [one, other, ..] = &mut clients[..] else {
        panic!("there are four");
    };
    one.query("INSERT INTO test.t (tag) VALUES ('a'), ('b'), ('c')")
        .expect("an OK");
    pair.catch_up();
    // Its warning stays on the connection, which goes back to the pool.
    one.query("DROP TABLE IF EXISTS test.missing")
        .expect("a warning");
    assert_eq!(value(one, "SELECT @@warning_count"), "1");
    assert_eq!(server_id(one), REPLICA);
    for sql in ["SHOW WARNINGS", "show warnings limit 1", "SHOW ERRORS"] {
        assert_eq!(other.query(sql).expect(sql).text().len(), 0, "{sql}");
    }
    assert_eq!(value(other, "SELECT @@warning_count"), "0");
    assert_eq!(value(other, "SHOW COUNT(*) WARNINGS"), "0");
    assert_eq!(
        one.query("SELECT nothing").err().and_then(|e| e.code()),
        Some(1054)
    );
    assert_eq!(one.query("SHOW ERRORS").expect("rows").text().len(), 1);

    one.query("UPDATE test.t SET tag = 'd'").expect("an OK");
    other.query("SELECT id FROM test.t LIMIT 2").expect("rows");
    assert_eq!(value(one, "SELECT ROW_COUNT()"), "3");
    assert_eq!(value(one, "SELECT ROW_COUNT()"), "-1");
    assert_eq!(value(other, "SELECT FOUND_ROWS()"), "2");
    // What writes goes to the primary even then.
    one.query("SELECT SQL_CALC_FOUND_ROWS id FROM test.t LIMIT 1")
        .expect("a row");
    one.query("INSERT INTO test.t (tag) VALUES ('FOUND_ROWS')")
        .expect("the primary takes it");
    let config = one.query("PROXY SHOW CONFIG").expect("rows").text();
    assert!(
        config
            .iter()
            .any(|row| row[1].as_deref() == Some("is_debug")),
        "{config:?}"
    );
}

#[test]
fn long_statements_are_no_work_for_the_script() {
    let pair = Pair::start();
    let proxy = pair.proxy("rw-splitting", &["--lua-hook-timeout=0.5"]);
    let mut clients = clients(&proxy, 4);
    let rows = vec!["('a')"; 1_000_000].join(",");
    clients[0]
        .query(&format!("INSERT INTO test.t (tag) VALUES {rows}"))
        .expect("the primary takes it");
    assert_eq!(value(&mut clients[0], "SELECT LAST_INSERT_ID()"), "1");
    assert_eq!(server_id(&mut clients[0]), REPLICA);
}

#[test]
fn prepared_statements_stay_where_they_were_prepared() {
    let pair = Pair::start();
    let proxy = pair.proxy("rw-splitting", &[]);
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
    // So does a new beginning.
    client
        .send_command(Command::STMT_PREPARE, b"SELECT @@server_id")
        .expect("sent");
    client.read_payload().expect("COM_STMT_PREPARE_OK");
    client.read_payload().expect("a definition");
    assert_eq!(server_id(client), PRIMARY);
    client.reset_connection().expect("an OK");
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
        assert_eq!(client.value("SELECT ROW_COUNT()")?, "1");
        client.query("SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 LIMIT 1")?;
        assert_eq!(client.value("SELECT FOUND_ROWS()")?, "2");
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
    let proxy = pair.proxy("rw-splitting", &["--proxy-pool-wait=1"]);
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
