//! Clients that speak anything but the protocol, or speak it and do harm: each gets its answer and its end, and the
//! others are served all the while.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use protocol::Capabilities;
use protocol::packet::{PacketHeader, put_payload};
use protocol::response::ErrPacket;
use testkit::{Client, Connection, MariaDb, ProxyProcess, Server, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

fn proxy(server: &Server, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[backend.as_str()], options].concat())
}

fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("a client is served")
}

/// A client without any faults is served.
#[track_caller]
fn serves(proxy: &ProxyProcess) {
    let answer = connect(proxy).value("SELECT 1");
    assert_eq!(answer.expect("the server answers"), "1");
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_payload(&mut packet, 1, payload);
    packet
}

/// The fixed part of a login: flags, longest packet, collation, filler.
fn login_start(capabilities: Capabilities) -> Vec<u8> {
    let mut payload = capabilities.low().to_le_bytes().to_vec();
    payload.extend((1_u32 << 24).to_le_bytes());
    payload.push(45);
    payload.extend([0; 23]);
    payload
}

/// A login packet whose auth response claims to have 4 GiB.
fn huge_auth_response() -> Vec<u8> {
    let mut payload = login_start(
        Capabilities::LONG_PASSWORD
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH_LENENC_DATA,
    );
    payload.extend(b"app\0");
    payload.push(0xfe);
    payload.extend((1_u64 << 32).to_le_bytes());
    packet(&payload)
}

/// The whole login of a client before 4.1: two bytes of flags, three of length, user, scramble.
fn login_of_protocol_4_0() -> Vec<u8> {
    packet(b"\x85\x00\x00\x00\x01app\0ABCDEFGH")
}

/// What the client gets behind the greeting, up to the close.
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = Connection::tcp(address).expect("the port is open");
    connection.read_payload(0).expect("the greeting comes");
    connection.send_bytes(bytes).expect("the proxy listens");
    let answer = connection.read_to_end(1 << 10);
    answer.expect("the connection is closed in order")
}

/// The one ERR packet that an answer is.
#[track_caller]
fn err_packet(answer: &[u8]) -> ErrPacket<'_> {
    let (header, payload) = answer.split_at(PacketHeader::BYTES);
    let length = PacketHeader::peek(header).map(|header| header.length);
    assert_eq!(length, Some(payload.len()));
    ErrPacket::decode(payload).expect("it is an ERR packet")
}

/// Sends `bytes` instead of a login; the answer must be an ERR packet with this code, and the log must say `reason`.
#[track_caller]
fn is_refused(bytes: &[u8], code: u16, reason: &str) {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &[]);
    let started = Instant::now();
    let answer = answer(proxy.address(), bytes);
    assert!(started.elapsed() < SOON, "the login deadline is later");
    let err = err_packet(&answer);
    assert_eq!((err.code, err.sql_state), (code, Some(*b"08S01")));
    let line = proxy.wait_for_log("session 1 (client 127.0.0.1:", SOON);
    assert!(line.contains(reason), "{line}");
    serves(&proxy);
}

#[test]
fn garbage() {
    is_refused(&[0xee; 100], 1043, "HandshakeResponse41 of 15658734 bytes");
}

#[test]
fn an_http_request() {
    is_refused(b"GET / HTTP/1.1\r\n\r\n", 1043, "HandshakeResponse41 of");
}

#[test]
fn a_login_of_16_mib() {
    // It is refused at its header: the rest never comes.
    is_refused(
        b"\xff\xff\xff\x01",
        1043,
        "HandshakeResponse41 of 16777215 bytes",
    );
}

#[test]
fn a_login_with_an_auth_response_of_4_gib() {
    is_refused(
        &huge_auth_response(),
        1043,
        "HandshakeResponse41: cut short in auth response",
    );
}

#[test]
fn a_login_that_ends_in_its_flags() {
    is_refused(&packet(b"\x85\xa6"), 1043, "cut short in client flags");
}

#[test]
fn an_empty_login() {
    is_refused(&packet(b""), 1043, "cut short in client flags");
}

#[test]
fn tls_that_was_not_offered() {
    let request = login_start(Capabilities::PROTOCOL_41 | Capabilities::SSL);
    is_refused(&packet(&request), 1043, "TLS");
}

#[test]
fn a_client_before_4_1() {
    is_refused(
        &login_of_protocol_4_0(),
        2007,
        "4.0 protocol is not supported",
    );
}

