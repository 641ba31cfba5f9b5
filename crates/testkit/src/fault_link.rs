//! A TCP relay that misbehaves when told to, and remembers every byte.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

/// How long a relay waits for the server's side of a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a receiver may take nothing before its direction ends.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the acceptor looks for a new connection or its own end.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);
const CHUNK_BYTES: usize = 16 * 1024;
/// What is remembered of one direction; bytes after that are relayed and forgotten.
const RECORDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connected to the link.
    ToServer,
    /// To who connected to the link.
    ToClient,
}

/// What goes wrong in one direction. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Each connection is closed after it relayed that many bytes this way.
    pub cut_after: Option<u64>,
    /// Each chunk comes that much later.
    pub delay: Duration,
    /// Each byte is sent on its own.
    pub single_bytes: bool,
    /// Nothing goes through.
    pub stalled: bool,
}

/// A listening TCP relay on 127.0.0.1. Dropping it closes everything.
#[derive(Debug)]
pub struct FaultLink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where it connects from; `None` leaves that to the kernel.
    source: Option<IpAddr>,
    target: SocketAddr,
    state: Mutex<State>,
    /// Wakes up stalled directions.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_dropped: bool,
    /// `None` while connections are refused.
    listener: Option<TcpListener>,
    accepted: usize,
    connections: Vec<Weak<Relayed>>,
    to_server: DirectionState,
    to_client: DirectionState,
}

#[derive(Debug, Default)]
struct DirectionState {
    faults: Faults,
    recorded: Vec<u8>,
}

/// One relayed connection. Its sockets close when both directions have ended.
#[derive(Debug)]
struct Relayed {
    client: TcpStream,
    server: TcpStream,
    is_cut: AtomicBool,
}

impl FaultLink {
    /// Starts a faultless relay to `target`.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn to(target: SocketAddr) -> Self {
        Self::start(None, target)
    }

    /// Starts a faultless relay that connects to `target` from a source address of one's choice, such as 127.0.0.2.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn between(source: IpAddr, target: SocketAddr) -> Self {
        Self::start(Some(source), target)
    }

    fn start(source: Option<IpAddr>, target: SocketAddr) -> Self {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("there are free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Mutex::new(State {
            listener: Some(listener),
            ..State::default()
        });
        let shared = Arc::new(Shared {
            source,
            target,
            state,
            changed: Condvar::new(),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || accept_until_dropped(&acceptor));
        Self { address, shared }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these faults, and no others, befall this direction of every connection.
    pub fn set(&self, direction: Direction, faults: Faults) {
        self.shared.state().direction(direction).faults = faults;
        self.shared.changed.notify_all();
    }

    /// Everything relayed this way so far, one connection's bytes among another's; the first 64 MiB.
    pub fn recorded(&self, direction: Direction) -> Vec<u8> {
        self.shared.state().direction(direction).recorded.clone()
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// Closes all connections, as a process that ends does (FIN).
    pub fn cut(&self) {
        for connection in self.shared.state().take_connections() {
            connection.cut();
        }
        self.shared.changed.notify_all();
    }

    /// Resets all connections (RST).
    pub fn reset(&self) {
        for connection in self.shared.state().take_connections() {
            connection.reset();
        }
        self.shared.changed.notify_all();
    }

    /// Refuses new connections, as a host without a server does.
    pub fn refuse(&self) {
        self.shared.state().listener = None;
    }

    /// Accepts connections again after [`Self::refuse`].
    ///
    /// # Panics
    /// When the port was taken meanwhile.
    pub fn accept(&self) {
        let listener = bind(self.address).expect("the port is still free");
        self.shared.state().listener = Some(listener);
    }
}

impl Drop for FaultLink {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_dropped = true;
        state.listener = None;
        drop(state);
        self.cut();
    }
}

impl Shared {
    fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM, None)?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&self.target.into(), CONNECT_TIMEOUT)?;
        Ok(socket.into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the direction is stalled; then the faults to apply.
    fn faults(&self, direction: Direction, connection: &Relayed) -> Faults {
        let mut state = self.state();
        while state.direction(direction).faults.stalled && !connection.is_cut() && !state.is_dropped
        {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.direction(direction).faults.clone()
    }
}

impl State {
    fn direction(&mut self, direction: Direction) -> &mut DirectionState {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn take_connections(&mut self) -> Vec<Arc<Relayed>> {
        self.connections
            .drain(..)
            .filter_map(|connection| connection.upgrade())
            .collect()
    }
}

impl DirectionState {
    fn record(&mut self, bytes: &[u8]) {
        let room = RECORDED_BYTES_MAX - self.recorded.len();
        self.recorded
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Relayed {
    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// A shutdown for reading says nothing to the peers but ends both directions; the close that follows is the RST.
    fn reset(&self) {
        self.is_cut.store(true, Ordering::Release);
        for stream in [&self.client, &self.server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept_until_dropped(shared: &Arc<Shared>) {
    loop {
        let mut state = shared.state();
        if state.is_dropped {
            return;
        }
        let accepted = state
            .listener
            .as_ref()
            .and_then(|listener| listener.accept().ok());
        state.accepted += usize::from(accepted.is_some());
        drop(state);
        match accepted {
            Some((client, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || relay(&shared, client));
            }
            None => thread::sleep(ACCEPT_INTERVAL),
        }
    }
}

/// Connects to the target and relays until both directions have ended. An unreachable target closes the client.
fn relay(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = shared.connect() else {
        return;
    };
    for stream in [&client, &server] {
        // Without these the relay is slower or waits in vain, which a test would notice.
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
    }
    let connection = Arc::new(Relayed {
        client,
        server,
        is_cut: AtomicBool::new(false),
    });
    {
        let mut state = shared.state();
        if state.is_dropped {
            return;
        }
        state
            .connections
            .retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
        thread::spawn(move || {
            // An error of one side ends the direction like its end of file.
            let _ = pump(&shared, &connection, direction);
        });
    }
}

fn pump(shared: &Shared, connection: &Relayed, direction: Direction) -> io::Result<()> {
    let (mut from, to) = match direction {
        Direction::ToServer => (&connection.client, &connection.server),
        Direction::ToClient => (&connection.server, &connection.client),
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut relayed = 0;
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        let faults = shared.faults(direction, connection);
        if connection.is_cut() {
            return Ok(());
        }
        if read == 0 {
            return to.shutdown(Shutdown::Write);
        }
        thread::sleep(faults.delay);
        let left = faults
            .cut_after
            .map_or(u64::MAX, |bytes| bytes.saturating_sub(relayed));
        let bytes = &chunk[..read.min(usize::try_from(left).unwrap_or(usize::MAX))];
        // What the receiver reacts to is in the record already.
        shared.state().direction(direction).record(bytes);
        send(to, bytes, faults.single_bytes)?;
        relayed += bytes.len() as u64;
        if bytes.len() as u64 == left {
            connection.cut();
            return Ok(());
        }
    }
}

fn send(mut to: &TcpStream, bytes: &[u8], singly: bool) -> io::Result<()> {
    if !singly {
        return to.write_all(bytes);
    }
    bytes.chunks(1).try_for_each(|byte| to.write_all(byte))
}
