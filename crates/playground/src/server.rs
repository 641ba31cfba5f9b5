//! A listening server: one thread that accepts, one for each session.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::packet::put_payload;
use protocol::response::ErrPacket;
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{CONNECTIONS_MAX, KILL_TIMEOUT};
use crate::session::Session;
use crate::session_handle::SessionHandle;
use crate::sql::{Code, Database, SqlError};

/// Connections that the kernel keeps for the accepting thread.
const BACKLOG: i32 = 128;
/// After an `accept` that failed, for lack of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// To wake the accepting thread up.
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server with its database. Dropping it kills it.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Listening,
}

enum Listening {
    Yes {
        stop: Arc<AtomicBool>,
        acceptor: JoinHandle<()>,
    },
    /// Dead. The socket keeps the port for [`Server::restart`], and refuses whoever connects.
    No { reserved: Option<Socket> },
}

/// What the server's threads share.
pub(crate) struct Shared {
    name: String,
    port: u16,
    started: Instant,
    database: Database,
    next_id: AtomicU32,
    sessions: Mutex<BTreeMap<u32, Arc<SessionHandle>>>,
    session_ended: Condvar,
}

impl Server {
    /// Listens on `address` (port 0: one that is free) and serves. `name` is what `SELECT @@hostname` says.
    ///
    /// # Errors
    /// The address cannot be had, or the system gives no thread or no memory.
    pub fn start(name: &str, address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address)?;
        let listener = listen(socket)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            port: address.port(),
            started: Instant::now(),
            database: Database::new().map_err(io::Error::other)?,
            next_id: AtomicU32::new(1),
            sessions: Mutex::default(),
            session_ended: Condvar::new(),
        });
        let listening = accept_on(listener, &shared)?;
        Ok(Self {
            shared,
            address,
            listening,
        })
    }

    /// Where clients connect to, also while the server is dead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `SELECT @@hostname` says.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Sessions that are there now, logged in or not.
    pub fn sessions(&self) -> usize {
        self.shared.sessions().len()
    }

    /// Cuts every session and refuses new ones, as when the process is killed; the database survives, as on a disk.
    /// Does nothing to a dead server.
    ///
    /// # Errors
    /// A session does not end in time. The server refuses connections nevertheless.
    pub fn kill(&mut self) -> io::Result<()> {
        let dead = Listening::No { reserved: None };
        match std::mem::replace(&mut self.listening, dead) {
            Listening::No { reserved } => self.listening = Listening::No { reserved },
            Listening::Yes { stop, acceptor } => {
                stop.store(true, Ordering::Release);
                // Refused or not: what counts is that `accept` returned.
                let _ = TcpStream::connect_timeout(&self.address, WAKE_TIMEOUT);
                let _ = acceptor.join();
                let reserved = bind(self.address).ok();
                self.listening = Listening::No { reserved };
            }
        }
        self.shared.end_sessions()
    }

    /// Listens again, where it did before. Does nothing to a living server.
    ///
    /// # Errors
    /// Another process has taken the address in between, or the system gives no thread.
    pub fn restart(&mut self) -> io::Result<()> {
        let Listening::No { reserved } = &mut self.listening else {
            return Ok(());
        };
        let socket = match reserved.take() {
            Some(socket) => socket,
            None => bind(self.address)?,
        };
        self.listening = accept_on(listen(socket)?, &self.shared)?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!("playground server {}: {error}", self.name());
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shared, address, ..
        } = self;
        write!(f, "Server({} on {address})", shared.name)
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn accept_on(listener: TcpListener, shared: &Arc<Shared>) -> io::Result<Listening> {
    let stop = Arc::new(AtomicBool::new(false));
    let (shared, stopped) = (Arc::clone(shared), Arc::clone(&stop));
    let name = format!("playground {}", shared.name);
    let acceptor = thread::Builder::new()
        .name(name)
        .spawn(move || accept(&listener, &shared, &stopped))?;
    Ok(Listening::Yes { stop, acceptor })
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &AtomicBool) {
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Acquire) {
            return;
        }
        let served = accepted.and_then(|(stream, peer)| shared.serve(stream, peer));
        if let Err(error) = served {
            tracing::warn!("playground server {}: {error}; it goes on", shared.name);
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

impl Shared {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// `KILL` and `SHOW PROCESSLIST`
    pub(crate) fn sessions(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<SessionHandle>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        if self.sessions().len() >= CONNECTIONS_MAX {
            return refuse(stream);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let host = peer.ip().to_string();
        let handle = Arc::new(SessionHandle::new(id, host, stream.try_clone()?));
        self.sessions().insert(id, Arc::clone(&handle));
        let entry = Entry {
            shared: Arc::clone(self),
            id,
        };
        thread::Builder::new()
            .name(format!("playground {} {id}", self.name))
            .spawn(move || {
                if let Err(error) = Session::serve(stream, &entry.shared, handle) {
                    let name = &entry.shared.name;
                    tracing::debug!("playground server {name}, session {id} of {peer}: {error}");
                }
            })?;
        Ok(())
    }

    fn end_sessions(&self) -> io::Result<()> {
        let mut sessions = self.sessions();
        sessions.values().for_each(|handle| handle.kill());
        let deadline = Instant::now() + KILL_TIMEOUT;
        while !sessions.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let count = sessions.len();
                return Err(io::Error::other(format!("{count} sessions do not end")));
            }
            let woken = self.session_ended.wait_timeout(sessions, left);
            sessions = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

/// A session's place among the server's; given up however its thread ends.
struct Entry {
    shared: Arc<Shared>,
    id: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.sessions().remove(&self.id);
        self.shared.session_ended.notify_all();
    }
}

/// Before the greeting: an ERR whose sequence id is 0.
fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let error = SqlError::new(Code::TOO_MANY_CONNECTIONS, "too many connections");
    let error = ErrPacket {
        sql_state: None,
        ..error.packet()
    };
    let (mut payload, mut packet) = (Vec::new(), Vec::new());
    error.encode(&mut payload);
    put_payload(&mut packet, 0, &payload);
    // A few bytes fit into any fresh socket's buffer: this does not wait.
    stream.write_all(&packet)
}
