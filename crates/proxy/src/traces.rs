//! Traces of single commands: which are recorded, what is recorded of each, and their queue to whoever exports them.
//!
//! A command and all that was done for it is one record; a trace is begun by the client, or here.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use backend::Address;
use protocol::Command;
use sql::Digest;
use tracing::{info, warn};

use crate::limits::TRACE_QUEUE_MAX;
use crate::query_log::Trace;
use crate::queue::{Queue, QueueReader, QueueReport, queue};

/// What is traced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceSettings {
    /// Somebody exports the traces.
    pub is_on: bool,
    /// One of so many commands that name no trace of their own; `None` for none of those.
    pub sample: Option<NonZeroU64>,
}

/// A client's command that was answered, or never will be, and what was done for it: a span and its children.
#[derive(Debug, Clone)]
pub struct TracedCommand {
    /// Never 0.
    pub trace_id: u128,
    /// Never 0.
    pub span_id: u64,
    /// The client's span, where it named one.
    pub parent: Option<u64>,
    /// When the command was there.
    pub began_at: SystemTime,
    /// To the answer's last byte on its way to the client, or to the end of the session.
    pub time: Duration,
    /// Counts sessions from 1, as the log does.
    pub session: u64,
    /// `None` for a Unix socket.
    pub client: Option<SocketAddr>,
    /// The default database, where it is known; printable, empty for none.
    pub database: String,
    /// How it was said.
    pub command: Command,
    /// What was said; `None` where that is not known, or no statement.
    pub statement: Option<TracedStatement>,
    /// Of the answer, where a server gave it.
    pub rows: Option<u64>,
    /// Of the ERR that the client got.
    pub error: Option<TracedError>,
    /// Why there is no answer, or not all of it.
    pub failure: Option<&'static str>,
    /// What was done for it, in the order of its end.
    pub children: Vec<ChildSpan>,
    /// Children beyond those that are kept.
    pub left_out: u64,
}

/// A statement without its literals.
#[derive(Debug, Clone)]
pub struct TracedStatement {
    /// What it is.
    pub digest: Digest,
    /// The same as a text; its beginning, if it is long.
    pub text: Arc<str>,
}

/// An ERR's code and SQLSTATE.
pub type TracedError = (u16, Option<[u8; 5]>);

/// What was done for a command.
#[derive(Debug, Clone)]
pub struct ChildSpan {
    /// Never 0.
    pub span_id: u64,
    /// From the command's beginning.
    pub began_after: Duration,
    /// How long it took.
    pub time: Duration,
    /// What it was.
    pub work: SpanWork,
}

/// What takes time in a command.
#[derive(Debug, Clone)]
pub enum SpanWork {
    /// A script's hook of that name, with the wait for its Lua state.
    Hook(&'static str),
    /// No idle connection to that server was there.
    PoolWait(Address),
    /// An idle connection to a server was made what the client's session was elsewhere.
    Synchronise(Option<Address>),
    /// From its sending to its answer's last byte.
    Query(TracedQuery),
}

/// What a server was asked.
#[derive(Debug, Clone)]
pub struct TracedQuery {
    /// `None` where it has none any more.
    pub backend: Option<Address>,
    /// How it was said.
    pub command: Command,
    /// What was said, as far as it is known and there is room for it.
    pub statement: Option<TracedStatement>,
    /// Of all resultsets.
    pub rows: u64,
    /// The ERR.
    pub error: Option<TracedError>,
    /// Why there is no answer, or not all of it.
    pub failure: Option<&'static str>,
}

/// What sessions see of all this.
#[derive(Debug)]
pub(crate) struct Traces {
    sample: Option<NonZeroU64>,
    /// `None` where nobody exports.
    queue: Option<Queue<TracedCommand>>,
    reader: Mutex<Option<TracedCommands>>,
}

/// The queue's other end: for a thread that exports.
#[derive(Debug)]
pub struct TracedCommands(QueueReader<TracedCommand>);

impl Traces {
    pub(crate) fn new(settings: TraceSettings) -> Self {
        let (queue, reader) = settings.is_on.then(|| queue(TRACE_QUEUE_MAX)).unzip();
        Self {
            sample: settings.sample,
            queue,
            reader: Mutex::new(reader.map(TracedCommands)),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether a command is recorded that is a part of this trace, or of none.
    pub(crate) fn wants(&self, parent: Option<&Trace>) -> bool {
        match (parent, self.sample) {
            (Some(parent), _) => parent.is_sampled(),
            (None, Some(one_of)) => fastrand::u64(..one_of.get()) == 0,
            (None, None) => false,
        }
    }

    pub(crate) fn put(&self, command: TracedCommand) {
        let spans = command.spans();
        if let Some(queue) = &self.queue
            && queue.put(command, spans)
        {
            warn!(
                "--otlp-endpoint: the collector takes traces more slowly than they come: from now on some are dropped"
            );
        }
    }

    /// Once.
    pub(crate) fn take_reader(&self) -> Option<TracedCommands> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.take()
    }

    /// In spans.
    pub(crate) fn report(&self) -> Option<QueueReport> {
        self.queue.as_ref().map(Queue::report)
    }
}

impl TracedCommand {
    /// With the command's own.
    pub fn spans(&self) -> u64 {
        1 + self.children.len() as u64
    }

