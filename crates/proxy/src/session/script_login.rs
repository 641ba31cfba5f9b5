//! The login of a client where the script is the server: it has greeted by itself.

use backend::Stream;
use backend::packet_io::PacketReader;
use protocol::connection_phase::HandshakeV10;
use protocol::limits::LOGIN_PACKET_BYTES_MAX;
use protocol::packet::put_payload;
use protocol::response::OkPacket;
use protocol::{Capabilities, StatusFlags};
use script::Hook;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use transport::compression::{Compression, Role};

use super::client_login::decode;
use super::error::{Party, SessionError};
use super::login::LoggedIn;
use super::script::Script;
use super::{Context, last_words};
use crate::compression::{COMPRESSED, agreed};

/// Whoever answers the script's greeting is let in unless `read_auth` says otherwise.
pub(super) async fn log_in(
    mut client: Stream,
    greeting: Vec<Vec<u8>>,
    context: &Context,
    script: &mut Script,
) -> Result<LoggedIn, SessionError> {
    let mut exchange = ScriptLogin {
        client: &mut client,
        reader: PacketReader::default(),
        sequence_id: u8::MAX,
    };
    let outcome = exchange.run(greeting, context, script).await;
    let (sequence_id, mut rest) = (exchange.sequence_id, exchange.reader.into_rest());
    match outcome {
        Ok(((username, database), capabilities, compression)) => {
            if let Some(compression) = compression {
                client.compress(Role::Server, compression, std::mem::take(&mut rest));
            }
            Ok(LoggedIn {
                client,
                username,
                database,
                backend: None,
                session: None,
                capabilities,
                status: StatusFlags::AUTOCOMMIT,
                nonce: Vec::new(),
                rest,
                is_tunnel: false,
            })
        }
        Err(error) => {
            last_words::tell(&mut client, sequence_id, &error, "(script)").await;
            Err(error)
        }
    }
}

/// The client's, and its database's.
type Names = (Vec<u8>, Vec<u8>);

/// A login without a backend.
struct ScriptLogin<'a> {
    client: &'a mut Stream,
    reader: PacketReader,
    /// Of the latest packet in either direction.
    sequence_id: u8,
}

impl ScriptLogin<'_> {
    async fn run(
        &mut self,
        greeting: Vec<Vec<u8>>,
        context: &Context,
        script: &mut Script,
    ) -> Result<(Names, Capabilities, Option<Compression>), SessionError> {
        let handshake = greeting
            .first()
            .map(|payload| HandshakeV10::decode(payload));
        let Some(Ok(handshake)) = handshake else {
            return Err(SessionError::Answered(greeting));
        };
        script.greeted_itself(&handshake);
        self.send(&greeting).await?;
        let patience = context.settings.login_timeout;
        let read = self
            .reader
            .read(self.client, "HandshakeResponse41", LOGIN_PACKET_BYTES_MAX);
        let packet = timeout(patience, read)
            .await
            .map_err(|_| SessionError::Silent(Party::Client, patience))?
            .map_err(|error| SessionError::packet(Party::Client, error))?;
        self.sequence_id = packet.sequence_id;
        let response = decode(&packet.payload)?;
        let capabilities = response.capabilities & handshake.capabilities;
        script.logged_in(&response, capabilities);
        let answer = match script.call(Hook::ReadAuth).await {
            script::Decision::SendResult(answer) if answer.is_err() => {
                return Err(SessionError::Answered(answer.payloads));
            }
            script::Decision::SendResult(answer) => answer.payloads,
            _ => vec![ok(capabilities)],
        };
        self.send(&answer).await?;
        // The script's greeting says what is offered.
        let compression = agreed(capabilities, response.zstd_level);
        let names = (response.username, response.database);
        Ok((names, capabilities - COMPRESSED, compression))
    }

    async fn send(&mut self, payloads: &[Vec<u8>]) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        for payload in payloads {
            let next = self.sequence_id.wrapping_add(1);
            self.sequence_id = put_payload(&mut bytes, next, payload).wrapping_sub(1);
        }
        self.client
            .write_all(&bytes)
            .await
            .map_err(|error| SessionError::Io(Party::Client, error))?;
        self.client
            .flush()
            .await
            .map_err(|error| SessionError::Io(Party::Client, error))
    }
}

fn ok(capabilities: Capabilities) -> Vec<u8> {
    let mut payload = Vec::new();
    let ok = OkPacket {
        status: StatusFlags::AUTOCOMMIT,
        ..OkPacket::default()
    };
    ok.encode(OkPacket::HEADER, capabilities, &mut payload);
    payload
}
