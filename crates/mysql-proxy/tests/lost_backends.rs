//! Servers that die under their clients: what these see, and that nobody else sees anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::process::{self, Finished};
use testkit::{
    Client, ClientError, Direction, FaultLink, Faults, MariaDb, ProxyProcess, Server, command, wait,
};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(20);

fn proxy(backends: &[SocketAddr]) -> ProxyProcess {
    let addresses: Vec<_> = backends.iter().map(SocketAddr::to_string).collect();
    let backends = format!("--proxy-backend-addresses={}", addresses.join(","));
    ProxyProcess::start(BINARY, &[&backends])
}

fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("a client is served")
}

/// Waits until the server runs a statement that starts so.
fn wait_until_runs(server: &Server, start: &str) {
    let running =
        format!("SELECT 1 FROM information_schema.processlist WHERE info LIKE '{start}%'");
    wait::until(start, SOON, || !server.query(&running).is_empty());
}

/// Reads what is left, which must end with a close in order. What there was.
#[track_caller]
fn rest(client: &mut Client) -> Vec<u8> {
    let rest = client.connection().read_to_end(1 << 20);
    rest.expect("the connection is closed, not reset")
}

#[test]
fn a_running_command_gets_an_error_that_names_the_server() {
    let mut server = MariaDb::start(&[]);
    let proxy = proxy(&[server.address()]);
    let mut client = connect(&proxy);
    client.send_query("SELECT SLEEP(3600)").unwrap();
    wait_until_runs(&server, "SELECT SLEEP");
    server.kill9();
    let lost = client.read_results().unwrap_err();
    let ClientError::Server {
        code,
        sql_state,
        message,
    } = &lost
    else {
        panic!("no ERR packet: {lost}");
    };
    assert_eq!((*code, sql_state.as_str()), (2013, "HY000"));
    assert!(
        message.contains(&server.address().to_string()),
        "does not name the backend: {message}"
    );
    assert_eq!(rest(&mut client), []);
    let line = proxy.wait_for_log(&format!(", backend {}): ", server.address()), SOON);
    assert!(
        line.contains(": (warning) session 1 (client 127.0.0.1:"),
        "{line}"
    );
}

#[test]
fn an_idle_client_is_closed() {
    let mut server = MariaDb::start(&[]);
    let proxy = proxy(&[server.address()]);
    let mut client = connect(&proxy);
    server.kill9();
    wait::until("the close", SOON, || client.connection().is_closed());
}

#[test]
fn an_orderly_shutdown_of_the_server_closes_idle_clients_and_is_noticed_by_the_next() {
    let mut server = MariaDb::start(&[]);
    let other = MariaDb::start(&[]);
    let proxy = proxy(&[server.address(), other.address()]);
    let mut client = connect(&proxy);
    server.stop();
    wait::until("the close", SOON, || {
        client.connection().read_to_end(1 << 10).is_ok()
    });
    for _ in 0..3 {
        let port = connect(&proxy).value("SELECT @@port").unwrap();
        assert_eq!(port, other.port().to_string());
    }
}

/// A response of many packets; the first is the column count.
const QUERY: &str = "SELECT seq, REPEAT('x', 50) FROM seq_1_to_20";
const COLUMN_COUNT_BYTES: usize = 5;

/// A client that has asked for a response over a link that will not relay all of it.
struct CutResponse {
    client: Client,
    /// What the link relays of it.
    relayed: Vec<u8>,
    _proxy: ProxyProcess,
    _link: FaultLink,
    _server: Server,
}

impl CutResponse {
    /// `cut` says how many bytes of the response are relayed, given how many it has.
    fn new(cut: impl FnOnce(usize) -> usize) -> Self {
        let server = MariaDb::start(&[]);
        let link = FaultLink::to(server.address());
        let proxy = proxy(&[link.address()]);
        let mut client = connect(&proxy);
        client.query("USE test").expect("the database is there");
        let start = link.recorded(Direction::ToClient).len();
        client.query(QUERY).expect("the response is whole");
        let recorded = link.recorded(Direction::ToClient);
        let response = &recorded[start..];
        let kept = cut(response.len());
        let faults = Faults {
            cut_after: Some((recorded.len() + kept) as u64),
            ..Faults::default()
        };
        link.set(Direction::ToClient, faults);
        client.send_query(QUERY).expect("the proxy is there");
        Self {
            client,
            relayed: response[..kept].to_vec(),
            _proxy: proxy,
            _link: link,
            _server: server,
        }
    }
}

