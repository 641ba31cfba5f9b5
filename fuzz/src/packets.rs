//! Packets and payloads: what is joined, scanned, split and renumbered is the same however it is cut.

use protocol::DecodeError;
use protocol::packet::{
    PacketHeader, PayloadDecoder, PayloadScanner, Renumbering, put_payload, split_payload,
};

use crate::input::{Cuts, Input};
use crate::memory::bounded;

/// Below what an input can be as a whole.
const PAYLOAD_BYTES_MAX: usize = 1000;

/// Input: where to cut, the first sequence id, packets.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let cuts = input.cuts();
    let sequence_id = input.byte();
    let packets = input.rest();
    decoder(packets, sequence_id, cuts);
    scanner(packets, cuts);
    renumbering(packets, sequence_id, cuts);
    payload(packets, sequence_id);
}

fn decoder(packets: &[u8], sequence_id: u8, cuts: Cuts) {
    let whole = bounded(packets, || decoded(std::iter::once(packets), sequence_id));
    assert_eq!(whole, decoded(cuts.pieces(packets), sequence_id));
    let mut rest = packets;
    for payload in &whole.0 {
        let (expected, behind) = split_payload(rest).expect("the decoder found one");
        assert_eq!(expected, payload.as_slice());
        rest = behind;
    }
}

type Payloads = (Vec<Vec<u8>>, Result<usize, DecodeError>);

/// The payloads, and how many bytes are left behind them.
fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>, sequence_id: u8) -> Payloads {
    let mut decoder = PayloadDecoder::new("packet", sequence_id, PAYLOAD_BYTES_MAX);
    let mut payloads = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_payload() {
                Ok(Some(payload)) => payloads.push(payload),
                Ok(None) => break,
                Err(error) => return (payloads, Err(error)),
            }
        }
    }
    (payloads, Ok(decoder.pending()))
}

fn scanner(packets: &[u8], cuts: Cuts) {
    let mut scanner = PayloadScanner::default();
    let mut seen = 0;
    let mut is_end = false;
    for piece in cuts.pieces(packets) {
        let (taken, ended) = scanner.feed(piece);
        (seen, is_end) = (seen + taken, ended);
        assert!(is_end || taken == piece.len());
        if is_end {
            break;
        }
    }
    let payload = split_payload(packets);
    assert_eq!(is_end, payload.is_some());
    if let Some((payload, rest)) = payload {
        assert_eq!(seen, packets.len() - rest.len());
        assert_eq!(scanner.payload_bytes(), payload.len() as u64);
    }
}

fn renumbering(packets: &[u8], sequence_id: u8, cuts: Cuts) {
    let mut whole = packets.to_vec();
    Renumbering::new(sequence_id).apply(&mut whole);
    let mut renumbering = Renumbering::new(sequence_id);
    let mut pieces = Vec::new();
    for piece in cuts.pieces(packets) {
        let mut piece = piece.to_vec();
        renumbering.apply(&mut piece);
        pieces.extend(piece);
    }
    assert_eq!(whole, pieces);
    let mut next = sequence_id;
    let (mut before, mut after) = (packets, whole.as_slice());
    while let (Some(old), Some(new)) = (PacketHeader::peek(before), PacketHeader::peek(after)) {
        assert_eq!((new.length, new.sequence_id), (old.length, next));
        next = next.wrapping_add(1);
        let bytes = (PacketHeader::BYTES + old.length).min(before.len());
        assert_eq!(
            before[PacketHeader::BYTES..bytes],
            after[PacketHeader::BYTES..bytes]
        );
        (before, after) = (&before[bytes..], &after[bytes..]);
    }
    assert_eq!(next, renumbering.next_sequence_id());
}

fn payload(payload: &[u8], sequence_id: u8) {
    let mut packets = Vec::new();
    let next = put_payload(&mut packets, sequence_id, payload);
    assert_eq!(next, sequence_id.wrapping_add(1));
    let (split, rest) = split_payload(&packets).expect("it is complete");
    assert_eq!((split.as_ref(), rest.len()), (payload, 0));
}
