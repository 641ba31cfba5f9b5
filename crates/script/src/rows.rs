//! The rows of a response's first resultset, a chunk of packets at a time. They are taken apart on the Lua side.

use std::borrow::Cow;

use protocol::packet::{self, PacketHeader};
use protocol::response::ErrPacket;

use crate::Buffered;
use crate::resultset::{is_end_of_rows, next_payload};

/// A chunk ends with the row that reaches this size.
const BYTES: usize = 32 * 1024;

/// Some rows.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    /// Packets with headers, or one payload.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// A row that took several packets, without their headers.
    pub(crate) is_payload: bool,
    /// The byte of the response where the next row starts; `None` behind the last one.
    pub(crate) next: Option<usize>,
}

impl<'a> Chunk<'a> {
    /// The rows from byte `at` of the response on; `None` where there are none.
    pub(crate) fn at(buffered: &'a Buffered, at: usize) -> Option<Self> {
        let mut end = at;
        let payload = next_payload(buffered, &mut end)?;
        if !is_row(buffered, &payload) {
            return None;
        }
        let start = end - PacketHeader::BYTES - payload.len();
        match payload {
            Cow::Owned(payload) => Some(Self {
                bytes: payload.into(),
                is_payload: true,
                next: Some(end),
            }),
            Cow::Borrowed(_) => Some(Self::of_packets(buffered, start, end)),
        }
    }

    /// A row is from `start` to `end`: those behind it join it.
    fn of_packets(buffered: &'a Buffered, start: usize, mut end: usize) -> Self {
        let mut next = Some(end);
        while end - start < BYTES {
            let rest = &buffered.packets[end..];
            let Some((Cow::Borrowed(payload), behind)) = packet::split_payload(rest) else {
                break;
            };
            if !is_row(buffered, payload) {
                // A progress report, or the end.
                next = next_row(buffered, end);
                break;
            }
            end = buffered.packets.len() - behind.len();
            next = Some(end);
        }
        Self {
            bytes: buffered.packets[start..end].into(),
            is_payload: false,
            next,
        }
    }
}

fn next_row(buffered: &Buffered, at: usize) -> Option<usize> {
    let mut end = at;
    let payload = next_payload(buffered, &mut end)?;
    is_row(buffered, &payload).then_some(at)
}

fn is_row(buffered: &Buffered, payload: &[u8]) -> bool {
    payload.first() != Some(&ErrPacket::HEADER) && !is_end_of_rows(payload, buffered.capabilities)
}
