//! Takes clients in. One listening socket for the process: a second proxy on the same address fails to bind, loudly.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use backend::{Address, Stream, Target};
use protocol::packet::put_payload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tracing::{debug, warn};

use crate::admission::Admission;
use crate::session::Context;
use crate::session::error::Refusal;
use crate::worker::{Dealt, Workers};

/// Clients that the system keeps for us while we are busy.
pub(crate) const BACKLOG: i32 = 4096;
/// How long to wait when the system has no descriptor or memory for another client, or a worker no room.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the listening address could not be had.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: String,
    source: io::Error,
}

/// A bound socket. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    local_address: String,
    unix_path: Option<PathBuf>,
}

/// A client as it was accepted, not yet on any worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) is_unix: bool,
    /// `None` for a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
}

/// A listener that a runtime watches, for few clients.
#[derive(Debug)]
pub struct AsyncListener {
    socket: AsyncSocket,
    /// Its file goes with it.
    _listener: Listener,
}

#[derive(Debug)]
enum AsyncSocket {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl AsyncListener {
    /// For the runtime that this is called in.
    ///
    /// # Errors
    /// The system's.
    pub fn new(listener: Listener) -> io::Result<Self> {
        let socket = listener.socket.try_clone()?;
        let socket = match listener.unix_path {
            Some(_) => AsyncSocket::Unix(tokio::net::UnixListener::from_std(socket.into())?),
            None => AsyncSocket::Tcp(tokio::net::TcpListener::from_std(socket.into())?),
        };
        Ok(Self {
            socket,
            _listener: listener,
        })
    }

    /// The next client, with its address; `None` on a Unix socket.
    ///
    /// # Errors
    /// The client is gone already, or the system lacks something for it.
    pub async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.socket {
            AsyncSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::tcp(stream)?, Some(peer)))
            }
            AsyncSocket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

impl Accepted {
    /// What the socket takes at once is enough for an ERR. A client that has sent something already may miss it.
    fn turn_away(self, refusal: &Refusal) {
        let mut packet = Vec::new();
        put_payload(&mut packet, 0, &refusal.payload_before_greeting());
        if let Err(error) = write(&self.socket, &packet) {
            debug!("a client was gone before it was turned away: {error}");
        }
    }

    /// For the runtime that this is called in.
    pub(crate) fn into_stream(self) -> io::Result<Stream> {
        match self.is_unix {
            true => UnixStream::from_std(self.socket.into()).map(Stream::Unix),
            false => Stream::tcp(TcpStream::from_std(self.socket.into())?),
        }
    }
}

impl Listener {
    /// As a server's own socket: who may connect is the directory's business.
    pub const SOCKET_MODE: u32 = 0o777;

