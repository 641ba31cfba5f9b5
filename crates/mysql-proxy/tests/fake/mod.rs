//! What a server says that a test makes up.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use protocol::packet::put_payload;
use protocol::{Capabilities, StatusFlags};
use testkit::Connection;

pub(crate) const PLAIN: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::MULTI_RESULTS);
/// An OK packet: autocommit is on.
pub(crate) const OK: [u8; 7] = [0, 0, 0, 2, 0, 0, 0];

/// Greets and reads the login.
pub(crate) fn greet(connection: &mut Connection) {
    let greeting = HandshakeV10 {
        server_version: b"8.4.0-fake".to_vec(),
        thread_id: 1,
        auth_plugin_data: vec![b'n'; 20],
        capabilities: PLAIN,
        character_set: 45,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin_name: b"mysql_native_password".to_vec(),
    };
    let mut payload = Vec::new();
    greeting.encode(&mut payload);
    let _ = connection.send_payload(0, &payload);
    if let Ok((_, login)) = connection.read_payload(1) {
        HandshakeResponse41::decode(&login).expect("the proxy sends a login");
    }
}

/// The payloads as packets, the first with this sequence id.
pub(crate) fn packets(mut sequence_id: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        sequence_id = put_payload(&mut bytes, sequence_id, payload);
    }
    bytes
}
