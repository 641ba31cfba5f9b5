//! Servers that die and come back.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::wait;

use crate::{connect, server};

#[test]
fn a_killed_server_cuts_its_sessions_refuses_new_ones_and_comes_back() {
    let mut server = server();
    let address = server.address();
    let mut client = connect(&server);
    client.query("DELETE FROM films WHERE id > 1").unwrap();

    server.kill().unwrap();
    assert!(client.ping().is_err());
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(server.sessions(), 0);
    server.kill().unwrap();

    server.restart().unwrap();
    server.restart().unwrap();
    assert_eq!(server.address(), address);
    let mut client = connect(&server);
    assert_eq!(client.value("SELECT count(*) FROM films").unwrap(), "1");
}

#[test]
fn a_kill_does_not_wait_for_running_statements() {
    let mut server = server();
    for busy in [
        "SELECT SLEEP(50)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    ] {
        let mut client = connect(&server);
        client.send_query(busy).unwrap();
        let start = Instant::now();
        server.kill().unwrap();
        assert!(start.elapsed() < Duration::from_secs(3), "{busy}");
        assert!(client.read_results().is_err(), "{busy}");
        server.restart().unwrap();
    }
}

#[test]
fn sessions_kill_each_other() {
    let server = server();
    let mut killer = connect(&server);
    let mut victim = connect(&server);
    let id = victim.value("SELECT CONNECTION_ID()").unwrap();
    victim
        .send_query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0")
        .unwrap();
    // Until the statement runs, there is nothing to interrupt.
    let interrupted = wait::poll(Duration::from_secs(10), || {
        killer.query(&format!("KILL QUERY {id}")).unwrap();
        let connection = victim.connection();
        connection.set_timeout(Duration::from_millis(50)).unwrap();
        victim.read_results().err().and_then(|error| error.code())
    });
    assert_eq!(interrupted, Some(1317));
    victim.ping().unwrap();

    killer.query(&format!("KILL {id}")).unwrap();
    assert!(victim.ping().is_err());
    wait::until("the session is gone", Duration::from_secs(5), || {
        server.sessions() == 1
    });
    let gone = killer.query(&format!("KILL {id}")).unwrap_err();
    assert_eq!(gone.code(), Some(1094));
}

#[test]
fn sessions_end_with_their_clients() {
    let server = server();
    let client = connect(&server);
    assert_eq!(server.sessions(), 1);
    client.quit().unwrap();
    drop(connect(&server));
    wait::until("no session is left", Duration::from_secs(5), || {
        server.sessions() == 0
    });
}
