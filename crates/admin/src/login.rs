//! The connection phase of an operator: one account, by `mysql_native_password` or `caching_sha2_password`.
//!
//! The account's password is known here, so a scramble always suffices and no password crosses the wire.
//! Follows MySQL's "Connection Phase".

use std::fmt;
use std::io;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use backend::Stream;
use backend::packet_io::{PacketError, PacketReader, write_packet};
use protocol::auth::{
    CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD, caching_sha2_password, mysql_native_password,
};
use protocol::connection_phase::{AuthSwitchRequest, HandshakeResponse41, HandshakeV10};
use protocol::limits::LOGIN_PACKET_BYTES_MAX;
use protocol::response::{ErrPacket, OkPacket, error_code};
use protocol::resultset::collation;
use protocol::{Capabilities, DecodeError, StatusFlags};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use crate::limits::{DENIAL_PAUSE, LOGIN_TIMEOUT, WRITE_TIMEOUT};

/// What tools know the admin interface by.
pub(crate) const SERVER_VERSION: &str = "5.0.99-agent-admin";

/// What an operator's client may ask for. Rows end with an EOF.
const OFFERED: Capabilities = Capabilities::LONG_PASSWORD
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_DATA);

const NONCE_BYTES: usize = 20;
/// Of AuthMoreData.
const MORE_DATA: u8 = 1;
/// The client's own packet, and the greeting before it.
const LOGIN_SEQUENCE_ID: u8 = 1;

/// Who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The operator's name.
    pub username: String,
    /// Not empty.
    pub password: String,
}

/// Why nobody is logged in.
#[derive(Debug, Error)]
pub(crate) enum LoginError {
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it took longer than {LOGIN_TIMEOUT:?}")]
    TimedOut,
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// The client has been told.
    #[error("{0}")]
    Denied(&'static str),
}

/// What was agreed on with the operator's client.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) capabilities: Capabilities,
    /// What came behind the login.
    pub(crate) reader: PacketReader,
}

/// A login in progress.
struct Exchange<'a> {
    stream: &'a mut Stream,
    reader: PacketReader,
    /// Of the latest packet.
    sequence_id: u8,
}

impl Account {
    /// Greets, and asks until the client is known.
    pub(crate) async fn log_in(
        &self,
        stream: &mut Stream,
        id: u32,
    ) -> Result<LoggedIn, LoginError> {
        let mut exchange = Exchange {
            stream,
            reader: PacketReader::default(),
            sequence_id: u8::MAX,
        };
        match exchange.run(self, id).await {
            Ok(capabilities) => Ok(LoggedIn {
                capabilities,
                reader: exchange.reader,
            }),
            Err(error) => {
                exchange.tell(&error).await;
                Err(error)
            }
        }
    }

    /// Whether these are its name and password. Takes equally long whatever is wrong with them.
    pub fn is(&self, username: &[u8], password: &[u8]) -> bool {
        let are_equal = |a: &[u8], b: &[u8]| {
            let [a, b] = [a, b].map(|bytes| digest(&SHA256, bytes));
            verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok()
        };
        let is_username = are_equal(self.username.as_bytes(), username);
        let is_password = are_equal(self.password.as_bytes(), password);
        is_username & is_password
    }

    fn is_proved(&self, plugin: &[u8], nonce: &[u8], proof: &[u8]) -> bool {
        let password = self.password.as_bytes();
        match plugin {
            MYSQL_NATIVE_PASSWORD => mysql_native_password::verify(password, nonce, proof),
            _ => caching_sha2_password::verify(password, nonce, proof),
        }
    }
}

