use protocol::packet::put_payload;

use super::*;

const ZLIB: Compression = Compression {
    algorithm: Algorithm::Zlib,
    level: Compression::LEVEL_DEFAULT,
};
const ZSTD: Compression = Compression {
    algorithm: Algorithm::Zstd,
    level: Compression::LEVEL_DEFAULT,
};

fn packets(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = first;
    for payload in payloads {
        next = put_payload(&mut bytes, next, payload);
    }
    bytes
}

/// Bytes that nothing can compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn encode(codec: &mut Codec, bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut taken = 0;
    while taken < bytes.len() {
        taken += codec.encode(&bytes[taken..], &mut wire);
    }
    wire
}

/// In reads of `room` bytes.
fn decode(codec: &mut Codec, wire: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut taken = 0;
    loop {
        let mut out = vec![0; room];
        let done = codec.decode(&wire[taken..], &mut out)?;
        taken += done.taken;
        bytes.extend_from_slice(&out[..done.put]);
        if done.put == 0 && !done.has_more {
            return Ok(bytes);
        }
    }
}

/// The ids of the compressed packets.
fn sequence_ids(mut wire: &[u8]) -> Vec<u8> {
    let mut ids = Vec::new();
    while let Some((&[a, b, c, id, ..], rest)) = wire.split_first_chunk::<HEADER_BYTES>() {
        ids.push(id);
        wire = &rest[u32::from_le_bytes([a, b, c, 0]) as usize..];
    }
    ids
}

fn pair(compression: Compression) -> (Codec, Codec) {
    (
        Codec::new(Role::Client, compression),
        Codec::new(Role::Server, compression),
    )
}

#[test]
fn what_goes_in_comes_out() {
    for compression in [ZLIB, ZSTD] {
        for payload in [
            Vec::new(),
            b"short".to_vec(),
            vec![7; COMPRESSED_BYTES_MIN],
            noise(COMPRESSED_BYTES_MIN),
            vec![0; 3 * PIECE_BYTES_MAX],
            noise(3 * PIECE_BYTES_MAX + 1),
            vec![1; (1 << 24) + 9],
        ] {
            let (mut client, mut server) = pair(compression);
            let command = packets(0, &[&payload]);
            for _ in 0..2 {
                let wire = encode(&mut client, &command);
                assert!(wire.len() <= command.len() + 7 * (1 + command.len() / PIECE_BYTES_MAX));
                let room = 1 + command.len() / 3;
                assert!(decode(&mut server, &wire, room).unwrap() == command);
                assert!(client.is_at_rest() && server.is_at_rest());
                let answer = packets(1, &[&payload, b"end"]);
                let wire = encode(&mut server, &answer);
                assert!(decode(&mut client, &wire, 1 << 16).unwrap().len() == answer.len());
            }
        }
    }
}

#[test]
fn zeros_cost_little() {
    for compression in [ZLIB, ZSTD] {
        let (mut client, _) = pair(compression);
        let wire = encode(&mut client, &packets(0, &[&[0; 1 << 20]]));
        assert!(wire.len() < 4096, "{compression:?}: {} bytes", wire.len());
    }
}

#[test]
fn however_the_wire_is_cut_the_bytes_are_the_same() {
    for compression in [ZLIB, ZSTD] {
        let (mut client, _) = pair(compression);
        let command = packets(0, &[&[b'a'; 300], &noise(100), b"b", &[b'c'; 80]]);
        let wire = encode(&mut client, &command);
        for cut in 0..=wire.len() {
            for room in [1, 2, 1000] {
                let (_, mut server) = pair(compression);
                let mut bytes = Vec::new();
                let mut left = Vec::new();
                for piece in [&wire[..cut], &wire[cut..]] {
                    left.extend_from_slice(piece);
                    loop {
                        let mut out = vec![0; room];
                        let done = server.decode(&left, &mut out).unwrap();
                        left.drain(..done.taken);
                        bytes.extend_from_slice(&out[..done.put]);
                        if done.put == 0 && !done.has_more {
                            break;
                        }
                    }
                }
                assert_eq!(bytes, command, "{compression:?} cut at {cut}, {room}");
                assert!(left.is_empty() && server.is_at_rest());
            }
        }
    }
}

/// A reader that has all of a packet has to find nothing behind it.
#[test]
fn the_last_byte_comes_with_the_end_of_the_wire() {
    for compression in [ZLIB, ZSTD] {
        let (mut client, mut server) = pair(compression);
        let command = packets(0, &[&[b'a'; 300]]);
        let wire = encode(&mut client, &command);
        let mut out = vec![0; 1000];
        let before = server.decode(&wire[..wire.len() - 1], &mut out).unwrap();
        assert!(before.put < command.len());
        let rest = server.decode(&wire[before.taken..], &mut out).unwrap();
        assert_eq!(before.put + rest.put, command.len());
        assert_eq!(before.taken + rest.taken, wire.len());
        assert!(!rest.has_more);
    }
}

