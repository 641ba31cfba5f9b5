//! Statements on their way into logs: which are noted, and their queues to whoever writes them down.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::Command;
use sql::Digest;
use tracing::{info, warn};

use crate::limits::QUERY_LOG_QUEUE_MAX;
use crate::queue::{Queue, QueueReader, QueueReport, queue};
use crate::register::Why;

/// Which logs there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLogSettings {
    /// Statements that take at least so long go to the slow-query log; `None` for no such log.
    pub slow: Option<Duration>,
    /// One of so many statements goes to the query log; `None` for no such log.
    pub sample: Option<NonZeroU64>,
    /// Also the text as it was said.
    pub has_literals: bool,
}

/// One of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryLogKind {
    /// What took long.
    Slow,
    /// A sample of everything.
    Sample,
}

/// A statement that was answered, or never will be.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    /// When the first wait for the answer began.
    pub began_at: SystemTime,
    /// Counts sessions from 1, as the log does.
    pub session: u64,
    /// `None` for a Unix socket.
    pub client: Option<SocketAddr>,
    /// Who said it; printable, as all texts here.
    pub username: String,
    /// The default database, where it is known; empty for none.
    pub database: String,
    /// The server that answered, as configured.
    pub backend: String,
    /// Why it was that one; `None` where there is none.
    pub chosen_by: Option<Why>,
    /// How it was said.
    pub command: Command,
    /// What it is without its literals.
    pub digest: Digest,
    /// The same as a text; its beginning, if it is long.
    pub statement: Arc<str>,
    /// As it was said; its beginning, if it is long. `None` where that is not asked for, or not known.
    pub literal_statement: Option<String>,
    /// To the answer's first byte, where there is one.
    pub first_byte_time: Option<Duration>,
    /// To the answer's last byte, or to the end of the session.
    pub time: Duration,
    /// Rows of all its resultsets.
    pub rows: u64,
    /// Bytes of their packets.
    pub row_bytes: u64,
    /// Of a statement without a resultset.
    pub affected_rows: Option<u64>,
    /// Of the last result.
    pub warnings: u16,
    /// The ERR's code and SQLSTATE.
    pub error: Option<(u16, Option<[u8; 5]>)>,
    /// Why there is no answer, or not all of it.
    pub failure: Option<&'static str>,
    /// Of the trace that the client says it is a part of.
    pub trace: Option<Trace>,
}

/// What a `traceparent` names, both in lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: [u8; 32],
    span_id: [u8; 16],
    is_sampled: bool,
}

/// What became of a log's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLogReport {
    /// Which log.
    pub kind: QueryLogKind,
    /// In statements; a line is one.
    pub counts: QueueReport,
}

/// What sessions see of the logs.
#[derive(Debug)]
pub(crate) struct QueryLog {
    pub(crate) settings: QueryLogSettings,
    slow: Option<LogQueue>,
    sample: Option<LogQueue>,
    readers: Mutex<Vec<QueryRecords>>,
}

#[derive(Debug)]
struct LogQueue {
    kind: QueryLogKind,
    queue: Queue<QueryRecord>,
}

/// A log's end of the queue: for a thread that writes.
#[derive(Debug)]
pub struct QueryRecords {
    kind: QueryLogKind,
    reader: QueueReader<QueryRecord>,
}

impl QueryLogKind {
    /// As metrics and log lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Sample => "query",
        }
    }

    /// The option that asks for it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Slow => "--slow-query-log",
            Self::Sample => "--query-log",
        }
    }
}

impl QueryLog {
    pub(crate) fn new(settings: QueryLogSettings) -> Self {
        let mut readers = Vec::new();
        let mut open = |is_wanted: bool, kind| {
            is_wanted.then(|| {
                let (queue, reader) = queue(QUERY_LOG_QUEUE_MAX);
                readers.push(QueryRecords { kind, reader });
                LogQueue { kind, queue }
            })
        };
        let slow = open(settings.slow.is_some(), QueryLogKind::Slow);
        let sample = open(settings.sample.is_some(), QueryLogKind::Sample);
        Self {
            settings,
            slow,
            sample,
            readers: Mutex::new(readers),
        }
    }

