//! Responses read from whole packets, straight from the grammar in the servers' documentation: what must be true of
//! `ResponseTracker`. Slow, and without a state between packets.

use protocol::command::Layout;
use protocol::limits::PACKET_PAYLOAD_BYTES_MAX;
use protocol::packet::PacketHeader;
use protocol::response_tracker::Summary;
use protocol::{Capabilities, StatusFlags};

use super::Packet;

/// How reading ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the response.
    Complete,
    /// The response goes on.
    OutOfPackets,
    /// The last payload goes on; its beginning may be malformed.
    InPayload,
    /// With a packet that cannot stand where it stands.
    Malformed,
}

/// One response being read.
pub(super) struct Reference<'a> {
    packets: &'a [Packet],
    /// Of these so many are read.
    read: usize,
    capabilities: Capabilities,
    /// The client sent a file: packets may have any sequence id.
    is_file_sent: bool,
    pub(super) sequence_id: u8,
    pub(super) status: Option<StatusFlags>,
    pub(super) summary: Summary,
    pub(super) session_state: Vec<u8>,
}

/// What packets hold together.
struct Payload<'a> {
    /// Of its first packet.
    start: &'a [u8],
    /// Of its first packet.
    length: usize,
    /// Of all its packets, with their headers.
    packet_bytes: usize,
}