impl Exchange<'_> {
    async fn run(&mut self, account: &Account, id: u32) -> Result<Capabilities, LoginError> {
        let mut nonce = nonce()?;
        let greeting = HandshakeV10 {
            server_version: SERVER_VERSION.into(),
            thread_id: id,
            auth_plugin_data: nonce.to_vec(),
            capabilities: OFFERED,
            character_set: collation::UTF8MB4_GENERAL_CI as u8,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin_name: CACHING_SHA2_PASSWORD.to_vec(),
        };
        let mut payload = Vec::new();
        greeting.encode(&mut payload);
        self.send(&payload).await?;
        let response = HandshakeResponse41::decode(&self.receive().await?)?;
        let capabilities = response.capabilities & OFFERED;
        let has_plugins = capabilities.contains(Capabilities::PLUGIN_AUTH);
        let mut proof = response.auth_response;
        // A client that knows no plugins has answered by the oldest one.
        let plugin = match (has_plugins, response.auth_plugin_name.as_slice()) {
            (false, _) | (true, MYSQL_NATIVE_PASSWORD) => MYSQL_NATIVE_PASSWORD,
            _ => CACHING_SHA2_PASSWORD,
        };
        if has_plugins && response.auth_plugin_name != greeting.auth_plugin_name {
            nonce = self::nonce()?;
            proof = self.switch(plugin, &nonce).await?;
        }
        let is_known = verify_slices_are_equal(account.username.as_bytes(), &response.username);
        if is_known.is_err() {
            return Err(LoginError::Denied("unknown user"));
        }
        if !account.is_proved(plugin, &nonce, &proof) {
            return Err(LoginError::Denied("password doesn't match"));
        }
        if plugin == CACHING_SHA2_PASSWORD {
            let more = [&[MORE_DATA], caching_sha2_password::FAST_AUTH_SUCCESS].concat();
            self.send(&more).await?;
        }
        let ok = OkPacket {
            status: StatusFlags::AUTOCOMMIT,
            ..OkPacket::default()
        };
        payload.clear();
        ok.encode(OkPacket::HEADER, capabilities, &mut payload);
        self.send(&payload).await?;
        Ok(capabilities)
    }

    /// Asks for another proof. It has a nonce of its own.
    async fn switch(&mut self, plugin: &[u8], nonce: &[u8]) -> Result<Vec<u8>, LoginError> {
        let request = AuthSwitchRequest {
            plugin_name: plugin,
            plugin_data: nonce,
        };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.send(&payload).await?;
        self.receive().await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        self.sequence_id = self.sequence_id.wrapping_add(1);
        let write = write_packet(self.stream, self.sequence_id, payload);
        let written = timeout(WRITE_TIMEOUT, write).await;
        Ok(written.map_err(|_| LoginError::TimedOut)??)
    }

    async fn receive(&mut self) -> Result<Vec<u8>, LoginError> {
        let read = self
            .reader
            .read(self.stream, "HandshakeResponse41", LOGIN_PACKET_BYTES_MAX);
        let read = timeout(LOGIN_TIMEOUT, read).await;
        let packet = read.map_err(|_| LoginError::TimedOut)??;
        self.sequence_id = packet.sequence_id;
        Ok(packet.payload)
    }

    /// Says why not, where the client still listens. Who tries passwords waits for each.
    async fn tell(&mut self, error: &LoginError) {
        let err = match error {
            LoginError::Denied(text) => {
                sleep(DENIAL_PAUSE).await;
                ErrPacket::new(error_code::ACCESS_DENIED, *b"28000", text)
            }
            LoginError::Malformed(DecodeError::Invalid {
                field: "client flags",
                ..
            }) => {
                let text = "4.0 protocol is not supported";
                ErrPacket::new(error_code::VERSION_ERROR, *b"08S01", text)
            }
            LoginError::Malformed(_) => {
                self.sequence_id = LOGIN_SEQUENCE_ID;
                ErrPacket::new(error_code::HANDSHAKE_ERROR, *b"08S01", "Bad handshake")
            }
            LoginError::Packet(_) | LoginError::Io(_) | LoginError::TimedOut => return,
        };
        let mut payload = Vec::new();
        err.encode(&mut payload);
        // It may be gone; the log has the reason.
        let _ = self.send(&payload).await;
    }
}

/// Printable, as servers' own: a zero would end it.
fn nonce() -> io::Result<[u8; NONCE_BYTES]> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(nonce.map(|byte| b'!' + byte % 94))
}

/// Without the password.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
