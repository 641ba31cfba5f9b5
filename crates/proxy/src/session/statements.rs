//! What a session says, for those who sum up: the statement that waits for its answer, and those that are prepared.
//!
//! A statement is known by its beginning. What is there of it when its command is forwarded is looked at where it is; only of one
//! that comes in small pieces the beginning is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::command::ResponseKind;
use protocol::packet::PacketHeader;
use protocol::query::{Query, QueryAttribute};
use protocol::response_tracker::Summary;
use protocol::resultset::Value;
use protocol::{Capabilities, Command, StatusFlags};
use sql::{Digest, Reading, SessionEffects, normalised};
use tokio::time::Instant;

use super::Context;
use super::command_trace::CommandTrace;
use crate::digests::{Place, Whose, kept_text};
use crate::limits::{PREPARED_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::query_log::Trace;
use crate::traces::TracedStatement;

/// MariaDB's id of the statement that was prepared last.
const LAST_PREPARED: u32 = u32::MAX;
/// What a prepared statement takes beside its text.
const PREPARED_BYTES: usize = 64;

/// Of one session.
#[derive(Debug)]
pub(super) struct Statements {
    worker: usize,
    session: u64,
    /// Those that a log was asked about.
    said: u64,
    whose: Whose,
    /// Made with the first one.
    prepared: Option<Box<PreparedStatements>>,
    /// What waits for its answer.
    current: Option<Current>,
    /// The beginning of a command whose rest is to come.
    beginning: Vec<u8>,
    /// Of the client's command, where that is traced.
    pub(super) trace: Option<Box<CommandTrace>>,
    /// A script is asked about each command before it goes to a server: whether it is traced is found out then.
    is_weighed_before: bool,
}

/// Whose command goes to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    Client,
    Script,
}

/// What a session has prepared.
#[derive(Debug, Default)]
struct PreparedStatements {
    /// By the server's id.
    known: HashMap<u32, Prepared>,
    bytes: usize,
    last: u32,
}

#[derive(Debug, Clone)]
struct Prepared {
    digest: Digest,
    text: Arc<str>,
    trace: Option<Trace>,
}

#[derive(Debug, Default)]
struct Current {
    /// Where it is counted.
    place: Option<Place>,
    /// What the logs may want to know of it.
    noted: Option<Box<Noted>>,
    then: Then,
}

/// What becomes of the session when the server says OK.
#[derive(Debug, Default)]
enum Then {
    #[default]
    Nothing,
    Database(Vec<u8>),
    Prepared(Box<Prepared>),
    Reset,
}

/// A statement that may go to a log.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) command: Command,
    pub(super) digest: Digest,
    pub(super) text: Arc<str>,
    pub(super) literal_text: Option<String>,
    pub(super) trace: Option<Trace>,
    pub(super) is_sample: bool,
    pub(super) is_slow: bool,
    pub(super) whose: Whose,
    pub(super) first_byte_at: Option<Instant>,
}

/// A text on its way to the server.
#[derive(Debug, Clone, Copy)]
struct Text<'a> {
    command: Command,
    /// What is looked at.
    beginning: &'a [u8],
    reading: Reading,
    /// All that is there.
    all: &'a [u8],
    /// As they came.
    attributes: &'a [u8],
}

/// What a session has agreed on, and what its server says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) capabilities: Capabilities,
    pub(super) status: StatusFlags,
}

impl Dialect {
    fn reading(self, is_cut: bool) -> Reading {
        Reading {
            backslash_escapes: !self.status.contains(StatusFlags::NO_BACKSLASH_ESCAPES),
            is_cut,
        }
    }
}

impl Statements {
    /// `None` where nobody wants to know.
    pub(super) fn new(
        context: &Context,
        (worker, session): (usize, u64),
        (username, database): (&[u8], &[u8]),
    ) -> Option<Box<Self>> {
        let is_wanted =
            context.digests.are_on() || context.query_log.is_on() || context.traces.is_on();
        is_wanted.then(|| {
            Box::new(Self {
                worker,
                session,
                said: 0,
                whose: context.digests.whose(username, database),
                prepared: None,
                current: None,
                beginning: Vec::new(),
                trace: None,
                is_weighed_before: false,
            })
        })
    }

    /// Of what waits for its answer.
    pub(super) fn digest(&self) -> Option<Digest> {
        let place = self.current.as_ref()?.place.as_ref()?;
        Some(place.digest())
    }

    /// The default database, as far as it is known.
    pub(super) fn database(&self) -> &[u8] {
        self.whose.database()
    }

    /// The client is another one; what it had prepared is gone.
    pub(super) fn change_user(&mut self, context: &Context, username: &[u8], database: &[u8]) {
        self.whose = context.digests.whose(username, database);
        self.prepared = None;
        self.current = None;
    }

