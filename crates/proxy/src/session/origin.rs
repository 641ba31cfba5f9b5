//! Where a client comes from: its connection's other end, or what the PROXY header says that the connection begins with;
//! and what servers are told of it.

use std::net::SocketAddr;

use backend::{SocketAddress, Stream};
use protocol::response::error_code;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use transport::proxy_protocol::{self, Decoded, Header};

use super::error::{Party, Refusal, SessionError};
use crate::settings::Settings;

/// What the rest of the session knows of its client's connection.
#[derive(Debug)]
pub(super) struct Origin {
    /// `None` for a Unix socket.
    pub(super) client: Option<SocketAddr>,
    /// The first bytes on each connection to a server; none where servers expect none.
    pub(super) server_header: Vec<u8>,
}

impl Origin {
    /// Reads the header, where `peer` is one of those who have to send one, and nothing behind it.
    ///
    /// # Errors
    /// There is none, or none in time; or the client has gone.
    pub(super) async fn read(
        client: &mut Stream,
        peer: Option<SocketAddr>,
        settings: &Settings,
    ) -> Result<Self, SessionError> {
        let networks = &settings.proxy_protocol_networks;
        let header = match networks.iter().any(|network| network.contains(peer)) {
            true => {
                let deadline = settings.login_timeout;
                let read = timeout(deadline, read_header(client)).await;
                read.unwrap_or_else(|_| {
                    Err(refused(&format!("none was complete within {deadline:?}")))
                })?
            }
            false => Header::Local,
        };
        let of_connection = match (peer, client.local_address()) {
            (Some(source), Some(SocketAddress::Ip(destination))) => Header::Tcp {
                source,
                destination,
            },
            _ => Header::Unix,
        };
        let (client, told) = match header {
            Header::Local => (peer, of_connection),
            Header::Tcp { source, .. } => (Some(source), header),
            Header::Unix => (None, header),
        };
        let version = settings.server_proxy_protocol;
        Ok(Self {
            client,
            server_header: version.map_or_else(Vec::new, |version| told.encode(version)),
        })
    }
}

async fn read_header(client: &mut Stream) -> Result<Header, SessionError> {
    let mut bytes = Vec::new();
    loop {
        let missing = match proxy_protocol::decode(&bytes) {
            Ok(Decoded::Complete(header)) => return Ok(header),
            Ok(Decoded::Incomplete(missing)) => missing,
            Err(error) => return Err(refused(&format!("what came is none: {error}"))),
        };
        let mut limited = (&mut *client).take(missing as u64);
        let read = limited.read_buf(&mut bytes).await;
        match read.map_err(|error| SessionError::Io(Party::Client, error))? {
            // A health check, for one.
            0 if bytes.is_empty() => return Err(SessionError::Closed(Party::Client)),
            0 => return Err(refused("it breaks off")),
            _ => {}
        }
    }
}

fn refused(reason: &str) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::HANDSHAKE_ERROR,
        *b"08S01",
        format!(
            "(proxy) no PROXY header: {reason}; who is in --proxy-protocol-networks has to send one"
        ),
    ))
}
