//! Gives the packets of a stream other sequence ids: where a response is not the answer to the command that it was the
//! response to.

use super::PacketHeader;

/// Rewrites headers in place. Fed with bytes as they come, cut anywhere.
#[derive(Debug, Clone)]
pub struct Renumbering {
    /// Of the next packet.
    next_sequence_id: u8,
    /// A header that came in pieces.
    header: [u8; PacketHeader::BYTES],
    header_bytes: usize,
    /// Bytes left of the current packet.
    skip: usize,
}

impl Renumbering {
    /// The next packet is to have `next_sequence_id`.
    pub fn new(next_sequence_id: u8) -> Self {
        Self {
            next_sequence_id,
            header: [0; PacketHeader::BYTES],
            header_bytes: 0,
            skip: 0,
        }
    }

    /// Of the next packet.
    pub fn next_sequence_id(&self) -> u8 {
        self.next_sequence_id
    }

    /// Rewrites the headers in the next bytes of the stream.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let skipped = self.skip.min(bytes.len() - at);
            self.skip -= skipped;
            at += skipped;
            while self.skip == 0 && at < bytes.len() {
                self.header_byte(&mut bytes[at]);
                at += 1;
            }
        }
    }

    fn header_byte(&mut self, byte: &mut u8) {
        if self.header_bytes == PacketHeader::BYTES - 1 {
            *byte = self.next_sequence_id;
            self.next_sequence_id = self.next_sequence_id.wrapping_add(1);
        }
        self.header[self.header_bytes] = *byte;
        self.header_bytes += 1;
        if self.header_bytes == PacketHeader::BYTES {
            self.header_bytes = 0;
            self.skip = PacketHeader::decode(self.header).length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::put_payload;

    #[test]
    fn ids_follow_however_the_bytes_are_cut() {
        let stream = |first| {
            let mut bytes = Vec::new();
            let mut next = first;
            for payload in [b"abc".as_slice(), b"", b"d", b"\x01\0\0\x07"] {
                next = put_payload(&mut bytes, next, payload);
            }
            bytes
        };
        let wanted = stream(254);
        for cut in 0..wanted.len() {
            let mut bytes = stream(1);
            let mut renumbering = Renumbering::new(254);
            let (head, tail) = bytes.split_at_mut(cut);
            renumbering.apply(head);
            renumbering.apply(tail);
            assert_eq!(bytes, wanted, "cut at {cut}");
            assert_eq!(renumbering.next_sequence_id(), 2);
        }
    }
}
