//! A client that logs in with a password and asks short questions. The deadline is its caller's.

use backend::packet_io::{PacketError, PacketReader, write_packet};
use backend::{Greeted, Stream};
use protocol::auth::{
    CACHING_SHA2_PASSWORD, MYSQL_CLEAR_PASSWORD, MYSQL_NATIVE_PASSWORD, RsaPasswordError,
    SHA256_PASSWORD, caching_sha2_password, encrypt_password, mysql_native_password,
};
use protocol::connection_phase::{AuthPacket, HandshakeResponse41, HandshakeV10, SslRequest};
use protocol::response::{EofPacket, ErrPacket};
use protocol::resultset::{ColumnCount, TextRow, collation};
use protocol::{Capabilities, Command, DecodeError};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::account::Account;

/// No setting is longer.
pub(super) const PACKET_BYTES_MAX: usize = 1 << 20;
/// Nor are there more.
const ROWS_MAX: usize = 1000;
const COLUMNS_MAX: usize = 100;
/// Of a login. No method asks for more.
const PACKETS_MAX: usize = 10;

const CAPABILITIES: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH);

/// Ask for the server's key, in `sha256_password`.
const REQUEST_SHA256_KEY: &[u8] = &[1];

/// Why a login or a question failed.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// The server's words.
    #[error("ERROR {code}: {message}")]
    Server { code: u16, message: String },
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    #[error("{0}")]
    Password(#[from] RsaPasswordError),
    /// We cannot log in like this.
    #[error(
        "the account wants the authentication plugin {0}, which is not spoken here; give another account"
    )]
    Plugin(String),
    #[error("it answers more than was asked for")]
    TooMuch,
}

/// A connection whose server has greeted.
pub(super) struct Client {
    stream: Stream,
    reader: PacketReader,
    handshake: HandshakeV10,
    /// Of the latest packet.
    sequence_id: u8,
}

impl Client {
    pub(super) fn new(greeted: Greeted) -> Self {
        Self {
            stream: greeted.stream,
            reader: PacketReader::default(),
            handshake: greeted.handshake,
            sequence_id: 0,
        }
    }

    /// TLS from here on. The server's certificate, in DER.
    pub(super) async fn secure(
        &mut self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let request = self.response(Capabilities::SSL, &[], &[], &[]);
        let request = request.get(..SslRequest::BYTES).unwrap_or_default();
        self.write(request).await?;
        self.stream.connect_tls(connector, name).await?;
        Ok(self.stream.peer_certificate())
    }

    /// Ends the login so that the server holds nothing against this host.
    pub(super) async fn leave(self) {
        let stage = backend::abandoned_login::Stage::Greeted(&self.handshake);
        backend::abandoned_login::end(self.stream, self.reader, stage).await;
    }

    /// Brings the login to its end.
    pub(super) async fn log_in(&mut self, account: &Account) -> Result<(), ClientError> {
        let mut plugin = self.handshake.auth_plugin_name.clone();
        if ![MYSQL_NATIVE_PASSWORD, CACHING_SHA2_PASSWORD].contains(&plugin.as_slice()) {
            plugin = MYSQL_NATIVE_PASSWORD.to_vec();
        }
        let mut nonce = self.handshake.auth_plugin_data.clone();
        let answer = self.answer(&plugin, account, &nonce)?;
        let flags = match self.stream.is_tls() {
            true => Capabilities::SSL,
            false => Capabilities::empty(),
        };
        let username = account.username.as_bytes();
        let response = self.response(flags, username, &answer, &plugin);
        self.write(&response).await?;
        for _ in 0..PACKETS_MAX {
            let payload = self.read().await?;
            match AuthPacket::decode(&payload)? {
                AuthPacket::Ok => return Ok(()),
                AuthPacket::SwitchRequest(request) => {
                    plugin = request.plugin_name.to_vec();
                    nonce = request.plugin_data.to_vec();
                    let answer = self.answer(&plugin, account, &nonce)?;
                    self.write(&answer).await?;
                }
                AuthPacket::MoreData(caching_sha2_password::FAST_AUTH_SUCCESS) => {}
                AuthPacket::MoreData(caching_sha2_password::PERFORM_FULL_AUTHENTICATION) => {
                    let answer = match self.stream.is_secure() {
                        true => clear(account),
                        false => caching_sha2_password::REQUEST_PUBLIC_KEY.to_vec(),
                    };
                    self.write(&answer).await?;
                }
                AuthPacket::MoreData(key) => {
                    let encrypted = encrypt_password(account.password.as_bytes(), &nonce, key)?;
                    self.write(&encrypted).await?;
                }
                _ => return Err(unknown(&plugin)),
            }
        }
        Err(ClientError::TooMuch)
    }

