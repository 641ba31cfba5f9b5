//! Bounds that no option changes, for the operators' documentation. Each is declared where it is kept.

use protocol::limits::{Bound, Limit};

use crate::compression::PIECE_BYTES_MAX;
use crate::compression::coder::ZSTD_WINDOW_LOG_MAX;
use crate::tls::certificate::PEM_BYTES_MAX;

/// In the order of a session's life.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "A file with certificates or a key",
        bound: Bound::Bytes(PEM_BYTES_MAX),
        reason: "they are far smaller",
        beyond: "the file is refused: at start an error, with SIGHUP the certificates from before stay",
    },
    Limit {
        what: "What is set aside for a compressed packet, whatever length it claims",
        bound: Bound::Bytes(PIECE_BYTES_MAX as u64),
        reason: "it is taken apart piece by piece",
        beyond: "nothing: the rest waits on the wire",
    },
    Limit {
        what: "The window of zstd",
        bound: Bound::Bytes(1 << ZSTD_WINDOW_LOG_MAX),
        reason: "a packet has 16 MiB at most",
        beyond: "the session ends",
    },
];
