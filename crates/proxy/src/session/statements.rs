//! What a session says, for those who sum up: the statement that waits for its answer, and those that are prepared.
//!
//! A statement is known by its beginning. What is there of it when its command is forwarded is looked at where it is; only of one
//! that comes in small pieces the beginning is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::packet::PacketHeader;
use protocol::query::Query;
use protocol::response_tracker::Summary;
use protocol::{Capabilities, Command, StatusFlags};
use sql::{Digest, Reading, SessionEffects, normalised};
use tokio::time::Instant;

use super::Context;
use crate::digests::{Place, Whose, kept_text};
use crate::limits::{PREPARED_BYTES_MAX, STATEMENT_BYTES_MAX};

/// MariaDB's id of the statement that was prepared last.
const LAST_PREPARED: u32 = u32::MAX;
/// What a prepared statement takes beside its text.
const PREPARED_BYTES: usize = 64;

/// Of one session.
#[derive(Debug)]
pub(super) struct Statements {
    worker: usize,
    whose: Whose,
    /// By the server's id.
    prepared: HashMap<u32, Prepared>,
    prepared_bytes: usize,
    last_prepared: u32,
    /// What waits for its answer.
    current: Option<Current>,
    /// The beginning of a command whose rest is to come.
    beginning: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Prepared {
    digest: Digest,
    text: Arc<str>,
}

#[derive(Debug)]
enum Current {
    /// Is counted.
    Statement(Place),
    /// Is counted, and names the default database.
    Use(Place, Vec<u8>),
    /// Names the default database.
    InitDb(Vec<u8>),
    Prepare(Prepared),
    Reset,
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
        worker: usize,
        username: &[u8],
        database: &[u8],
    ) -> Option<Box<Self>> {
        context.digests.are_on().then(|| {
            Box::new(Self {
                worker,
                whose: context.digests.whose(username, database),
                prepared: HashMap::new(),
                prepared_bytes: 0,
                last_prepared: 0,
                current: None,
                beginning: Vec::new(),
            })
        })
    }

    /// Of what waits for its answer.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self.current.as_ref()? {
            Current::Statement(place) | Current::Use(place, _) => Some(place.digest()),
            Current::InitDb(_) | Current::Prepare(_) | Current::Reset => None,
        }
    }

    /// The client is another one; what it had prepared is gone.
    pub(super) fn change_user(&mut self, context: &Context, username: &[u8], database: &[u8]) {
        self.whose = context.digests.whose(username, database);
        self.forget_prepared();
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
            return self.begin_payload(context, dialect, payload, is_complete);
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
            self.begin_payload(context, dialect, &payload, is_whole);
        }
    }

    /// Command and body, or their beginning.
    fn begin_payload(
        &mut self,
        context: &Context,
        dialect: Dialect,
        payload: &[u8],
        is_complete: bool,
    ) {
        let is_cut = !is_complete || payload.len() > STATEMENT_BYTES_MAX;
        let payload = &payload[..payload.len().min(STATEMENT_BYTES_MAX)];
        let Some((&command, body)) = payload.split_first() else {
            self.current = None;
            return;
        };
        self.current = match Command(command) {
            Command::QUERY => {
                let query = Query::decode(payload, dialect.capabilities).ok();
                query.map(|query| self.query(context, query.text, dialect.reading(is_cut)))
            }
            _ => self.other(context, Command(command), (body, dialect.reading(is_cut))),
        };
    }

    /// A query of a script's.
    pub(super) fn inject(&mut self, context: &Context, dialect: Dialect, packet: &[u8]) {
        let without_attributes = Dialect {
            capabilities: dialect.capabilities - Capabilities::QUERY_ATTRIBUTES,
            ..dialect
        };
        self.begin_payload(context, without_attributes, packet, true);
    }

    fn query(&self, context: &Context, text: &[u8], reading: Reading) -> Current {
        let digest = Digest::of(text, reading);
        let make_text = || kept_text(&normalised(text, reading));
        let whose = (digest, &self.whose);
        let place = context.digests.begin(self.worker, whose, make_text);
        match database_of(text) {
            Some(database) => Current::Use(place, database),
            None => Current::Statement(place),
        }
    }

    fn other(
        &mut self,
        context: &Context,
        command: Command,
        (body, reading): (&[u8], Reading),
    ) -> Option<Current> {
        match command {
            Command::STMT_EXECUTE | Command::STMT_BULK_EXECUTE => self.execute(context, body),
            Command::STMT_PREPARE => Some(Current::Prepare(Prepared {
                digest: Digest::of(body, reading),
                text: kept_text(&normalised(body, reading)),
            })),
            Command::STMT_CLOSE => {
                self.close(statement_id(body)?);
                None
            }
            Command::INIT_DB => Some(Current::InitDb(body.to_vec())),
            Command::RESET_CONNECTION => Some(Current::Reset),
            _ => None,
        }
    }

    fn execute(&self, context: &Context, body: &[u8]) -> Option<Current> {
        let id = match statement_id(body)? {
            LAST_PREPARED => self.last_prepared,
            id => id,
        };
        let prepared = self.prepared.get(&id)?;
        let whose = (prepared.digest, &self.whose);
        let make_text = || Arc::clone(&prepared.text);
        let place = context.digests.begin(self.worker, whose, make_text);
        Some(Current::Statement(place))
    }

    /// Its answer has ended.
    pub(super) fn end(&mut self, context: &Context, summary: &Summary, time: (Instant, Duration)) {
        let Some(current) = self.current.take() else {
            return;
        };
        if let Current::Statement(place) | Current::Use(place, _) = &current {
            context.digests.end(self.worker, *place, summary, time);
        }
        if summary.is_err {
            return;
        }
        match current {
            Current::Statement(_) => {}
            Current::Use(_, database) | Current::InitDb(database) => {
                self.whose = context.digests.whose(self.whose.username(), &database);
            }
            Current::Prepare(prepared) => self.prepare(summary.statement_id, prepared),
            Current::Reset => self.forget_prepared(),
        }
    }

    /// Those beyond the bound are not known when they are executed.
    fn prepare(&mut self, id: Option<u32>, prepared: Prepared) {
        let Some(id) = id else {
            return;
        };
        self.close(id);
        self.last_prepared = id;
        let bytes = prepared.bytes();
        if self.prepared_bytes + bytes <= PREPARED_BYTES_MAX {
            self.prepared_bytes += bytes;
            self.prepared.insert(id, prepared);
        }
    }

    fn close(&mut self, id: u32) {
        if let Some(prepared) = self.prepared.remove(&id) {
            self.prepared_bytes -= prepared.bytes();
        }
    }

    fn forget_prepared(&mut self) {
        self.prepared = HashMap::new();
        self.prepared_bytes = 0;
    }
}

impl Prepared {
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