    /// There is a log.
    pub(crate) fn is_on(&self) -> bool {
        self.slow.is_some() || self.sample.is_some()
    }

    /// Whether the `number`th statement of a session is one of the sample.
    pub(crate) fn samples(&self, session: u64, number: u64) -> bool {
        let Some(one_of) = self.settings.sample else {
            return false;
        };
        // Without a pattern that statements of a session could fall into.
        let mixed = (session.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).is_multiple_of(one_of.get())
    }

    /// Whether a statement that took so long goes to the slow-query log.
    pub(crate) fn is_slow(&self, time: Duration) -> bool {
        self.settings.slow.is_some_and(|slow| time >= slow)
    }

    /// Where it belongs.
    pub(crate) fn note(&self, record: QueryRecord, is_slow: bool, is_sample: bool) {
        let slow = self.slow.as_ref().filter(|_| is_slow);
        let sample = self.sample.as_ref().filter(|_| is_sample);
        match (slow, sample) {
            (Some(slow), Some(sample)) => {
                slow.put(record.clone());
                sample.put(record);
            }
            (Some(queue), None) | (None, Some(queue)) => queue.put(record),
            (None, None) => {}
        }
    }

    /// Once.
    pub(crate) fn take_readers(&self) -> Vec<QueryRecords> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *readers)
    }

    pub(crate) fn reports(&self) -> Vec<QueryLogReport> {
        let queues = self.slow.iter().chain(&self.sample);
        queues.map(LogQueue::report).collect()
    }
}

impl LogQueue {
    fn put(&self, record: QueryRecord) {
        if self.queue.put(record, 1) {
            warn!(
                "{}: the file takes statements more slowly than they come: from now on some are dropped",
                self.kind.option()
            );
        }
    }

    fn report(&self) -> QueryLogReport {
        QueryLogReport {
            kind: self.kind,
            counts: self.queue.report(),
        }
    }
}

impl QueryRecords {
    /// Which log.
    pub fn kind(&self) -> QueryLogKind {
        self.kind
    }

    /// The next one; waits for it as long as it takes.
    pub fn wait(&self) -> Option<QueryRecord> {
        self.reader.wait()
    }

    /// The next one, if it is there. Where there is none, the log has caught up.
    pub fn next_at_once(&mut self) -> Option<QueryRecord> {
        let next = self.reader.next_at_once();
        if next.is_none()
            && let Some(lost) = self.reader.catch_up()
        {
            info!(
                "{}: the file has all that is there again; {lost} statements were dropped",
                self.kind.option()
            );
        }
        next
    }

    /// Says what became of so many.
    pub fn count(&self, written: u64, failed: u64) {
        self.reader.count(written, failed);
    }
}

