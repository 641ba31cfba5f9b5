//! Which servers there are, what state they are in, and who gets which connection.
//!
//! Knows nothing of clients and nothing of scripts. Decisions are functions of state and `now`;
//! the little I/O there is sits at the edge.

mod address;

pub use address::{Address, AddressError, Target};

/// What a backend is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes clients.
    ReadWrite,
    /// Kept apart: used only by scripts.
    ReadOnly,
}

/// How a new client's backend is chosen among those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other, in option order.
    #[default]
    RoundRobin,
    /// The one with the fewest clients; the first of equals.
    LeastConnections,
}
