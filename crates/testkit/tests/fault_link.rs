//! Each fault befalls what it should, and nothing else.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use testkit::{
    Client, ClientError, Connection, Direction, FakeServer, FaultLink, Faults, MariaDb, wait,
};

const SOON: Duration = Duration::from_secs(10);

fn io_error(error: ClientError) -> ErrorKind {
    match error {
        ClientError::Io(error) => error.kind(),
        other => panic!("not an I/O error: {other}"),
    }
}

#[test]
fn without_faults_it_relays_and_records() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let mut client = Client::connect(link.address(), "app", "app").unwrap();
    assert_eq!(client.value("SELECT 'so I said'").unwrap(), "so I said");
    client.quit().unwrap();
    assert_eq!(link.accepted(), 1);
    for (direction, text) in [
        (Direction::ToServer, "SELECT 'so I said'"),
        (Direction::ToClient, "MariaDB"),
    ] {
        let recorded = link.recorded(direction);
        assert!(
            recorded
                .windows(text.len())
                .any(|window| window == text.as_bytes()),
            "{direction:?}"
        );
    }
}

#[test]
fn single_bytes_and_delays_change_nothing_but_the_time() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let slow = Faults {
        single_bytes: true,
        delay: Duration::from_millis(1),
        ..Faults::default()
    };
    link.set(Direction::ToServer, slow.clone());
    link.set(Direction::ToClient, slow);
    let mut client = Client::connect(link.address(), "app", "app").unwrap();
    assert_eq!(
        client.value("SELECT LENGTH(REPEAT('x', 100))").unwrap(),
        "100"
    );
}

#[test]
fn it_cuts_after_so_many_bytes() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    link.set(
        Direction::ToClient,
        Faults {
            cut_after: Some(10),
            ..Faults::default()
        },
    );
    let mut connection = Connection::tcp(link.address()).unwrap();
    assert_eq!(connection.read_to_end(1000).unwrap().len(), 10);
    assert_eq!(link.recorded(Direction::ToClient).len(), 10);
}

#[test]
fn it_stalls_one_direction() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let mut client = Client::connect(link.address(), "app", "app").unwrap();
    link.set(
        Direction::ToClient,
        Faults {
            stalled: true,
            ..Faults::default()
        },
    );
    client
        .connection()
        .set_timeout(Duration::from_millis(200))
        .unwrap();
    client.send_query("INSERT INTO test.t VALUES (1)").unwrap();
    assert_eq!(
        client.connection().read_packet().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    link.set(Direction::ToClient, Faults::default());
    client.connection().set_timeout(SOON).unwrap();
    assert_eq!(client.read_results().unwrap_err().code(), Some(1146));
}

#[test]
fn it_cuts_resets_and_refuses() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let mut cut = Client::connect(link.address(), "app", "app").unwrap();
    link.cut();
    wait::until("the connection is closed", SOON, || {
        cut.connection().is_closed()
    });
    assert_eq!(
        io_error(cut.read_results().unwrap_err()),
        ErrorKind::UnexpectedEof
    );

    let mut reset = Client::connect(link.address(), "app", "app").unwrap();
    link.reset();
    assert_eq!(
        io_error(reset.read_results().unwrap_err()),
        ErrorKind::ConnectionReset
    );

    link.refuse();
    let refused = Connection::tcp(link.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    link.accept();
    Client::connect(link.address(), "app", "app").unwrap();
}

#[test]
fn it_connects_from_the_address_that_it_is_told() {
    let server = MariaDb::start(&["--skip-name-resolve"]);
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let link = FaultLink::between(source, server.address());
    let mut client = Client::connect(link.address(), "app", "app").unwrap();
    assert_eq!(client.value("SELECT USER()").unwrap(), "app@127.0.0.2");
}

#[test]
fn a_fake_server_says_what_the_test_says_until_it_is_dropped() {
    let server = FakeServer::start(|mut connection| {
        let (_, payload) = connection.read_packet().unwrap();
        connection.send_payload(1, &payload).unwrap();
    });
    let mut connection = Connection::tcp(server.address()).unwrap();
    connection.send_payload(0, b"echo").unwrap();
    assert_eq!(connection.read_payload(1).unwrap(), (2, b"echo".to_vec()));
    assert_eq!(connection.read_to_end(1).unwrap(), []);
    assert_eq!(server.accepted(), 1);
    let address = server.address();
    drop(server);
    wait::until("the port is closed", SOON, || {
        Connection::tcp(address).is_err()
    });
}
