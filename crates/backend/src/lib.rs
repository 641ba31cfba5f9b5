//! Which servers there are, what state they are in, and who gets which connection.
//!
//! Knows nothing of clients and nothing of scripts. Decisions are functions of state and `now`; the little I/O there
//! is (resolve, connect, greet, probe) sits in [`connector`], [`resolver`], [`probe`] and [`abandoned_login`].
//!
//! * [`address`](Address): how a server is written
//! * [`Backend`], [`Backends`]: one server and all of them, with the choice for a new client
//! * [`Health`]: up or down, since when and why; [`Availability`]: what the operator says
//! * [`connector`]: from an address to a server's greeting
//! * [`Pool`]: a backend's idle connections; [`ServerSession`]: what a server holds of one, and who may have it
//! * [`traces`]: whose answers a server has to questions about earlier statements
//! * [`probe`]: takes back servers that are down
//! * [`abandoned_login`]: ends a login that its client gave up, so that the server holds nothing against our host

pub mod abandoned_login;
mod address;
mod availability;
mod backends;
mod choice;
pub mod connector;
mod counters;
mod health;
pub mod limits;
pub mod pool;
pub mod probe;
mod resolver;
mod server_session;
pub mod traces;

pub use address::{Address, AddressError, Target};
pub use availability::Availability;
pub use backends::{AddError, Backend, Backends, ClientCount};
pub use choice::Balance;
pub use connector::{ConnectError, Greeted, Timeouts};
pub use counters::BackendHistory;
pub use health::Health;
pub use pool::{Applicant, Pool, PoolHistory, PooledConnection};
pub use server_session::{Restoring, ServerSession, Settings, pin_of_login, pinned_by};
pub use transport::{SocketAddress, Stream, packet_io};

/// What a backend is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes clients.
    ReadWrite,
    /// Kept apart: used only by scripts.
    ReadOnly,
}

impl Role {
    /// As operators know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "rw",
            Self::ReadOnly => "ro",
        }
    }
}
