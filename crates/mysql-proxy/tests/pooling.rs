//! Scripts give connections to the pool and take them from there: who gets which, what they meet there, and what never
//! leaves its session.

mod scripted;
mod shipped;

use std::thread;
use std::time::Instant;

use protocol::{Capabilities, Command};
use testkit::{Client, ClientError, MariaDb, Mysql97, Server};

use scripted::{DEADLINE, SHARING, ScriptFile, connect, sharing, value};

/// Waits for a condition that nobody announces.
fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_true() {
        assert!(Instant::now() < deadline, "not {what} in time");
        thread::yield_now();
    }
}

fn id(client: &mut Client) -> String {
    value(client, "SELECT CONNECTION_ID()")
}

fn code<T>(result: Result<T, ClientError>) -> Option<u16> {
    result.err().expect("it is refused").code()
}

fn each_server(test: impl Fn(&Server)) {
    test(&MariaDb::start(&[]));
    if let Some(server) = Mysql97::start(&[]) {
        test(&server);
    }
}

#[test]
fn the_server_checks_every_client_on_a_connection_that_is_used_again() {
    each_server(|server| {
        let (_script, proxy) = sharing(server, &[]);
        let mut first = connect(&proxy);
        let connection = id(&mut first);
        let mut second = connect(&proxy);
        assert_eq!(id(&mut second), connection);
        let refused = Client::connect(proxy.address(), "adm", "wrong");
        assert_eq!(code(refused), Some(1045));
        let mut adm =
            Client::connect(proxy.address(), "adm", "adm").expect("the password is right");
        assert!(value(&mut adm, "SELECT CURRENT_USER()").starts_with("adm@"));
        let mut third = connect(&proxy);
        assert!(value(&mut third, "SELECT CURRENT_USER()").starts_with("app@"));
    });
}

#[test]
fn settings_and_default_database_follow_the_client() {
    each_server(|server| {
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        assert_eq!(id(&mut one), id(&mut other));
        let default = value(&mut other, "SELECT @@session.lock_wait_timeout");
        for sql in [
            "SET NAMES latin1",
            "SET SESSION lock_wait_timeout = 77, sql_select_limit = 1000",
            "USE test",
        ] {
            one.query(sql).expect(sql);
        }
        let of_one = "SELECT CONCAT(@@character_set_client, @@lock_wait_timeout, @@sql_select_limit, DATABASE())";
        for _ in 0..3 {
            assert_eq!(value(&mut one, of_one), "latin1771000test");
            assert_eq!(
                value(&mut other, "SELECT @@session.lock_wait_timeout"),
                default
            );
            assert_ne!(value(&mut other, "SELECT @@character_set_client"), "latin1");
        }
        one.query("RESET CONNECTION")
            .expect_err("it is no statement");
        one.reset_connection().expect("an OK");
        assert_eq!(
            value(&mut one, "SELECT @@session.lock_wait_timeout"),
            default
        );
    });
}

#[test]
fn what_cannot_be_moved_keeps_its_connection() {
    let server = MariaDb::start(&[]);
    for statements in [
        &["BEGIN", "SELECT 1"][..],
        &["SET autocommit = 0"],
        &["SET @a = 7"],
        &["SELECT 7 INTO @a"],
        &["LOCK TABLES test.pinned WRITE"],
        &["CREATE TEMPORARY TABLE test.mine (a INT)"],
        &["SELECT GET_LOCK('mine', 0)"],
        &["PREPARE mine FROM 'SELECT 1'"],
        &["/*!50000 SET @a = 1 */"],
    ] {
        let (_script, proxy) = sharing(&server, &[]);
        let mut one = connect(&proxy);
        one.query("CREATE TABLE IF NOT EXISTS test.pinned (a INT)")
            .expect("an OK");
        let pinned = id(&mut one);
        for sql in statements {
            one.query(sql).expect(sql);
        }
        // There is no idle connection left: the next client gets its own.
        let mut other = connect(&proxy);
        assert_ne!(id(&mut other), pinned, "{statements:?}");
        if !statements[0].starts_with("LOCK") {
            assert_eq!(id(&mut one), pinned, "{statements:?}");
        }
        drop(one);
        // It is closed with its session.
        wait_until("closed", || {
            let sql =
                format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {pinned}");
            server.query(&sql)[0][0].as_deref() == Some("0")
        });
    }
}

#[test]
fn a_prepared_statement_keeps_its_connection_until_it_is_closed() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &[]);
    let mut one = connect(&proxy);
    let before = id(&mut one);
    one.send_command(Command::STMT_PREPARE, b"SELECT 7")
        .expect("sent");
    let prepared = one.read_payload().expect("COM_STMT_PREPARE_OK");
    one.read_payload().expect("a definition");
    let mut other = connect(&proxy);
    assert_ne!(id(&mut other), before);
    assert_eq!(id(&mut one), before);
    one.send_command(Command::STMT_CLOSE, &prepared[1..5])
        .expect("sent");
    one.ping().expect("an OK");
    let mut third = connect(&proxy);
    let ids = [id(&mut third), id(&mut third)];
    assert!(ids.contains(&before), "{ids:?} without {before}");
}