    /// Binds and listens; a Unix socket's file gets `socket_mode`.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(address: &Address, socket_mode: u32) -> Result<Self, BindError> {
        let error = |source| BindError {
            address: address.to_string(),
            source,
        };
        match address.target() {
            Target::Unix(path) => bind_unix(path, socket_mode).map_err(error),
            Target::Ip(ip, port) => bind_tcp(SocketAddr::new(*ip, *port), address).map_err(error),
            Target::Name(host, port) => {
                let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), *port))
                    .map_err(error)?;
                let first = found
                    .next()
                    .ok_or_else(|| error(io::ErrorKind::AddrNotAvailable.into()))?;
                bind_tcp(first, address).map_err(error)
            }
        }
    }

    /// As configured, but with the port that the system chose where 0 was asked for.
    pub fn local_address(&self) -> String {
        self.local_address.clone()
    }

    /// Deals clients to workers until the other end of `stop` is closed. Blocks: it has a thread of its own.
    pub(crate) fn accept_into(&self, workers: &Workers, context: &Context, stop: &StdUnixStream) {
        let (shutdown, counters) = (&context.shutdown, &context.counters);
        let mut admission = Admission::new(&context.settings);
        let mut is_short = false;
        while self.wait_for_client(stop) {
            match self.accept() {
                Ok(accepted) => {
                    is_short = false;
                    let clients = shutdown.clients();
                    if let Some(refusal) = admission.refusal(accepted.peer, clients) {
                        counters.refused();
                        accepted.turn_away(&refusal);
                        continue;
                    }
                    counters.accepted();
                    let ticket = shutdown.ticket();
                    deal(workers, Dealt { accepted, ticket }, stop);
                }
                Err(error) if is_shortage(error) => {
                    if !is_short {
                        warn!("cannot accept clients: {error}; they wait until this is over");
                    }
                    is_short = true;
                    thread::sleep(PAUSE);
                }
                // The client left while it waited in the backlog, or its network failed.
                Err(error) => debug!("a client was gone before it was accepted: {error}"),
            }
        }
    }

    fn accept(&self) -> Result<Accepted, Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, peer) = acceptfrom_with(&self.socket, flags)?;
        Ok(Accepted {
            socket,
            is_unix: self.unix_path.is_some(),
            peer: peer.and_then(|peer| peer.try_into().ok()),
        })
    }

    /// False when it is time to stop.
    fn wait_for_client(&self, stop: &StdUnixStream) -> bool {
        let mut events = [
            PollFd::new(&self.socket, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut events, None) {
            Ok(_) => events[1].revents().is_empty(),
            Err(error) => {
                debug!("waiting for clients was interrupted: {error}");
                true
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_path
            && let Err(error) = fs::remove_file(path)
        {
            debug!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Waits for room at a worker that is busy with those who came before; not beyond the time to stop.
fn deal(workers: &Workers, mut dealt: Dealt, stop: &StdUnixStream) {
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: PAUSE.subsec_nanos().into(),
    };
    while let Err(back) = workers.deal(dealt) {
        dealt = back;
        let mut events = [PollFd::new(stop, PollFlags::IN)];
        // Interrupted, it tries again at once.
        if poll(&mut events, Some(&pause)).is_ok() && !events[0].revents().is_empty() {
            return;
        }
    }
}

fn is_shortage(error: Errno) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error)
}

fn bind_tcp(socket_address: SocketAddr, address: &Address) -> io::Result<Listener> {
    let domain = Domain::for_address(socket_address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if domain == Domain::IPV6 {
        // `[::]:4040` takes IPv4 clients too.
        socket.set_only_v6(false)?;
    }
    socket.bind(&socket_address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let local_address = match socket_address.port() {
        0 => listener.local_addr()?.to_string(),
        _ => address.to_string(),
    };
    Ok(Listener {
        socket: listener.into(),
        local_address,
        unix_path: None,
    })
}

/// Nobody connects before the mode is set.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    remove_stale_socket(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from(OwnedFd::from(socket));
    listener.set_nonblocking(true)?;
    Ok(Listener {
        socket: listener.into(),
        local_address: path.display().to_string(),
        unix_path: Some(path.to_owned()),
    })
}

/// A socket that a killed process left behind; never a file of another kind, never a socket that answers.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        let text = "a file that is no socket is in the way";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match probe_unix(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // It answers, or would if its queue were not full.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Connects without waiting.
fn probe_unix(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: &str) -> Result<Listener, BindError> {
        Listener::bind(&address.parse().unwrap(), Listener::SOCKET_MODE)
    }

    #[test]
    fn port_0_shows_the_port_chosen() {
        for address in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
            let listener = bind(address).unwrap();
            let local: SocketAddr = listener.local_address().parse().unwrap();
            assert_ne!(local.port(), 0);
            let again = bind(&local.to_string()).unwrap_err();
            assert!(again.to_string().contains("Address already in use"));
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let text = path.to_str().unwrap();

        drop(UnixListener::bind(&path).unwrap());
        let listener = bind(text).unwrap();
        assert!(bind(text).unwrap_err().to_string().contains("in use"));
        drop(listener);
        assert!(!path.exists());
        let listener = Listener::bind(&text.parse().unwrap(), 0o660).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(listener);

        fs::write(&path, "precious").unwrap();
        assert!(bind(text).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
