//! Servers that say something else on connections of the pool than what they were asked for: nobody takes it for an answer,
//! and nobody else gets the connection.

mod fake;
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::packet::put_payload;
use protocol::response::ErrPacket;
use testkit::{Client, Connection, FakeServer, ProxyProcess};

use fake::{OK, greet, packets};
use scripted::{SHARING, ScriptFile, connect};

/// What MySQL says to an idle connection before it closes it: unasked, so its sequence id is 0.
fn closing_notice() -> Vec<u8> {
    let mut payload = Vec::new();
    let text = "The client was disconnected by the server because of inactivity.";
    ErrPacket::new(4031, *b"HY000", text).encode(&mut payload);
    let mut bytes = Vec::new();
    put_payload(&mut bytes, 0, &payload);
    bytes
}

/// OK to everything, the first command aside.
fn fake(first: impl Fn(&mut Connection, &[u8]) + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(move |mut connection| {
        greet(&mut connection);
        let _ = connection.send_payload(2, &OK);
        let Ok((_, command)) = connection.read_payload(0) else {
            return;
        };
        first(&mut connection, &command);
        while connection.read_payload(0).is_ok() {
            let _ = connection.send_payload(1, &OK);
        }
    })
}

fn sharing(fake: &FakeServer) -> (ScriptFile, ProxyProcess) {
    let script = ScriptFile::new(SHARING);
    let backend = format!("--proxy-backend-addresses={}", fake.address());
    let proxy = script.proxy(&[], &[&backend]);
    (script, proxy)
}

fn ping(client: &mut Client) {
    client.ping().expect("an OK");
}

#[test]
fn a_login_gets_another_connection_when_its_own_is_being_closed() {
    const CHANGE_USER: u8 = 0x11;
    let fake = fake(|connection, command| {
        if command[0] == CHANGE_USER {
            let _ = connection.send_bytes(&closing_notice());
            let _ = connection.shutdown_write();
        } else {
            let _ = connection.send_payload(1, &OK);
        }
    });
    let (_script, proxy) = sharing(&fake);
    let _one = connect(&proxy);
    let mut other = connect(&proxy);
    ping(&mut other);
    assert_eq!(fake.accepted(), 2);
}

#[test]
fn a_connection_that_is_out_of_step_goes_to_nobody_else() {
    let fake = fake(|connection, _| drop(connection.send_bytes(&packets(0, &[&OK]))));
    let (_script, proxy) = sharing(&fake);
    let mut one = connect(&proxy);
    ping(&mut one);
    assert_eq!(fake.accepted(), 1);
    let mut other = connect(&proxy);
    ping(&mut other);
    assert_eq!(fake.accepted(), 2);
}

#[test]
fn a_connection_that_has_half_a_command_goes_to_nobody_else() {
    const QUERY_BYTES: usize = 48 << 20;
    let mut err = Vec::new();
    ErrPacket::new(
        1153,
        *b"08S01",
        "Got a packet bigger than 'max_allowed_packet' bytes",
    )
    .encode(&mut err);
    let fake = FakeServer::start(move |mut connection| {
        greet(&mut connection);
        let _ = connection.send_payload(2, &OK);
        // Of the command's four packets it reads one, and answers as if it had read them all.
        if connection.read_packet().is_ok() {
            let _ = connection.send_bytes(&packets(4, &[&err]));
        }
        // What comes then is the rest to it.
        let _ = connection.read_to_end(u64::MAX);
    });
    let (_script, proxy) = sharing(&fake);
    let mut one = connect(&proxy);
    let error = one
        .query(&format!("SELECT '{}'", "x".repeat(QUERY_BYTES)))
        .expect_err("it is refused");
    assert_eq!(error.code(), Some(1153), "{error}");
    let _other = connect(&proxy);
    assert_eq!(fake.accepted(), 2);
}

/// Nobody knows whether the server has run it.
#[test]
fn a_command_is_never_sent_twice() {
    let commands = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&commands);
    let fake = FakeServer::start(move |mut connection| {
        greet(&mut connection);
        let _ = connection.send_payload(2, &OK);
        if connection.read_payload(0).is_ok() {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    let script = ScriptFile::new(&format!("{SHARING} function connect_server() end"));
    let backend = format!("--proxy-backend-addresses={}", fake.address());
    let proxy = script.proxy(&[], &[&backend]);
    let mut clients: Vec<_> = (0..3).map(|_| connect(&proxy)).collect();
    clients[0].ping().expect_err("there is no answer");
    assert_eq!(commands.load(Ordering::Relaxed), 1);
    clients[1].ping().expect_err("there is no answer");
    assert_eq!(commands.load(Ordering::Relaxed), 2);
}
