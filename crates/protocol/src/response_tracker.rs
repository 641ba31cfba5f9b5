//! Finds the end of any response, without decoding rows: packet headers are scanned, and of a few packets the first
//! bytes.
//!
//! A tracker is fed with bytes as they come, cut anywhere. It keeps at most a packet's first few of them, and what is said
//! of session state where that is wanted. Every packet is looked at in its role: what starts with 0xfe is an end of rows only
//! where rows may end.
//!
//! Follows MySQL's "Text Resultset", "COM_STMT_PREPARE Response", "COM_STMT_FETCH Response" and MariaDB's "Result Set
//! Packets" and "Progress Reporting".

use crate::command::Layout;
use crate::limits::{PACKET_PAYLOAD_BYTES_MAX, SESSION_STATE_BYTES_MAX};
use crate::packet::PacketHeader;
use crate::response::{EofPacket, ErrPacket, OkHead, OkPacket};
use crate::resultset::ColumnCount;
use crate::wire::Reader;
use crate::{Capabilities, DecodeError, StatusFlags};

/// A column count and the byte that says whether definitions follow.
const COUNT_PREFIX_BYTES: usize = 9 + 1;
/// COM_STMT_PREPARE_OK, with the byte that says whether definitions follow.
const PREPARE_OK_BYTES: usize = 13;
/// An OK that is shorter is none that a statement was prepared.
const PREPARE_OK_BYTES_MIN: usize = 12;
/// A header, an error code, and a SQLSTATE behind its mark.
const ERR_PREFIX_BYTES: usize = 9;
/// The most that is kept of a packet that comes in pieces.
const PREFIX_BYTES_MAX: usize = PacketHeader::BYTES + OkHead::BYTES_MAX;

const LOCAL_INFILE_HEADER: u8 = 0xfb;
/// The value of the byte that says that no definitions follow.
const METADATA_NONE: u8 = 0;

/// One response on its way.
#[derive(Debug, Clone)]
pub struct ResponseTracker {
    capabilities: Capabilities,
    /// The command asked for a cursor.
    wants_cursor: bool,
    state: State,
    /// Header and first bytes of a packet that came in pieces.
    stash: [u8; PREFIX_BYTES_MAX],
    stash_bytes: u8,
    /// Bytes of the current packet that nobody needs to look at.
    skip: u32,
    /// The next packet continues the current payload.
    continued: bool,
    /// The current payload is a row.
    is_row: bool,
    sequence_id: u8,
    /// The client has a part in the exchange: any sequence id may come.
    has_lost_count: bool,
    status: Option<StatusFlags>,
    summary: Summary,
    /// `None` where nobody wants it.
    session_state: Option<Box<SessionState>>,
}

/// What OKs say of session state.
#[derive(Debug, Clone, Default)]
struct SessionState {
    /// Of the current packet what was seen; empty unless it is an OK with changes.
    ok: Vec<u8>,
    /// Of the packets before it.
    changes: Vec<u8>,
}

/// What was seen of a response in passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// The first byte of the first packet; `None` before it, and for one of no bytes.
    pub first: Option<u8>,
    /// Rows of all resultsets.
    pub rows: u64,
    /// Bytes of their packets, headers included.
    pub row_bytes: u64,
    /// Of the last result, unless it was a resultset: then `None`. 0 for an ERR.
    pub affected_rows: Option<u64>,
    /// As `affected_rows`.
    pub last_insert_id: Option<u64>,
    /// Of the last OK or EOF.
    pub warnings: u16,
    /// Of a COM_STMT_PREPARE_OK.
    pub statement_id: Option<u32>,
    /// Any of the results had an insert id.
    pub has_insert_id: bool,
    /// Any of them was a resultset.
    pub has_resultset: bool,
    /// The response ended with an ERR, whatever came before it.
    pub is_err: bool,
    /// Its code.
    pub error_code: Option<u16>,
    /// Its SQLSTATE; none in packets that have none.
    pub sql_state: Option<[u8; 5]>,
    /// A packet had not the sequence id that follows: it may be none of this response.
    pub is_out_of_sequence: bool,
}

/// How far the bytes of one [`ResponseTracker::feed`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that belong to this response.
    pub consumed: usize,
    /// What comes next.
    pub next: Next,
}

