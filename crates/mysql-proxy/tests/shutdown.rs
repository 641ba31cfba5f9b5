//! What SIGTERM means to the sessions: the idle end at once, the busy get their time, and the process ends well.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::process::{self, Finished};
use testkit::{
    Client, ClientError, Connection, MariaDb, Mysql97, ProxyProcess, Server, command, wait,
};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(20);
/// Nothing of these tests waits for the end of it.
const LONG: &str = "--shutdown-timeout=3600";
/// Nothing that is busy gets to its end within it.
const SHORT: &str = "--shutdown-timeout=0.5";
/// ER_SERVER_SHUTDOWN
const SHUTDOWN: Option<u16> = Some(1053);

fn proxy(server: &Server, shutdown_timeout: &str) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&backend, shutdown_timeout])
}

fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("a client is served")
}

/// Asks the proxy to end and waits until it takes no more clients.
fn drain(proxy: &ProxyProcess) {
    proxy.signal(Signal::SIGTERM);
    wait::until("the port is closed", SOON, || {
        TcpStream::connect(proxy.address()).is_err()
    });
}

#[track_caller]
fn ends_well(proxy: &mut ProxyProcess) {
    assert_eq!(proxy.wait(SOON).code(), Some(0));
    proxy.wait_for_log("shutting down normally, exit code is: 0", SOON);
}

/// Waits until the server has something in its list of processes.
fn wait_until_runs(server: &Server, condition: &str) {
    let running = format!("SELECT 1 FROM information_schema.processlist WHERE {condition}");
    wait::until(condition, SOON, || !server.query(&running).is_empty());
}

/// The client is told why, as the answer to its next command, and its connection is closed.
#[track_caller]
fn is_told(client: &mut Client) {
    // What tells it is there already: nobody is left to answer.
    let error = client.ping().expect_err("the proxy has ended");
    assert_eq!(error.code(), SHUTDOWN, "{error}");
    let ClientError::Server { sql_state, .. } = error else {
        panic!("no ERR packet: {error}");
    };
    assert_eq!(sql_state, "08S01");
    wait::until("the close", SOON, || client.connection().is_closed());
}

#[test]
fn idle_sessions_end_at_once() {
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&server, LONG);
    let mut clients = [connect(&proxy), connect(&proxy)];
    clients[1].query("SELECT 1").unwrap();
    drain(&proxy);
    ends_well(&mut proxy);
    clients.iter_mut().for_each(is_told);
}

#[test]
fn a_running_command_gets_its_time() {
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&server, LONG);
    let mut client = connect(&proxy);
    client.send_query("SELECT SLEEP(2)").unwrap();
    wait_until_runs(&server, "info LIKE 'SELECT SLEEP%'");
    drain(&proxy);
    assert_eq!(client.read_results().unwrap()[0].rows.len(), 1);
    ends_well(&mut proxy);
    is_told(&mut client);
}

#[test]
fn an_open_transaction_goes_on_to_its_commit() {
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&server, LONG);
    let mut client = connect(&proxy);
    client.query("CREATE TABLE test.t (a INT)").unwrap();
    client.query("BEGIN").unwrap();
    client.query("INSERT INTO test.t VALUES (1)").unwrap();
    drain(&proxy);
    client.query("INSERT INTO test.t VALUES (2)").unwrap();
    client.query("COMMIT").unwrap();
    ends_well(&mut proxy);
    is_told(&mut client);
    assert_eq!(server.query("SELECT a FROM test.t").len(), 2);
}

#[test]
fn what_is_busy_for_too_long_is_told_and_ended() {
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&server, SHORT);
    let (mut running, mut in_transaction) = (connect(&proxy), connect(&proxy));
    let mut logging_in = Connection::tcp(proxy.address()).unwrap();
    logging_in.read_payload(0).unwrap();
    in_transaction.query("BEGIN").unwrap();
    running.send_query("SELECT SLEEP(3600)").unwrap();
    wait_until_runs(&server, "info LIKE 'SELECT SLEEP%'");
    drain(&proxy);
    let error = running.read_results().unwrap_err();
    assert_eq!(error.code(), SHUTDOWN, "{error}");
    ends_well(&mut proxy);
    is_told(&mut in_transaction);
    let (_, payload) = logging_in.read_packet().unwrap();
    assert_eq!(payload[..9], *b"\xff\x1d\x04#08S01");
}

#[test]
fn a_client_inside_a_packet_is_ended_without_a_word() {
    const ROWS: usize = 100_000;
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&server, SHORT);
    let mut client = connect(&proxy);
    client.query("USE test").unwrap();
    let rows = format!("SELECT REPEAT('x', 1000) FROM seq_1_to_{ROWS}");
    client.send_query(&rows).unwrap();
    wait_until_runs(&server, "state = 'Writing to net'");
    let started = Instant::now();
    drain(&proxy);
    ends_well(&mut proxy);
    assert!(started.elapsed() < Duration::from_secs(8));
    // Rows came, and then the end of the connection, but no ERR packet amid a row.
    let error = client.read_results().unwrap_err();
    assert!(matches!(error, ClientError::Io(_)), "{error}");
}

#[test]
fn a_replica_is_ended_at_once() {
    let server = MariaDb::start(&["--log-bin"]);
    let mut proxy = proxy(&server, LONG);
    let mut binlog = process::command("mariadb-binlog");
    binlog.args([
        "--no-defaults",
        "--skip-ssl",
        "--user=repl",
        "--password=repl",
    ]);
    binlog.args([
        "--read-from-remote-server",
        "--stop-never",
        "--protocol=tcp",
    ]);
    binlog.arg(format!("--host={}", proxy.address().ip()));
    binlog.arg(format!("--port={}", proxy.address().port()));
    let first = &server.query("SHOW BINARY LOGS")[0][0];
    binlog.arg(first.as_deref().unwrap());
    thread::scope(|scope| {
        let replica = scope.spawn(|| process::run(binlog, SOON));
        wait_until_runs(&server, "command = 'Binlog Dump'");
        drain(&proxy);
        ends_well(&mut proxy);
        replica.join().expect("it ends with its connection")
    });
}

/// Types two statements, with the proxy's end between them.
fn two_statements(server: &Server, program: fn(std::net::SocketAddr) -> Command) -> Finished {
    let mut proxy = proxy(server, LONG);
    let (input, mut keyboard) = std::io::pipe().expect("there are pipes");
    let mut command = program(proxy.address());
    command.stdin(input);
    thread::scope(|scope| {
        let client = scope.spawn(|| process::run(command, SOON));
        let mut say = |text: &str| writeln!(keyboard, "{text}").expect("the client listens");
        say("CREATE TABLE test.said (a INT);");
        let tables = "SELECT 1 FROM information_schema.tables WHERE table_name = 'said'";
        wait::until("the client is idle", SOON, || {
            !server.query(tables).is_empty()
        });
        drain(&proxy);
        ends_well(&mut proxy);
        say("SELECT 'never answered';");
        drop(keyboard);
        client.join().expect("the client ends")
    })
}

#[test]
fn the_mariadb_client_shows_the_reason() {
    let server = MariaDb::start(&[]);
    let finished = two_statements(&server, command::mariadb);
    assert!(
        finished.stderr.contains("ERROR 1053 (08S01)"),
        "{}",
        finished.stderr
    );
}

#[test]
fn the_mysql_client_shows_the_reason() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let finished = two_statements(&server, command::mysql97);
    assert!(
        finished.stderr.contains("ERROR 1053 (08S01)"),
        "{}",
        finished.stderr
    );
}
