//! Bounds that no option changes, for the operators' documentation. Each is declared where it is kept.

use protocol::limits::{Bound, Limit};

use crate::admission::ADDRESSES_MAX;
use crate::listener::BACKLOG;
use crate::session::authentication::{BACKEND_PACKETS_MAX, BACKEND_TIMEOUT};
use crate::session::last_words;

/// Of a statement, for its digest: command and query attributes included.
pub(crate) const STATEMENT_BYTES_MAX: usize = 4 * 1024;
/// Of a statement without its literals, as it is shown.
pub(crate) const DIGEST_TEXT_BYTES_MAX: usize = 2 * 1024;
/// Statements on their way into one query log.
pub(crate) const QUERY_LOG_QUEUE_MAX: usize = 4096;
/// Traced commands on their way to the collector.
pub(crate) const TRACE_QUEUE_MAX: usize = 2048;
/// Children of a traced command.
pub(crate) const TRACE_SPANS_MAX: usize = 64;
/// What the children's statements may take.
pub(crate) const TRACE_TEXT_BYTES_MAX: usize = 8 * 1024;
/// What a session keeps of the statements that it has prepared.
pub(crate) const PREPARED_BYTES_MAX: usize = 256 * 1024;

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
        what: "What is looked at of a statement for its digest",
        bound: Bound::Bytes(STATEMENT_BYTES_MAX as u64),
        reason: "what makes statements differ stands at their beginning; the rest is values",
        beyond: "statements with the same beginning have one digest",
    },
    Limit {
        what: "A statement without its literals, as `SHOW DIGESTS` has it",
        bound: Bound::Bytes(DIGEST_TEXT_BYTES_MAX as u64),
        reason: "it is read by people",
        beyond: "its beginning is shown; the digest is that of all that was looked at",
    },
    Limit {
        what: "What a session keeps of the statements that it has prepared, for their digests",
        bound: Bound::Bytes(PREPARED_BYTES_MAX as u64),
        reason: "a thousand of them are below it",
        beyond: "executions of those that came later are in no digest",
    },
    Limit {
        what: "Statements on their way into one query log",
        bound: Bound::Number(QUERY_LOG_QUEUE_MAX as u64),
        reason: "those of some 20 ms of a busy proxy, while the file is written",
        beyond: "they are dropped and counted; no client waits for a log",
    },
    Limit {
        what: "Traced commands on their way to the collector of `--otlp-endpoint`",
        bound: Bound::Number(TRACE_QUEUE_MAX as u64),
        reason: "more than come while one batch is sent; a few MB at most, as a rule",
        beyond: "they are dropped and counted; no client waits for a trace",
    },
    Limit {
        what: "Spans in a traced command's own: hooks, waits for connections, queries of scripts",
        bound: Bound::Number(TRACE_SPANS_MAX as u64),
        reason: "more than are looked at; a script may send thousands of queries",
        beyond: "they are left out, and the command's span says how many",
    },
    Limit {
        what: "Statements in the spans of what a traced command sent to servers",
        bound: Bound::Bytes(TRACE_TEXT_BYTES_MAX as u64),
        reason: "what is queued is bounded with it",
        beyond: "the spans have neither statement nor digest",
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