    /// The server that was asked last.
    pub fn backend(&self) -> Option<&Address> {
        let mut latest = self.children.iter().rev();
        latest.find_map(|child| match &child.work {
            SpanWork::Query(query) => query.backend.as_ref(),
            _ => None,
        })
    }
}

impl TracedCommands {
    /// The next one; waits for it as long as it takes.
    pub fn wait(&self) -> Option<TracedCommand> {
        self.0.wait()
    }

    /// The next one, if it is there. Where there is none, the exporter has caught up.
    pub fn next_at_once(&mut self) -> Option<TracedCommand> {
        let next = self.0.next_at_once();
        if next.is_none()
            && let Some(lost) = self.0.catch_up()
        {
            info!("--otlp-endpoint: the collector keeps up again; {lost} spans were dropped");
        }
        next
    }

    /// Says what became of so many spans.
    pub fn count(&self, exported: u64, failed: u64) {
        self.0.count(exported, failed);
    }
}

/// A new trace's.
pub(crate) fn new_trace_id() -> u128 {
    fastrand::u128(1..)
}

/// A new span's.
pub(crate) fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(flags: &str) -> Option<Trace> {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        Trace::parse(text.as_bytes())
    }

    fn command(session: u64) -> TracedCommand {
        let hook = ChildSpan {
            span_id: new_span_id(),
            began_after: Duration::ZERO,
            time: Duration::ZERO,
            work: SpanWork::Hook("read_query"),
        };
        TracedCommand {
            trace_id: new_trace_id(),
            span_id: new_span_id(),
            parent: None,
            began_at: SystemTime::UNIX_EPOCH,
            time: Duration::ZERO,
            session,
            client: None,
            database: String::new(),
            command: Command::QUERY,
            statement: None,
            rows: None,
            error: None,
            failure: None,
            children: vec![hook],
            left_out: 0,
        }
    }

    #[test]
    fn the_clients_flag_goes_before_the_sample() {
        let traces = |sample| {
            Traces::new(TraceSettings {
                is_on: true,
                sample: NonZeroU64::new(sample),
            })
        };
        for sample in [0, 1] {
            assert!(traces(sample).wants(parent("01").as_ref()));
            assert!(!traces(sample).wants(parent("00").as_ref()));
        }
        assert!(!traces(0).wants(None));
        assert!(traces(1).wants(None));
        let tenth = traces(10);
        let wanted = (0..10_000).filter(|_| tenth.wants(None)).count();
        assert!((700..1300).contains(&wanted), "{wanted}");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_in_spans() {
        let traces = Traces::new(TraceSettings {
            is_on: true,
            sample: None,
        });
        let mut reader = traces.take_reader().unwrap();
        assert!(traces.take_reader().is_none());
        for number in 0..TRACE_QUEUE_MAX + 3 {
            traces.put(command(number as u64));
        }
        let report = traces.report().unwrap();
        assert_eq!(report.queued, 2 * TRACE_QUEUE_MAX as u64);
        assert_eq!(report.dropped, 6);
        assert_eq!(reader.wait().map(|command| command.session), Some(0));
        let rest = std::iter::from_fn(|| reader.next_at_once()).count();
        assert_eq!(rest, TRACE_QUEUE_MAX - 1);
        reader.count(5, 2);
        let report = traces.report().unwrap();
        assert_eq!((report.written, report.failed), (5, 2));
        assert!(report.is_behind());
    }

    #[test]
    fn without_an_exporter_nothing_is_kept() {
        let traces = Traces::new(TraceSettings::default());
        assert!(!traces.is_on() && traces.take_reader().is_none());
        traces.put(command(1));
        assert_eq!(traces.report(), None);
    }
}