    /// A command goes to the server: its packets, or the first bytes of them.
    pub(super) fn begin(
        &mut self,
        context: &Context,
        dialect: Dialect,
        (packets, is_complete): (&[u8], bool),
    ) {
        self.beginning.clear();
        let payload = packets.get(PacketHeader::BYTES..).unwrap_or_default();
        if is_complete || payload.len() >= STATEMENT_BYTES_MAX {
            let payload = (payload, is_complete);
            return self.begin_payload(context, dialect, payload, Author::Client);
        }
        self.current = None;
        self.beginning.extend_from_slice(payload);
    }

    /// More bytes of it.
    pub(super) fn go_on(
        &mut self,
        context: &Context,
        dialect: Dialect,
        (bytes, is_complete): (&[u8], bool),
    ) {
        if self.beginning.is_empty() {
            return;
        }
        let wanted = STATEMENT_BYTES_MAX.saturating_sub(self.beginning.len());
        let taken = bytes.len().min(wanted);
        self.beginning.extend_from_slice(&bytes[..taken]);
        if is_complete || taken == wanted {
            let payload = std::mem::take(&mut self.beginning);
            let is_whole = is_complete && taken == bytes.len();
            self.begin_payload(context, dialect, (&payload, is_whole), Author::Client);
        }
    }

    /// Command and body, or their beginning.
    fn begin_payload(
        &mut self,
        context: &Context,
        dialect: Dialect,
        payload: (&[u8], bool),
        author: Author,
    ) {
        self.current = None;
        let Some(text) = Text::new(dialect, payload) else {
            return;
        };
        if context.traces.is_on() {
            self.trace_query(context, &text, author);
        }
        self.current = self.current(context, text);
    }

    /// A query of a script's.
    pub(super) fn inject(&mut self, context: &Context, dialect: Dialect, packet: &[u8]) {
        let without_attributes = Dialect {
            capabilities: dialect.capabilities - Capabilities::QUERY_ATTRIBUTES,
            ..dialect
        };
        self.begin_payload(context, without_attributes, (packet, true), Author::Script);
    }

    /// A script is asked about a command of the client's: whether it is traced.
    pub(super) fn weigh(&mut self, context: &Context, dialect: Dialect, payload: &[u8]) {
        if !context.traces.is_on() {
            return;
        }
        self.is_weighed_before = true;
        self.trace = None;
        if let Some(text) = Text::new(dialect, (payload, true)) {
            self.weigh_text(context, &text);
        }
    }

    fn weigh_text(&mut self, context: &Context, text: &Text<'_>) {
        let parent = match text.command {
            Command::QUERY | Command::STMT_PREPARE => text.trace(),
            _ => self.executed(text).and_then(|prepared| prepared.trace),
        };
        let is_traced = text.has_response() && context.traces.wants(parent.as_ref());
        self.trace = is_traced.then(|| {
            let statement = self.traced_statement(text);
            CommandTrace::new(parent, text.command, statement)
        });
    }

    fn trace_query(&mut self, context: &Context, text: &Text<'_>, author: Author) {
        if author == Author::Client && !self.is_weighed_before {
            self.weigh_text(context, text);
        }
        if self.trace.is_none() || !text.has_response() {
            return;
        }
        let statement = self.traced_statement(text);
        if let Some(trace) = &mut self.trace {
            trace.begin_query(text.command, statement, author == Author::Script);
        }
    }

    fn traced_statement(&self, text: &Text<'_>) -> Option<TracedStatement> {
        match text.command {
            Command::QUERY | Command::STMT_PREPARE => Some(TracedStatement {
                digest: text.digest(),
                text: text.kept(),
            }),
            _ => self.executed(text).map(|prepared| TracedStatement {
                digest: prepared.digest,
                text: Arc::clone(&prepared.text),
            }),
        }
    }

    /// The prepared statement that is executed.
    fn executed(&self, text: &Text<'_>) -> Option<&Prepared> {
        match text.command {
            Command::STMT_EXECUTE | Command::STMT_BULK_EXECUTE => {
                let statements = self.prepared.as_ref()?;
                statements.get(statement_id(text.beginning)?)
            }
            _ => None,
        }
    }

    fn current(&mut self, context: &Context, text: Text<'_>) -> Option<Current> {
        let body = text.beginning;
        match text.command {
            Command::QUERY => Some(self.query(context, text)),
            Command::STMT_EXECUTE | Command::STMT_BULK_EXECUTE => self.execute(context, text),
            Command::STMT_PREPARE => Some(self.begin_prepare(context, text)),
            Command::STMT_CLOSE => {
                self.prepared.as_mut()?.close(statement_id(body)?);
                None
            }
            Command::INIT_DB => Some(Then::Database(body.to_vec()).into()),
            Command::RESET_CONNECTION => Some(Then::Reset.into()),
            _ => None,
        }
    }

