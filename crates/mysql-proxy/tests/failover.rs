//! Servers that cannot be reached, that refuse, and that come back: what new clients get.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use socket2::{Domain, Socket, Type};
use testkit::{
    Client, Connection, FakeServer, FaultLink, MariaDb, ProxyProcess, ScratchDirectory, wait,
};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(10);
/// Documented: a server that is down is tried again after 4 s at the latest. The rest is for a busy machine.
const RETURN: Duration = Duration::from_secs(4 + 4);

fn proxy(backends: &[&str], options: &[&str]) -> ProxyProcess {
    let backends = format!("--proxy-backend-addresses={}", backends.join(","));
    ProxyProcess::start(BINARY, &[&[backends.as_str()], options].concat())
}

/// The port of the server that a new client reaches.
fn served_by(proxy: &ProxyProcess) -> u16 {
    let mut client = Client::connect(proxy.address(), "app", "app").expect("a client is served");
    let port = client.value("SELECT @@port").expect("a server answers");
    port.parse().expect("it is a port")
}

/// Waits until that many lines of the log have this text; more are a failure.
#[track_caller]
fn wait_for_count(proxy: &ProxyProcess, text: &str, count: usize) {
    wait::until(text, SOON, || proxy.count_in_log(text) >= count);
    assert_eq!(proxy.count_in_log(text), count, "{text}");
}

/// A port that nobody listens on.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// `broken` is one of two backends, and `reason` is why it is marked down: said twice in the log, once by the address
/// and once by what is done about it, however many clients come. All of these are served by the other backend.
#[track_caller]
fn is_marked_down(broken: &str, reason: &str, options: &[&str]) {
    let server = MariaDb::start(&[]);
    let mut proxy = proxy(&[broken, &server.address().to_string()], options);
    for _ in 0..4 {
        assert_eq!(served_by(&proxy), server.port());
    }
    assert_eq!(proxy.terminate().code(), Some(0));
    let log = proxy.log();
    let warnings: Vec<_> = log
        .iter()
        .filter_map(|line| line.split_once(": (warning) "))
        .map(|(_, text)| text)
        .collect();
    let [first, second] = warnings.as_slice() else {
        panic!("not two warnings:\n{}", log.join("\n"));
    };
    let found = first.strip_prefix(&format!("connect({broken}) failed: "));
    assert!(found.is_some_and(|found| found.contains(reason)), "{first}");
    let marked = format!("connecting to backend ({broken}) failed, marking it as down for ");
    assert!(second.starts_with(&marked), "{second}");
}

#[test]
fn a_refused_connect() {
    is_marked_down(&closed_port().to_string(), "Connection refused", &[]);
}

/// Leaves the proxy room for one more open file, or for as many as we may have.
fn limit_open_files(proxy: &ProxyProcess, to_one: bool) {
    let files = PathBuf::from(format!("/proc/{}/fd", proxy.id()));
    let mut unused = (0..).filter(|number| !files.join(number.to_string()).exists());
    let ours = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: match to_one {
            // Numbers below the limit are given out, the lowest unused one first.
            true => unused.nth(1),
            false => ours.current,
        },
        maximum: ours.maximum,
    };
    let pid = Pid::from_raw(proxy.id().cast_signed());
    prlimit(pid, Resource::Nofile, limit).expect("a child's limits may be set");
}

#[test]
fn too_few_open_files_of_the_proxy_are_no_fault_of_a_backend() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&[&server.address().to_string()], &[]);
    // Whoever is served has seen the proxy's start to its end: it opens no more files.
    let mut served = Client::connect(proxy.address(), "app", "app").expect("a client is served");
    limit_open_files(&proxy, true);
    let turned_away = Client::connect(proxy.address(), "app", "app").expect_err("no file is left");
    assert_eq!(turned_away.code(), Some(1105), "{turned_away}");
    let text = turned_away.to_string();
    assert!(text.contains("Too many open files"), "{text}");
    limit_open_files(&proxy, false);
    assert_eq!(served.value("SELECT 1").expect("it is still served"), "1");
    assert_eq!(served_by(&proxy), server.port());
    let reason = "no means to connect to a backend that is up, a client was turned away: Too many open files";
    wait_for_count(&proxy, reason, 1);
    assert_eq!(proxy.count_in_log("marking it as down"), 0);
}

#[test]
fn an_unreachable_address() {
    // The kernel has no way to connect to a broadcast address, whatever the machine's network is.
    is_marked_down("255.255.255.255:3306", "Network is unreachable", &[]);
}

#[test]
fn a_name_that_does_not_resolve() {
    let reason = "failed to lookup address information";
    is_marked_down("no-such-host.invalid:3306", reason, &[]);
}

#[test]
fn a_unix_socket_that_is_not_there() {
    let directory = ScratchDirectory::new();
    let socket = directory.file("socket").display().to_string();
    is_marked_down(&socket, "No such file or directory", &[]);
}

#[test]
fn a_connect_that_times_out() {
    // The kernel drops what comes to a listener with a full backlog.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut backlog = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        backlog.push(stream);
    }
    is_marked_down(
        &address.to_string(),
        "timed out after 300ms",
        &["--proxy-connect-timeout=0.3"],
    );
}

