//! Which server a client reaches, and how: the order of backends, the kinds of addresses on either side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use testkit::{Client, MariaDb, ProxyProcess, ScratchDirectory, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const SOON: Duration = Duration::from_secs(10);

fn proxy(backends: &str, options: &[&str]) -> ProxyProcess {
    let backends = format!("--proxy-backend-addresses={backends}");
    ProxyProcess::start(BINARY, &[&[backends.as_str()], options].concat())
}

/// Where the server that this client reached listens.
fn port(client: &mut Client) -> u16 {
    let port = client.value("SELECT @@port").expect("a server answers");
    port.parse().expect("it is a port")
}

fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("a client is served")
}

/// The ports that `count` clients reach, one after the other, while all of them stay.
fn ports(proxy: &ProxyProcess, count: usize) -> Vec<u16> {
    let mut clients: Vec<_> = (0..count).map(|_| connect(proxy)).collect();
    clients.iter_mut().map(port).collect()
}

/// A server on IPv4, on IPv6 and on its Unix socket.
fn server() -> Server {
    MariaDb::start(&["--bind-address=127.0.0.1,::1"])
}

#[test]
fn clients_go_round_in_option_order() {
    let (a, b) = (server(), server());
    let in_turn = [a.port(), b.port(), a.port(), b.port(), a.port()];
    let list = format!("{},{}", a.address(), b.address());
    assert_eq!(ports(&proxy(&list, &[]), 5), in_turn);

    let second = format!("--proxy-backend-addresses={}", b.address());
    let given_twice = proxy(&a.address().to_string(), &[&second]);
    assert_eq!(ports(&given_twice, 5), in_turn);
}

#[test]
fn least_connections_fills_up_who_has_fewest() {
    let (a, b) = (server(), server());
    let list = format!("{},{}", a.address(), b.address());
    let proxy = proxy(&list, &["--proxy-balance=least-connections"]);
    let mut clients: Vec<_> = (0..6).map(|_| connect(&proxy)).collect();
    let reached: Vec<_> = clients.iter_mut().map(port).collect();
    let in_turn = [a.port(), b.port()].repeat(3);
    assert_eq!(reached, in_turn);

    // All of b's leave. The close may be seen a moment before the last one is no longer counted, hence two of three.
    let (leaving, _staying): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .zip(reached)
        .partition(|(_, port)| *port == b.port());
    for (client, _) in leaving {
        client.quit().unwrap();
    }
    assert_eq!(ports(&proxy, 2), [b.port(), b.port()]);
}

#[test]
fn read_only_backends_get_no_clients() {
    let (a, b, read_only) = (server(), server(), server());
    let list = format!("{},{}", a.address(), b.address());
    let kept_apart = format!(
        "--proxy-read-only-backend-addresses={}",
        read_only.address()
    );
    let proxy = proxy(&list, &[&kept_apart]);
    let reached = ports(&proxy, 4);
    assert_eq!(reached, [a.port(), b.port(), a.port(), b.port()]);
}

#[test]
fn read_only_backends_are_no_refuge_when_the_others_are_down() {
    let (mut a, read_only) = (server(), server());
    let kept_apart = format!(
        "--proxy-read-only-backend-addresses={}",
        read_only.address()
    );
    let proxy = proxy(&a.address().to_string(), &[&kept_apart]);
    a.kill9();
    let refused = Client::connect(proxy.address(), "app", "app").unwrap_err();
    assert_eq!(refused.code(), Some(1105), "{refused}");
}

#[test]
fn backends_by_ip_name_and_unix_socket() {
    let server = server();
    let port_number = server.port();
    for address in [
        format!("127.0.0.1:{port_number}"),
        format!("[::1]:{port_number}"),
        format!("localhost:{port_number}"),
        server.socket().display().to_string(),
    ] {
        let proxy = proxy(&address, &[]);
        proxy.wait_for_log(&format!("added read/write backend: {address}"), SOON);
        assert_eq!(port(&mut connect(&proxy)), port_number, "{address}");
    }
}

#[test]
fn clients_by_ip_name_and_unix_socket() {
    let server = server();
    let backend = server.address().to_string();
    let directory = ScratchDirectory::new();
    let socket = directory.file("clients");
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for (listen, from) in [
        ("127.0.0.1:0", vec![v4]),
        ("[::1]:0", vec![v6]),
        // Both families, as the brackets of other servers do.
        ("[::]:0", vec![v4, v6]),
        (":0", vec![v4]),
        ("localhost:0", vec![v4]),
    ] {
        let proxy = proxy(&backend, &[&format!("--proxy-address={listen}")]);
        for ip in from {
            let address = SocketAddr::new(ip, proxy.address().port());
            let mut client = Client::connect(address, "app", "app")
                .unwrap_or_else(|error| panic!("{listen} from {ip}: {error}"));
            assert_eq!(port(&mut client), server.port());
        }
    }
    let mut proxy = proxy(
        &backend,
        &[&format!("--proxy-address={}", socket.display())],
    );
    let mut client = Client::connect_unix(&socket, "app", "app").unwrap();
    assert_eq!(port(&mut client), server.port());
    client.quit().unwrap();
    assert_eq!(proxy.terminate().code(), Some(0));
    assert!(!socket.exists(), "the socket's file goes with the proxy");
}

#[test]
fn unix_sockets_on_both_sides() {
    let server = server();
    let directory = ScratchDirectory::new();
    let socket = directory.file("clients");
    let listen = format!("--proxy-address={}", socket.display());
    let _proxy = proxy(&server.socket().display().to_string(), &[&listen]);
    let mut client = Client::connect_unix(&socket, "root", "").unwrap();
    // What the server sees is a client of its Unix socket.
    assert_eq!(client.value("SELECT USER()").unwrap(), "root@localhost");
}