impl Trace {
    /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`, of any version.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(4, |byte| *byte == b'-');
        let is_hex = |part: &[u8]| {
            let mut bytes = part.iter();
            bytes.all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?.first_chunk::<2>()?;
        let is_whole = version.len() == 2 && [version, trace, span, flags].into_iter().all(is_hex);
        Some(Self {
            trace_id: trace.try_into().ok()?,
            span_id: span.try_into().ok()?,
            is_sampled: is_odd(flags),
        })
        .filter(|trace| is_whole && trace.trace_id != [b'0'; 32] && trace.span_id != [b'0'; 16])
    }

    /// The comment's in a text: `traceparent='...'`, as sqlcommenter writes it.
    pub(crate) fn find(sql: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"traceparent='";
        let at = memchr::memmem::find(sql, NAME)?;
        Self::parse(&sql[at + NAME.len()..])
    }

    /// Whoever began the trace wants it to be recorded.
    pub(crate) fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    pub(crate) fn trace_number(&self) -> u128 {
        u128::from_str_radix(self.trace_id(), 16).unwrap_or_default()
    }

    pub(crate) fn span_number(&self) -> u64 {
        u64::from_str_radix(self.span_id(), 16).unwrap_or_default()
    }

    /// 32 digits.
    pub fn trace_id(&self) -> &str {
        str::from_utf8(&self.trace_id).unwrap_or_default()
    }

    /// 16 digits.
    pub fn span_id(&self) -> &str {
        str::from_utf8(&self.span_id).unwrap_or_default()
    }
}

/// Two hexadecimal digits.
fn is_odd(flags: &[u8]) -> bool {
    let flags = str::from_utf8(flags).unwrap_or_default();
    u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn record(session: u64) -> QueryRecord {
        QueryRecord {
            began_at: SystemTime::UNIX_EPOCH,
            session,
            client: None,
            username: String::new(),
            database: String::new(),
            backend: String::new(),
            chosen_by: Some(Why::Balance),
            command: Command::QUERY,
            digest: Digest(0),
            statement: "".into(),
            literal_statement: None,
            first_byte_time: None,
            time: Duration::ZERO,
            rows: 0,
            row_bytes: 0,
            affected_rows: None,
            warnings: 0,
            error: None,
            failure: None,
            trace: None,
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let log = QueryLog::new(QueryLogSettings {
            slow: Some(Duration::from_secs(1)),
            sample: NonZeroU64::new(1),
            has_literals: false,
        });
        let mut readers = log.take_readers();
        assert!(log.take_readers().is_empty());
        let more = 5;
        for number in 0..QUERY_LOG_QUEUE_MAX + more {
            log.note(record(number as u64), number == 0, true);
        }
        let dropped = |log: &QueryLog| log.reports().iter().map(|log| log.counts.dropped).collect();
        let dropped: Vec<_> = dropped(&log);
        assert_eq!(dropped, [0, more as u64]);
        let sample = &mut readers[1];
        assert_eq!(sample.kind(), QueryLogKind::Sample);
        assert_eq!(sample.wait().map(|record| record.session), Some(0));
        let rest = std::iter::from_fn(|| sample.next_at_once()).count();
        assert_eq!(rest, QUERY_LOG_QUEUE_MAX - 1);
        sample.count(3, 2);
        let counts = log.reports()[1].counts;
        assert_eq!((counts.written, counts.failed), (3, 2));
    }

    #[test]
    fn a_sample_is_one_of_so_many_wherever_they_are_said() {
        let log = QueryLog::new(QueryLogSettings {
            sample: NonZeroU64::new(10),
            ..QueryLogSettings::default()
        });
        let few: usize = (0..10_000)
            .filter(|session| log.samples(*session, 1))
            .count();
        let many: usize = (0..10_000).filter(|number| log.samples(7, *number)).count();
        for sample in [few, many] {
            assert!((800..1200).contains(&sample), "{sample}");
        }
        assert!(!log.is_slow(Duration::MAX));
        assert!(log.is_on());
        assert!(!QueryLog::new(QueryLogSettings::default()).is_on());
    }

    #[test]
    fn traces_are_found_in_comments() {
        let sql = format!("SELECT 1 /*db_driver='x',traceparent='{PARENT}',route='%2F'*/");
        let trace = Trace::find(sql.as_bytes()).unwrap();
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.span_id(), "b7ad6b7169203331");
        assert!(trace.is_sampled());
        for (flags, is_sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let parent = PARENT.replace("-01", &format!("-{flags}"));
            let trace = Trace::parse(parent.as_bytes()).unwrap();
            assert_eq!(trace.is_sampled(), is_sampled, "{flags}");
        }
        for at in 0..PARENT.len() {
            assert_eq!(Trace::parse(&PARENT.as_bytes()[..at]), None);
        }
        for wrong in [
            PARENT.to_uppercase(),
            PARENT.replace('a', "x"),
            PARENT.replace('-', ""),
        ] {
            assert_eq!(Trace::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
