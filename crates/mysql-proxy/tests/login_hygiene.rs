//! Clients that give up their login never bring the proxy's host nearer to a server's `max_connect_errors`, past which
//! the server locks out the host, which is everyone's.
//!
//! Servers do not count what comes from 127.0.0.1: here they see the proxy come from 127.0.0.2.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use protocol::Capabilities;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use testkit::{
    Client, ClientError, Connection, FaultLink, MariaDb, Mysql97, ProxyProcess, Server, wait,
};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(20);
/// A client of each kind tries so often.
const ATTEMPTS: usize = 20;
/// ER_HOST_IS_BLOCKED
const HOST_IS_BLOCKED: u16 = 1129;
/// `connect_timeout` is how long the server waits for a login.
const SERVER_OPTIONS: [&str; 2] = ["--max-connect-errors=5", "--connect-timeout=2"];
/// Shorter than the server's patience.
const LOGIN_TIMEOUT: &str = "--proxy-login-timeout=1";

/// A client that gives up.
struct Quitter {
    name: &'static str,
    attempt: Attempt,
}

enum Attempt {
    /// Does not wait for the greeting.
    Ungreeted(fn(Connection)),
    /// Has been greeted and gets a login packet that it may send.
    Greeted(fn(Connection, &[u8])),
}

use Attempt::{Greeted, Ungreeted};

const QUITTERS: [Quitter; 9] = [
    Quitter {
        name: "a port scan",
        attempt: Ungreeted(drop),
    },
    Quitter {
        name: "an HTTP request",
        attempt: Ungreeted(|mut connection| {
            let _ = connection.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            wait_for_close(connection);
        }),
    },
    Quitter {
        name: "a health check",
        attempt: Greeted(|connection, _| drop(connection)),
    },
    Quitter {
        name: "a reset after the greeting",
        attempt: Greeted(|connection, _| {
            let _ = connection.reset();
        }),
    },
    Quitter {
        name: "silence",
        attempt: Greeted(|connection, _| wait_for_close(connection)),
    },
    Quitter {
        name: "half a login packet",
        attempt: Greeted(|mut connection, login| {
            let _ = connection.send_bytes(&login[..login.len() / 2]);
        }),
    },
    Quitter {
        name: "half a login packet and silence",
        attempt: Greeted(|mut connection, login| {
            let _ = connection.send_bytes(&login[..login.len() / 2]);
            wait_for_close(connection);
        }),
    },
    Quitter {
        name: "a hang-up before the answer to the login",
        attempt: Greeted(|mut connection, login| {
            let _ = connection.send_bytes(login);
        }),
    },
    Quitter {
        name: "a hang-up instead of an answer to the AuthSwitchRequest",
        attempt: Greeted(|mut connection, login| {
            let _ = connection.send_bytes(login);
            let _ = connection.read_payload(2);
        }),
    },
];

impl Quitter {
    fn try_once(&self, address: SocketAddr) {
        let mut connection = Connection::tcp(address).expect("the port is open");
        match self.attempt {
            Ungreeted(attempt) => attempt(connection),
            Greeted(attempt) => {
                let (_, payload) = connection.read_payload(0).expect("the server speaks first");
                // A host that is locked out already gets an ERR packet.
                if let Ok(greeting) = HandshakeV10::decode(&payload) {
                    attempt(connection, &login(&greeting));
                }
            }
        }
    }
}

/// A login packet that the server answers with an AuthSwitchRequest.
fn login(greeting: &HandshakeV10) -> Vec<u8> {
    let response = HandshakeResponse41 {
        capabilities: greeting.capabilities
            & (Capabilities::PROTOCOL_41
                | Capabilities::SECURE_CONNECTION
                | Capabilities::PLUGIN_AUTH),
        max_packet_bytes: 1 << 24,
        character_set: 45,
        username: b"app".to_vec(),
        auth_plugin_name: b"no_such_plugin".to_vec(),
        ..HandshakeResponse41::default()
    };
    let (mut payload, mut packet) = (Vec::new(), Vec::new());
    response.encode(&mut payload);
    protocol::packet::put_payload(&mut packet, 1, &payload);
    packet
}

fn wait_for_close(mut connection: Connection) {
    // Whatever is said before.
    let _ = connection.read_to_end(1 << 10);
}

/// All attempts at once, until all of them were given up and the server has noticed.
fn give_up(quitter: &Quitter, address: SocketAddr, server: &Server) {
    let mut observer = Client::connect_unix(&server.socket(), "root", "").expect("there is room");
    let before = connections(&mut observer);
    thread::scope(|scope| {
        for _ in 0..ATTEMPTS {
            scope.spawn(|| quitter.try_once(address));
        }
    });
    wait::until("all have reached the server", SOON, || {
        connections(&mut observer) >= before + ATTEMPTS
    });
    wait_until_done(server);
}

