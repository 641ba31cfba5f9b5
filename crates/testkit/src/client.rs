//! A small blocking client that does what a test says. It speaks neither TLS nor compression.

mod login;
mod resultset;

use std::{io, net::SocketAddr, path::Path};

use protocol::{
    Capabilities, Command, DecodeError,
    connection_phase::HandshakeV10,
    response::{ErrPacket, OkPacket},
    wire::Writer,
};
use thiserror::Error;

pub use login::{AuthPath, Login};
pub use resultset::QueryResult;

use crate::Connection;

/// Why something did not work.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server's, or the proxy's, ERR packet.
    #[error("ERROR {code} ({sql_state}): {message}")]
    Server {
        /// `ER_*` or `CR_*`
        code: u16,
        /// Five characters; empty where the packet has none.
        sql_state: String,
        /// The text.
        message: String,
    },
    /// The connection: closed, reset, or nothing came in time.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A packet that is not what it should be.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A packet that should not come now.
    #[error("{0}")]
    Unexpected(String),
}

impl ClientError {
    /// The error code of an ERR packet.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Io(_) | Self::Malformed(_) | Self::Unexpected(_) => None,
        }
    }

    fn from_err_packet(payload: &[u8]) -> Self {
        match ErrPacket::decode(payload) {
            Ok(err) => Self::Server {
                code: err.code,
                sql_state: err
                    .sql_state
                    .map(|state| String::from_utf8_lossy(&state).into_owned())
                    .unwrap_or_default(),
                message: err.message_lossy().into_owned(),
            },
            Err(error) => error.into(),
        }
    }
}

/// A logged-in client.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    greeting: HandshakeV10,
    capabilities: Capabilities,
    auth_path: AuthPath,
    /// Of the packet that is to be read next.
    sequence_id: u8,
}

impl Client {
    /// Logs in over TCP with ordinary flags; [`Login::connect`] has the choices.
    pub fn connect(address: SocketAddr, user: &str, password: &str) -> Result<Self, ClientError> {
        Login::new(user, password).connect(Connection::tcp(address)?)
    }

    /// Logs in through a Unix socket.
    pub fn connect_unix(path: &Path, user: &str, password: &str) -> Result<Self, ClientError> {
        Login::new(user, password).connect(Connection::unix(path)?)
    }

    /// The greeting that this client got.
    pub fn greeting(&self) -> &HandshakeV10 {
        &self.greeting
    }

    /// The flags that both sides speak.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// How the password was proved.
    pub fn auth_path(&self) -> AuthPath {
        self.auth_path
    }

    /// The bytes below.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The bytes below, for what ends them.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Sends a command and what follows its code.
    pub fn send_command(&mut self, command: Command, arguments: &[u8]) -> Result<(), ClientError> {
        let payload = [&[command.0], arguments].concat();
        self.sequence_id = self.connection.send_payload(0, &payload)?;
        Ok(())
    }

    /// Sends COM_QUERY and leaves the response unread.
    pub fn send_query(&mut self, sql: &str) -> Result<(), ClientError> {
        let mut arguments = Vec::new();
        let mut writer = Writer::new(&mut arguments);
        if self.capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            // No attributes, one set of them.
            writer.lenenc_int(0);
            writer.lenenc_int(1);
        }
        writer.bytes(sql.as_bytes());
        self.send_command(Command::QUERY, &arguments)
    }

    /// Runs statements and returns all their results; an ERR packet is the error.
    pub fn query_all(&mut self, sql: &str) -> Result<Vec<QueryResult>, ClientError> {
        self.send_query(sql)?;
        self.read_results()
    }

    /// Runs one statement.
    pub fn query(&mut self, sql: &str) -> Result<QueryResult, ClientError> {
        let mut results = self.query_all(sql)?;
        let one = results.len() == 1;
        let result = results.pop().filter(|_| one);
        result.ok_or_else(|| ClientError::Unexpected(format!("not one result: {sql}")))
    }

    /// Runs one statement and returns its one value as text; NULL is the text `NULL`.
    pub fn value(&mut self, sql: &str) -> Result<String, ClientError> {
        let rows = self.query(sql)?.text();
        match rows.as_slice() {
            [row] if row.len() == 1 => Ok(row[0].clone().unwrap_or_else(|| "NULL".to_owned())),
            _ => Err(ClientError::Unexpected(format!("not one value: {sql}"))),
        }
    }

    /// COM_PING
    pub fn ping(&mut self) -> Result<(), ClientError> {
        self.send_command(Command::PING, &[])?;
        self.read_ok().map(drop)
    }

    /// COM_RESET_CONNECTION
    pub fn reset_connection(&mut self) -> Result<(), ClientError> {
        self.send_command(Command::RESET_CONNECTION, &[])?;
        self.read_ok().map(drop)
    }

    /// COM_QUIT, and waits for the close.
    pub fn quit(mut self) -> Result<(), ClientError> {
        self.send_command(Command::QUIT, &[])?;
        let rest = self.connection.read_to_end(1)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(ClientError::Unexpected("bytes after COM_QUIT".to_owned()))
    }

    /// Reads a response that is OK or ERR.
    pub fn read_ok(&mut self) -> Result<OkPacket, ClientError> {
        let payload = self.read_payload()?;
        Ok(OkPacket::decode(&payload)?)
    }

    /// Reads a payload; an ERR packet is the error.
    pub fn read_payload(&mut self) -> Result<Vec<u8>, ClientError> {
        let (next, payload) = self.connection.read_payload(self.sequence_id)?;
        self.sequence_id = next;
        if payload.first() == Some(&ErrPacket::HEADER) {
            return Err(ClientError::from_err_packet(&payload));
        }
        Ok(payload)
    }
}
