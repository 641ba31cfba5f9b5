//! Servers that greet as they should and then say what no server says: their own sessions end, with a line in the log
//! that says who did what; nothing hangs, nothing panics, and the sessions of other servers go on.

mod fake;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use protocol::connection_phase::HandshakeResponse41;
use protocol::packet::put_payload;
use testkit::{Client, ClientError, Connection, FakeServer, MariaDb, ProxyProcess, Server};

use fake::{OK, PLAIN, greet, packets};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(20);

/// A column named `x` of no table: `def`, four empty names, `x` and its empty original, and the fixed part.
const COLUMN: &[u8] = b"\x03def\0\0\0\x01x\0\x0c\x2d\0\0\x01\0\0\xfd\0\0\0\0\0";

fn wait_for_close(mut connection: Connection) {
    let _ = connection.read_to_end(u64::MAX);
}

/// A server whose answer to the login is the test's.
fn hostile_login(answer: impl Fn(&mut Connection) + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(move |mut connection| {
        greet(&mut connection);
        answer(&mut connection);
        wait_for_close(connection);
    })
}

/// A server that lets everybody in and whose answer to the first command is the test's.
fn hostile_answer(answer: impl Fn(&mut Connection) + Send + Sync + 'static) -> FakeServer {
    hostile_login(move |connection| {
        let _ = connection.send_payload(2, &OK);
        if connection.read_payload(0).is_ok() {
            answer(connection);
        }
    })
}

/// A proxy with a hostile server first and an honest one second, and a client of the honest one.
struct Scene {
    proxy: ProxyProcess,
    bystander: Client,
    hostile: FakeServer,
    _honest: Server,
}

impl Scene {
    fn new(hostile: FakeServer) -> Self {
        Self::with_option(hostile, "--event-threads=2")
    }

    fn with_option(hostile: FakeServer, option: &str) -> Self {
        let honest = MariaDb::start(&[]);
        let backends = format!(
            "--proxy-backend-addresses={},{}",
            hostile.address(),
            honest.address()
        );
        let proxy = ProxyProcess::start(BINARY, &[&backends, option]);
        // The first turn is the hostile server's.
        let _ = Client::connect(proxy.address(), "app", "app");
        let bystander = Client::connect(proxy.address(), "app", "app");
        Self {
            proxy,
            bystander: bystander.expect("the honest server serves"),
            hostile,
            _honest: honest,
        }
    }

    /// The next client, whose turn is the hostile server's.
    fn client(&self) -> Result<Client, ClientError> {
        Client::connect(self.proxy.address(), "app", "app")
    }

    /// The log must name the server and say `reason`; the honest server's session goes on.
    #[track_caller]
    fn end(self, reason: &str) {
        let line = self.proxy.wait_for_log(reason, SOON);
        let named = format!("backend {}): ", self.hostile.address());
        assert!(line.contains(": (warning) session "), "{line}");
        assert!(line.contains(&named), "the server is not named: {line}");
        self.end_unharmed();
    }

    /// Nothing has panicked; the honest server's session goes on.
    #[track_caller]
    fn end_unharmed(mut self) {
        let answer = self.bystander.value("SELECT 1");
        assert_eq!(answer.expect("the honest server answers"), "1");
        assert_eq!(self.proxy.terminate().code(), Some(0));
        let log = self.proxy.log();
        assert_eq!(self.proxy.count_in_log("panicked"), 0, "{log:#?}");
    }
}

/// The code of the ERR that a query gets, and everything up to the close.
#[track_caller]
fn code_and_close(client: &mut Client) -> u16 {
    let error = client.query("SELECT 1").expect_err("there is no result");
    let code = error
        .code()
        .unwrap_or_else(|| panic!("no ERR packet: {error}"));
    let rest = client.connection().read_to_end(1 << 20);
    assert_eq!(rest.expect("a close in order"), b"");
    code
}