#[test]
fn a_response_that_ends_inside_a_packet_is_followed_by_nothing() {
    let inside_header = CutResponse::new(|_| COLUMN_COUNT_BYTES + 3);
    let inside_payload = CutResponse::new(|length| length - 1);
    for mut cut in [inside_header, inside_payload] {
        // An ERR packet would be taken for the rest of the packet.
        assert_eq!(rest(&mut cut.client), cut.relayed);
    }
}

#[test]
fn a_response_that_ends_between_two_packets_is_followed_by_an_error() {
    let mut cut = CutResponse::new(|_| COLUMN_COUNT_BYTES);
    let lost = cut.client.read_results().unwrap_err();
    assert_eq!(lost.code(), Some(2013), "{lost}");
    assert_eq!(rest(&mut cut.client), []);
}

#[test]
fn only_the_dead_servers_sessions_end() {
    let mut dying = MariaDb::start(&[]);
    let other = MariaDb::start(&[]);
    let proxy = proxy(&[dying.address(), other.address()]);
    let (mut first, mut second) = (connect(&proxy), connect(&proxy));
    second.query("SET @kept = 1").unwrap();
    dying.kill9();
    wait::until("the close", SOON, || first.connection().is_closed());
    assert_eq!(second.value("SELECT @kept").unwrap(), "1");
}

/// Ends the visitors, also when the test fails: the scope waits for them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A session of [`visit_until`] that did not end well.
#[derive(Debug)]
struct Failure {
    began: Instant,
    /// `None` when not even the login went well.
    port: Option<String>,
    #[expect(dead_code, reason = "shown when the test fails")]
    error: ClientError,
}

/// Connects, asks, leaves, and begins again.
fn visit_until(stop: &AtomicBool, address: SocketAddr) -> Vec<Failure> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut port = None;
        if let Err(error) = visit(address, &mut port) {
            failures.push(Failure { began, port, error });
        }
    }
    failures
}

fn visit(address: SocketAddr, port: &mut Option<String>) -> Result<(), ClientError> {
    let mut client = Client::connect(address, "app", "app")?;
    for _ in 0..20 {
        *port = Some(client.value("SELECT @@port")?);
    }
    client.quit()
}

/// sysbench gives up at the first error.
fn sysbench(address: SocketAddr, seconds: u32) -> Finished {
    let mut sysbench = command::sysbench(address, "oltp_read_write");
    sysbench.args(["--threads=8", &format!("--time={seconds}"), "run"]);
    process::run(sysbench, Duration::from_secs(60))
}

fn prepare(server: &Server) {
    let mut prepare = command::sysbench(server.address(), "oltp_read_write");
    prepare.arg("prepare");
    process::run(prepare, Duration::from_secs(60)).expect_success();
}

/// How many were committed.
fn transactions(server: &Server) -> u64 {
    let status = server.query("SHOW GLOBAL STATUS LIKE 'Com_commit'");
    let count = status[0][1].as_deref().unwrap_or_default();
    count.parse().expect("it is a number")
}

#[test]
fn a_server_killed_under_load_costs_its_own_sessions_alone() {
    let (mut dying, other) = (MariaDb::start(&[]), MariaDb::start(&[]));
    prepare(&dying);
    prepare(&other);
    let proxy = proxy(&[dying.address(), other.address()]);
    let address = proxy.address();
    let stop = AtomicBool::new(false);
    let (failures, killed) = thread::scope(|scope| {
        let stop_visitors = StopOnDrop(&stop);
        let visitors: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| visit_until(&stop, address)))
            .collect();
        let interrupted = scope.spawn(|| sysbench(address, 50));
        wait::until("both servers are busy", SOON, || {
            transactions(&dying) > 50 && transactions(&other) > 50
        });
        dying.kill9();
        let killed = Instant::now();
        let interrupted = interrupted.join().expect("sysbench ends");
        assert!(!interrupted.status.success(), "{}", interrupted.text());
        sysbench(address, 2).expect_success();
        dying.restart();
        proxy.wait_for_log("is up again", SOON);
        drop(stop_visitors);
        let failures = visitors.into_iter().map(thread::ScopedJoinHandle::join);
        let failures = failures.flat_map(|failures| failures.expect("visitors do not panic"));
        (failures.collect::<Vec<_>>(), killed)
    });

    let dead = Some(dying.port().to_string());
    let unexpected: Vec<_> = failures
        .iter()
        .filter(|failure| failure.began >= killed || failure.port.is_some() && failure.port != dead)
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert_eq!(proxy.count_in_log("marking it as down"), 1);
    let mut clients = [connect(&proxy), connect(&proxy)];
    let reached = clients
        .each_mut()
        .map(|client| client.value("SELECT @@port").unwrap());
    assert!(reached.contains(&dying.port().to_string()), "{reached:?}");
}
