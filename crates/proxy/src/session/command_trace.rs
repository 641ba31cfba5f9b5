//! What is recorded of a client's command that is traced, while it runs.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use backend::Address;
use protocol::Command;
use protocol::response_tracker::Summary;
use tokio::time::Instant;

use crate::limits::{TRACE_SPANS_MAX, TRACE_TEXT_BYTES_MAX};
use crate::query_log::Trace;
use crate::traces::{
    ChildSpan, SpanWork, TracedCommand, TracedError, TracedQuery, TracedStatement, new_span_id,
    new_trace_id,
};

/// A command's span, and its children so far.
#[derive(Debug)]
pub(super) struct CommandTrace {
    parent: Option<Trace>,
    command: Command,
    statement: Option<TracedStatement>,
    rows: Option<u64>,
    error: Option<TracedError>,
    children: Vec<(Instant, ChildSpan)>,
    left_out: u64,
    /// Of the children's statements.
    text_bytes: usize,
    /// What waits for its answer.
    query: Option<BegunQuery>,
}

#[derive(Debug)]
struct BegunQuery {
    sent_at: Instant,
    command: Command,
    statement: Option<TracedStatement>,
    /// A script's, not the client's.
    is_injected: bool,
}

/// Whose command it is.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: u64,
    pub(super) address: Option<SocketAddr>,
    pub(super) database: String,
}

impl CommandTrace {
    pub(super) fn new(
        parent: Option<Trace>,
        command: Command,
        statement: Option<TracedStatement>,
    ) -> Box<Self> {
        Box::new(Self {
            parent,
            command,
            statement,
            rows: None,
            error: None,
            children: Vec::new(),
            left_out: 0,
            text_bytes: 0,
            query: None,
        })
    }

    /// A command goes to the server.
    pub(super) fn begin_query(
        &mut self,
        command: Command,
        statement: Option<TracedStatement>,
        is_injected: bool,
    ) {
        self.query = Some(BegunQuery {
            sent_at: Instant::now(),
            command,
            statement,
            is_injected,
        });
    }

    /// It is answered, or never will be.
    pub(super) fn end_query(
        &mut self,
        backend: Option<Address>,
        summary: &Summary,
        failure: Option<&'static str>,
    ) {
        let Some(query) = self.query.take() else {
            return;
        };
        let error = summary.error_code.map(|code| (code, summary.sql_state));
        if !query.is_injected && failure.is_none() {
            (self.rows, self.error) = (Some(summary.rows), error);
        }
        let bytes = query.statement.as_ref().map_or(0, |it| it.text.len());
        let has_room = self.text_bytes + bytes <= TRACE_TEXT_BYTES_MAX;
        self.text_bytes += if has_room { bytes } else { 0 };
        let work = SpanWork::Query(TracedQuery {
            backend,
            command: query.command,
            statement: query.statement.filter(|_| has_room),
            rows: summary.rows,
            error,
            failure,
        });
        self.add(query.sent_at, work);
    }

    /// The client got an ERR that no server gave to its own command.
    pub(super) fn answered_with(&mut self, error: TracedError) {
        self.error = Some(error);
    }

    /// Something that began then has ended.
    pub(super) fn add(&mut self, began: Instant, work: SpanWork) {
        if self.children.len() == TRACE_SPANS_MAX {
            self.left_out += 1;
            return;
        }
        let child = ChildSpan {
            span_id: new_span_id(),
            began_after: Duration::ZERO,
            time: began.elapsed(),
            work,
        };
        self.children.push((began, child));
    }

    /// The command that began then is answered, or never will be.
    pub(super) fn finish(
        self,
        began: Instant,
        client: Client,
        failure: Option<&'static str>,
    ) -> TracedCommand {
        let time = began.elapsed();
        let children = self.children.into_iter().map(|(at, child)| ChildSpan {
            began_after: at.saturating_duration_since(began),
            ..child
        });
        let parent = self.parent.as_ref();
        TracedCommand {
            trace_id: parent.map_or_else(new_trace_id, Trace::trace_number),
            span_id: new_span_id(),
            parent: parent.map(Trace::span_number),
            began_at: SystemTime::now() - time,
            time,
            session: client.session,
            client: client.address,
            database: client.database,
            command: self.command,
            statement: self.statement,
            rows: self.rows,
            error: self.error,
            failure,
            children: children.collect(),
            left_out: self.left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            session: 7,
            address: None,
            database: String::new(),
        }
    }

    fn statement(bytes: usize) -> TracedStatement {
        TracedStatement {
            digest: sql::Digest(1),
            text: "x".repeat(bytes).into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn children_lie_within_their_command() {
        let began = Instant::now();
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut trace = CommandTrace::new(Trace::parse(parent), Command::QUERY, None);
        let step = Duration::from_millis(10);
        tokio::time::advance(step).await;
        let at = Instant::now();
        tokio::time::advance(step).await;
        trace.add(at, SpanWork::Hook("read_query"));
        trace.begin_query(Command::QUERY, None, false);
        tokio::time::advance(step).await;
        let summary = Summary {
            rows: 3,
            ..Summary::default()
        };
        trace.end_query(None, &summary, None);
        tokio::time::advance(step).await;
        let record = trace.finish(began, client(), None);
        assert_eq!(record.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(record.parent, Some(0xb7ad_6b71_6920_3331));
        assert_eq!((record.time, record.rows), (4 * step, Some(3)));
        let times = record.children.iter().map(|it| (it.began_after, it.time));
        assert_eq!(times.collect::<Vec<_>>(), [(step, step), (2 * step, step)]);
    }

    #[tokio::test(start_paused = true)]
    async fn children_and_their_texts_are_bounded() {
        let mut trace = CommandTrace::new(None, Command::QUERY, None);
        for _ in 0..TRACE_SPANS_MAX + 5 {
            trace.begin_query(Command::QUERY, Some(statement(1000)), true);
            trace.end_query(None, &Summary::default(), None);
        }
        let record = trace.finish(Instant::now(), client(), Some("killed"));
        assert_eq!(
            (record.children.len(), record.left_out),
            (TRACE_SPANS_MAX, 5)
        );
        let kept = record.children.iter().filter(
            |child| matches!(&child.work, SpanWork::Query(query) if query.statement.is_some()),
        );
        assert_eq!(kept.count(), TRACE_TEXT_BYTES_MAX / 1000);
        assert_eq!((record.parent, record.rows), (None, None));
        assert_ne!((record.trace_id, record.span_id), (0, 0));
    }
}
