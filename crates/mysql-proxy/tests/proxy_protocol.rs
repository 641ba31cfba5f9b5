//! The PROXY protocol in both directions: relays before the proxy say whom a connection is for, and servers behind it see
//! the client's address.

mod scripted;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use protocol::connection_phase::HandshakeResponse41;
use protocol::packet::put_payload;
use protocol::response::{ErrPacket, OkPacket};
use protocol::{Capabilities, Command};
use testkit::{
    Client, ClientError, Connection, Direction, FaultLink, HaProxy, Login, MariaDb, ProxyProcess,
    ScratchDirectory, Server, process, wait,
};

use scripted::{BINARY, DEADLINE, ScriptFile};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 3306\r\n";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// Of 192.0.2.1:56324 at 192.0.2.2:3306, with a TLV behind the addresses.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x0c\xea\x04\0\x03abc";
const V2_TCP6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x0c\xea";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const ACCEPT: &str = "--proxy-protocol-networks=127.0.0.1";
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const HANDSHAKE_ERROR: u16 = 1043;

/// What the server sees of a client.
const HOST: &str = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";

/// A server that believes headers from this host.
fn believing() -> Server {
    MariaDb::start(&[
        "--skip-name-resolve",
        "--proxy-protocol-networks=127.0.0.1,localhost",
    ])
}

fn proxy(backend: SocketAddr, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={backend}");
    ProxyProcess::start(BINARY, &[&[backend.as_str()], options].concat())
}

fn log_in(mut connection: Connection, header: &[u8]) -> Result<Client, ClientError> {
    connection.send_bytes(header)?;
    Login::new("app", "app").connect(connection)
}

fn connect(address: SocketAddr, header: &[u8]) -> Client {
    let connection = Connection::tcp(address).expect("it listens");
    log_in(connection, header).expect("the server lets it in")
}

fn from_elsewhere(address: SocketAddr) -> Connection {
    Connection::tcp_from(ELSEWHERE, address).expect("all of 127.0.0.0/8 is this host")
}

/// Without the port.
fn seen_ip(client: &mut Client) -> String {
    let host = client.value(HOST).expect("it has a row");
    host.rsplit_once(':').expect("it has a port").0.to_owned()
}

