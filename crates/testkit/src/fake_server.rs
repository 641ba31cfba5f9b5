//! A TCP server that does what a test says, right or wrong.

use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use socket2::SockRef;

use crate::Connection;

/// Listens on a free port of 127.0.0.1 and closes it on drop. Connections live as long as their closure runs.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    accepted: Arc<AtomicUsize>,
}

impl FakeServer {
    /// Runs `serve` for each connection, on a thread of its own. What it panics with fails no test: let the client's
    /// side find out.
    ///
    /// # Panics
    /// When no port can be bound.
    pub fn start(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let listener = Arc::new(listener);
        let accepted = Arc::<AtomicUsize>::default();
        let (acceptor, count, serve) = (
            Arc::clone(&listener),
            Arc::clone(&accepted),
            Arc::new(serve),
        );
        thread::spawn(move || {
            while let Ok((stream, _)) = acceptor.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                // A client that is gone already needs no service.
                if let Ok(connection) = Connection::accepted(stream) {
                    let serve = Arc::clone(&serve);
                    thread::spawn(move || serve(connection));
                }
            }
        });
        Self {
            address,
            listener,
            accepted,
        }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        // Wakes up the acceptor, which then closes the port.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
    }
}
