//! The compressed protocol: what goes in comes out, however it is cut, and what comes from a peer never panics.

use protocol::packet::put_payload;
use transport::compression::{Algorithm, Codec, Compression, Role};

use crate::input::{Cuts, Input};

/// What a small input can grow to here: a header's claim is not allocated, but what was compressed comes out.
const BYTES_MAX: usize = 1 << 16;
/// Of a payload.
const PART_BYTES: usize = 100;

/// Input: zlib or zstd and the role, the level, where to cut, bytes.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kinds = input.byte();
    let compression = Compression {
        algorithm: Algorithm::ALL[usize::from(kinds & 1)],
        level: input.byte(),
    };
    let role = if kinds & 2 == 0 {
        Role::Client
    } else {
        Role::Server
    };
    let (room, cuts) = (input.cuts(), input.cuts());
    let bytes = input.rest();
    hostile(bytes, compression, role, room, cuts);
    round_trip(bytes, compression, room, cuts);
}

/// The wire of a peer that may say anything.
fn hostile(wire: &[u8], compression: Compression, role: Role, room: Cuts, cuts: Cuts) {
    let mut whole = Codec::new(role, compression);
    let mut pieces = Codec::new(role, compression);
    let whole = decoded(
        &mut whole,
        std::iter::once(wire),
        &mut std::iter::repeat(BYTES_MAX),
    );
    let pieces = decoded(&mut pieces, cuts.pieces(wire), &mut room.lengths());
    // Where much comes out, the ends were not read.
    let is_long =
        |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|bytes| bytes.len() >= BYTES_MAX);
    if !is_long(&whole) && !is_long(&pieces) {
        assert_eq!(whole, pieces);
    }
}

/// What comes out; `None` where the wire is malformed.
fn decoded<'a>(
    codec: &mut Codec,
    pieces: impl Iterator<Item = &'a [u8]>,
    rooms: &mut dyn Iterator<Item = usize>,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        while bytes.len() < BYTES_MAX {
            let mut out = vec![0; rooms.next().unwrap_or(1)];
            let done = codec.decode(&held, &mut out).ok()?;
            held.drain(..done.taken);
            bytes.extend_from_slice(&out[..done.put]);
            if done.put == 0 && !done.has_more {
                break;
            }
        }
    }
    Some(bytes)
}

/// Commands, one behind the other, and an answer.
fn round_trip(payload: &[u8], compression: Compression, room: Cuts, cuts: Cuts) {
    let mut client = Codec::new(Role::Client, compression);
    let mut server = Codec::new(Role::Server, compression);
    let (mut commands, mut answer) = (Vec::new(), Vec::new());
    let mut sequence_id = 1;
    for part in payload.chunks(PART_BYTES) {
        put_payload(&mut commands, 0, part);
        sequence_id = put_payload(&mut answer, sequence_id, part);
    }
    transfer(&commands, (&mut client, &mut server), room, cuts);
    transfer(&answer, (&mut server, &mut client), room, cuts);
}

fn transfer(packets: &[u8], (from, to): (&mut Codec, &mut Codec), room: Cuts, cuts: Cuts) {
    let mut wire = Vec::new();
    for mut piece in cuts.pieces(packets) {
        while !piece.is_empty() {
            let taken = from.encode(piece, &mut wire);
            assert!((1..=piece.len()).contains(&taken));
            piece = &piece[taken..];
        }
    }
    let read = decoded(to, cuts.pieces(&wire), &mut room.lengths());
    assert_eq!(read.as_deref(), Some(packets));
    assert!(from.is_at_rest() && to.is_at_rest());
}
