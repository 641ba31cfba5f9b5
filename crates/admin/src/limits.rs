//! Bounds of what an operator's connection may take.

use std::time::Duration;

use protocol::limits::{Bound, Limit};

/// Operators at once. One more is told so and closed.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// A statement, or a piece of Lua. Longer ones end the connection.
pub(crate) const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// Each wait for a packet of the login.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two commands, as for clients of the proxy.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(8 * 3600);
/// For the operator to take an answer.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// What a wrong password costs: with [`CONNECTIONS_MAX`] it bounds how many can be tried.
pub(crate) const DENIAL_PAUSE: Duration = Duration::from_millis(500);

/// Lines of the log that are kept for those who look from elsewhere.
pub(crate) const EVENTS_MAX: usize = 500;
/// Of each of them.
pub(crate) const EVENT_BYTES_MAX: usize = 2048;

/// As operators read of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "Operators at once",
        bound: Bound::Number(CONNECTIONS_MAX as u64),
        reason: "they are few, and who guesses passwords holds one connection for each",
        beyond: "ERR 1040, the connection ends",
    },
    Limit {
        what: "An operator's statement, or piece of Lua",
        bound: Bound::Bytes(COMMAND_BYTES_MAX as u64),
        reason: "it is typed",
        beyond: "the connection ends",
    },
    Limit {
        what: "Each packet of an operator's login",
        bound: Bound::Time(LOGIN_TIMEOUT),
        reason: "as for clients by default",
        beyond: "the connection ends",
    },
    Limit {
        what: "An operator's silence between statements",
        bound: Bound::Time(READ_TIMEOUT),
        reason: "as for clients by default",
        beyond: "the connection ends",
    },
    Limit {
        what: "For an operator to take an answer",
        bound: Bound::Time(WRITE_TIMEOUT),
        reason: "answers are short",
        beyond: "the connection ends",
    },
    Limit {
        what: "What a wrong password costs an operator",
        bound: Bound::Time(DENIAL_PAUSE),
        reason: "with the bound of operators it bounds how many can be tried",
        beyond: "-",
    },
    Limit {
        what: "Lines of the log that SHOW EVENTS and the web page have",
        bound: Bound::Number(EVENTS_MAX as u64),
        reason: "the log itself has all",
        beyond: "the oldest are forgotten",
    },
    Limit {
        what: "Each of these lines",
        bound: Bound::Bytes(EVENT_BYTES_MAX as u64),
        reason: "what scripts and servers say may be long",
        beyond: "its end is cut off",
    },
];
