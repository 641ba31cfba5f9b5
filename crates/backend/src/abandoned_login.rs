//! Ends a login that nobody wants any more in the way that costs us nothing: with a login that the server refuses.
//!
//! A server counts connections that end inside the handshake against the host they came from, and past
//! `max_connect_errors` locks that host out. The proxy's host is everyone's host. A wrong account is not counted.

use std::time::Duration;

use protocol::connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10};
use protocol::limits::AUTH_PACKET_BYTES_MAX;
use protocol::{Capabilities, Command};
use tokio::time::timeout;
use tracing::debug;

use crate::Stream;
use crate::packet_io::{PacketError, PacketReader, write_packet};

/// The whole exchange; a server's own patience with a handshake is longer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Answers to a server that keeps asking. No method asks for more.
const ANSWERS_MAX: u8 = 5;
/// An account that should not exist. A server's log shows it with our host.
const USERNAME: &[u8] = b"mysql-proxy-no-login";

/// How far the login went.
#[derive(Debug)]
pub enum Stage<'a> {
    /// The server has greeted, nothing was answered.
    Greeted(&'a HandshakeV10),
    /// The server was sent a login, and this was the sequence id of the latest packet in either direction.
    Answered {
        /// The next packet's is one more.
        sequence_id: u8,
        /// True when the server spoke last and waits for us.
        server_waits: bool,
    },
    /// The server has let us in: it waits for a command.
    Admitted,
}

/// Brings the login to its refusal and closes. `reader` may hold what the server has said already. Failures only mean
/// that the server closed first.
pub async fn end(mut stream: Stream, reader: PacketReader, stage: Stage<'_>) {
    match timeout(DEADLINE, refuse(&mut stream, reader, stage)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("abandoned login: the server {error}"),
        Err(_) => debug!("abandoned login: the server did not end it within {DEADLINE:?}"),
    }
}

async fn refuse(
    stream: &mut Stream,
    mut reader: PacketReader,
    stage: Stage<'_>,
) -> Result<(), PacketError> {
    match stage {
        // Under TLS there was a packet before, which asked for it.
        Stage::Greeted(handshake) => {
            let sequence_id = 1 + u8::from(stream.is_tls());
            let login = wrong_login(handshake, stream.is_tls());
            write_packet(stream, sequence_id, &login).await?;
        }
        Stage::Answered {
            sequence_id,
            server_waits: true,
        } => write_packet(stream, sequence_id.wrapping_add(1), &[]).await?,
        Stage::Answered { .. } => {}
        Stage::Admitted => return Ok(write_packet(stream, 0, &[Command::QUIT.0]).await?),
    }
    for _ in 0..ANSWERS_MAX {
        let packet = reader
            .read(stream, "authentication packet", AUTH_PACKET_BYTES_MAX)
            .await?;
        match AuthPacket::decode(&packet.payload)? {
            AuthPacket::Err => return Ok(()),
            AuthPacket::Ok => return Ok(write_packet(stream, 0, &[Command::QUIT.0]).await?),
            _ => write_packet(stream, packet.sequence_id.wrapping_add(1), &[]).await?,
        }
    }
    Ok(())
}

fn wrong_login(handshake: &HandshakeV10, is_tls: bool) -> Vec<u8> {
    let mut wanted = Capabilities::LONG_PASSWORD
        | Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH;
    wanted.set(Capabilities::SSL, is_tls);
    let response = HandshakeResponse41 {
        capabilities: wanted & handshake.capabilities | Capabilities::PROTOCOL_41,
        max_packet_bytes: 1 << 24,
        character_set: handshake.character_set,
        username: USERNAME.to_vec(),
        auth_plugin_name: handshake.auth_plugin_name.clone(),
        ..HandshakeResponse41::default()
    };
    let mut payload = Vec::new();
    response.encode(&mut payload);
    payload
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;

    /// caching_sha2_password says that the scramble was right and OK in one go.
    #[tokio::test(start_paused = true)]
    async fn an_ok_that_was_read_already_is_answered_with_a_goodbye() {
        let (near, mut server) = UnixStream::pair().unwrap();
        let mut read_already = Vec::new();
        protocol::packet::put_payload(&mut read_already, 3, b"\0\0\0\x02\0\0\0");
        let stage = Stage::Answered {
            sequence_id: 2,
            server_waits: false,
        };
        let reader = PacketReader::after(read_already);
        end(Stream::Unix(near), reader, stage).await;
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [1, 0, 0, 0, Command::QUIT.0]);
    }
}