#[test]
fn however_what_is_written_is_cut_the_bytes_are_the_same() {
    let commands = packets(0, &[b"first", &[b'x'; 100]]);
    let commands = [commands, packets(0, &[b"second"])].concat();
    for cut in 0..=commands.len() {
        let (mut client, mut server) = pair(ZLIB);
        let mut wire = encode(&mut client, &commands[..cut]);
        wire.extend(encode(&mut client, &commands[cut..]));
        let ids = sequence_ids(&wire);
        assert_eq!(ids.iter().filter(|&&id| id == 0).count(), 2, "cut at {cut}");
        assert_eq!(decode(&mut server, &wire, 1000).unwrap(), commands);
    }
}

#[test]
fn each_command_restarts_the_sequence_ids() {
    let (mut client, mut server) = pair(ZLIB);
    let prepared = [packets(0, &[b"close"]), packets(0, &[b"execute"])].concat();
    let wire = encode(&mut client, &prepared);
    assert_eq!(sequence_ids(&wire), [0, 0]);
    // A client that pipelines is read one command at a time.
    let mut out = [0; 100];
    let first = server.decode(&wire, &mut out).unwrap();
    assert_eq!((first.put, first.has_more), (9, true));
    assert_eq!(
        sequence_ids(&encode(&mut server, &packets(1, &[b"ok"]))),
        [1]
    );
    let second = server.decode(&wire[first.taken..], &mut out).unwrap();
    assert_eq!((second.put, second.has_more), (11, false));
    let answer = encode(&mut server, &packets(1, &[&noise(PIECE_BYTES_MAX)]));
    assert_eq!(sequence_ids(&answer), [1, 2]);
    // Without being asked: the answer to what comes next.
    assert_eq!(
        sequence_ids(&encode(&mut server, &packets(1, &[b"bye"]))),
        [1]
    );
}

#[test]
fn a_long_command_is_answered_behind_its_last_compressed_packet() {
    let (mut client, mut server) = pair(ZLIB);
    let wire = encode(&mut client, &packets(0, &[&noise(2 * PIECE_BYTES_MAX)]));
    assert_eq!(sequence_ids(&wire), [0, 1, 2]);
    decode(&mut server, &wire, 1 << 20).unwrap();
    let wire = encode(&mut server, &packets(1, &[b"ok"]));
    assert_eq!(sequence_ids(&wire), [3]);
    // Servers count on from there inside too: here it gets the id that it would have had.
    let mut servers = packets(3, &[b"ok"]);
    servers.splice(0..0, [6, 0, 0, 3, 0, 0, 0]);
    assert_eq!(
        decode(&mut client, &servers, 100).unwrap(),
        packets(1, &[b"ok"])
    );
}

#[test]
fn a_file_of_many_packets_is_no_command() {
    let (mut client, mut server) = pair(ZLIB);
    let query = encode(&mut client, &packets(0, &[b"LOAD DATA"]));
    decode(&mut server, &query, 100).unwrap();
    let request = encode(&mut server, &packets(1, &[b"\xfbfile"]));
    decode(&mut client, &request, 100).unwrap();
    let lines = vec![&b"a line"[..]; 600];
    let file = packets(2, &lines);
    let mut ids = 2;
    for packet in file.chunks(10) {
        let wire = encode(&mut client, packet);
        assert_eq!(sequence_ids(&wire), [ids]);
        ids = ids.wrapping_add(1);
        assert_eq!(decode(&mut server, &wire, 100).unwrap(), packet);
    }
    let end = encode(&mut client, &packets(ids, &[b""]));
    decode(&mut server, &end, 100).unwrap();
    let next = encode(&mut client, &packets(0, &[b"SELECT 1"]));
    assert_eq!(sequence_ids(&next), [0]);
}

fn error(compression: Compression, wire: &[u8]) -> String {
    let (_, mut server) = pair(compression);
    let decoded = decode(&mut server, wire, 1 << 16);
    decoded.map(|bytes| bytes.len()).unwrap_err().to_string()
}

/// `wire` with another length before compression.
fn lie(wire: &[u8], length_before: u32) -> Vec<u8> {
    let mut lie = wire.to_vec();
    lie[4..7].copy_from_slice(&length_before.to_le_bytes()[..3]);
    lie
}

