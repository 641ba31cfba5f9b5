//! A client that logs in and asks for one value at a time. It has no TLS, no compression and no other password than the
//! playground's.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use protocol::auth::{
    CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD, caching_sha2_password, mysql_native_password,
};
use protocol::connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10};
use protocol::response::{EofPacket, ErrPacket};
use protocol::resultset::{TextRow, collation};
use protocol::wire::Reader;
use protocol::{Capabilities, Command, DecodeError};
use thiserror::Error;

use crate::limits::PACKET_BYTES_MAX;
use crate::packet_stream::{PacketStream, StreamError};
use crate::{DATABASE, PASSWORD, USER};

/// To connect, and for each packet.
const TIMEOUT: Duration = Duration::from_secs(10);

const CAPABILITIES: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH);

/// A logged-in client.
#[derive(Debug)]
pub struct Client {
    stream: PacketStream,
}

/// Why a login or a statement failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server's ERR packet.
    #[error("ERROR {code}: {message}")]
    Server {
        /// `ER_*` or `CR_*`
        code: u16,
        /// What happened, for a person.
        message: String,
    },
    /// The connection could not be had, or it ended.
    #[error("{0}")]
    Connection(String),
    /// A packet that cannot stand where it stands.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl From<StreamError> for ClientError {
    fn from(error: StreamError) -> Self {
        Self::Connection(error.to_string())
    }
}

impl Client {
    /// Logs in with [`USER`] and [`PASSWORD`].
    ///
    /// # Errors
    /// Nobody listens there, or does not let us in.
    pub fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(StreamError::Io)?;
        let stream = PacketStream::of_client(stream).map_err(StreamError::Io)?;
        let mut client = Self { stream };
        client.log_in()?;
        client.stream.logged_in();
        Ok(client)
    }

    /// The first value of a query's first row, as text; NULL, and no row at all, as an empty one.
    ///
    /// # Errors
    /// The statement fails, gives no resultset, or the connection ends.
    pub fn value(&mut self, sql: &str) -> Result<String, ClientError> {
        let mut payload = vec![Command::QUERY.0];
        payload.extend_from_slice(sql.as_bytes());
        self.stream.start_command();
        self.stream.write_payload(&payload)?;
        self.stream.flush()?;
        let columns = Reader::new("column count", &self.read()?).lenenc_int("column count")?;
        let columns = columns.min(PACKET_BYTES_MAX as u64) as usize;
        for _ in 0..columns {
            self.read()?;
        }
        // DEPRECATE_EOF is not asked for.
        EofPacket::decode(&self.read()?)?;
        let mut value = None;
        loop {
            let payload = self.read()?;
            if EofPacket::decode(&payload).is_ok() {
                return Ok(value.unwrap_or_default());
            }
            if value.is_none() {
                let row = TextRow::decode(&payload, columns)?;
                let first = row.into_iter().next().flatten().unwrap_or_default();
                value = Some(String::from_utf8_lossy(first).into_owned());
            }
        }
    }

    fn log_in(&mut self) -> Result<(), ClientError> {
        let greeting = HandshakeV10::decode(&self.read()?)?;
        let plugin = match greeting.auth_plugin_name.as_slice() {
            MYSQL_NATIVE_PASSWORD => MYSQL_NATIVE_PASSWORD,
            _ => CACHING_SHA2_PASSWORD,
        };
        let response = HandshakeResponse41 {
            capabilities: CAPABILITIES & greeting.capabilities,
            max_packet_bytes: PACKET_BYTES_MAX as u32,
            character_set: collation::UTF8MB4_GENERAL_CI as u8,
            username: USER.into(),
            auth_response: scramble(plugin, &greeting.auth_plugin_data),
            database: DATABASE.into(),
            auth_plugin_name: plugin.to_vec(),
            ..HandshakeResponse41::default()
        };
        let mut payload = Vec::new();
        response.encode(&mut payload);
        self.write(&payload)?;
        loop {
            let payload = self.read()?;
            match AuthPacket::decode(&payload)? {
                AuthPacket::Ok => return Ok(()),
                AuthPacket::MoreData(caching_sha2_password::FAST_AUTH_SUCCESS) => {}
                AuthPacket::SwitchRequest(request) => {
                    self.write(&scramble(request.plugin_name, request.plugin_data))?;
                }
                _ => {
                    let message = "the server wants more than a scrambled password";
                    return Err(ClientError::Connection(message.to_owned()));
                }
            }
        }
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.stream.write_payload(payload)?;
        Ok(self.stream.flush()?)
    }

    /// A payload; an ERR packet is the error.
    fn read(&mut self) -> Result<Vec<u8>, ClientError> {
        let payload = self.stream.read_payload(Instant::now() + TIMEOUT)?;
        if payload.first() != Some(&ErrPacket::HEADER) {
            return Ok(payload);
        }
        let error = ErrPacket::decode(&payload)?;
        Err(ClientError::Server {
            code: error.code,
            message: error.message_lossy().into_owned(),
        })
    }
}

fn scramble(plugin: &[u8], nonce: &[u8]) -> Vec<u8> {
    let password = PASSWORD.as_bytes();
    match plugin {
        MYSQL_NATIVE_PASSWORD => mysql_native_password::scramble(password, nonce),
        _ => caching_sha2_password::scramble(password, nonce),
    }
}