    fn answer(
        &self,
        plugin: &[u8],
        account: &Account,
        nonce: &[u8],
    ) -> Result<Vec<u8>, ClientError> {
        let (password, is_secure) = (account.password.as_bytes(), self.stream.is_secure());
        match plugin {
            MYSQL_NATIVE_PASSWORD => Ok(mysql_native_password::scramble(password, nonce)),
            CACHING_SHA2_PASSWORD => Ok(caching_sha2_password::scramble(password, nonce)),
            SHA256_PASSWORD if is_secure => Ok(clear(account)),
            SHA256_PASSWORD => Ok(REQUEST_SHA256_KEY.to_vec()),
            MYSQL_CLEAR_PASSWORD if is_secure => Ok(clear(account)),
            _ => Err(unknown(plugin)),
        }
    }

    fn response(
        &self,
        flags: Capabilities,
        username: &[u8],
        answer: &[u8],
        plugin: &[u8],
    ) -> Vec<u8> {
        let response = HandshakeResponse41 {
            capabilities: (CAPABILITIES | flags) & self.handshake.capabilities,
            max_packet_bytes: PACKET_BYTES_MAX as u32,
            character_set: collation::UTF8MB4_GENERAL_CI as u8,
            username: username.to_vec(),
            auth_response: answer.to_vec(),
            auth_plugin_name: plugin.to_vec(),
            ..HandshakeResponse41::default()
        };
        let mut payload = Vec::new();
        response.encode(&mut payload);
        payload
    }

    /// The rows of a query, as text.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, ClientError> {
        let mut command = vec![Command::QUERY.0];
        command.extend_from_slice(sql.as_bytes());
        write_packet(&mut self.stream, 0, &command).await?;
        let count = ColumnCount::decode(&self.read().await?, CAPABILITIES)?;
        let columns = usize::try_from(count.columns).unwrap_or(usize::MAX);
        if columns > COLUMNS_MAX {
            return Err(ClientError::TooMuch);
        }
        for _ in 0..columns {
            self.read().await?;
        }
        // DEPRECATE_EOF is not asked for.
        EofPacket::decode(&self.read().await?)?;
        let mut rows = Vec::new();
        loop {
            let payload = self.read().await?;
            if EofPacket::decode(&payload).is_ok() {
                return Ok(rows);
            }
            if rows.len() >= ROWS_MAX {
                return Err(ClientError::TooMuch);
            }
            let row = TextRow::decode(&payload, columns)?.into_iter();
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            rows.push(row.map(|value| value.map(text)).collect());
        }
    }

    pub(super) async fn quit(mut self) {
        // It may have gone before.
        let _ = write_packet(&mut self.stream, 0, &[Command::QUIT.0]).await;
    }

    async fn write(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.sequence_id = self.sequence_id.wrapping_add(1);
        Ok(write_packet(&mut self.stream, self.sequence_id, payload).await?)
    }

    /// A payload; an ERR packet is the error.
    async fn read(&mut self) -> Result<Vec<u8>, ClientError> {
        let read = self
            .reader
            .read(&mut self.stream, "answer", PACKET_BYTES_MAX);
        let packet = read.await?;
        self.sequence_id = packet.sequence_id;
        if packet.payload.first() != Some(&ErrPacket::HEADER) {
            return Ok(packet.payload);
        }
        let error = ErrPacket::decode(&packet.payload)?;
        Err(ClientError::Server {
            code: error.code,
            message: error.message_lossy().into_owned(),
        })
    }
}

/// The password itself, for a connection that nobody listens to.
fn clear(account: &Account) -> Vec<u8> {
    [account.password.as_bytes(), &[0]].concat()
}

fn unknown(plugin: &[u8]) -> ClientError {
    ClientError::Plugin(String::from_utf8_lossy(plugin).into_owned())
}
