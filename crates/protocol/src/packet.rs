//! Packets: a header of four bytes (length, sequence id) and up to 2^24-1 bytes. A payload is what one or more packets
//! hold together. Follows MySQL's "Protocol Basics: MySQL Packets".

mod decoder;
mod renumbering;
mod scanner;

pub use decoder::PayloadDecoder;
pub use renumbering::Renumbering;
pub use scanner::PayloadScanner;

use std::borrow::Cow;

use crate::limits::PACKET_PAYLOAD_BYTES_MAX;

/// `int<3>` length, `int<1>` sequence id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHeader {
    /// Bytes behind the header.
    pub length: usize,
    /// Counts the packets of one exchange, modulo 256.
    pub sequence_id: u8,
}

impl PacketHeader {
    /// Bytes of a header.
    pub const BYTES: usize = 4;

    /// Any four bytes are a header.
    pub fn decode([a, b, c, sequence_id]: [u8; 4]) -> Self {
        Self {
            length: u32::from_le_bytes([a, b, c, 0]) as usize,
            sequence_id,
        }
    }

    /// The header at the start of `bytes`, when they hold one.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|header| Self::decode(*header))
    }

    /// The four bytes.
    pub fn encode(self) -> [u8; 4] {
        debug_assert!(self.length <= PACKET_PAYLOAD_BYTES_MAX);
        let [a, b, c, _] = (self.length as u32).to_le_bytes();
        [a, b, c, self.sequence_id]
    }

    /// True when the payload goes on in the next packet.
    pub fn is_continued(self) -> bool {
        self.length == PACKET_PAYLOAD_BYTES_MAX
    }
}

/// Appends `payload` to `out`, split into packets that start at `sequence_id`.
/// Returns the sequence id that follows.
pub fn put_payload(out: &mut Vec<u8>, mut sequence_id: u8, mut payload: &[u8]) -> u8 {
    loop {
        let (chunk, rest) = payload.split_at(payload.len().min(PACKET_PAYLOAD_BYTES_MAX));
        let header = PacketHeader {
            length: chunk.len(),
            sequence_id,
        };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(chunk);
        sequence_id = sequence_id.wrapping_add(1);
        payload = rest;
        if !header.is_continued() {
            return sequence_id;
        }
    }
}

/// The payload whose packets `packets` starts with, joined where there are several, and what is behind it. `None` when it
/// is not all there.
pub fn split_payload(packets: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let (is_continued, first, mut rest) = split_packet(packets)?;
    if !is_continued {
        return Some((Cow::Borrowed(first), rest));
    }
    let mut payload = first.to_vec();
    loop {
        let (is_continued, chunk, behind) = split_packet(rest)?;
        payload.extend_from_slice(chunk);
        rest = behind;
        if !is_continued {
            return Some((Cow::Owned(payload), rest));
        }
    }
}

fn split_packet(packets: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (header, rest) = packets.split_first_chunk()?;
    let header = PacketHeader::decode(*header);
    let (chunk, rest) = rest.split_at_checked(header.length)?;
    Some((header.is_continued(), chunk, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_out_one_by_one() {
        let mut packets = Vec::new();
        let next = put_payload(&mut packets, 0, b"hello");
        put_payload(&mut packets, next, b"");
        let (payload, rest) = split_payload(&packets).unwrap();
        assert!(matches!(payload, Cow::Borrowed(b"hello")));
        let (payload, rest) = split_payload(rest).unwrap();
        assert_eq!((&*payload, rest), (&b""[..], &b""[..]));
        for cut in 0..PacketHeader::BYTES + 5 {
            assert_eq!(split_payload(&packets[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn large_payloads_are_joined() {
        for length in [
            PACKET_PAYLOAD_BYTES_MAX,
            PACKET_PAYLOAD_BYTES_MAX + 1,
            2 * PACKET_PAYLOAD_BYTES_MAX,
        ] {
            let sent = vec![7; length];
            let mut packets = Vec::new();
            put_payload(&mut packets, 0, &sent);
            packets.push(9);
            let (payload, rest) = split_payload(&packets).unwrap();
            assert_eq!((payload.len(), rest), (length, &[9][..]));
            assert_eq!(split_payload(&packets[..packets.len() - 2]), None);
        }
    }
}
