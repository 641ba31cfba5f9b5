//! From an address to a server's greeting, each step with its deadline.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use protocol::connection_phase::HandshakeV10;
use protocol::limits::HANDSHAKE_V10_BYTES_MAX;
use protocol::response::ErrPacket;
use rustix::io::Errno;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::packet_io::{PacketError, PacketReader};
use crate::{Backend, Stream, Target};

/// Between two tries of a Unix socket whose backlog is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

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
    /// Our side has no file, port or memory left, or more clients come at once than a Unix socket's backlog holds: this
    /// says nothing of the server. The text is the reason, for a person.
    #[error("{0}")]
    Shortage(String),
}

/// Connects to one of the backend's addresses, the first that answers, says `header` there (a PROXY header, or
/// nothing), and waits for the greeting.
///
/// # Errors
/// See [`ConnectError`]. The backend's state is left for the caller to change.
pub async fn connect(
    backend: &Backend,
    timeouts: Timeouts,
    header: &[u8],
) -> Result<Greeted, ConnectError> {
    let mut stream =
        open(backend, timeouts.connect)
            .await
            .map_err(|error| match is_shortage(&error) {
                true => ConnectError::Shortage(describe(&error)),
                false => ConnectError::Unreachable(describe(&error)),
            })?;
    let mut reader = PacketReader::default();
    let read = async {
        stream.write_all(header).await?;
        reader
            .read(&mut stream, "HandshakeV10", HANDSHAKE_V10_BYTES_MAX)
            .await
    };
    let greeting = timeout(timeouts.greeting, read).await.map_err(|_| {
        ConnectError::Unreachable(format!("no greeting within {:?}", timeouts.greeting))
    })?;
    let payload = greeting.map_err(no_greeting)?.payload;
    if payload.first() == Some(&ErrPacket::HEADER) {
        return Err(ConnectError::Refused(payload));
    }
    if !reader.into_rest().is_empty() {
        let hint = match header {
            [] => "",
            _ => " (it may not accept the PROXY header of --server-proxy-protocol)",
        };
        return Err(ConnectError::Unreachable(format!(
            "no MySQL server: it goes on behind its greeting{hint}"
        )));
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
        return open_unix(path, deadline).await;
    }
    let addresses = backend.resolver.resolve(backend.address()).await?;
    let mut failures = Vec::new();
    for address in addresses {
        match open_tcp(address, deadline).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(error),
        }
    }
    let failure = worst(failures);
    if !is_shortage(&failure) {
        backend.resolver.forget().await;
    }
    Err(failure)
}

/// The last failure that says something of the server, if any does: `localhost` may stand for an IPv6 address, too,
/// on a machine that has none.
fn worst(failures: Vec<io::Error>) -> io::Error {
    let (shortages, failures): (Vec<_>, Vec<_>) = failures.into_iter().partition(is_shortage);
    let last = failures.into_iter().last();
    last.or_else(|| shortages.into_iter().last())
        .unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// A full backlog is told at once, where TCP waits for room.
async fn open_unix(path: &Path, deadline: Duration) -> io::Result<Stream> {
    let give_up = Instant::now() + deadline;
    loop {
        match within(deadline, UnixStream::connect(path)).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                sleep(BACKLOG_PAUSE).await;
            }
            connected => return connected.map(Stream::Unix),
        }
    }
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

/// True for what only our side lacks. Only a system call says so, not the resolver.
fn is_shortage(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| {
        [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRNOTAVAIL,
            Errno::AGAIN,
        ]
        .contains(&errno)
    })
}

/// The system's text without its number: `Connection refused`. It has no good one for a full backlog.
fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::WouldBlock {
        return "the backlog of its Unix socket is full".to_owned();
    }
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