fn refusal(result: Result<Client, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Server { code, message, .. }) => (code, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_sees_the_address_of_the_header() {
    let server = believing();
    for version in ["v1", "v2"] {
        let option = format!("--server-proxy-protocol={version}");
        let proxy = proxy(server.address(), &[ACCEPT, &option]);
        let host = |header| connect(proxy.address(), header).value(HOST).expect("a row");
        assert_eq!(host(V1), "192.0.2.1:56324");
        assert_eq!(host(V2), "192.0.2.1:56324");
        assert_eq!(host(V2_TCP6), "2001:db8::1:56324");
        for own in [V1_UNKNOWN, V2_LOCAL] {
            let mut client = connect(proxy.address(), own);
            assert_eq!(seen_ip(&mut client), "127.0.0.1");
        }
        // No header is asked for, and none is sent.
        let mut client = log_in(from_elsewhere(proxy.address()), b"").expect("it is let in");
        assert_eq!(seen_ip(&mut client), "127.0.0.5");
        let user = client.value("SELECT USER()").expect("a value");
        assert_eq!(user, "app@127.0.0.5");
    }
}

#[test]
fn without_the_option_a_server_sees_the_proxy() {
    let server = believing();
    let proxy = proxy(server.address(), &[ACCEPT]);
    assert_eq!(seen_ip(&mut connect(proxy.address(), V1)), "127.0.0.1");
}

#[test]
fn a_header_may_come_in_pieces() {
    let server = believing();
    let options = [ACCEPT, "--server-proxy-protocol=v2"];
    let proxy = proxy(server.address(), &options);
    for header in [V1, V2] {
        let mut connection = Connection::tcp(proxy.address()).expect("it listens");
        let (last, start) = header.split_last().expect("it has bytes");
        for byte in start {
            connection.send_bytes(&[*byte]).expect("it is taken");
        }
        let mut client = log_in(connection, &[*last]).expect("the server lets it in");
        assert_eq!(seen_ip(&mut client), "192.0.2.1");
    }
}

/// Nobody waits for a greeting who knows what to say: all is in one write.
#[test]
fn what_is_behind_a_header_belongs_to_the_login() {
    let server = believing();
    server.query("CREATE USER anyone@'%'");
    let proxy = proxy(server.address(), &[ACCEPT, "--server-proxy-protocol=v2"]);
    let mut login = Vec::new();
    let capabilities = Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::LONG_PASSWORD
        | Capabilities::PLUGIN_AUTH;
    HandshakeResponse41 {
        capabilities,
        max_packet_bytes: 1 << 24,
        character_set: 45,
        username: b"anyone".to_vec(),
        auth_plugin_name: b"mysql_native_password".to_vec(),
        ..HandshakeResponse41::default()
    }
    .encode(&mut login);
    for header in [V1, V1_UNKNOWN, V2, V2_LOCAL] {
        let mut bytes = header.to_vec();
        put_payload(&mut bytes, 1, &login);
        put_payload(&mut bytes, 0, &[Command::PING.0]);
        let mut connection = Connection::tcp(proxy.address()).expect("it listens");
        connection.send_bytes(&bytes).expect("it is taken");
        connection.read_packet().expect("a greeting");
        for sequence_id in [2, 1] {
            let (got, payload) = connection.read_packet().expect("an OK");
            assert_eq!((got, payload[0]), (sequence_id, OkPacket::HEADER));
        }
    }
}

#[test]
fn who_has_to_send_a_header_is_not_greeted_without_one() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(server.address(), &[ACCEPT, "--proxy-login-timeout=1"]);
    let silent = Connection::tcp(proxy.address()).expect("it listens");
    // Its other end would wait for a greeting.
    let (code, message) = refusal(Login::new("app", "app").connect(silent));
    assert_eq!(code, HANDSHAKE_ERROR);
    let expected = "(proxy) no PROXY header: none was complete within 1s; \
                    who is in --proxy-protocol-networks has to send one";
    assert_eq!(message, expected);
    let line = proxy.wait_for_log("none was complete within 1s", DEADLINE);
    assert!(line.contains("(client 127.0.0.1:"), "{line}");
    assert!(line.ends_with("; closing it"), "{line}");

    for (bytes, reason) in [
        (&b"\x55\0\0\x01garbage"[..], "it begins otherwise"),
        (b"PROXY TCP5 ", "it breaks off"),
        (
            b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            "its line is `PROXY TCP5 1.2.3.4 1.2.3.4 1 2`",
        ),
        (&[b"PROXY ", &[b'x'; 200][..]].concat(), "no end of line"),
        (b"\r\n\r\n\0\r\nQUIT\n\x22\0\0\0", "its command is 0x22"),
    ] {
        let mut connection = Connection::tcp(proxy.address()).expect("it listens");
        connection.send_bytes(bytes).expect("it is taken");
        connection.shutdown_write().expect("it is open");
        let (sequence_id, payload) = connection.read_packet().expect("an ERR");
        let err = ErrPacket::decode(&payload).expect("an ERR");
        assert_eq!((sequence_id, err.code), (0, HANDSHAKE_ERROR));
        let message = err.message_lossy().into_owned();
        assert!(message.contains(reason), "{message}");
        proxy.wait_for_log(reason, DEADLINE);
    }
    // A header that does not go on is waited for no longer.
    let mut connection = Connection::tcp(proxy.address()).expect("it listens");
    connection.send_bytes(&V2[..20]).expect("it is taken");
    let (_, payload) = connection.read_packet().expect("an ERR");
    assert_eq!(payload[0], ErrPacket::HEADER);
    // Health checks that only connect are no news.
    let lines = proxy.log().len();
    for _ in 0..3 {
        let check = Connection::tcp(proxy.address()).expect("it listens");
        check.shutdown_write().expect("it is open");
        let mut check = check;
        assert_eq!(check.read_to_end(1).expect("the end"), b"");
    }
    connect(proxy.address(), V1).ping().expect("it is served");
    assert_eq!(proxy.log().len(), lines);
}