/// How many the server has seen, well or ill.
fn connections(observer: &mut Client) -> usize {
    let status = observer.query("SHOW GLOBAL STATUS LIKE 'Connections'");
    let rows = status.expect("the server answers").text();
    let count = rows[0][1].as_deref().unwrap_or_default();
    count.parse().expect("it is a number")
}

/// Waits until the server knows nobody any more who came through the link.
fn wait_until_done(server: &Server) {
    let unfinished = "SELECT 1 FROM information_schema.processlist WHERE host LIKE '127.0.0.2%'";
    wait::until("the server is done with them", SOON, || {
        server.query(unfinished).is_empty()
    });
}

/// A login that must be well: it also sets the server's count back to zero.
fn log_in(address: SocketAddr) -> Result<(), ClientError> {
    Client::connect(address, "app", "app")?.quit()
}

fn link_to(server: &Server) -> FaultLink {
    FaultLink::between(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), server.address())
}

fn proxy(link: &FaultLink) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", link.address());
    ProxyProcess::start(BINARY, &[&backend, LOGIN_TIMEOUT])
}

fn nobody_is_locked_out(server: &Server) {
    let link = link_to(server);
    let proxy = proxy(&link);
    for quitter in &QUITTERS {
        log_in(proxy.address()).expect("the host is not blocked yet");
        give_up(quitter, proxy.address(), server);
        log_in(proxy.address()).unwrap_or_else(|error| panic!("{}: {error}", quitter.name));
    }
}

/// The proof that the others can fail: without the proxy, the same clients do lock out their host.
fn clients_lock_themselves_out(server: &Server, forgive: &str) {
    let link = link_to(server);
    for quitter in &QUITTERS {
        server.query(forgive);
        log_in(link.address()).expect("the host is not blocked yet");
        give_up(quitter, link.address(), server);
        let outcome = log_in(link.address());
        let code = outcome.as_ref().err().and_then(ClientError::code);
        assert_eq!(code, Some(HOST_IS_BLOCKED), "{}: {outcome:?}", quitter.name);
    }
}

/// The proxy looks whether the server is back, more often than this server forgives.
fn probes_are_harmless(server: &Server) {
    server.query("SET GLOBAL max_connect_errors = 2");
    let link = link_to(server);
    let proxy = proxy(&link);
    log_in(proxy.address()).expect("the host is not blocked yet");
    for _ in 0..4 {
        let lines = proxy.log().len();
        link.refuse();
        let down = log_in(proxy.address()).expect_err("the server is not to be reached");
        assert_eq!(down.code(), Some(1105), "{down}");
        link.accept();
        proxy.wait_for_log_after(lines, "is up again", SOON);
    }
    log_in(proxy.address()).expect("the host is not blocked");
}

/// The proxy ends while clients are logging in.
fn a_shutdown_is_harmless(server: &Server) {
    let link = link_to(server);
    let backend = format!("--proxy-backend-addresses={}", link.address());
    let mut proxy = ProxyProcess::start(BINARY, &[&backend, "--shutdown-timeout=0.2"]);
    let mut clients: Vec<_> = (0..ATTEMPTS)
        .map(|_| Connection::tcp(proxy.address()).expect("the port is open"))
        .collect();
    for client in &mut clients {
        client.read_payload(0).expect("the greeting comes");
    }
    assert_eq!(proxy.terminate().code(), Some(0));
    wait_until_done(server);
    log_in(link.address()).expect("the host is not blocked");
}

#[test]
fn mariadb_locks_nobody_out() {
    nobody_is_locked_out(&MariaDb::start(&SERVER_OPTIONS));
}

#[test]
fn mysql_locks_nobody_out() {
    let Some(server) = Mysql97::start(&SERVER_OPTIONS) else {
        return;
    };
    nobody_is_locked_out(&server);
}

#[test]
fn mariadb_locks_out_clients_of_its_own() {
    clients_lock_themselves_out(&MariaDb::start(&SERVER_OPTIONS), "FLUSH HOSTS");
}

#[test]
fn mysql_locks_out_clients_of_its_own() {
    let Some(server) = Mysql97::start(&SERVER_OPTIONS) else {
        return;
    };
    clients_lock_themselves_out(&server, "TRUNCATE TABLE performance_schema.host_cache");
}

#[test]
fn mariadb_holds_nothing_against_probes() {
    probes_are_harmless(&MariaDb::start(&SERVER_OPTIONS));
}

#[test]
fn mysql_holds_nothing_against_probes() {
    let Some(server) = Mysql97::start(&SERVER_OPTIONS) else {
        return;
    };
    probes_are_harmless(&server);
}

#[test]
fn mariadb_holds_nothing_against_a_shutdown() {
    a_shutdown_is_harmless(&MariaDb::start(&SERVER_OPTIONS));
}