/// A response that cannot be one: ERR 2013 in its place, and the close.
#[track_caller]
fn is_malformed(response: &'static [&'static [u8]], reason: &str) {
    let answer = packets(1, response);
    let hostile = hostile_answer(move |connection| drop(connection.send_bytes(&answer)));
    let scene = Scene::new(hostile);
    let mut client = scene.client().expect("the server lets everybody in");
    assert_eq!(code_and_close(&mut client), 2013);
    scene.end(reason);
}

#[test]
fn an_empty_packet() {
    is_malformed(&[b""], "malformed response: first byte is 0");
}

#[test]
fn an_err_without_a_code() {
    is_malformed(&[b"\xff"], "malformed ERR_Packet: cut short in error code");
}

#[test]
fn an_ok_cut_short() {
    is_malformed(&[b"\0\0"], "malformed OK_Packet: cut short");
}

#[test]
fn a_column_count_that_is_none() {
    is_malformed(&[b"\xff\xff"], "malformed");
}

#[test]
fn an_ok_where_an_eof_is_due() {
    is_malformed(
        &[b"\x01", COLUMN, &OK],
        "first byte of the EOF after definitions is 0",
    );
}

#[test]
fn an_empty_packet_where_a_column_is_due() {
    is_malformed(&[b"\x01", b""], "malformed response: first byte is 0");
}

#[test]
fn bytes_behind_the_response() {
    let answer = packets(1, &[&OK, b"and another thing"]);
    let hostile = hostile_answer(move |connection| drop(connection.send_bytes(&answer)));
    let scene = Scene::new(hostile);
    let mut client = scene.client().unwrap();
    client.query("DO 1").unwrap();
    wait_for_end(&mut client);
    scene.end("sent 21 bytes behind the end of its response");
}

/// The connection is closed by the proxy, whatever it says before.
#[track_caller]
fn wait_for_end(client: &mut Client) {
    let ended = client.connection().read_to_end(u64::MAX);
    if let Err(error) = ended {
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "{error}");
    }
}

#[test]
fn a_flood_that_nobody_asked_for() {
    let hostile = hostile_answer(|connection| {
        let _ = connection.send_bytes(&packets(1, &[&OK]));
        // Behind the answer is the time between two commands.
        thread::sleep(Duration::from_millis(100));
        let flood = vec![b'x'; 1 << 16];
        while connection.send_bytes(&flood).is_ok() {}
    });
    let scene = Scene::new(hostile);
    let mut client = scene.client().unwrap();
    client.query("DO 1").unwrap();
    wait_for_end(&mut client);
    scene.end("bytes behind the end of its response");
}

