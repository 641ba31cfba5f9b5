//! Takes clients in. One listening socket for the process: a second proxy on the same address fails to bind, loudly.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use backend::{Address, Stream, Target};
use protocol::packet::put_payload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Type};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tracing::{debug, warn};

use crate::admission::Admission;
use crate::inherited_sockets::InheritedSockets;
use crate::live::Live;
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

/// A socket that listens. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<Socket>,
    local_address: String,
}

/// What another process can be given of a [`Listener`], while that one listens.
#[derive(Debug, Clone)]
pub struct ListenerHandle {
    name: &'static str,
    socket: Weak<Socket>,
}

#[derive(Debug)]
struct Socket {
    fd: OwnedFd,
    unix_path: Option<PathBuf>,
    /// The file at `unix_path` goes when the socket is closed.
    owns_file: AtomicBool,
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
        let socket = listener.socket.fd.try_clone()?;
        let socket = match listener.socket.unix_path {
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

    /// Listens with the inherited socket for `address`, or else binds one; its Unix socket's file gets `socket_mode`.
    ///
    /// `name` tells this listener from others with the address.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn open(
        name: &str,
        address: &Address,
        socket_mode: u32,
        inherited: &mut InheritedSockets,
    ) -> Result<Self, BindError> {
        let error = |source| BindError {
            address: address.to_string(),
            source,
        };
        let at = match address.target() {
            Target::Unix(path) => {
                return match inherited.take(name, &SockAddr::unix(path).map_err(error)?) {
                    Some((fd, owns_file)) => Ok(Self::at_file(fd, path, owns_file)),
                    None => bind_unix(path, socket_mode).map_err(error),
                };
            }
            Target::Ip(ip, port) => SocketAddr::new(*ip, *port),
            Target::Name(host, port) => {
                let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), *port))
                    .map_err(error)?;
                let first = found.next();
                first.ok_or_else(|| error(io::ErrorKind::AddrNotAvailable.into()))?
            }
        };
        let socket = match inherited.take(name, &at.into()) {
            Some((fd, _)) => Ok(TcpListener::from(fd)),
            None => bind_tcp(at),
        };
        let local_address = |socket: &TcpListener| match at.port() {
            0 => Ok(socket.local_addr()?.to_string()),
            _ => Ok(address.to_string()),
        };
        let socket = socket.map_err(error)?;
        Ok(Self {
            local_address: local_address(&socket).map_err(error)?,
            socket: Arc::new(Socket {
                fd: socket.into(),
                unix_path: None,
                owns_file: AtomicBool::new(false),
            }),
        })
    }

    fn at_file(fd: OwnedFd, path: &Path, owns_file: bool) -> Self {
        Self {
            socket: Arc::new(Socket {
                fd,
                unix_path: Some(path.to_owned()),
                owns_file: AtomicBool::new(owns_file),
            }),
            local_address: path.display().to_string(),
        }
    }

    /// For those who hand its socket on, under this name.
    pub fn handle(&self, name: &'static str) -> ListenerHandle {
        ListenerHandle {
            name,
            socket: Arc::downgrade(&self.socket),
        }
    }

    /// As configured, but with the port that the system chose where 0 was asked for.
    pub fn local_address(&self) -> String {
        self.local_address.clone()
    }

    /// Deals clients to workers until the other end of `stop` is closed. Blocks: it has a thread of its own.
    pub(crate) fn accept_into(&self, workers: &Workers, live: &Live, stop: &StdUnixStream) {
        let (shutdown, counters) = (&live.shutdown, &live.counters);
        let context = live.context();
        let mut admission = Admission::new(&context.settings);
        // Whoever held it while nobody comes would keep alive what its sessions share.
        let mut known = Arc::downgrade(&context);
        drop(context);
        let mut is_short = false;
        while self.wait_for_client(stop) {
            match self.accept() {
                Ok(accepted) => {
                    is_short = false;
                    let context = live.context();
                    if known.as_ptr() != Arc::as_ptr(&context) {
                        admission.change(&context.settings);
                        known = Arc::downgrade(&context);
                    }
                    let clients = shutdown.clients();
                    if let Some(refusal) = admission.refusal(accepted.peer, clients) {
                        counters.refused();
                        accepted.turn_away(&refusal);
                        continue;
                    }
                    counters.accepted();
                    let ticket = shutdown.ticket();
                    let dealt = Dealt {
                        accepted,
                        ticket,
                        context,
                    };
                    deal(workers, dealt, stop);
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
        let (socket, peer) = acceptfrom_with(&self.socket.fd, flags)?;
        Ok(Accepted {
            socket,
            is_unix: self.socket.unix_path.is_some(),
            peer: peer.and_then(|peer| peer.try_into().ok()),
        })
    }

    /// False when it is time to stop.
    fn wait_for_client(&self, stop: &StdUnixStream) -> bool {
        let mut events = [
            PollFd::new(&self.socket.fd, PollFlags::IN),
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

impl ListenerHandle {
    /// What the listener is for.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its socket, and whether the Unix socket's file goes with it. `None` when it listens no more.
    pub fn socket(&self) -> Option<(OwnedFd, bool)> {
        let socket = self.socket.upgrade()?;
        let fd = socket.fd.try_clone().ok()?;
        Some((fd, socket.owns_file.load(Ordering::Relaxed)))
    }

    /// Another process has the socket: the file of a Unix socket stays when this one closes it.
    pub fn leave_file(&self) {
        if let Some(socket) = self.socket.upgrade() {
            socket.owns_file.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.unix_path
            && self.owns_file.load(Ordering::Relaxed)
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

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if domain == Domain::IPV6 {
        // `[::]:4040` takes IPv4 clients too.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Nobody connects before the mode is set.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    remove_stale_socket(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::at_file(socket.into(), path, true))
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
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn open(
        address: &str,
        mode: u32,
        inherited: &mut InheritedSockets,
    ) -> Result<Listener, BindError> {
        Listener::open("proxy", &address.parse().unwrap(), mode, inherited)
    }

    fn bind(address: &str) -> Result<Listener, BindError> {
        open(
            address,
            Listener::SOCKET_MODE,
            &mut InheritedSockets::default(),
        )
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
        let listener = open(text, 0o660, &mut InheritedSockets::default()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(listener);

        fs::write(&path, "precious").unwrap();
        assert!(bind(text).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
    #[test]
    fn a_socket_goes_on_in_another_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let file = path.to_str().unwrap();
        for address in ["127.0.0.1:0", "localhost:0", file] {
            let first = bind(address).unwrap();
            let handle = first.handle("proxy");
            let (fd, owns_file) = handle.socket().unwrap();
            assert_eq!(owns_file, address == file);
            let mut inherited = InheritedSockets::default();
            inherited.add(handle.name(), fd, owns_file).unwrap();
            let second = open(address, 0o777, &mut inherited).unwrap();
            assert_eq!(second.local_address(), first.local_address());
            handle.leave_file();
            drop(first);
            assert!(handle.socket().is_none());
            assert_eq!(path.exists(), address == file);
            assert!(second.accept().is_err_and(|error| error == Errno::AGAIN));
        }
        assert!(!path.exists());
    }
}
