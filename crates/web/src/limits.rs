//! Bounds of what a browser, or whoever says to be one, may take.

use std::time::Duration;

use protocol::limits::{Bound, Limit};

/// Operators who are logged in.
pub(crate) const LOGINS_MAX: usize = 64;
/// Of a login.
pub(crate) const LOGIN_TIME: Duration = Duration::from_secs(12 * 3600);
/// Between two wrong passwords from one address.
pub(crate) const DENIAL_PAUSE: Duration = Duration::from_secs(1);
/// For a login to be looked at, while wrong ones from the same address are in front of it.
pub(crate) const TURN_TIME: Duration = Duration::from_secs(10);
/// Name and password.
pub(crate) const FORM_BYTES_MAX: usize = 4096;
/// For a request's body.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(10);
/// Pages that are told of changes. The others of the HTTP connections are for all else.
pub(crate) const STREAMS_MAX: usize = 24;
/// Then the page asks again: before the connection ends for its age.
pub(crate) const STREAM_TIME: Duration = Duration::from_secs(240);
const _: () = assert!(STREAM_TIME.as_secs() < telemetry::limits::CONNECTION_TIME.as_secs());
/// Sessions in one answer.
pub(crate) const SESSIONS_MAX: usize = 500;
/// Digests in one answer.
pub(crate) const DIGESTS_MAX: usize = 200;
/// Between two samples.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Samples that are kept.
pub(crate) const SAMPLES_MAX: usize = 300;
/// Backends whose past is told; a page sees that of further ones from when it was opened.
pub(crate) const BACKENDS_DRAWN_MAX: usize = 32;

/// As operators read of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "Operators who are logged in to the web page",
        bound: Bound::Number(LOGINS_MAX as u64),
        reason: "they are few",
        beyond: "the oldest login ends",
    },
    Limit {
        what: "A login to the web page",
        bound: Bound::Time(LOGIN_TIME),
        reason: "a browser that was forgotten is to forget, too",
        beyond: "the page asks for name and password again",
    },
    Limit {
        what: "Between two wrong passwords for the web page from one address",
        bound: Bound::Time(DENIAL_PAUSE),
        reason: "it bounds how many can be tried",
        beyond: "-",
    },
    Limit {
        what: "For a login to the web page to be looked at behind wrong ones",
        bound: Bound::Time(TURN_TIME),
        reason: "who waits holds a connection",
        beyond: "HTTP status 429",
    },
    Limit {
        what: "The form of a login",
        bound: Bound::Bytes(FORM_BYTES_MAX as u64),
        reason: "a name and a password are short",
        beyond: "HTTP status 413",
    },
    Limit {
        what: "For the form of a login to arrive",
        bound: Bound::Time(BODY_TIME),
        reason: "it is short",
        beyond: "HTTP status 408",
    },
    Limit {
        what: "Web pages that are told of changes",
        bound: Bound::Number(STREAMS_MAX as u64),
        reason: "each holds one of the HTTP connections",
        beyond: "HTTP status 503, and the page tries again",
    },
    Limit {
        what: "A stream of changes",
        bound: Bound::Time(STREAM_TIME),
        reason: "it is to end before the HTTP connection does",
        beyond: "the page opens the next one",
    },
    Limit {
        what: "Sessions in one answer",
        bound: Bound::Number(SESSIONS_MAX as u64),
        reason: "nobody reads more",
        beyond: "the rest is counted; a filter finds it",
    },
    Limit {
        what: "Digests in one answer",
        bound: Bound::Number(DIGESTS_MAX as u64),
        reason: "nobody reads more",
        beyond: "the rest is counted; a filter finds it",
    },
    Limit {
        what: "Past of the overview",
        bound: Bound::Time(SAMPLE_INTERVAL.saturating_mul(SAMPLES_MAX as u32)),
        reason: "for more there is monitoring",
        beyond: "it is forgotten",
    },
    Limit {
        what: "Backends whose past a new page sees",
        bound: Bound::Number(BACKENDS_DRAWN_MAX as u64),
        reason: "it is sent whole",
        beyond: "their lines begin when the page is opened",
    },
];