#[test]
fn lies_are_refused() {
    for compression in [ZLIB, ZSTD] {
        let (mut client, _) = pair(compression);
        let wire = encode(&mut client, &packets(0, &[&[b'a'; 300]]));
        for (length_before, reason) in [
            (303, "is longer than"),
            (1, "is longer than"),
            (305, "is shorter than"),
            (0xff_ffff, "is shorter than"),
        ] {
            let said = error(compression, &lie(&wire, length_before));
            assert!(
                said.contains(reason),
                "{compression:?} {length_before}: {said}"
            );
        }
        let mut longer = wire.clone();
        longer[0] += 1;
        longer.push(0);
        let said = error(compression, &longer);
        assert!(said.contains("ends before"), "{said}");
        let mut shorter = wire.clone();
        shorter[0] -= 1;
        let said = error(compression, &shorter);
        assert!(said.contains("is cut short"), "{said}");
        for at in HEADER_BYTES..HEADER_BYTES + 4 {
            let mut garbled = wire.clone();
            garbled[at] ^= 0x55;
            let (_, mut server) = pair(compression);
            let _ = decode(&mut server, &garbled, 1 << 16);
        }
        error(
            compression,
            &[&[40, 0, 0, 0, 100, 0, 0], &noise(40)[..]].concat(),
        );
        error(compression, &[0, 0, 0, 0, 1, 0, 0]);
    }
}

/// 16 MiB in a few bytes: what is given out is what its reader has room for.
#[test]
fn a_bomb_is_taken_apart_piece_by_piece() {
    let bomb = vec![0; (1 << 24) - 1];
    for compression in [ZLIB, ZSTD] {
        let mut payload = vec![0; 1 << 20];
        let length = coder::compress(compression, &bomb, &mut payload).unwrap();
        payload.truncate(length);
        let [a, b, c, _] = (length as u32).to_le_bytes();
        let wire = [&[a, b, c, 0, 0xff, 0xff, 0xff], &payload[..]].concat();
        let (_, mut server) = pair(compression);
        let mut out = [0; 1000];
        let done = server.decode(&wire, &mut out).unwrap();
        assert_eq!((done.put, done.has_more), (1000, true));
        let said = error(compression, &lie(&wire, 100));
        assert!(said.contains("is longer than"), "{said}");
    }
}

#[test]
fn empty_compressed_packets_are_nothing() {
    let (_, mut server) = pair(ZLIB);
    let wire = [[0; 7], [0; 7]].concat();
    assert_eq!(decode(&mut server, &wire, 10).unwrap(), b"");
    assert!(server.is_at_rest());
}

/// `SELECT REPEAT('0123456789', 10), 'client: ...'` of MySQL 9.7's `mysql` to its server, and the answer, behind three short
/// commands.
#[test]
fn reads_what_real_clients_and_servers_say() {
    const ZLIB_CLIENT: &str = "3d000000580000785e0b6160606066600c76f571750e5108720d70750cd1503730343236313533b7b054d7513034d0d451504fcec94ccd2bb152d0230aa8030015ae119a";
    const ZLIB_SERVER: &str = "70000001220100789c6364606064d2636060624e494d6360609008720d70750cd1503730343236313533b7b054d7513034d064e0f9cf30819181e12f03833c03830b03033354875e724e666a5e8995821e510064ce0ea0b6bf8c2073a63030b0a420aca21d8b4457b23330b0fe03860ad0a10059f937ea";
    const ZSTD_CLIENT: &str = "4300000058000028b52ffd2058d5010034035400000003000153454c45435420524550454154282730313233343536373839272c203130292c2027636c69656e743a202e270100e20150";
    const ZSTD_SERVER: &str = "7b00000122010028b52ffd6022008d0300b40501000001022e0000020364656600000018524550454154282730313233343536373839272c20313029000cff0090010000fd00001f0000440000032e636c69656e743a202eb8000000fd01940000046407000005fe0000020000000700a44c04d79ac00dabc16a0916807b686ba6a0";
    for (compression, command, answer) in [
        (ZLIB, ZLIB_CLIENT, ZLIB_SERVER),
        (ZSTD, ZSTD_CLIENT, ZSTD_SERVER),
    ] {
        let (mut client, mut server) = pair(compression);
        let command = decode(&mut server, &unhex(command), 1 << 10).unwrap();
        assert!(
            command
                .starts_with(b"\x54\0\0\0\x03\0\x01SELECT REPEAT('0123456789', 10), 'client: ...")
        );
        encode(&mut client, &command);
        let answer = decode(&mut client, &unhex(answer), 1 << 10).unwrap();
        assert!(answer.starts_with(b"\x01\0\0\x01\x02"));
        let row = [&b"\x64"[..], &b"0123456789".repeat(10)].concat();
        assert!(answer.windows(row.len()).any(|window| window == row));
        assert!(client.is_at_rest() && server.is_at_rest());
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
