//! Joins packets to payloads, for those who want whole payloads; a relay scans headers instead.

use super::PacketHeader;
use crate::DecodeError;

/// Takes bytes as they come and gives payloads. Keeps what is not given yet, never more than one payload's bound
/// and what a caller fed beyond it.
#[derive(Debug)]
pub struct PayloadDecoder {
    packet: &'static str,
    payload_bytes_max: usize,
    fed: Vec<u8>,
    taken: usize,
    payload: Vec<u8>,
    sequence_id: u8,
}

impl PayloadDecoder {
    /// `packet` names what is decoded in errors. The first packet is to have `sequence_id`.
    pub fn new(packet: &'static str, sequence_id: u8, payload_bytes_max: usize) -> Self {
        Self {
            packet,
            payload_bytes_max,
            fed: Vec::new(),
            taken: 0,
            payload: Vec::new(),
            sequence_id,
        }
    }

    /// The sequence id that the next packet is to have.
    pub fn sequence_id(&self) -> u8 {
        self.sequence_id
    }

    /// Starts a new exchange.
    pub fn set_sequence_id(&mut self, sequence_id: u8) {
        self.sequence_id = sequence_id;
    }

    /// Another bound from the next packet on: a peer that is logged in may send more.
    pub fn set_payload_bytes_max(&mut self, payload_bytes_max: usize) {
        self.payload_bytes_max = payload_bytes_max;
    }

    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed.drain(..self.taken);
        self.taken = 0;
        self.fed.extend_from_slice(bytes);
    }

    /// Bytes fed that belong to no payload given so far.
    pub fn pending(&self) -> usize {
        self.fed.len() - self.taken + self.payload.len()
    }

    /// The next payload; `None` until more bytes are fed.
    ///
    /// # Errors
    /// A payload above the bound, as soon as its header is there, or a sequence id out of order.
    pub fn next_payload(&mut self) -> Result<Option<Vec<u8>>, DecodeError> {
        loop {
            let rest = &self.fed[self.taken..];
            let Some((header, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let header = PacketHeader::decode(*header);
            self.check(header)?;
            let Some(chunk) = rest.get(..header.length) else {
                return Ok(None);
            };
            self.payload.extend_from_slice(chunk);
            self.taken += PacketHeader::BYTES + header.length;
            self.sequence_id = self.sequence_id.wrapping_add(1);
            if !header.is_continued() {
                return Ok(Some(std::mem::take(&mut self.payload)));
            }
        }
    }

    fn check(&self, header: PacketHeader) -> Result<(), DecodeError> {
        let bytes = self.payload.len() + header.length;
        if bytes > self.payload_bytes_max {
            return Err(DecodeError::TooLong {
                packet: self.packet,
                bytes,
                limit: self.payload_bytes_max,
            });
        }
        if header.sequence_id != self.sequence_id {
            return Err(DecodeError::OutOfOrder {
                packet: self.packet,
                expected: self.sequence_id,
                got: header.sequence_id,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::put_payload;
    use super::*;
    use crate::limits::PACKET_PAYLOAD_BYTES_MAX;

    fn decoder() -> PayloadDecoder {
        PayloadDecoder::new("test", 0, 40 << 20)
    }

    #[test]
    fn payloads_come_out_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        let next = put_payload(&mut bytes, 0, b"hello");
        let next = put_payload(&mut bytes, next, b"");
        put_payload(&mut bytes, next, b"world");
        for cut in 0..=bytes.len() {
            let mut decoder = decoder();
            let mut payloads = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                decoder.feed(part);
                while let Some(payload) = decoder.next_payload().unwrap() {
                    payloads.push(payload);
                }
            }
            assert_eq!(payloads, [b"hello".to_vec(), vec![], b"world".to_vec()]);
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn payloads_at_the_packet_bound_are_split_and_joined() {
        for length in [
            PACKET_PAYLOAD_BYTES_MAX - 1,
            PACKET_PAYLOAD_BYTES_MAX,
            PACKET_PAYLOAD_BYTES_MAX + 1,
            2 * PACKET_PAYLOAD_BYTES_MAX,
        ] {
            let payload = vec![7; length];
            let mut bytes = Vec::new();
            let packets = put_payload(&mut bytes, 0, &payload);
            assert_eq!(
                usize::from(packets),
                length / PACKET_PAYLOAD_BYTES_MAX + 1,
                "a payload of exactly the bound is ended by an empty packet"
            );
            let mut decoder = decoder();
            decoder.feed(&bytes);
            assert_eq!(decoder.next_payload().unwrap().unwrap().len(), length);
        }
    }

    #[test]
    fn a_bound_holds_before_the_bytes_are_there() {
        let mut decoder = PayloadDecoder::new("test", 0, 100);
        decoder.feed(&[101, 0, 0, 0]);
        assert!(matches!(
            decoder.next_payload(),
            Err(DecodeError::TooLong { bytes: 101, .. })
        ));
    }

    #[test]
    fn a_lost_packet_is_noticed() {
        let mut decoder = decoder();
        decoder.feed(&[1, 0, 0, 1, 9]);
        assert!(matches!(
            decoder.next_payload(),
            Err(DecodeError::OutOfOrder {
                expected: 0,
                got: 1,
                ..
            })
        ));
    }
}
