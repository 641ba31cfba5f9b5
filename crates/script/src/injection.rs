//! Queries that a script adds, and what came back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Capabilities, StatusFlags};

/// An entry of `proxy.queries`.
#[derive(Debug, Clone)]
pub struct Injection {
    /// The script's own number for it.
    pub id: i32,
    /// Command byte and body, as scripts see commands: without query attributes.
    pub packet: Vec<u8>,
    /// Of a COM_QUERY, as [`QueryAttribute`](protocol::query::QueryAttribute) encodes them; `None` for those of the client's
    /// command.
    pub attributes: Option<Vec<u8>>,
    /// Keep the response for the script instead of sending it on at once.
    pub resultset_is_needed: bool,
    /// When it was queued: `query_time` and `response_time` start here.
    pub queued_at: Instant,
}

/// What `read_query_result` is called with.
#[derive(Debug)]
pub struct InjectionResult {
    /// The query.
    pub injection: Injection,
    /// From queueing to the response's first packet.
    pub query_time: Duration,
    /// From queueing to the response's last packet.
    pub response_time: Duration,
    /// Known of every response.
    pub statistics: Statistics,
    /// What it says of session state, as [`SessionStateChange`](protocol::response::SessionStateChange) decodes it.
    pub session_state: Vec<u8>,
    /// The response itself, if the query asked for it; the session keeps it too, to send it on.
    pub buffered: Option<Arc<Buffered>>,
}

/// What is known of a response without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Rows of all resultsets.
    pub row_count: u64,
    /// Their packets' sizes with headers.
    pub bytes: u64,
    /// The last ones seen; those before the response where it carries none (an ERR).
    pub status: StatusFlags,
    /// Of the last OK or EOF.
    pub warning_count: u16,
    /// `None` when the last result is a resultset; 0 for an ERR.
    pub affected_rows: Option<u64>,
    /// As `affected_rows`.
    pub insert_id: Option<u64>,
    /// 0 for OK and resultsets, 255 for ERR, `None` for a LOCAL INFILE request.
    pub query_status: Option<u8>,
}

/// A whole response.
#[derive(Debug, Clone, Default)]
pub struct Buffered {
    /// Its packets as they came.
    pub packets: Vec<u8>,
    /// What was agreed on with the backend: how the response is framed.
    pub capabilities: Capabilities,
    /// The response is to a COM_STMT_EXECUTE: rows are binary.
    pub is_binary: bool,
}
