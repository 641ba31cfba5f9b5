//! What was malformed, and where.

use thiserror::Error;

/// Bytes that are not the packet they should be. `packet` and `field` are the protocol documents' names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The packet ends before the field does.
    #[error("malformed {packet}: cut short in {field}")]
    Truncated {
        /// Which packet.
        packet: &'static str,
        /// Which field of it.
        field: &'static str,
    },
    /// Bytes are left behind the last field.
    #[error("malformed {packet}: {bytes} bytes too many")]
    Trailing {
        /// Which packet.
        packet: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A field holds what it never may.
    #[error("malformed {packet}: {field} is {value}")]
    Invalid {
        /// Which packet.
        packet: &'static str,
        /// Which field of it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// More bytes than [`limits`](crate::limits) allow.
    #[error("{packet} of {bytes} bytes: {limit} is the limit")]
    TooLong {
        /// Which packet.
        packet: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A sequence id out of order: bytes were lost or invented.
    #[error("{packet} has sequence id {got}, expected {expected}")]
    OutOfOrder {
        /// Which packet.
        packet: &'static str,
        /// The id that follows from the packets before.
        expected: u8,
        /// The id found.
        got: u8,
    },
}