#[cfg(test)]
mod tests {
    use socket2::{Domain, SockAddr, Socket, Type};
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    use super::*;
    use crate::{Backends, Balance, Role};

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_millis(200),
        greeting: Duration::from_secs(5),
    };

    /// A Unix socket whose backlog is full as long as nobody accepts.
    fn full_backlog(directory: &Path) -> (UnixListener, Vec<UnixStream>, Backends) {
        let path = directory.join("full.sock");
        let address = SockAddr::unix(&path).unwrap();
        let server = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        server.bind(&address).unwrap();
        server.listen(0).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&address) {
                Ok(()) => waiting.push(UnixStream::from_std(client.into()).unwrap()),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let server = UnixListener::from_std(server.into()).unwrap();
        let address = path.to_str().unwrap().parse().unwrap();
        let backends = Backends::new([(address, Role::ReadWrite)], Balance::RoundRobin);
        (server, waiting, backends)
    }

    #[tokio::test]
    async fn a_full_backlog_is_no_fault_of_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let (_server, _waiting, backends) = full_backlog(directory.path());
        let backend = backends.get(0).unwrap();
        let started = Instant::now();
        let error = connect(&backend, TIMEOUTS, b"").await.unwrap_err();
        let text = "the backlog of its Unix socket is full".to_owned();
        assert_eq!(error, ConnectError::Shortage(text));
        assert!(started.elapsed() >= TIMEOUTS.connect);
    }

    #[tokio::test]
    async fn room_in_the_backlog_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (server, waiting, backends) = full_backlog(directory.path());
        let backend = backends.get(0).unwrap();
        let timeouts = Timeouts {
            connect: Duration::from_secs(60),
            ..TIMEOUTS
        };
        // Starts when the connect has met the full backlog.
        let accept_all = async {
            for _ in 0..=waiting.len() {
                let accepted = timeout(TIMEOUTS.greeting, server.accept());
                drop(accepted.await.expect("someone waits").unwrap());
            }
        };
        let (error, ()) = tokio::join!(connect(&backend, timeouts, b""), accept_all);
        let closed = "closed the connection instead of greeting".to_owned();
        assert_eq!(error.unwrap_err(), ConnectError::Unreachable(closed));
    }

    /// Such a server reads the header as a login.
    #[tokio::test]
    async fn a_server_that_does_not_know_headers_is_told_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.sock");
        let server = UnixListener::bind(&path).unwrap();
        let address = path.to_str().unwrap().parse().unwrap();
        let backends = Backends::new([(address, Role::ReadWrite)], Balance::RoundRobin);
        let backend = backends.get(0).unwrap();
        let answer = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut header = [0; 6];
            stream.read_exact(&mut header).await.unwrap();
            let mut packets = Vec::new();
            protocol::packet::put_payload(&mut packets, 0, b"greeting");
            protocol::packet::put_payload(&mut packets, 1, b"\xffwhat?");
            stream.write_all(&packets).await.unwrap();
            header
        };
        let (error, header) = tokio::join!(connect(&backend, TIMEOUTS, b"PROXY "), answer);
        assert_eq!(&header, b"PROXY ");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--server-proxy-protocol"), "{error}");
    }

    #[test]
    fn what_our_side_lacks_is_a_shortage() {
        let of = |errno: Errno| is_shortage(&errno.into());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(of(errno), "{errno}");
        }
        assert!(of(Errno::ADDRNOTAVAIL) && of(Errno::AGAIN));
        assert!(!of(Errno::CONNREFUSED) && !of(Errno::HOSTUNREACH));
        // Ours, not the system's.
        assert!(!is_shortage(&io::ErrorKind::AddrNotAvailable.into()));
    }

    #[test]
    fn one_real_failure_outweighs_shortages() {
        let worst = |errnos: &[Errno]| {
            let errors = errnos.iter().map(|&errno| errno.into()).collect();
            Errno::from_io_error(&worst(errors))
        };
        let (refused, no_ipv6) = (Errno::CONNREFUSED, Errno::ADDRNOTAVAIL);
        assert_eq!(worst(&[refused, no_ipv6]), Some(refused));
        assert_eq!(worst(&[no_ipv6, refused]), Some(refused));
        assert_eq!(worst(&[no_ipv6, no_ipv6]), Some(no_ipv6));
    }
}