    fn query(&mut self, context: &Context, text: Text<'_>) -> Current {
        let digest = text.digest();
        let is_sample = self.is_sample(context);
        let is_noted = is_sample.is_some();
        let whose = (digest, &self.whose);
        let (place, kept) = context
            .digests
            .begin(self.worker, whose, (|| text.kept(), is_noted));
        let noted = is_sample.zip(kept).map(|(is_sample, kept)| Noted {
            literal_text: text.literal(context),
            trace: text.trace(),
            ..Noted::new(text.command, (digest, kept), is_sample, &self.whose)
        });
        Current {
            place: Some(place),
            noted: noted.map(Box::new),
            then: database_of(text.beginning).map_or(Then::Nothing, Then::Database),
        }
    }

    fn begin_prepare(&mut self, context: &Context, text: Text<'_>) -> Current {
        let is_sample = self.is_sample(context);
        let is_trace_wanted = is_sample.is_some() || context.traces.is_on();
        let prepared = Box::new(Prepared {
            digest: text.digest(),
            text: text.kept(),
            trace: is_trace_wanted.then(|| text.trace()).flatten(),
        });
        let noted = is_sample.map(|is_sample| Noted {
            literal_text: text.literal(context),
            trace: prepared.trace,
            ..prepared.noted(text.command, is_sample, &self.whose)
        });
        Current {
            noted: noted.map(Box::new),
            ..Then::Prepared(prepared).into()
        }
    }

    fn execute(&mut self, context: &Context, text: Text<'_>) -> Option<Current> {
        let is_sample = self.is_sample(context);
        let prepared = self.executed(&text)?;
        let whose = (prepared.digest, &self.whose);
        let kept = || Arc::clone(&prepared.text);
        let (place, _) = context.digests.begin(self.worker, whose, (kept, false));
        let noted = is_sample.map(|is_sample| Noted {
            trace: prepared.trace,
            ..prepared.noted(text.command, is_sample, &self.whose)
        });
        Some(Current {
            place: Some(place),
            noted: noted.map(Box::new),
            ..Current::default()
        })
    }

    /// `None` where no log may want it; else whether it is one of the sample.
    fn is_sample(&mut self, context: &Context) -> Option<bool> {
        let log = &context.query_log;
        if !log.is_on() {
            return None;
        }
        self.said += 1;
        let is_sample = log.samples(self.session, self.said);
        (is_sample || log.settings.slow.is_some()).then_some(is_sample)
    }

    /// Bytes of the answer are there.
    pub(super) fn see_first_byte(&mut self) {
        let noted = self.current.as_mut().and_then(|it| it.noted.as_mut());
        if let Some(noted) = noted {
            noted.first_byte_at.get_or_insert_with(Instant::now);
        }
    }

    /// Its answer has ended. What belongs into a log.
    pub(super) fn end(
        &mut self,
        context: &Context,
        summary: &Summary,
        (began, took): (Instant, Duration),
    ) -> Option<Box<Noted>> {
        let mut current = self.current.take()?;
        if let Some(place) = current.place {
            let time = (began, took);
            context.digests.end(self.worker, place, summary, time);
        }
        let noted = current.noted_after(context, took);
        match current.then {
            _ if summary.is_err => {}
            Then::Nothing => {}
            Then::Database(database) => {
                self.whose = context.digests.whose(self.whose.username(), &database);
            }
            Then::Prepared(prepared) => {
                let id = summary.statement_id;
                self.prepared.get_or_insert_default().add(id, *prepared);
            }
            Then::Reset => self.prepared = None,
        }
        noted
    }

    /// There will be no answer, or not all of it. What belongs into a log.
    pub(super) fn abandon(&mut self, context: &Context, after: Duration) -> Option<Box<Noted>> {
        self.current.take()?.noted_after(context, after)
    }
}

impl PreparedStatements {
    fn get(&self, id: u32) -> Option<&Prepared> {
        self.known.get(match id {
            LAST_PREPARED => &self.last,
            _ => &id,
        })
    }

    /// Those beyond the bound are not known when they are executed.
    fn add(&mut self, id: Option<u32>, prepared: Prepared) {
        let Some(id) = id else {
            return;
        };
        self.close(id);
        self.last = id;
        let bytes = prepared.bytes();
        if self.bytes + bytes <= PREPARED_BYTES_MAX {
            self.bytes += bytes;
            self.known.insert(id, prepared);
        }
    }

    fn close(&mut self, id: u32) {
        if let Some(prepared) = self.known.remove(&id) {
            self.bytes -= prepared.bytes();
        }
    }
}

