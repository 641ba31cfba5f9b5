//! Bounds of what those who ask over HTTP may take.

use std::time::Duration;

use protocol::limits::{Bound, Limit};

/// Who asks at once. Monitoring is a few.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// For the head of a request, also while a connection is kept open.
pub(crate) const HEADER_TIME: Duration = Duration::from_secs(10);
/// From a connection's first byte to its last.
pub const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// For whoever asks to take some of an answer.
pub(crate) const WRITE_TIME: Duration = Duration::from_secs(20);
/// For the Lua states to say what went wrong in them.
pub const SCRIPTS_TIME: Duration = Duration::from_secs(1);

/// As operators read of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "HTTP connections at once",
        bound: Bound::Number(CONNECTIONS_MAX as u64),
        reason: "those who monitor are a few",
        beyond: "the next one waits",
    },
    Limit {
        what: "The head of an HTTP request, and the TLS handshake before the first",
        bound: Bound::Time(HEADER_TIME),
        reason: "it is short",
        beyond: "the connection ends",
    },
    Limit {
        what: "For whoever asks over HTTP to take some of an answer",
        bound: Bound::Time(WRITE_TIME),
        reason: "who reads too slowly is no reader",
        beyond: "the connection ends",
    },
    Limit {
        what: "An HTTP connection, from its first byte to its last",
        bound: Bound::Time(CONNECTION_TIME),
        reason: "some scrapes go over one connection",
        beyond: "the connection ends",
    },
    Limit {
        what: "For a Lua state to tell of its errors",
        bound: Bound::Time(SCRIPTS_TIME),
        reason: "a hook may hold it up",
        beyond: "the metrics of scripts are left out of this scrape",
    },
];
