//! What of a response `inj.resultset` is made of: where the first resultset is, its columns and its rows.

use std::borrow::Cow;

use protocol::packet;
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{ColumnCount, ColumnDefinition41};
use protocol::{Capabilities, DecodeError};

use crate::Buffered;
use crate::fields::FieldsObject;

/// The first byte of a LOCAL INFILE request.
const LOCAL_INFILE_HEADER: u8 = 0xfb;
/// A text row that starts with 0xfe has at least these: the value's length alone takes nine.
const ROW_BYTES_MIN: usize = 9;

/// The first resultset's columns; none where there is none.
pub(crate) fn fields(buffered: &Buffered) -> Result<FieldsObject, DecodeError> {
    let Some(first) = FirstResultset::of(buffered)? else {
        return Ok(FieldsObject::new(0, Vec::new()));
    };
    let definitions = first.definitions(buffered)?;
    Ok(FieldsObject::new(first.count.columns, definitions))
}

/// How many columns the first resultset has, and the byte of the response where its first row starts, or what stands in its
/// place. `None` where there is none.
pub(crate) fn first_row(buffered: &Buffered) -> Result<Option<(u64, usize)>, DecodeError> {
    let Some(first) = FirstResultset::of(buffered)? else {
        return Ok(None);
    };
    Ok(Some((first.count.columns, first.rows_at(buffered)?)))
}

/// The first payload.
pub(crate) fn raw(buffered: &Buffered) -> Option<Cow<'_, [u8]>> {
    next_payload(buffered, &mut 0)
}

/// Where the first resultset of a response is.
struct FirstResultset {
    count: ColumnCount,
    /// The byte behind the column count.
    definitions_at: usize,
}

impl FirstResultset {
    /// `None` for an OK, an ERR, an EOF and a LOCAL INFILE request.
    fn of(buffered: &Buffered) -> Result<Option<Self>, DecodeError> {
        let mut at = 0;
        let payload = next_payload(buffered, &mut at).unwrap_or_default();
        match payload.first() {
            None
            | Some(
                &(OkPacket::HEADER | ErrPacket::HEADER | EofPacket::HEADER | LOCAL_INFILE_HEADER),
            ) => Ok(None),
            Some(_) => Ok(Some(Self {
                count: ColumnCount::decode(&payload, buffered.capabilities)?,
                definitions_at: at,
            })),
        }
    }

    /// Empty where they are left out.
    fn definitions(&self, buffered: &Buffered) -> Result<Vec<ColumnDefinition41>, DecodeError> {
        let mut at = self.definitions_at;
        (0..self.definition_count())
            .map(|_| {
                let payload = next_payload(buffered, &mut at).unwrap_or_default();
                ColumnDefinition41::decode_negotiated(&payload, buffered.capabilities)
            })
            .collect()
    }

    /// The byte where the first row starts, or what stands in its place.
    fn rows_at(&self, buffered: &Buffered) -> Result<usize, DecodeError> {
        let mut at = self.definitions_at;
        for _ in 0..self.definition_count() {
            if next_payload(buffered, &mut at).is_none() {
                return Ok(at);
            }
        }
        if buffered.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            return Ok(at);
        }
        let behind = at;
        match next_payload(buffered, &mut at).as_deref() {
            Some(payload) if is_end_of_rows(payload, buffered.capabilities) => Ok(at),
            Some([first, ..]) if *first != ErrPacket::HEADER => Err(DecodeError::Invalid {
                packet: "response",
                field: "first byte of the EOF after definitions",
                value: (*first).into(),
            }),
            _ => Ok(behind),
        }
    }

    fn definition_count(&self) -> u64 {
        match self.count.has_definitions {
            true => self.count.columns,
            false => 0,
        }
    }
}

/// The payload that starts at byte `at` of the packets; `at` moves behind it. MariaDB's progress reports are nothing that a
/// script sees.
pub(crate) fn next_payload<'a>(buffered: &'a Buffered, at: &mut usize) -> Option<Cow<'a, [u8]>> {
    let has_progress_reports = buffered.capabilities.has_progress_reports();
    loop {
        let (payload, rest) = packet::split_payload(buffered.packets.get(*at..)?)?;
        *at = buffered.packets.len() - rest.len();
        if !(has_progress_reports && is_progress_report(&payload)) {
            return Some(payload);
        }
    }
}

fn is_progress_report(payload: &[u8]) -> bool {
    payload.first() == Some(&ErrPacket::HEADER)
        && ErrPacket::decode(payload).is_ok_and(|err| err.code == ErrPacket::PROGRESS_REPORT)
}

/// True for an EOF, of one byte too, and for the OK in its place under DEPRECATE_EOF.
pub(crate) fn is_end_of_rows(payload: &[u8], capabilities: Capabilities) -> bool {
    payload.first() == Some(&EofPacket::HEADER)
        && match capabilities.contains(Capabilities::DEPRECATE_EOF) {
            true => payload.len() < protocol::limits::PACKET_PAYLOAD_BYTES_MAX,
            false => payload.len() < ROW_BYTES_MIN,
        }
}

#[cfg(test)]
mod tests;