impl Current {
    fn noted_after(&mut self, context: &Context, took: Duration) -> Option<Box<Noted>> {
        let mut noted = self.noted.take()?;
        noted.is_slow = context.query_log.is_slow(took);
        (noted.is_slow || noted.is_sample).then_some(noted)
    }
}

impl From<Then> for Current {
    fn from(then: Then) -> Self {
        Self {
            then,
            ..Self::default()
        }
    }
}

impl Noted {
    fn new(
        command: Command,
        (digest, text): (Digest, Arc<str>),
        is_sample: bool,
        whose: &Whose,
    ) -> Self {
        Self {
            command,
            digest,
            text,
            literal_text: None,
            trace: None,
            is_sample,
            is_slow: false,
            whose: whose.clone(),
            first_byte_at: None,
        }
    }
}

impl<'a> Text<'a> {
    /// Of a payload, or of its beginning. `None` for what we cannot read: that is for the server to refuse.
    fn new(dialect: Dialect, (all, is_complete): (&'a [u8], bool)) -> Option<Self> {
        let payload = &all[..all.len().min(STATEMENT_BYTES_MAX)];
        let is_cut = !is_complete || payload.len() < all.len();
        let (&command, body) = payload.split_first()?;
        let mut text = Self {
            command: Command(command),
            beginning: body,
            reading: dialect.reading(is_cut),
            all,
            attributes: &[],
        };
        if text.command == Command::QUERY {
            let query = Query::decode(payload, dialect.capabilities).ok()?;
            (text.beginning, text.attributes) = (query.text, query.attributes);
        }
        Some(text)
    }

    /// One whose end is known.
    fn has_response(&self) -> bool {
        matches!(self.command.response_kind(), ResponseKind::Tracked(_))
    }

    fn digest(&self) -> Digest {
        Digest::of(self.beginning, self.reading)
    }

    fn kept(&self) -> Arc<str> {
        kept_text(&normalised(self.beginning, self.reading))
    }

    fn literal(&self, context: &Context) -> Option<String> {
        context.query_log.settings.has_literals.then(|| {
            let mut text = String::from_utf8_lossy(self.beginning).into_owned();
            if self.reading.is_cut {
                text.push_str("...");
            }
            text
        })
    }

    /// A comment stands at the end, as a rule.
    fn trace(&self) -> Option<Trace> {
        let attributes = QueryAttribute::decode_all(self.attributes).unwrap_or_default();
        let named = attributes
            .iter()
            .find_map(|attribute| match attribute.value {
                Value::Bytes(value) if attribute.name == b"traceparent" => Trace::parse(value),
                _ => None,
            });
        named.or_else(|| Trace::find(self.all))
    }
}

impl Prepared {
    fn noted(&self, command: Command, is_sample: bool, whose: &Whose) -> Noted {
        let text = Arc::clone(&self.text);
        Noted::new(command, (self.digest, text), is_sample, whose)
    }

    fn bytes(&self) -> usize {
        PREPARED_BYTES + self.text.len()
    }
}

/// `int<4>`
fn statement_id(body: &[u8]) -> Option<u32> {
    body.first_chunk().map(|id| u32::from_le_bytes(*id))
}

/// Of a text that begins with USE.
fn database_of(text: &[u8]) -> Option<Vec<u8>> {
    let word = text.trim_ascii_start().first_chunk::<3>()?;
    match word.eq_ignore_ascii_case(b"use") {
        true => SessionEffects::of(text).database,
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of sessions wait most of the time.
    #[test]
    fn what_is_kept_of_a_session_that_waits_is_small() {
        let bytes = size_of::<Statements>();
        assert!(bytes <= 176, "{bytes} bytes");
    }

    #[test]
    fn a_use_names_the_database() {
        for (text, database) in [
            ("USE shop", Some("shop")),
            ("  use `a b`;", Some("a b")),
            ("user", None),
            ("SELECT 1", None),
            ("", None),
        ] {
            let found = database_of(text.as_bytes());
            assert_eq!(found.as_deref(), database.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn prepared_statements_are_bounded() {
        let mut statements = PreparedStatements::default();
        let prepared = || Prepared {
            digest: Digest(1),
            text: "x".repeat(1024).into(),
            trace: None,
        };
        for id in 0..1000 {
            statements.add(Some(id), prepared());
        }
        assert!(statements.bytes <= PREPARED_BYTES_MAX);
        assert!(statements.get(0).is_some());
        assert!(statements.get(999).is_none() && statements.get(LAST_PREPARED).is_none());
        (0..1000).for_each(|id| statements.close(id));
        assert_eq!((statements.bytes, statements.known.len()), (0, 0));
        statements.add(Some(7), prepared());
        assert!(statements.get(LAST_PREPARED).is_some());
    }
}