#[test]
fn a_server_that_never_greets() {
    let silent = FakeServer::start(|mut connection| {
        let _ = connection.read_to_end(1);
    });
    is_marked_down(
        &silent.address().to_string(),
        "no greeting within 2s",
        // The other server has to greet within it on a busy machine.
        &["--proxy-greeting-timeout=2"],
    );
}

#[test]
fn a_server_that_closes_instead_of_greeting() {
    let closing = FakeServer::start(drop);
    let reason = "closed the connection instead of greeting";
    is_marked_down(&closing.address().to_string(), reason, &[]);
}

/// A server that says this and waits.
fn says(bytes: &'static [u8]) -> FakeServer {
    FakeServer::start(move |mut connection: Connection| {
        let _ = connection.send_bytes(bytes);
        let _ = connection.read_to_end(1);
    })
}

#[test]
fn a_web_server() {
    let web = says(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    is_marked_down(&web.address().to_string(), "no MySQL server", &[]);
}

#[test]
fn a_packet_that_is_no_greeting() {
    // The header is right; protocol version 9 is none that we know.
    let old = says(b"\x0a\0\0\0\x093.20.32\0\x01");
    is_marked_down(&old.address().to_string(), "no MySQL server", &[]);
}

#[test]
fn a_greeting_cut_short() {
    let cut = FakeServer::start(|mut connection| {
        let _ = connection.send_bytes(b"\x4a\0\0\0\x0a8.4.0");
    });
    is_marked_down(&cut.address().to_string(), "no greeting", &[]);
}

#[test]
fn a_server_that_is_back_is_used_again() {
    let (a, b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let link = FaultLink::to(a.address());
    let addresses = [link.address().to_string(), b.address().to_string()];
    let proxy = proxy(&[&addresses[0], &addresses[1]], &[]);
    let back = format!("backend ({}) is up again", link.address());
    for round in 1..=2 {
        link.refuse();
        for _ in 0..3 {
            assert_eq!(served_by(&proxy), b.port());
        }
        wait_for_count(&proxy, "marking it as down", round);
        let lines = proxy.log().len();
        link.accept();
        // No client comes: the proxy looks for itself.
        proxy.wait_for_log_after(lines, &back, RETURN);
        let reached = [served_by(&proxy), served_by(&proxy)];
        assert!(reached.contains(&a.port()) && reached.contains(&b.port()));
    }
}

#[test]
fn a_server_without_room_is_passed_over_and_not_marked_down() {
    let full = MariaDb::start(&["--max-connections=10"]);
    let mut other = MariaDb::start(&[]);
    let addresses = [full.address().to_string(), other.address().to_string()];
    // One more than the maximum is for administrators.
    let mut clients: Vec<_> = (0..11)
        .map(|_| Client::connect(full.address(), "adm", "adm").unwrap())
        .collect();
    let mut proxy = proxy(&[&addresses[0], &addresses[1]], &[]);
    for _ in 0..4 {
        assert_eq!(served_by(&proxy), other.port());
    }
    proxy.wait_for_log(&format!("backend ({})", full.address()), SOON);

    other.kill9();
    let direct = Client::connect(full.address(), "app", "app").unwrap_err();
    assert_eq!(direct.code(), Some(1040), "{direct}");
    let through = Client::connect(proxy.address(), "app", "app").unwrap_err();
    assert_eq!(through.to_string(), direct.to_string());

    // There is room for administrators alone again.
    clients.pop();
    let mut client = wait::poll(SOON, || Client::connect(proxy.address(), "adm", "adm").ok());
    let client = client.as_mut().expect("there is room again");
    assert_eq!(
        client.value("SELECT @@port").unwrap(),
        full.port().to_string()
    );
    assert_eq!(proxy.terminate().code(), Some(0));
    let marked = format!("connecting to backend ({}) failed", full.address());
    assert_eq!(proxy.count_in_log(&marked), 0);
}

#[test]
fn all_servers_are_down() {
    let silent = FakeServer::start(|mut connection| {
        let _ = connection.read_to_end(1);
    });
    let (refusing, silent) = (closed_port().to_string(), silent.address().to_string());
    let proxy = proxy(&[&refusing, &silent], &["--proxy-greeting-timeout=0.2"]);
    // The first client finds out, the others are told what is known.
    for _ in 0..3 {
        let mut connection = Connection::tcp(proxy.address()).unwrap();
        let (_, payload) = connection.read_payload(0).unwrap();
        assert_eq!(payload, b"\xff\x51\x04(proxy) all backends are down");
        assert_eq!(connection.read_to_end(1).unwrap(), [], "a clean close");
    }
    let line = proxy.wait_for_log("all backends are down", SOON);
    assert!(line.contains(": (warning) "), "{line}");
    for reason in [
        format!("{refusing} (Connection refused)"),
        format!("{silent} (no greeting within 200ms)"),
    ] {
        assert!(line.contains(&reason), "{line}");
    }
    wait_for_count(&proxy, "marking it as down", 2);
}
