//! What a session does, for those who count, log and trace: nothing here waits.

use std::time::{Duration, SystemTime};

use protocol::Command;
use protocol::response_tracker::Summary;
use tokio::time::Instant;

use super::super::command_trace::{Client, CommandTrace};
use super::super::statements::{Dialect, Noted, Statements};
use super::Link;
use crate::counters::WorkerCounters;
use crate::digests::printable;
use crate::query_log::QueryRecord;
use crate::register::{Activity, Registration};
use crate::traces::{SpanWork, TracedError};

impl Link {
    /// A command begins.
    pub(in crate::session) fn begin(&mut self, command: Command) {
        self.activity = Activity::Command(command);
        self.begun_at = Instant::now();
    }

    /// The command is answered, as far as the client is concerned.
    pub(in crate::session) fn answered(&mut self) {
        self.counters().answered(self.begun_at.elapsed());
        self.finish_trace(None);
    }

    /// A script is asked about a command: whether that is traced.
    pub(in crate::session) fn weigh(&mut self, payload: &[u8]) {
        let dialect = self.dialect();
        if let Some(statements) = &mut self.statements {
            statements.weigh(&self.context, dialect, payload);
        }
    }

    /// The record of the client's command, where it is traced.
    fn trace(&mut self) -> Option<&mut CommandTrace> {
        self.statements.as_mut()?.trace.as_deref_mut()
    }

    /// When something begins that is a part of the client's command; `None` where that is not traced.
    pub(in crate::session) fn begin_span(&mut self) -> Option<Instant> {
        self.trace().map(|_| Instant::now())
    }

    /// It has ended.
    pub(in crate::session) fn end_span(
        &mut self,
        began: Option<Instant>,
        work: impl FnOnce(&Self) -> SpanWork,
    ) {
        if let Some(began) = began {
            let work = work(self);
            if let Some(trace) = self.trace() {
                trace.add(began, work);
            }
        }
    }

    /// The client gets an ERR that no server gave to its own command.
    pub(in crate::session) fn trace_error(&mut self, error: TracedError) {
        if let Some(trace) = self.trace() {
            trace.answered_with(error);
        }
    }

    fn finish_trace(&mut self, failure: Option<&'static str>) {
        let Some(statements) = &mut self.statements else {
            return;
        };
        if let Some(trace) = statements.trace.take() {
            let client = Client {
                session: self.registration.id(),
                address: self.registration.client(),
                database: printable(statements.database()),
            };
            let command = trace.finish(self.begun_at, client, failure);
            self.context.traces.put(command);
        }
    }

    /// Its worker's.
    pub(in crate::session) fn counters(&self) -> &WorkerCounters {
        self.context.counters.worker(self.worker)
    }

    /// Somebody wants to know what the client says.
    pub(in crate::session) fn is_listened_to(&self) -> bool {
        self.statements.is_some()
    }

    /// A command goes to the server: its packets, or the first bytes of them.
    pub(in crate::session) fn say(&mut self, packets: &[u8], is_complete: bool) {
        let dialect = self.dialect();
        if let Some(statements) = &mut self.statements {
            statements.begin(&self.context, dialect, (packets, is_complete));
            show_digest(statements, &self.registration);
        }
    }

    /// More bytes of it.
    pub(in crate::session) fn say_more(&mut self, bytes: &[u8], is_complete: bool) {
        let dialect = self.dialect();
        if let Some(statements) = &mut self.statements {
            statements.go_on(&self.context, dialect, (bytes, is_complete));
            show_digest(statements, &self.registration);
        }
    }

    /// A script's command goes to the server, whole and without query attributes.
    pub(in crate::session) fn say_injected(&mut self, packet: &[u8]) {
        let dialect = self.dialect();
        if let Some(statements) = &mut self.statements {
            statements.inject(&self.context, dialect, packet);
            show_digest(statements, &self.registration);
        }
    }

    /// The client has become another one.
    pub(in crate::session) fn changed_user(&mut self, username: &[u8], database: &[u8]) {
        self.registration.known_as(username);
        if let Some(statements) = &mut self.statements {
            statements.change_user(&self.context, username, database);
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            capabilities: self.capabilities,
            status: self.status,
        }
    }

    pub(super) fn see_first_byte(&mut self) {
        if let Some(statements) = &mut self.statements {
            statements.see_first_byte();
        }
    }

    /// The last byte is where it goes: a clock reading more for each response.
    pub(super) fn count_response(&mut self) {
        let asked_at = self.asked_at.take();
        let duration = asked_at.map_or(Duration::ZERO, |at| at.elapsed());
        if let (Some(statements), Some(at)) = (&mut self.statements, asked_at) {
            let noted = statements.end(&self.context, &self.summary, (at, duration));
            if let Some(noted) = noted {
                self.note(*noted, (at, duration), None);
            }
        }
        self.end_traced_query(None);
        let Activity::Command(command) = self.activity else {
            return;
        };
        let backend = self.count.as_ref().map(|count| count.backend().index());
        self.counters()
            .responded(command, backend, &self.summary, duration);
    }

    fn end_traced_query(&mut self, failure: Option<&'static str>) {
        if self.trace().is_none() {
            return;
        }
        let (summary, backend) = (self.summary, self.backend_address());
        if let Some(trace) = self.trace() {
            trace.end_query(backend, &summary, failure);
        }
    }

    /// The session ends, for this reason: a statement that waits for its answer gets none.
    pub(in crate::session) fn abandon(&mut self, reason: &'static str) {
        let began = self.asked_at.unwrap_or(self.begun_at);
        let time = (began, began.elapsed());
        let statements = self.statements.as_mut();
        let noted = statements.and_then(|it| it.abandon(&self.context, time.1));
        self.summary = Summary::default();
        if let Some(noted) = noted {
            self.note(*noted, time, Some(reason));
        }
        self.end_traced_query(Some(reason));
        self.finish_trace(Some(reason));
    }

    /// Into the logs.
    fn note(
        &self,
        noted: Noted,
        (began, took): (Instant, Duration),
        failure: Option<&'static str>,
    ) {
        let summary = &self.summary;
        let (is_slow, is_sample) = (noted.is_slow, noted.is_sample);
        let record = QueryRecord {
            began_at: SystemTime::now() - began.elapsed(),
            session: self.id(),
            client: self.registration.client(),
            username: printable(noted.whose.username()),
            database: printable(noted.whose.database()),
            backend: self.backend_name(),
            chosen_by: self.backend.is_some().then(|| self.registration.why()),
            command: noted.command,
            digest: noted.digest,
            statement: noted.text,
            literal_statement: noted.literal_text,
            first_byte_time: noted
                .first_byte_at
                .map(|at| at.saturating_duration_since(began)),
            time: took,
            rows: summary.rows,
            row_bytes: summary.row_bytes,
            affected_rows: summary.affected_rows,
            warnings: summary.warnings,
            error: summary.error_code.map(|code| (code, summary.sql_state)),
            failure,
            trace: noted.trace,
        };
        self.context.query_log.note(record, is_slow, is_sample);
    }
}

/// Tells others what is said, where that is a statement.
fn show_digest(statements: &Statements, registration: &Registration) {
    if let Some(digest) = statements.digest() {
        registration.says(digest);
    }
}