impl<'a> Reference<'a> {
    pub(super) fn new(packets: &'a [Packet], capabilities: Capabilities, sequence_id: u8) -> Self {
        Self {
            packets,
            read: 0,
            capabilities,
            is_file_sent: false,
            sequence_id,
            status: None,
            summary: Summary::default(),
            session_state: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, layout: Layout) -> End {
        let end = match layout {
            Layout::Generic => self.generic(),
            Layout::Text => self.payload().map(|payload| self.see_first(&payload)),
            Layout::Resultsets => self.resultsets(false),
            Layout::Cursor => self.resultsets(true),
            Layout::Prepare => self.prepare(),
            Layout::Columns => self.columns(),
            Layout::Rows => self
                .rows()
                .and_then(|more| if more { self.resultsets(false) } else { Ok(()) }),
        };
        match end {
            Ok(()) => End::Complete,
            Err(end) => end,
        }
    }

    /// Of the packets that were read.
    pub(super) fn bytes(&self) -> usize {
        let read = self.packets[..self.read].iter();
        read.map(|packet| PacketHeader::BYTES + packet.header.length)
            .sum()
    }

    fn generic(&mut self) -> Result<(), End> {
        let payload = self.step()?;
        match payload.start.first() {
            Some(0x00) => self.ok(&payload),
            Some(0xfe) => self.end_of_rows(&payload),
            Some(_) => Ok(()),
            None => Err(End::Malformed),
        }
    }

    fn resultsets(&mut self, wants_cursor: bool) -> Result<(), End> {
        loop {
            let payload = self.step()?;
            let more = match payload.start.first() {
                None => return Err(End::Malformed),
                Some(0x00) => {
                    self.ok(&payload)?;
                    self.has(StatusFlags::MORE_RESULTS_EXISTS)
                }
                Some(0xfb) => {
                    self.is_file_sent = true;
                    true
                }
                Some(_) => self.resultset(&payload, wants_cursor)?,
            };
            if !more {
                return Ok(());
            }
        }
    }

    /// Whether another result follows.
    fn resultset(&mut self, start: &Payload<'_>, wants_cursor: bool) -> Result<bool, End> {
        self.summary.affected_rows = None;
        self.summary.last_insert_id = None;
        self.summary.has_resultset = true;
        let mut bytes = start.start;
        let columns = lenenc_int(&mut bytes)?;
        let has_definitions = !self.capabilities.has_metadata_flag() || bytes.first() != Some(&0);
        if has_definitions {
            self.definitions(columns)?;
        }
        if !self.deprecates_eof() {
            let payload = self.step()?;
            self.eof(&payload)?;
            let opened = wants_cursor && self.has(StatusFlags::CURSOR_EXISTS);
            if opened && !self.has(StatusFlags::MORE_RESULTS_EXISTS) {
                return Ok(false);
            }
        }
        self.rows()
    }

    fn definitions(&mut self, count: u64) -> Result<(), End> {
        for _ in 0..count {
            if self.step()?.length == 0 {
                return Err(End::Malformed);
            }
        }
        Ok(())
    }

    /// Whether another result follows.
    fn rows(&mut self) -> Result<bool, End> {
        // Before the row of OUT parameters MySQL says that more follows, and not behind it.
        let out_params = StatusFlags::PS_OUT_PARAMS | StatusFlags::MORE_RESULTS_EXISTS;
        let more_was_said = !self.deprecates_eof() && self.has(out_params);
        loop {
            let payload = self.step()?;
            if self.is_end_of_rows(&payload) {
                self.end_of_rows(&payload)?;
                return Ok(more_was_said || self.has(StatusFlags::MORE_RESULTS_EXISTS));
            }
            self.count_row(&payload);
        }
    }

    /// Definitions, which count as rows.
    fn columns(&mut self) -> Result<(), End> {
        loop {
            let payload = self.step()?;
            match payload.start.first() {
                None => return Err(End::Malformed),
                // No definition, which starts with its catalog.
                Some(0x00) => return self.ok(&payload),
                Some(_) => {}
            }
            if self.is_end_of_rows(&payload) {
                return self.end_of_rows(&payload);
            }
            self.count_row(&payload);
        }
    }

    fn count_row(&mut self, payload: &Payload<'_>) {
        self.summary.rows += 1;
        self.summary.row_bytes += payload.packet_bytes as u64;
    }

    /// A row's first value may start with 0xfe too, in a payload of at least nine bytes; under DEPRECATE_EOF, of 16 MiB.
    fn is_end_of_rows(&self, payload: &Payload<'_>) -> bool {
        let length_max = match self.deprecates_eof() {
            true => PACKET_PAYLOAD_BYTES_MAX - 1,
            false => 8,
        };
        payload.start.first() == Some(&0xfe) && payload.length <= length_max
    }

    fn prepare(&mut self) -> Result<(), End> {
        let payload = self.step()?;
        if payload.start.first() == Some(&0x00) && payload.length < 12 {
            return self.ok(&payload);
        }
        let &[
            0x00,
            a,
            b,
            c,
            d,
            columns_low,
            columns_high,
            parameters_low,
            parameters_high,
            _,
            _,
            _,
            ref rest @ ..,
        ] = payload.start
        else {
            return Err(End::Malformed);
        };
        self.summary.statement_id = Some(u32::from_le_bytes([a, b, c, d]));
        let columns = u16::from_le_bytes([columns_low, columns_high]);
        let parameters = u16::from_le_bytes([parameters_low, parameters_high]);
        let may_leave_out = self
            .capabilities
            .contains(Capabilities::OPTIONAL_RESULTSET_METADATA);
        let has_definitions = !may_leave_out || rest.first() != Some(&0);
        for count in [parameters, columns] {
            if count == 0 {
                continue;
            }
            if has_definitions {
                self.definitions(count.into())?;
            }
            if !self.deprecates_eof() {
                let payload = self.step()?;
                self.eof(&payload)?;
            }
        }
        Ok(())
    }

    /// The next payload, unless it is an ERR, which ends any response. Progress reports are passed over.
    fn step(&mut self) -> Result<Payload<'a>, End> {
        loop {
            let payload = self.payload()?;
            if payload.start.first() != Some(&0xff) {
                self.see_first(&payload);
                return Ok(payload);
            }
            let &[_, low, high, ..] = payload.start else {
                return Err(End::Malformed);
            };
            if [low, high] == [0xff, 0xff] && self.capabilities.has_progress_reports() {
                continue;
            }
            self.see_first(&payload);
            self.summary.affected_rows = Some(0);
            self.summary.last_insert_id = Some(0);
            self.summary.is_err = true;
            self.summary.error_code = Some(u16::from_le_bytes([low, high]));
            self.summary.sql_state = match payload.start {
                [_, _, _, b'#', state @ ..] => state.first_chunk().copied(),
                _ => None,
            };
            return Err(End::Complete);
        }
    }

