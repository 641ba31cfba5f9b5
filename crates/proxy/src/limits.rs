//! Bounds that no option changes, for the operators' documentation. Each is declared where it is kept.

use protocol::limits::{Bound, Limit};

use crate::admission::ADDRESSES_MAX;
use crate::listener::BACKLOG;
use crate::session::authentication::{BACKEND_PACKETS_MAX, BACKEND_TIMEOUT};
use crate::session::last_words;

/// In the order of a session's life.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "Clients that the system keeps while the proxy is busy",
        bound: Bound::Number(BACKLOG as u64),
        reason: "more than come in the worst moment; the system may have a lower bound (`net.core.somaxconn`)",
        beyond: "the system lets them wait, or refuses them",
    },
    Limit {
        what: "A server's check of a password",
        bound: Bound::Time(BACKEND_TIMEOUT),
        reason: "it may ask a directory, or a person's telephone",
        beyond: "ERR 2013 (HY000), the session ends",
    },
    Limit {
        what: "Packets of a server in one login",
        bound: Bound::Number(BACKEND_PACKETS_MAX as u64),
        reason: "several factors of several packets each are below it",
        beyond: "ERR 2013 (HY000), the session ends",
    },
    Limit {
        what: "For a client to take its last words",
        bound: Bound::Time(last_words::DEADLINE),
        reason: "it is not waited for when it is gone",
        beyond: "it is closed without",
    },
    Limit {
        what: "Addresses that --max-connection-rate keeps in mind",
        bound: Bound::Number(ADDRESSES_MAX as u64),
        reason: "at most as many as came in the last second are needed",
        beyond: "those whose second is over are forgotten",
    },
];