#[test]
fn a_transaction_sees_one_connection_and_the_others_wait() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &["--proxy-pool-wait=1"]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    one.query("BEGIN").expect("an OK");
    assert_eq!(code(other.query("SELECT 1")), Some(1040));
    // It is refused, not closed.
    one.query("COMMIT").expect("an OK");
    assert_eq!(value(&mut other, "SELECT 8"), "8");
    one.query("BEGIN").expect("an OK");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.query("SELECT 9").map(|_| ()));
        one.query("SELECT SLEEP(0.1)").expect("a row");
        one.query("COMMIT").expect("an OK");
        waiting
            .join()
            .expect("no panic")
            .expect("it got the connection");
    });
}

#[test]
fn dead_idle_connections_are_noticed() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &[]);
    let mut client = connect(&proxy);
    let before = id(&mut client);
    server.query(&format!("KILL {before}"));
    proxy.wait_for_log("closed 1 idle connections", DEADLINE);
    // There is none for this client: the next one to log in brings one.
    let mut next = connect(&proxy);
    assert_ne!(id(&mut next), before);
    assert_ne!(id(&mut client), before);
    // At once: nobody has looked since.
    server.query(&format!("KILL {}", id(&mut client)));
    let mut last = connect(&proxy);
    assert_eq!(value(&mut last, "SELECT 5"), "5");
}

#[test]
fn another_kind_of_client_gets_a_connection_of_its_own() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &[]);
    let mut old = connect(&proxy);
    let shared = id(&mut old);
    let login = testkit::Login::new("app", "app").with(Capabilities::FOUND_ROWS);
    let connection = testkit::Connection::tcp(proxy.address()).expect("it listens");
    let mut other = login.connect(connection).expect("the proxy serves");
    assert_ne!(id(&mut other), shared);
    assert_eq!(id(&mut old), shared);
}

/// Answers a query with the connection's number, and how many queries it had.
const COUNTING_SERVER: &str = "
local proto = require('mysql.proto')
local count = 0
proxy.global.connections = (proxy.global.connections or 0) + 1
local mine = proxy.global.connections
function connect_server()
  proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { proto.to_challenge_packet {} } }
  return proxy.PROXY_SEND_RESULT
end
function read_query(packet)
  proxy.response = { type = proxy.MYSQLD_PACKET_OK }
  if packet:byte() == proxy.COM_QUERY then
    count = count + 1
    proxy.response.resultset = {
      fields = { { name = 'counter', type = proxy.MYSQL_TYPE_STRING } },
      rows = { { mine .. ' ' .. count } },
    }
  end
  return proxy.PROXY_SEND_RESULT
end
";

/// The example of MySQL Proxy 0.8.5: first in, first out; pulled and put back where the script does not want it.
#[test]
fn the_order_of_connections_is_the_original_ones() {
    let mock = ScriptFile::new(COUNTING_SERVER);
    let mock = mock.proxy(&[], &["--proxy-backend-addresses=127.0.0.1:1"]);
    let backend = format!("--proxy-backend-addresses={}", mock.address());
    let proxy = shipped::proxy("ro-pooling", &[], &[&backend]);
    let _opens_the_first = connect(&proxy);
    let mut clients = Vec::new();
    for expected in ["2 1", "1 1", "1 2", "2 2", "5 1"] {
        let mut client = connect(&proxy);
        client
            .send_command(Command::INIT_DB, b"test")
            .expect("sent");
        client.read_ok().expect("an OK");
        assert_eq!(value(&mut client, "SELECT counter"), expected);
        clients.push(client);
    }
}

/// MySQL says why, and then closes.
#[test]
fn connections_that_were_idle_for_too_long_are_noticed() {
    let Some(server) = Mysql97::start(&["--wait-timeout=1"]) else {
        return;
    };
    let (_script, proxy) = sharing(&server, &[]);
    let mut one = connect(&proxy);
    let before = id(&mut one);
    proxy.wait_for_log("closed 1 idle connections", DEADLINE);
    let mut other = connect(&proxy);
    assert_ne!(id(&mut other), before);
    assert_ne!(id(&mut one), before);
}

fn connections(server: &Server) -> usize {
    let sql = "SELECT id FROM information_schema.processlist WHERE user = 'app'";
    server.query(sql).len()
}

#[test]
fn a_connection_that_is_taken_at_the_end_is_closed() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&format!(
        "{SHARING}
        function connect_server() end
        function disconnect_client()
            proxy.connection.backend_ndx = 0
            if proxy.global.backends[1].pool.users.app.cur_idle_connections > 1 then
                proxy.connection.backend_ndx = 1
            end
        end"
    ));
    let proxy = script.proxy(&[&server], &[]);
    let clients: Vec<_> = (0..3).map(|_| connect(&proxy)).collect();
    assert_eq!(connections(&server), 3);
    for (client, left) in clients.into_iter().zip([2, 1, 1]) {
        drop(client);
        wait_until("closed", || connections(&server) == left);
    }
}

#[test]
fn a_client_that_the_script_closes_may_leave_its_connection() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&format!(
        "{SHARING}
        function read_query_result(inj)
            if inj.query:find('last') then proxy.connection.connection_close = true end
            if not inj.query:find('kept') then proxy.connection.backend_ndx = 0 end
        end
        function disconnect_client() end"
    ));
    let proxy = script.proxy(&[&server], &[]);
    for (sql, left) in [("SELECT 'last'", 1), ("SELECT 'last, kept'", 0)] {
        let mut client = connect(&proxy);
        assert!(value(&mut client, sql).starts_with("last"));
        client.ping().expect_err("it is closed");
        wait_until("closed", || connections(&server) == left);
    }
}