    fn payload(&mut self) -> Result<Payload<'a>, End> {
        let first = self.packet()?;
        let mut payload = Payload {
            start: &first.start,
            length: first.header.length,
            packet_bytes: 0,
        };
        let mut last = first;
        loop {
            payload.packet_bytes += PacketHeader::BYTES + last.header.length;
            if last.header.length < PACKET_PAYLOAD_BYTES_MAX {
                return Ok(payload);
            }
            last = self.packet().map_err(|_| End::InPayload)?;
        }
    }

    fn packet(&mut self) -> Result<&'a Packet, End> {
        let packet = self.packets.get(self.read).ok_or(End::OutOfPackets)?;
        self.read += 1;
        let is_next = packet.header.sequence_id == self.sequence_id.wrapping_add(1);
        self.summary.is_out_of_sequence |= !is_next && !self.is_file_sent;
        self.sequence_id = packet.header.sequence_id;
        Ok(packet)
    }

    fn see_first(&mut self, payload: &Payload<'_>) {
        if self.summary.first.is_none() {
            self.summary.first = payload.start.first().copied();
        }
    }

    fn ok(&mut self, payload: &Payload<'_>) -> Result<(), End> {
        let (affected_rows, last_insert_id) = self.ok_head(payload)?;
        self.summary.affected_rows = Some(affected_rows);
        self.summary.last_insert_id = Some(last_insert_id);
        self.summary.has_insert_id |= last_insert_id > 0;
        Ok(())
    }

    fn ok_head(&mut self, payload: &Payload<'_>) -> Result<(u64, u64), End> {
        let mut bytes = payload.start.get(1..).ok_or(End::Malformed)?;
        let affected_rows = lenenc_int(&mut bytes)?;
        let last_insert_id = lenenc_int(&mut bytes)?;
        let &[a, b, c, d, ..] = bytes else {
            return Err(End::Malformed);
        };
        self.status = Some(StatusFlags::from_bits_retain(u16::from_le_bytes([a, b])));
        self.summary.warnings = u16::from_le_bytes([c, d]);
        // Of 16 MiB nobody keeps anything.
        if payload.length == payload.start.len() && self.has(StatusFlags::SESSION_STATE_CHANGED) {
            self.session_state(&bytes[4..]);
        }
        Ok((affected_rows, last_insert_id))
    }

    /// What stands behind the numbers of an OK: a text, and changes. Malformed, it says nothing.
    fn session_state(&mut self, mut bytes: &[u8]) {
        if !self.capabilities.contains(Capabilities::SESSION_TRACK) {
            return;
        }
        let parts = lenenc_bytes(&mut bytes).and_then(|_info| lenenc_bytes(&mut bytes));
        self.session_state
            .extend_from_slice(parts.unwrap_or_default());
    }

    /// An OK under DEPRECATE_EOF, else an EOF.
    fn end_of_rows(&mut self, payload: &Payload<'_>) -> Result<(), End> {
        if self.deprecates_eof() && payload.length > 5 {
            return self.ok_head(payload).map(drop);
        }
        self.eof(payload)
    }

    fn eof(&mut self, payload: &Payload<'_>) -> Result<(), End> {
        let &[0xfe, a, b, c, d] = payload.start else {
            return Err(End::Malformed);
        };
        if payload.length != payload.start.len() {
            return Err(End::Malformed);
        }
        self.summary.warnings = u16::from_le_bytes([a, b]);
        self.status = Some(StatusFlags::from_bits_retain(u16::from_le_bytes([c, d])));
        Ok(())
    }

    fn has(&self, flags: StatusFlags) -> bool {
        self.status.is_some_and(|status| status.contains(flags))
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }
}

/// `int<lenenc>`, which is taken from the front.
fn lenenc_int(bytes: &mut &[u8]) -> Result<u64, End> {
    let (&first, rest) = bytes.split_first().ok_or(End::Malformed)?;
    let more = match first {
        0..=0xfa => {
            *bytes = rest;
            return Ok(first.into());
        }
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        0xfb | 0xff => return Err(End::Malformed),
    };
    let (digits, rest) = rest.split_at_checked(more).ok_or(End::Malformed)?;
    *bytes = rest;
    let mut number = [0; 8];
    number[..more].copy_from_slice(digits);
    Ok(u64::from_le_bytes(number))
}

/// `string<lenenc>`, which is taken from the front.
fn lenenc_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], End> {
    let length = lenenc_int(bytes)?;
    let length = usize::try_from(length).map_err(|_| End::Malformed)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(End::Malformed)?;
    *bytes = rest;
    Ok(text)
}