#[test]
fn others_are_not_believed() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(server.address(), &[ACCEPT]);
    for header in [V1, V2, V2_LOCAL] {
        let lines = proxy.log().len();
        let mut connection = from_elsewhere(proxy.address());
        connection.send_bytes(header).expect("it is taken");
        let (sequence_id, greeting) = connection.read_packet().expect("a greeting");
        assert_eq!((sequence_id, greeting[0]), (0, 10));
        let (_, payload) = connection.read_packet().expect("an ERR");
        let err = ErrPacket::decode(&payload).expect("an ERR");
        assert_eq!(err.code, HANDSHAKE_ERROR);
        let line = proxy.wait_for_log_after(lines, "--proxy-protocol-networks", DEADLINE);
        assert!(line.contains("(client 127.0.0.5:"), "{line}");
        assert!(!line.contains("192.0.2.1"), "{line}");
    }
    let mut client = log_in(from_elsewhere(proxy.address()), b"").expect("it is let in");
    client.ping().expect("it is served");
}

#[test]
fn logs_sessions_and_scripts_have_the_address_of_the_header() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_query(packet)
           local src = proxy.connection.client.src
           proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
             fields = { { name = 'src' } }, rows = { { src.name .. ' ' .. src.address .. ' ' .. src.port } } } }
           return proxy.PROXY_SEND_RESULT
         end",
    );
    let options = [
        ACCEPT,
        "--plugins=proxy,admin",
        "--admin-address=127.0.0.1:0",
        "--admin-username=root",
        "--admin-password=secret",
    ];
    let proxy = script.proxy(&[&server], &options);
    let mut client = connect(proxy.address(), V2);
    let src = client.value("SELECT 1").expect("a value");
    assert_eq!(src, "192.0.2.1:56324 192.0.2.1 56324");

    let line = proxy.wait_for_log("admin-server listening on port ", DEADLINE);
    let admin = line.rsplit(' ').next().expect("an address");
    let admin = admin.parse().expect("an address");
    let mut operator = Client::connect(admin, "root", "secret").expect("the operator may");
    let sessions = operator.query("SHOW SESSIONS").expect("rows").text();
    let cells: Vec<_> = sessions.into_iter().flatten().flatten().collect();
    assert!(cells.contains(&"192.0.2.1:56324".to_owned()), "{cells:?}");

    let mut connection = Connection::tcp(proxy.address()).expect("it listens");
    connection.send_bytes(V1).expect("it is taken");
    let denied = Login::new("app", "wrong").connect(connection);
    assert_eq!(refusal(denied).0, 1045);
    proxy.wait_for_log("(client 192.0.2.1:56324, backend", DEADLINE);
}

#[test]
fn a_client_on_a_unix_socket_has_no_address() {
    let server = believing();
    let directory = ScratchDirectory::new();
    let socket = directory.file("clients");
    let listen = format!("--proxy-address={}", socket.display());
    let connection = || Connection::unix(&socket).expect("it listens");
    for (version, header) in [("v1", V1_UNKNOWN), ("v2", V2_LOCAL)] {
        let link = FaultLink::to(server.address());
        let option = format!("--server-proxy-protocol={version}");
        let _proxy = proxy(link.address(), &[&listen, &option]);
        let mut client = log_in(connection(), b"").expect("it is let in");
        assert_eq!(seen_ip(&mut client), "127.0.0.1");
        let said = link.recorded(Direction::ToServer);
        assert!(said.starts_with(header), "{}", said.escape_ascii());
    }
    // Unless a relay says so.
    let options = [&listen, "--proxy-protocol-networks=localhost"];
    let _proxy = proxy(
        server.address(),
        &[&options[..], &["--server-proxy-protocol=v2"]].concat(),
    );
    let mut client = log_in(connection(), V1).expect("it is let in");
    assert_eq!(seen_ip(&mut client), "192.0.2.1");
}