#[test]
fn silence_ends_at_the_login_deadline() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &["--proxy-login-timeout=0.5"]);
    let half = &huge_auth_response()[..20];
    for bytes in [b"".as_slice(), b"\x20", half] {
        let lines = proxy.log().len();
        let started = Instant::now();
        let answer = answer(proxy.address(), bytes);
        assert_eq!(err_packet(&answer).code, 1159);
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(400), "{waited:?}");
        let line = proxy.wait_for_log_after(lines, "sent nothing for 500ms", SOON);
        assert!(line.contains("client 127.0.0.1:"), "{line}");
    }
}

/// What a process may have open: as much as the system lets it. The proxy and the server inherit it.
fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit may be raised");
}

/// Connections that were greeted and say nothing.
fn silent_clients(address: SocketAddr, count: usize) -> Vec<Connection> {
    let greeted = || {
        let mut connection = Connection::tcp(address).expect("the port is open");
        connection.read_payload(0).expect("the greeting comes");
        connection
    };
    (0..count).map(|_| greeted()).collect()
}

#[test]
fn two_thousand_clients_that_never_log_in() {
    const CLIENTS: usize = 2000;
    raise_open_files();
    let server = MariaDb::start(&["--max-connections=2100"]);
    let proxy = proxy(&server, &["--proxy-login-timeout=6"]);
    let mut honest = connect(&proxy);
    let (files, bytes) = (proxy.open_files(), proxy.resident_bytes());

    let mut silent = thread::scope(|scope| {
        let part = || silent_clients(proxy.address(), CLIENTS / 4);
        let parts: Vec<_> = (0..4).map(|_| scope.spawn(part)).collect();
        let parts = parts.into_iter().map(thread::ScopedJoinHandle::join);
        parts
            .flat_map(|part| part.expect("all are greeted"))
            .collect::<Vec<_>>()
    });
    let started = Instant::now();
    serves(&proxy);
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert!(proxy.open_files() >= files + 2 * CLIENTS, "all are there");
    let grown = proxy.resident_bytes().saturating_sub(bytes);
    assert!(grown < CLIENTS as u64 * 32 * 1024, "{grown} bytes");

    for connection in &mut silent {
        let answer = connection.read_to_end(1 << 10);
        let answer = answer.expect("the connection is closed in order");
        assert_eq!(err_packet(&answer).code, 1159);
    }
    wait::until("the files are closed", SOON, || proxy.open_files() <= files);
    honest.ping().unwrap();
    serves(&proxy);
}

/// Waits until the proxy reads and writes nothing any more: its peers take nothing.
fn wait_until_stuck(proxy: &ProxyProcess) {
    let io = || fs::read_to_string(format!("/proc/{}/io", proxy.id())).expect("the proxy runs");
    let mut last = (io(), Instant::now());
    wait::until("the proxy stands still", SOON, || {
        let now = io();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(300)
    });
}

/// What a session may hold on its way, with room for the allocator.
const IN_FLIGHT_MAX: u64 = 4 * MIB;

#[test]
fn a_client_that_does_not_read_its_result() {
    const ROWS: usize = 120_000;
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &[]);
    let mut client = connect(&proxy);
    client.ping().unwrap();
    let before = proxy.resident_bytes();
    let sql = format!("SELECT REPEAT('x', 1000) FROM seq_1_to_{ROWS}");
    client.query("USE test").unwrap();
    client.send_query(&sql).unwrap();
    wait_until_stuck(&proxy);
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < IN_FLIGHT_MAX, "{grown} bytes");
    serves(&proxy);

    // Late is not never.
    let results = client.read_results().unwrap();
    assert_eq!(results[0].rows.len(), ROWS);
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < IN_FLIGHT_MAX, "{grown} bytes");
}

#[test]
fn a_client_that_asks_and_asks_and_never_reads() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &["--proxy-write-timeout=2"]);
    let mut client = connect(&proxy);
    client.ping().unwrap();
    let before = proxy.resident_bytes();
    let connection = client.connection();
    connection.set_timeout(Duration::from_millis(500)).unwrap();
    let mut command = Vec::new();
    let sql = format!("\x03SELECT REPEAT('x', 100000) -- {}", "y".repeat(10_000));
    put_payload(&mut command, 0, sql.as_bytes());
    let mut sent = 0;
    let stuck = loop {
        match connection.send_bytes(&command) {
            Ok(()) => sent += command.len() as u64,
            Err(error) => break error,
        }
        assert!(sent < 64 * MIB, "nobody holds the client back");
    };
    assert_eq!(stuck.kind(), std::io::ErrorKind::WouldBlock, "{stuck}");
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < IN_FLIGHT_MAX, "{grown} bytes");
    proxy.wait_for_log("client took nothing for 2s", SOON);
    serves(&proxy);
}