#[test]
fn columns_without_end() {
    const PLENTY: usize = 64 << 20;
    let hostile = hostile_answer(|connection| {
        let _ = connection.send_bytes(&packets(1, &[b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"]));
        let columns = packets(2, &[COLUMN].repeat(256));
        while connection.send_bytes(&columns).is_ok() {}
    });
    let scene = Scene::new(hostile);
    let mut client = scene.client().unwrap();
    client.send_query("SELECT 1").unwrap();
    let connection = client.connection();
    let mut received = 0;
    while received < PLENTY {
        received += connection.read_to_end(1 << 20).unwrap().len();
    }
    drop(client);
    let peak = scene.proxy.resident_bytes_max();
    assert!(peak < PLENTY as u64, "{peak}");
    scene.end_unharmed();
}

#[test]
fn a_response_that_stops() {
    let hostile = hostile_answer(|connection| {
        let _ = connection.send_bytes(&packets(1, &[b"\x01"]));
    });
    let scene = Scene::with_option(hostile, "--proxy-read-timeout=2");
    let mut client = scene.client().unwrap();
    assert_eq!(code_and_close(&mut client), 2013);
    // The honest server's client has been silent for as long.
    let line = scene
        .proxy
        .wait_for_log("backend sent nothing for 2s", SOON);
    assert!(
        line.contains(&scene.hostile.address().to_string()),
        "{line}"
    );
}

/// A server that ends the login so: the client gets ERR 2013 that names it.
#[track_caller]
fn login_fails(hostile: FakeServer, reason: &str) {
    let address = hostile.address().to_string();
    let scene = Scene::new(hostile);
    let error = scene.client().expect_err("the login fails");
    assert_eq!(error.code(), Some(2013), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    scene.proxy.wait_for_log(reason, SOON);
    scene.end_unharmed();
}

#[test]
fn a_close_in_the_middle_of_the_login() {
    let closing = FakeServer::start(|mut connection| greet(&mut connection));
    login_fails(closing, "backend closed the connection");
}

#[test]
fn an_authentication_packet_of_16_mib() {
    let hostile = hostile_login(|connection| drop(connection.send_bytes(b"\xff\xff\xff\x02")));
    login_fails(hostile, "authentication packet of 16777215 bytes");
}

#[test]
fn an_auth_switch_without_end() {
    let hostile = hostile_login(|connection| drop(connection.send_payload(2, b"\xfemysql_native")));
    login_fails(hostile, "AuthSwitchRequest: cut short in plugin name");
}

/// A client that takes whatever comes after its login.
fn patient_client(address: SocketAddr) -> Vec<u8> {
    let mut connection = Connection::tcp(address).expect("the port is open");
    connection.read_payload(0).expect("the greeting comes");
    let login = HandshakeResponse41 {
        capabilities: PLAIN,
        username: b"app".to_vec(),
        ..HandshakeResponse41::default()
    };
    let mut payload = Vec::new();
    login.encode(&mut payload);
    connection
        .send_payload(1, &payload)
        .expect("the proxy listens");
    let answer = connection.read_to_end(1 << 20);
    answer.expect("the connection is closed in order")
}

#[test]
fn authentication_data_that_does_not_wait_for_answers() {
    let more = packets(2, &[b"\x01more".as_slice()].repeat(1000));
    let hostile = hostile_login(move |connection| drop(connection.send_bytes(&more)));
    let scene = Scene::new(hostile);
    let answer = patient_client(scene.proxy.address());
    let text = String::from_utf8_lossy(&answer).into_owned();
    let named = format!(
        "(proxy) lost connection to backend {}",
        scene.hostile.address()
    );
    assert!(text.contains(&named), "{text:?}");
    scene.end_unharmed();
}

#[test]
fn bytes_behind_the_end_of_the_login() {
    let hostile = hostile_login(|connection| {
        let _ = connection.send_bytes(&packets(2, &[&OK, b"and another thing"]));
    });
    let scene = Scene::new(hostile);
    let mut client = scene.client().unwrap();
    wait_for_end(&mut client);
    let line = scene
        .proxy
        .wait_for_log("sent 21 bytes behind the end of its response", SOON);
    assert!(line.contains(": (warning) session "), "{line}");
    scene.end_unharmed();
}

#[test]
fn random_answers() {
    let hostile = FakeServer::start(|mut connection| {
        greet(&mut connection);
        let _ = connection.send_payload(2, &OK);
        if let Ok((_, seed)) = connection.read_payload(0) {
            let _ = connection.send_bytes(&noise(&seed));
        }
    });
    let address = format!("--proxy-backend-addresses={}", hostile.address());
    let mut proxy = ProxyProcess::start(BINARY, &[&address]);
    for seed in 0..300 {
        let mut client = Client::connect(proxy.address(), "app", "app").unwrap();
        client.send_query(&seed.to_string()).unwrap();
        wait_for_end(&mut client);
    }
    assert_eq!(proxy.terminate().code(), Some(0));
    assert_eq!(proxy.count_in_log("panicked"), 0, "{:#?}", proxy.log());
}

/// A few packets of small sizes and arbitrary bytes, the last of them cut short; the same for the same seed.
fn noise(seed: &[u8]) -> Vec<u8> {
    let mut state = seed.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::new();
    for sequence_id in 1..=next() as u8 % 8 {
        let payload: Vec<_> = (0..next() % 24)
            .map(|_| next() as u8 >> (next() % 8))
            .collect();
        put_payload(&mut bytes, sequence_id, &payload);
    }
    bytes.extend((0..next() % 8).map(|_| next() as u8));
    bytes
}
