//! Finds the end of a payload without joining it: what a relay does with commands and files.

use super::PacketHeader;

/// One payload on its way, in one packet or more. Fed with bytes as they come, cut anywhere.
#[derive(Debug, Clone, Default)]
pub struct PayloadScanner {
    /// A header that came in pieces.
    header: [u8; PacketHeader::BYTES],
    header_bytes: u8,
    /// Bytes left of the current packet.
    skip: u32,
    /// The current packet ends the payload.
    is_last: bool,
    sequence_id: u8,
    payload_bytes: u64,
}

impl PayloadScanner {
    /// Looks at the next bytes: how many belong to the payload, and whether it ends with them.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        loop {
            let skipped = (self.skip as usize).min(bytes.len() - at);
            at += skipped;
            self.skip -= skipped as u32;
            if self.is_last && self.skip == 0 {
                return (at, true);
            }
            if at == bytes.len() {
                return (at, false);
            }
            at += self.header(&bytes[at..]);
        }
    }

    /// Of the latest packet.
    pub fn sequence_id(&self) -> u8 {
        self.sequence_id
    }

    /// Bytes of the payload, of those packets whose header was seen.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    fn header(&mut self, bytes: &[u8]) -> usize {
        let have = usize::from(self.header_bytes);
        let taken = (PacketHeader::BYTES - have).min(bytes.len());
        self.header[have..have + taken].copy_from_slice(&bytes[..taken]);
        self.header_bytes += taken as u8;
        if usize::from(self.header_bytes) == PacketHeader::BYTES {
            self.header_bytes = 0;
            let header = PacketHeader::decode(self.header);
            self.skip = header.length as u32;
            self.is_last = !header.is_continued();
            self.sequence_id = header.sequence_id;
            self.payload_bytes += header.length as u64;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PACKET_PAYLOAD_BYTES_MAX;
    use crate::packet::put_payload;

    #[test]
    fn ends_where_the_payload_ends_however_it_is_cut() {
        let mut bytes = Vec::new();
        put_payload(&mut bytes, 3, b"SELECT 1");
        let end = bytes.len();
        bytes.extend_from_slice(b"next");
        for cut in 0..end {
            let mut scanner = PayloadScanner::default();
            assert_eq!(scanner.feed(&bytes[..cut]), (cut, false));
            assert_eq!(scanner.feed(&bytes[cut..]), (end - cut, true));
            assert_eq!((scanner.sequence_id(), scanner.payload_bytes()), (3, 8));
        }
    }

    #[test]
    fn goes_on_over_packets_of_16_mib() {
        for (length, packets) in [
            (0, 1),
            (PACKET_PAYLOAD_BYTES_MAX, 2),
            (PACKET_PAYLOAD_BYTES_MAX + 1, 2),
        ] {
            let mut bytes = Vec::new();
            put_payload(&mut bytes, 0, &vec![1; length]);
            let mut scanner = PayloadScanner::default();
            let mut ended = false;
            for piece in bytes.chunks(1 << 16) {
                assert!(!ended);
                let consumed;
                (consumed, ended) = scanner.feed(piece);
                assert_eq!(consumed, piece.len());
            }
            assert!(ended);
            assert_eq!(scanner.sequence_id(), packets - 1);
            assert_eq!(scanner.payload_bytes(), length as u64);
        }
    }
}