/// What a response needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More bytes of the server.
    Bytes,
    /// The client's file, ended by an empty packet; the server's answer to it belongs to this response.
    LocalInfile,
    /// Nothing: the response ended.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Generic,
    Text,
    ResultsetStart,
    ColumnDefinitions {
        left: u64,
    },
    ColumnDefinitionsEof,
    Rows,
    PrepareStart,
    PrepareDefinitions {
        left: u16,
        then: u16,
    },
    PrepareDefinitionsEof {
        then: u16,
    },
    /// The EOFs of groups whose definitions are left out.
    PrepareEofs {
        left: u8,
    },
    FieldList,
    LocalInfile,
    Ended,
}

impl ResponseTracker {
    /// `capabilities` are those that both sides agreed to.
    pub fn new(layout: Layout, capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            wants_cursor: layout == Layout::Cursor,
            state: match layout {
                Layout::Generic => State::Generic,
                Layout::Text => State::Text,
                Layout::Resultsets | Layout::Cursor => State::ResultsetStart,
                Layout::Prepare => State::PrepareStart,
                Layout::Columns => State::FieldList,
                Layout::Rows => State::Rows,
            },
            stash: [0; PREFIX_BYTES_MAX],
            stash_bytes: 0,
            skip: 0,
            continued: false,
            is_row: false,
            sequence_id: 0,
            has_lost_count: false,
            status: None,
            summary: Summary::default(),
            session_state: None,
        }
    }

    /// Keeps what the response says of session state, for [`Self::take_session_state`].
    #[must_use]
    pub fn keeping_session_state(mut self) -> Self {
        if self.capabilities.contains(Capabilities::SESSION_TRACK) {
            self.session_state = Some(Box::default());
        }
        self
    }

    /// The response to a command whose last packet had `sequence_id`.
    #[must_use]
    pub fn following(mut self, sequence_id: u8) -> Self {
        self.sequence_id = sequence_id;
        self
    }

    /// Looks at the next bytes of the server. After [`Next::End`] nothing is consumed any more.
    ///
    /// # Errors
    /// A packet that cannot stand where it stands. The tracker is of no use afterwards.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, DecodeError> {
        let mut at = 0;
        loop {
            let skipped = (self.skip as usize).min(bytes.len() - at);
            self.skip -= skipped as u32;
            if let Some(session_state) = &mut self.session_state {
                session_state.see(&bytes[at..at + skipped], self.skip == 0);
            }
            at += skipped;
            let next = self.next();
            if next != Next::Bytes || at == bytes.len() {
                return Ok(Progress { consumed: at, next });
            }
            at += self.packet_start(&bytes[at..])?;
        }
    }

    /// True between two packets of the server: where a packet of ours may stand.
    pub fn is_at_packet_boundary(&self) -> bool {
        self.stash_bytes == 0 && self.skip == 0 && !self.continued
    }

    /// Of the latest packet; before the first, of the command's last packet as [`Self::following`] was told.
    pub fn sequence_id(&self) -> u8 {
        self.sequence_id
    }

    /// The latest status flags; `None` while the response carried none.
    pub fn status(&self) -> Option<StatusFlags> {
        self.status
    }

    /// What was seen so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What was said of session state so far, for [`SessionStateChange::decode_all`](crate::response::SessionStateChange::decode_all).
    pub fn take_session_state(&mut self) -> Vec<u8> {
        let kept = self.session_state.as_mut();
        kept.map(|kept| std::mem::take(&mut kept.changes))
            .unwrap_or_default()
    }

    /// The client's file is on its way: from now on the server may answer, with progress reports or an early ERR before
    /// the file's end.
    pub fn local_infile_started(&mut self) {
        self.has_lost_count = true;
        if self.state == State::LocalInfile {
            self.state = State::ResultsetStart;
        }
    }

    fn next(&self) -> Next {
        if self.skip > 0 || self.continued {
            return Next::Bytes;
        }
        match self.state {
            State::Ended => Next::End,
            State::LocalInfile => Next::LocalInfile,
            _ => Next::Bytes,
        }
    }

    /// Takes a packet's header and what its role needs of its payload. Returns how many bytes it took.
    fn packet_start(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        if self.stash_bytes == 0
            && let Some(needed) = self.needed(bytes)
            && needed <= bytes.len()
        {
            self.packet(&bytes[..needed])?;
            return Ok(needed);
        }
        self.packet_start_in_pieces(bytes)
    }

    fn packet_start_in_pieces(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        for (taken, byte) in bytes.iter().enumerate() {
            self.stash[usize::from(self.stash_bytes)] = *byte;
            self.stash_bytes += 1;
            let stash = self.stash;
            let stash = &stash[..usize::from(self.stash_bytes)];
            if self.needed(stash) == Some(stash.len()) {
                self.stash_bytes = 0;
                self.packet(stash)?;
                return Ok(taken + 1);
            }
        }
        Ok(bytes.len())
    }

    /// How many bytes from the header on must be seen at once; `None` until the first ones are there.
    fn needed(&self, bytes: &[u8]) -> Option<usize> {
        let header = PacketHeader::peek(bytes)?;
        if self.continued || header.length == 0 {
            return Some(PacketHeader::BYTES);
        }
        let first = *bytes.get(PacketHeader::BYTES)?;
        let prefix = match (first, self.state) {
            (ErrPacket::HEADER, _) => ERR_PREFIX_BYTES,
            (
                _,
                State::Text | State::ColumnDefinitions { .. } | State::PrepareDefinitions { .. },
            ) => 1,
            (OkPacket::HEADER, State::PrepareStart) => PREPARE_OK_BYTES,
            (OkPacket::HEADER, State::Rows) => 1,
            (OkPacket::HEADER | OkPacket::HEADER_AFTER_ROWS, _) => OkHead::BYTES_MAX,
            (_, State::ResultsetStart) => COUNT_PREFIX_BYTES,
            _ => 1,
        };
        Some(PacketHeader::BYTES + prefix.min(header.length))
    }

    /// One packet's header and prefix.
    fn packet(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let Some((header, prefix)) = bytes.split_first_chunk() else {
            return Ok(());
        };
        let header = PacketHeader::decode(*header);
        let is_next = header.sequence_id == self.sequence_id.wrapping_add(1);
        if !is_next && !self.has_lost_count {
            self.summary.is_out_of_sequence = true;
        }
        self.sequence_id = header.sequence_id;
        self.skip = (header.length - prefix.len()) as u32;
        let continues = std::mem::replace(&mut self.continued, header.is_continued());
        if continues {
            if self.is_row {
                self.summary.row_bytes += (PacketHeader::BYTES + header.length) as u64;
            }
            return Ok(());
        }
        self.is_row = false;
        self.state = match prefix.first() {
            Some(&ErrPacket::HEADER) if self.state != State::Text => self.err(prefix)?,
            Some(&first) => self.step(first, prefix, header.length)?,
            None => self.empty_packet()?,
        };
        Ok(())
    }

    fn step(&mut self, first: u8, prefix: &[u8], length: usize) -> Result<State, DecodeError> {
        self.see_first(first);
        match self.state {
            State::Generic => self.generic(first, prefix, length),
            State::Text | State::Ended | State::LocalInfile => Ok(State::Ended),
            State::ResultsetStart => self.resultset_start(first, prefix),
            State::ColumnDefinitions { left } => Ok(self.definitions(left - 1)),
            State::ColumnDefinitionsEof => self.definitions_eof(first, prefix),
            State::Rows | State::FieldList => self.row(first, prefix, length),
            State::PrepareStart => self.prepare_start(first, prefix),
            State::PrepareDefinitions { left, then } => {
                Ok(self.prepare_definitions(left - 1, then))
            }
            State::PrepareDefinitionsEof { then } => {
                self.eof_status(first, prefix)?;
                Ok(Self::start_of_definitions(then, 0))
            }
            State::PrepareEofs { left } => {
                self.eof_status(first, prefix)?;
                Ok(self.prepare_eofs(left - 1))
            }
        }
    }

    /// A row of no columns, or nothing that any server sends.
    fn empty_packet(&mut self) -> Result<State, DecodeError> {
        match self.state {
            State::Text => Ok(State::Ended),
            State::Rows => {
                self.count_row(0);
                Ok(State::Rows)
            }
            _ => Err(unexpected(self.state, 0)),
        }
    }

    fn count_row(&mut self, length: usize) {
        self.is_row = true;
        self.summary.rows += 1;
        self.summary.row_bytes += (PacketHeader::BYTES + length) as u64;
    }

    fn err(&mut self, prefix: &[u8]) -> Result<State, DecodeError> {
        let ErrPacket {
            code, sql_state, ..
        } = ErrPacket::decode(prefix)?;
        if code == ErrPacket::PROGRESS_REPORT && self.capabilities.has_progress_reports() {
            return Ok(self.state);
        }
        self.see_first(ErrPacket::HEADER);
        self.summary.affected_rows = Some(0);
        self.summary.last_insert_id = Some(0);
        self.summary.is_err = true;
        self.summary.error_code = Some(code);
        self.summary.sql_state = sql_state;
        Ok(State::Ended)
    }

    /// The first packet that is no progress report.
    fn see_first(&mut self, first: u8) {
        self.summary.first.get_or_insert(first);
    }

    fn ok(&mut self, prefix: &[u8]) -> Result<(), DecodeError> {
        let head = self.ok_head(prefix)?;
        self.summary.affected_rows = Some(head.affected_rows);
        self.summary.last_insert_id = Some(head.last_insert_id);
        self.summary.has_insert_id |= head.last_insert_id > 0;
        Ok(())
    }

    fn ok_head(&mut self, prefix: &[u8]) -> Result<OkHead, DecodeError> {
        let head = OkPacket::decode_head(prefix)?;
        self.status = Some(head.status);
        self.summary.warnings = head.warnings;
        if let Some(session_state) = &mut self.session_state
            && head.status.contains(StatusFlags::SESSION_STATE_CHANGED)
        {
            session_state.ok = prefix.to_vec();
        }
        Ok(head)
    }

    fn generic(&mut self, first: u8, prefix: &[u8], length: usize) -> Result<State, DecodeError> {
        if first == OkPacket::HEADER {
            self.ok(prefix)?;
        } else if first == EofPacket::HEADER {
            self.end_status(prefix, length)?;
        }
        Ok(State::Ended)
    }

    fn resultset_start(&mut self, first: u8, prefix: &[u8]) -> Result<State, DecodeError> {
        if first == OkPacket::HEADER {
            self.ok(prefix)?;
            return Ok(self.after_result());
        }
        if first == LOCAL_INFILE_HEADER {
            return Ok(State::LocalInfile);
        }
        self.summary.affected_rows = None;
        self.summary.last_insert_id = None;
        self.summary.has_resultset = true;
        let count = ColumnCount::decode_head(prefix, self.capabilities)?;
        Ok(self.definitions(match count.has_definitions {
            true => count.columns,
            false => 0,
        }))
    }

    fn definitions(&self, left: u64) -> State {
        if left > 0 {
            State::ColumnDefinitions { left }
        } else if self.deprecates_eof() {
            State::Rows
        } else {
            State::ColumnDefinitionsEof
        }
    }

    /// The rows of a cursor are fetched. A procedure's own cursor sets the same flag, but only there does more follow.
    fn definitions_eof(&mut self, first: u8, prefix: &[u8]) -> Result<State, DecodeError> {
        self.eof_status(first, prefix)?;
        let is_opened = self.wants_cursor
            && self.has_status(StatusFlags::CURSOR_EXISTS)
            && !self.has_status(StatusFlags::MORE_RESULTS_EXISTS);
        Ok(match is_opened {
            true => State::Ended,
            false => State::Rows,
        })
    }

    fn row(&mut self, first: u8, prefix: &[u8], length: usize) -> Result<State, DecodeError> {
        // A definition starts with its catalog, `def`.
        if self.state == State::FieldList && first == OkPacket::HEADER {
            self.ok(prefix)?;
            return Ok(State::Ended);
        }
        let is_end = first == EofPacket::HEADER
            && if self.deprecates_eof() {
                length < PACKET_PAYLOAD_BYTES_MAX
            } else {
                length < 9
            };
        if !is_end {
            self.count_row(length);
            return Ok(self.state);
        }
        // MySQL says only before the row of OUT parameters that more follows, not behind it.
        let out_params = StatusFlags::PS_OUT_PARAMS | StatusFlags::MORE_RESULTS_EXISTS;
        let more_follows = !self.deprecates_eof() && self.has_status(out_params);
        self.end_status(prefix, length)?;
        Ok(match self.state {
            State::Rows if more_follows => State::ResultsetStart,
            State::Rows => self.after_result(),
            _ => State::Ended,
        })
    }

    fn prepare_start(&mut self, first: u8, prefix: &[u8]) -> Result<State, DecodeError> {
        if first != OkPacket::HEADER {
            return Err(unexpected(self.state, first));
        }
        // MySQL says so where it refuses some statements without an error.
        if prefix.len() < PREPARE_OK_BYTES_MIN {
            self.ok(prefix)?;
            return Ok(State::Ended);
        }
        let mut reader = Reader::new("COM_STMT_PREPARE_OK", prefix);
        reader.u8("header")?;
        self.summary.statement_id = Some(reader.u32("statement id")?);
        let columns = reader.u16("column count")?;
        let params = reader.u16("parameter count")?;
        reader.bytes(3, "warnings")?;
        let has_definitions = !self
            .capabilities
            .contains(Capabilities::OPTIONAL_RESULTSET_METADATA)
            || reader.is_empty()
            || reader.u8("metadata follows")? != METADATA_NONE;
        if !has_definitions {
            return Ok(self.prepare_eofs(u8::from(params > 0) + u8::from(columns > 0)));
        }
        Ok(match params {
            0 => Self::start_of_definitions(columns, 0),
            _ => Self::start_of_definitions(params, columns),
        })
    }

    fn start_of_definitions(left: u16, then: u16) -> State {
        match left {
            0 => State::Ended,
            _ => State::PrepareDefinitions { left, then },
        }
    }

    /// Parameters first, columns then; each group ends with an EOF unless that is deprecated.
    fn prepare_definitions(&self, left: u16, then: u16) -> State {
        if left > 0 {
            State::PrepareDefinitions { left, then }
        } else if self.deprecates_eof() {
            Self::start_of_definitions(then, 0)
        } else {
            State::PrepareDefinitionsEof { then }
        }
    }

    /// A group of left-out definitions keeps its EOF.
    fn prepare_eofs(&self, left: u8) -> State {
        match left {
            0 => State::Ended,
            _ if self.deprecates_eof() => State::Ended,
            _ => State::PrepareEofs { left },
        }
    }

    fn after_result(&self) -> State {
        if self.has_status(StatusFlags::MORE_RESULTS_EXISTS) {
            State::ResultsetStart
        } else {
            State::Ended
        }
    }

    /// The EOF that ends definitions.
    fn eof_status(&mut self, first: u8, prefix: &[u8]) -> Result<(), DecodeError> {
        if first != EofPacket::HEADER {
            return Err(unexpected(self.state, first));
        }
        self.eof(prefix)
    }

    /// The packet that ends rows: an OK under DEPRECATE_EOF, else an EOF.
    fn end_status(&mut self, prefix: &[u8], length: usize) -> Result<(), DecodeError> {
        if self.deprecates_eof() && length > EofPacket::BYTES {
            self.ok_head(prefix)?;
            return Ok(());
        }
        self.eof(prefix)
    }

    fn eof(&mut self, prefix: &[u8]) -> Result<(), DecodeError> {
        let eof = EofPacket::decode(prefix)?;
        self.status = Some(eof.status);
        self.summary.warnings = eof.warnings;
        Ok(())
    }

    fn has_status(&self, flag: StatusFlags) -> bool {
        self.status.is_some_and(|status| status.contains(flag))
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }
}

impl SessionState {
    /// The next bytes of a packet's payload behind its prefix. What is too long or cannot be read is left out: it is the
    /// client's to complain of.
    fn see(&mut self, bytes: &[u8], is_end: bool) {
        if self.ok.is_empty() {
            return;
        }
        let kept = self.changes.len() + self.ok.len();
        if kept + bytes.len() > SESSION_STATE_BYTES_MAX {
            self.ok = Vec::new();
            return;
        }
        self.ok.extend_from_slice(bytes);
        if is_end {
            let ok = std::mem::take(&mut self.ok);
            if let Ok(changes) = OkPacket::decode_session_state(&ok) {
                self.changes.extend_from_slice(changes);
            }
        }
    }
}

fn unexpected(state: State, first: u8) -> DecodeError {
    DecodeError::Invalid {
        packet: "response",
        field: match state {
            State::ColumnDefinitionsEof
            | State::PrepareDefinitionsEof { .. }
            | State::PrepareEofs { .. } => "first byte of the EOF after definitions",
            State::PrepareStart => "first byte of COM_STMT_PREPARE_OK",
            _ => "first byte",
        },
        value: first.into(),
    }
}

#[cfg(test)]
mod tests;