#[test]
fn probes_speak_for_themselves() {
    let server = believing();
    for (version, header) in [("v1", V1_UNKNOWN), ("v2", V2_LOCAL)] {
        let link = FaultLink::to(server.address());
        link.refuse();
        let option = format!("--server-proxy-protocol={version}");
        let proxy = proxy(link.address(), &[&option]);
        let refused = Client::connect(proxy.address(), "app", "app");
        assert_eq!(refusal(refused).0, 1105);
        link.accept();
        proxy.wait_for_log("is up again", DEADLINE);
        let said = link.recorded(Direction::ToServer);
        assert!(said.starts_with(header), "{}", said.escape_ascii());
        let mut client = Client::connect(proxy.address(), "app", "app").expect("it is let in");
        client.ping().expect("it is served");
    }
}

/// The script's other backend is told, too.
#[test]
fn a_backend_that_the_script_chooses_late_gets_the_header() {
    let (a, b) = (believing(), believing());
    let script = ScriptFile::new("function read_auth() proxy.connection.backend_ndx = 2 end");
    let options = [ACCEPT, "--server-proxy-protocol=v2"];
    let proxy = script.proxy(&[&a, &b], &options);
    let line = proxy.wait_for_log("--server-proxy-protocol: ", DEADLINE);
    assert!(line.contains("(warning)"), "{line}");
    for header in [V1, V2] {
        let mut client = connect(proxy.address(), header);
        assert_eq!(seen_ip(&mut client), "192.0.2.1");
        let port = client.value("SELECT @@port").expect("a value");
        assert_eq!(port, b.port().to_string());
    }
}

#[test]
fn a_proxy_before_a_proxy() {
    let server = believing();
    for version in ["v1", "v2"] {
        let option = format!("--server-proxy-protocol={version}");
        let inner = proxy(server.address(), &[ACCEPT, &option]);
        let outer = proxy(inner.address(), &[&option]);
        let mut client = log_in(from_elsewhere(outer.address()), b"").expect("it is let in");
        assert_eq!(seen_ip(&mut client), "127.0.0.5");
    }
}

#[test]
fn haproxy_before_the_proxy() {
    let server = believing();
    let options = [
        ACCEPT,
        "--server-proxy-protocol=v2",
        "--client-ssl-mode=PREFERRED",
        "--server-ssl-mode=DISABLED",
    ];
    let proxy = proxy(server.address(), &options);
    for sends in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let Some(haproxy) = HaProxy::start(proxy.address(), sends) else {
            return;
        };
        let mut client = log_in(from_elsewhere(haproxy.address()), b"").expect("it is let in");
        assert_eq!(seen_ip(&mut client), "127.0.0.5");
        // TLS begins behind the header.
        let mut mariadb = process::command("mariadb");
        mariadb.args(["--no-defaults", "--ssl", "--skip-ssl-verify-server-cert"]);
        mariadb.args([
            "--batch",
            "--skip-column-names",
            "--user=app",
            "--password=app",
        ]);
        mariadb.args([
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--execute=SELECT USER()",
        ]);
        mariadb.arg(format!("--port={}", haproxy.address().port()));
        let said = process::run(mariadb, DEADLINE).expect_success();
        assert_eq!(said, b"app@127.0.0.1\n");
    }
}

/// HAProxy asks with LOCAL whether the proxy is there, and takes it for the answer that it is greeted.
#[test]
fn haproxys_health_checks_are_greeted() {
    let server = believing();
    let proxy = proxy(server.address(), &[ACCEPT]);
    let checks = "send-proxy-v2 check check-send-proxy inter 100ms fall 1";
    let Some(haproxy) = HaProxy::start(proxy.address(), checks) else {
        return;
    };
    let mut client = log_in(from_elsewhere(haproxy.address()), b"").expect("it is let in");
    let connections = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                       WHERE VARIABLE_NAME = 'CONNECTIONS'";
    let count = |client: &mut Client| -> u64 {
        let value = client.value(connections).expect("a value");
        value.parse().expect("a number")
    };
    let before = count(&mut client);
    wait::until("some checks came", Duration::from_secs(20), || {
        count(&mut client) > before + 3
    });
    assert_eq!(proxy.count_in_log("PROXY header"), 0);
    log_in(from_elsewhere(haproxy.address()), b"").expect("the proxy counts as up");
}
