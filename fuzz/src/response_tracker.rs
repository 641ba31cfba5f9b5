//! `ResponseTracker` against [`mod@reference`], which reads the same packets one by one, each as a whole.

mod reference;

use protocol::DecodeError;
use protocol::command::Layout;
use protocol::limits::PACKET_PAYLOAD_BYTES_MAX;
use protocol::packet::PacketHeader;
use protocol::response_tracker::{Next, ResponseTracker};

use crate::input::{Cuts, Input};
use reference::{End, Reference};

/// Packets of 16 MiB in one input, to keep it quick.
const LONG_PACKETS_MAX: usize = 3;
/// Of these so much is in [`Packet::start`], at least: more than anybody looks at.
const LONG_PACKET_START_BYTES: usize = 32;
/// What follows there.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

const LAYOUTS: [Layout; 7] = [
    Layout::Generic,
    Layout::Text,
    Layout::Resultsets,
    Layout::Cursor,
    Layout::Prepare,
    Layout::Columns,
    Layout::Rows,
];

/// A packet of a response: its first bytes, and zeros up to its length.
struct Packet {
    header: PacketHeader,
    start: Vec<u8>,
}

/// Input: capabilities, layout, the command's sequence id, where to cut; then for each packet what is special about it, the
/// number of its bytes, and these.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let capabilities = input.capabilities();
    let layout = LAYOUTS[usize::from(input.byte()) % LAYOUTS.len()];
    let sequence_id = input.byte();
    let cuts = input.cuts();
    let packets = packets(&mut input, sequence_id);
    let mut reference = Reference::new(&packets, capabilities, sequence_id);
    let end = reference.read(layout);
    let mut tracker = ResponseTracker::new(layout, capabilities)
        .following(sequence_id)
        .keeping_session_state();
    let tracked = feed(&mut tracker, &packets, cuts);
    match end {
        End::Malformed => assert!(tracked.is_err(), "{tracked:?}"),
        End::OutOfPackets => assert!(
            matches!(tracked, Ok((Next::Bytes | Next::LocalInfile, _))),
            "{tracked:?}"
        ),
        End::InPayload => assert!(
            matches!(tracked, Err(_) | Ok((Next::Bytes, _))),
            "{tracked:?}"
        ),
        End::Complete => {
            assert_eq!(tracked, Ok((Next::End, reference.bytes())));
            assert_eq!(tracker.status(), reference.status);
            assert_eq!(tracker.summary(), &reference.summary);
            assert_eq!(tracker.sequence_id(), reference.sequence_id);
            assert!(tracker.is_at_packet_boundary());
            assert_eq!(tracker.take_session_state(), reference.session_state);
        }
    }
}

fn packets(input: &mut Input<'_>, mut sequence_id: u8) -> Vec<Packet> {
    const WRONG_SEQUENCE_ID: u8 = 1;
    const CONTINUED: u8 = 2;
    const LONGEST: u8 = 4;
    let mut packets = Vec::new();
    let mut long_packets = 0;
    while !input.is_empty() {
        let special = input.byte();
        let count = input.byte();
        let mut start = input.bytes(count.into()).to_vec();
        let step = if special & WRONG_SEQUENCE_ID != 0 {
            2
        } else {
            1
        };
        sequence_id = sequence_id.wrapping_add(step);
        let length = match special {
            _ if special & (CONTINUED | LONGEST) == 0 || long_packets == LONG_PACKETS_MAX => {
                start.len()
            }
            _ if special & CONTINUED != 0 => PACKET_PAYLOAD_BYTES_MAX,
            _ => PACKET_PAYLOAD_BYTES_MAX - 1,
        };
        if length > start.len() {
            long_packets += 1;
            start.resize(start.len().max(LONG_PACKET_START_BYTES), 0);
        }
        let header = PacketHeader {
            length,
            sequence_id,
        };
        packets.push(Packet { header, start });
    }
    packets
}

/// What comes next in the end, and how many bytes belong to the response.
fn feed(
    tracker: &mut ResponseTracker,
    packets: &[Packet],
    cuts: Cuts,
) -> Result<(Next, usize), DecodeError> {
    let mut lengths = cuts.lengths();
    let mut taken = 0;
    let mut next = Next::Bytes;
    // Cuts go through the ends of packets, but not where zeros begin: those are taken in large pieces.
    let mut bytes = Vec::new();
    for packet in packets {
        bytes.extend_from_slice(&packet.header.encode());
        bytes.extend_from_slice(&packet.start);
        let mut zeros = packet.header.length - packet.start.len();
        if zeros == 0 {
            continue;
        }
        (next, taken) = feed_bytes(tracker, &bytes, &mut lengths, taken)?;
        bytes.clear();
        while zeros > 0 && next != Next::End {
            let piece = &ZEROS[..zeros.min(ZEROS.len())];
            zeros -= piece.len();
            (next, taken) = feed_bytes(tracker, piece, &mut std::iter::repeat(piece.len()), taken)?;
        }
        if next == Next::End {
            return Ok((next, taken));
        }
    }
    match bytes.as_slice() {
        [] => Ok((next, taken)),
        bytes => feed_bytes(tracker, bytes, &mut lengths, taken),
    }
}

fn feed_bytes(
    tracker: &mut ResponseTracker,
    mut bytes: &[u8],
    lengths: &mut dyn Iterator<Item = usize>,
    mut taken: usize,
) -> Result<(Next, usize), DecodeError> {
    let mut next = Next::Bytes;
    while !bytes.is_empty() {
        let mut piece = lengths.next().unwrap_or_default().min(bytes.len());
        while piece > 0 {
            let progress = tracker.feed(&bytes[..piece])?;
            bytes = &bytes[progress.consumed..];
            piece -= progress.consumed;
            taken += progress.consumed;
            next = progress.next;
            match next {
                Next::End => return Ok((next, taken)),
                Next::LocalInfile => tracker.local_infile_started(),
                Next::Bytes => assert_eq!(piece, 0, "nothing was taken, and more is wanted"),
            }
        }
    }
    Ok((next, taken))
}
