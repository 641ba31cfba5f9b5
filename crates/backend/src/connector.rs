//! From an address to a server's greeting, each step with its deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::connection_phase::HandshakeV10;
use protocol::limits::HANDSHAKE_V10_BYTES_MAX;
use protocol::response::ErrPacket;
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::packet_io::{PacketError, PacketReader};
use crate::{Backend, Stream, Target};

/// The deadlines of a connect.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For each address.
    pub connect: Duration,
    /// From the connection to the greeting.
    pub greeting: Duration,
}

/// A connection whose server has greeted and now waits for a login.
#[derive(Debug)]
pub struct Greeted {
    /// The connection.
    pub stream: Stream,
    /// The greeting as it came.
    pub payload: Vec<u8>,
    /// The greeting as it reads.
    pub handshake: HandshakeV10,
}

/// Why there is no greeting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The server is not there, or what is there is no server. The text is the reason, for a person.
    #[error("{0}")]
    Unreachable(String),
    /// The server said ERR instead of a greeting: it lives, but does not want us. The payload is that packet.
    #[error("the server refused: {}", reason(.0))]
    Refused(Vec<u8>),
}

/// Connects to one of the backend's addresses, the first that answers, and waits for the greeting.
///
/// # Errors
/// See [`ConnectError`]. The backend's state is left for the caller to change.
pub async fn connect(backend: &Backend, timeouts: Timeouts) -> Result<Greeted, ConnectError> {
    let mut stream = open(backend, timeouts.connect)
        .await
        .map_err(|error| ConnectError::Unreachable(describe(&error)))?;
    let mut reader = PacketReader::default();
    let read = reader.read(&mut stream, "HandshakeV10", HANDSHAKE_V10_BYTES_MAX);
    let greeting = timeout(timeouts.greeting, read).await.map_err(|_| {
        ConnectError::Unreachable(format!("no greeting within {:?}", timeouts.greeting))
    })?;
    let payload = greeting.map_err(no_greeting)?.payload;
    if payload.first() == Some(&ErrPacket::HEADER) {
        return Err(ConnectError::Refused(payload));
    }
    if !reader.into_rest().is_empty() {
        return Err(ConnectError::Unreachable(
            "no MySQL server: it goes on behind its greeting".to_owned(),
        ));
    }
    let handshake = HandshakeV10::decode(&payload)
        .map_err(|error| ConnectError::Unreachable(format!("no MySQL server: {error}")))?;
    backend.answered(&stream);
    Ok(Greeted {
        stream,
        payload,
        handshake,
    })
}

async fn open(backend: &Backend, deadline: Duration) -> io::Result<Stream> {
    if let Target::Unix(path) = backend.address().target() {
        return within(deadline, UnixStream::connect(path))
            .await
            .map(Stream::Unix);
    }
    let addresses = backend.resolver.resolve(backend.address()).await?;
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match open_tcp(address, deadline).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    backend.resolver.forget().await;
    Err(failure)
}

async fn open_tcp(address: SocketAddr, deadline: Duration) -> io::Result<Stream> {
    Stream::tcp(within(deadline, TcpStream::connect(address)).await?)
}

async fn within<T>(
    deadline: Duration,
    connect: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(deadline, connect).await.unwrap_or_else(|_| {
        let text = format!("timed out after {deadline:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

fn no_greeting(error: PacketError) -> ConnectError {
    ConnectError::Unreachable(match error {
        PacketError::Closed => "closed the connection instead of greeting".to_owned(),
        PacketError::Io(error) => format!("no greeting: {}", describe(&error)),
        PacketError::Malformed(error) => format!("no MySQL server: {error}"),
    })
}

/// The system's text without its number: `Connection refused`.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

fn reason(payload: &[u8]) -> String {
    match ErrPacket::decode(payload) {
        Ok(err) => format!("{} {}", err.code, err.message_lossy()),
        Err(error) => error.to_string(),
    }
}
