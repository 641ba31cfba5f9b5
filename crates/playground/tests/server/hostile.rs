//! Clients that mean harm, or are broken.

use std::time::Duration;

use playground::limits::CONNECTIONS_MAX;
use protocol::Command;
use protocol::limits::LOGIN_PACKET_BYTES_MAX;
use testkit::{Connection, wait};

use crate::{connect, connect_with, login, server};

/// The server says something or nothing, closes, and goes on.
fn bytes_before_login(bytes: &[u8]) {
    let server = server();
    let mut connection = Connection::tcp(server.address()).expect("the server goes on");
    connection.send_bytes(bytes).expect("the server goes on");
    connection.shutdown_write().expect("the server goes on");
    wait::until("the session is over", Duration::from_secs(5), || {
        server.sessions() == 0
    });
    connect(&server).ping().expect("the server goes on");
}

#[test]
fn garbage_instead_of_a_login() {
    bytes_before_login(b"GET / HTTP/1.1\r\n\r\n");
    bytes_before_login(&[0xff; 4096]);
    bytes_before_login(&[]);
    bytes_before_login(&[0, 0, 0, 1]);
    bytes_before_login(&[32, 0, 0, 1, 0x85, 0xa6]);
    // A TLS request, which was not offered.
    let mut ssl_request = vec![32, 0, 0, 1, 0x85, 0xae, 0xff, 0x19];
    ssl_request.resize(36, 0);
    bytes_before_login(&ssl_request);
}

#[test]
fn a_login_of_16_mib_is_refused_by_its_header() {
    let server = server();
    let mut connection = Connection::tcp(server.address()).unwrap();
    connection.read_payload(0).unwrap();
    let header = (LOGIN_PACKET_BYTES_MAX as u32 + 1).to_le_bytes();
    connection
        .send_bytes(&[header[0], header[1], header[2], 1])
        .unwrap();
    connection.read_to_end(1 << 16).unwrap();
}

#[test]
fn packets_that_are_too_large_or_out_of_order() {
    let server = server();
    // 16 MiB and another packet behind it.
    let mut client = connect(&server);
    let connection = client.connection();
    let mut bytes = vec![0xff, 0xff, 0xff, 0];
    bytes.resize(4 + 0xff_ffff, b' ');
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 1]);
    connection.send_bytes(&bytes).unwrap();
    let (_, payload) = connection.read_packet().unwrap();
    assert_eq!(payload[..3], [0xff, 0x81, 0x04], "ERR 1153");

    let mut client = connect(&server);
    client.connection().send_bytes(&[1, 0, 0, 7, 0x0e]).unwrap();
    let (sequence_id, payload) = client.connection().read_packet().unwrap();
    assert_eq!(
        (sequence_id, &payload[..3]),
        (1, &[0xff, 0x84, 0x04][..]),
        "ERR 1156"
    );
    assert!(client.connection().read_to_end(1).unwrap().is_empty());
}

#[test]
fn commands_cut_anywhere_leave_the_session_usable() {
    let server = server();
    let mut client = connect(&server);
    for command in 0..=0xff {
        let command = Command(command);
        let has_response = !matches!(
            command,
            Command::QUIT
                | Command::CHANGE_USER
                | Command::STMT_CLOSE
                | Command::STMT_SEND_LONG_DATA
        );
        if command == Command::QUIT || command == Command::CHANGE_USER {
            continue;
        }
        for arguments in [&b""[..], b"\x01", b"\x01\0\0\0", &[0xff; 40]] {
            client.send_command(command, arguments).unwrap();
            if has_response {
                // What comes is an ERR or the end of a small response.
                while client.read_payload().is_ok_and(|payload| {
                    !matches!(payload.first(), Some(0 | 0xfe)) && command != Command::STATISTICS
                }) {}
            }
        }
    }
    client.send_command(Command(0x0e), b"").unwrap();
    client.read_ok().unwrap();
}

#[test]
fn a_failed_change_of_user_ends_the_session() {
    let server = server();
    let mut client = connect(&server);
    client
        .send_command(Command::CHANGE_USER, b"root\0\0\0")
        .unwrap();
    let switch = client.read_payload().unwrap();
    assert_eq!(switch.first(), Some(&0xfe));
    client.connection().send_payload(2, b"wrong").unwrap();
    let (_, payload) = client.connection().read_packet().unwrap();
    assert_eq!(payload[..3], [0xff, 0x15, 0x04], "ERR 1045");
    assert!(client.connection().read_to_end(1).unwrap().is_empty());
}

#[test]
fn deep_and_long_statements_are_errors() {
    let server = server();
    let mut client = connect(&server);
    let explains = "EXPLAIN ".repeat(100_000);
    let truncates = "TRUNCATE ".repeat(100_000);
    let deep = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    let open = format!("CREATE TABLE t (a INT DEFAULT {}", "(".repeat(50_000));
    let words = "x ".repeat((1 << 20) + 1);
    for sql in [explains, truncates, deep, open, words] {
        let error = client.query_all(&sql).unwrap_err();
        assert!(error.code().is_some(), "{error}");
    }
    client.ping().unwrap();
}

#[test]
fn silent_clients_keep_others_out_only_up_to_a_bound() {
    let server = server();
    let address = server.address();
    let mut silent: Vec<_> = (0..CONNECTIONS_MAX)
        .map(|_| Connection::tcp(address).unwrap())
        .collect();
    wait::until("all are accepted", Duration::from_secs(10), || {
        server.sessions() == CONNECTIONS_MAX
    });
    let refused = connect_with(&server, &login()).unwrap_err();
    assert_eq!(refused.code(), Some(1040));
    silent.pop();
    wait::until("there is room again", Duration::from_secs(5), || {
        server.sessions() < CONNECTIONS_MAX
    });
    connect(&server).ping().unwrap();
}
