//! The compressed protocol: packets travel inside compressed packets, which are cut as their sender likes. Follows MySQL's
//! "Compression"; zlib and zstd.
//!
//! ```text
//! int<3> bytes of the payload on the wire | int<1> sequence id | int<3> bytes before compression; 0: it is as it is
//! ```
//! Each compressed packet is compressed by itself. Their sequence ids count on in both directions and restart with each
//! command. Peers do not look at the ids of the packets inside, and count them as they like: read ones get those that they
//! would have had without compression.
//!
//! Pure: bytes in, bytes out. What is read is decompressed as it comes, so that what a header claims is never allocated.

pub(crate) mod coder;

use std::io;

use protocol::Capabilities;
use protocol::packet::PacketHeader;

use coder::Decoder;

const HEADER_BYTES: usize = 7;
/// Shorter payloads are not worth the work: MySQL's MIN_COMPRESS_LENGTH.
const COMPRESSED_BYTES_MIN: usize = 50;
/// What is compressed at once: some milliseconds of a worker that others wait for.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How payloads are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// As all servers and clients can.
    Zlib,
    /// MySQL since 8.0.18.
    Zstd,
}

impl Algorithm {
    /// All of them, in the order in which servers prefer them.
    pub const ALL: [Self; 2] = [Self::Zlib, Self::Zstd];

    /// The flag that offers it, and asks for it.
    pub fn capability(self) -> Capabilities {
        match self {
            Self::Zlib => Capabilities::COMPRESS,
            Self::Zstd => Capabilities::ZSTD_COMPRESSION,
        }
    }
}

/// What the two ends of a connection agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// How both compress.
    pub algorithm: Algorithm,
    /// The level of zstd, 1 to 22, which the client chooses for both; zlib has one level.
    pub level: u8,
}

impl Compression {
    /// MySQL's default for zstd.
    pub const LEVEL_DEFAULT: u8 = 3;
}

/// Which end of the connection we are: who starts a command starts the sequence ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The other end is a server.
    Client,
    /// The other end is a client.
    Server,
}

/// Both directions of one connection.
#[derive(Debug)]
pub struct Codec {
    compression: Compression,
    role: Role,
    /// Of the next compressed packet.
    sequence_id: u8,
    /// Of the next packet inside, in either direction.
    packet_id: u8,
    /// The peer has spoken since we did.
    is_answer: bool,
    read: Packets,
    written: Packets,
    incoming: Incoming,
}

/// A compressed packet on its way in.
#[derive(Debug)]
enum Incoming {
    /// Its header comes next.
    Header,
    /// So many bytes are left of a payload that is as it is.
    Plain(usize),
    Compressed(Decoder),
    /// Of a payload whose other bytes were given out: that one comes when all is known to be well, so that nothing is left
    /// to be read of a packet that its reader holds to be complete.
    LastByte(u8),
}

/// What [`Codec::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Bytes of the wire that were used up.
    pub taken: usize,
    /// Bytes that were written.
    pub put: usize,
    /// There may be more without more of the wire.
    pub has_more: bool,
}

impl Codec {
    /// From the first byte behind the OK of the login.
    pub fn new(role: Role, compression: Compression) -> Self {
        Self {
            compression,
            role,
            sequence_id: 0,
            packet_id: 0,
            is_answer: false,
            read: Packets::default(),
            written: Packets::default(),
            incoming: Incoming::Header,
        }
    }

    /// No compressed packet is on its way in, and no header on its way out.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.incoming, Incoming::Header) && self.written.header_bytes == 0
    }

    /// Packets from `wire`, as much as `out` has room for. What was not taken is to be given again, with more behind it. Of
    /// a client that pipelines it gives one command at a time.
    ///
    /// # Errors
    /// What is no compressed packet, or not what its header says. The connection is of no use any more.
    pub fn decode(&mut self, wire: &[u8], out: &mut [u8]) -> io::Result<Decoded> {
        let mut done = Decoded::default();
        loop {
            let (wire, out) = (&wire[done.taken..], &mut out[done.put..]);
            let is_header = matches!(self.incoming, Incoming::Header);
            if is_header && done.put > 0 && self.is_next_command(wire) {
                done.has_more = true;
                break;
            }
            if out.is_empty() && !is_header && !self.is_to_be_ended() {
                done.has_more = true;
                break;
            }
            let Some((taken, put)) = self.step(wire, out)? else {
                break;
            };
            self.renumber(&mut out[..put]);
            done.taken += taken;
            done.put += put;
        }
        Ok(done)
    }

    /// Appends compressed packets to `wire`: how many of `bytes` are in there, or held back until the header is complete
    /// that they begin; at least one.
    pub fn encode(&mut self, bytes: &[u8], wire: &mut Vec<u8>) -> usize {
        let held = self.written.header;
        let held_bytes = self.written.header_bytes;
        let taken = self.cut(&bytes[..bytes.len().min(PIECE_BYTES_MAX)]);
        let kept = match self.written.header_bytes {
            0 => 0,
            // Nothing but a header's beginning.
            all if all == held_bytes + taken => return taken,
            kept => kept,
        };
        let piece = &bytes[..taken - kept];
        match held_bytes {
            0 => self.put(piece, wire),
            _ => self.put(&[&held[..held_bytes], piece].concat(), wire),
        }
        self.is_answer = false;
        taken
    }

    /// A compressed packet that begins a command is next.
    fn is_next_command(&self, wire: &[u8]) -> bool {
        self.role == Role::Server && wire.get(3).is_some_and(|&sequence_id| sequence_id == 0)
    }

    /// No room is needed to go on.
    fn is_to_be_ended(&self) -> bool {
        matches!(&self.incoming, Incoming::Compressed(decoder) if decoder.is_to_be_ended())
    }

    /// How many bytes were taken, how many put. `None` where more of the wire is needed.
    fn step(&mut self, wire: &[u8], out: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        match &mut self.incoming {
            Incoming::Header => self.header(wire),
            Incoming::Plain(left) => {
                let bytes = wire.len().min(out.len()).min(*left);
                out[..bytes].copy_from_slice(&wire[..bytes]);
                *left -= bytes;
                if *left == 0 {
                    self.incoming = Incoming::Header;
                }
                Ok((bytes > 0).then_some((bytes, bytes)))
            }
            Incoming::Compressed(decoder) => {
                let done = decoder.decode(wire, out)?;
                if let Some(last) = decoder.ended() {
                    self.incoming = Incoming::LastByte(last);
                }
                Ok(done)
            }
            Incoming::LastByte(byte) => {
                out[0] = *byte;
                self.incoming = Incoming::Header;
                Ok(Some((0, 1)))
            }
        }
    }

    fn header(&mut self, wire: &[u8]) -> io::Result<Option<(usize, usize)>> {
        let Some(&[a, b, c, sequence_id, d, e, f]) = wire.first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        let length_before = u32::from_le_bytes([d, e, f, 0]) as usize;
        self.sequence_id = sequence_id.wrapping_add(1);
        self.is_answer = true;
        self.incoming = match (length, length_before) {
            (0, 0) => Incoming::Header,
            (_, 0) => Incoming::Plain(length),
            _ => {
                let algorithm = self.compression.algorithm;
                Incoming::Compressed(Decoder::new(algorithm, length, length_before)?)
            }
        };
        Ok(Some((HEADER_BYTES, 0)))
    }

    /// The ids of packets that were read.
    fn renumber(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(header_end) = self.read.next_header(bytes, &mut at) {
            let header = PacketHeader::decode(self.read.header);
            if self.role == Role::Server && self.read.is_command(header) {
                self.packet_id = 0;
            }
            bytes[header_end - 1] = self.packet_id;
            self.packet_id = self.packet_id.wrapping_add(1);
            self.read.enter(header);
        }
    }

    /// How many of `bytes` belong into one compressed packet: one that begins an exchange is another.
    fn cut(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(header_end) = self.written.next_header(bytes, &mut at) {
            let header = PacketHeader::decode(self.written.header);
            if let Some(first) = self.first_sequence_id(header) {
                match header_end.checked_sub(PacketHeader::BYTES) {
                    Some(before @ 1..) => {
                        self.written.header_bytes = 0;
                        return before;
                    }
                    Some(0) | None => self.sequence_id = first,
                }
            }
            self.packet_id = header.sequence_id.wrapping_add(1);
            self.written.enter(header);
        }
        at
    }

    /// Where the ids of compressed packets restart with this packet of ours.
    fn first_sequence_id(&self, header: PacketHeader) -> Option<u8> {
        match self.role {
            Role::Client => self.written.is_command(header).then_some(0),
            // The answer to a command that came with the one before, or to one that is still to come.
            Role::Server => {
                let is_first = header.sequence_id == 1 && !self.is_answer;
                let goes_on = self
                    .written
                    .latest
                    .is_some_and(|latest| latest.sequence_id == 0);
                (is_first && !goes_on).then_some(1)
            }
        }
    }

    fn put(&mut self, payload: &[u8], wire: &mut Vec<u8>) {
        let start = wire.len();
        let payload_start = start + HEADER_BYTES;
        wire.resize(payload_start + payload.len(), 0);
        let compressed = match payload.len() {
            COMPRESSED_BYTES_MIN.. => {
                coder::compress(self.compression, payload, &mut wire[payload_start..])
            }
            _ => None,
        };
        let (length, length_before) = match compressed {
            Some(length) => (length, payload.len()),
            None => {
                wire[payload_start..].copy_from_slice(payload);
                (payload.len(), 0)
            }
        };
        wire.truncate(payload_start + length);
        let [a, b, c, _] = (length as u32).to_le_bytes();
        let [d, e, f, _] = (length_before as u32).to_le_bytes();
        wire[start..payload_start].copy_from_slice(&[a, b, c, self.sequence_id, d, e, f]);
        self.sequence_id = self.sequence_id.wrapping_add(1);
    }
}

/// Where the packets of one direction begin.
#[derive(Debug, Default)]
struct Packets {
    /// One that came in pieces.
    header: [u8; PacketHeader::BYTES],
    header_bytes: usize,
    /// Bytes left of the current packet.
    skip: usize,
    /// The latest header, as its sender wrote it.
    latest: Option<PacketHeader>,
}

impl Packets {
    /// Goes on to the end of the next header, which is then to be entered; `None` when it is not all there.
    fn next_header(&mut self, bytes: &[u8], at: &mut usize) -> Option<usize> {
        let skipped = self.skip.min(bytes.len() - *at);
        self.skip -= skipped;
        *at += skipped;
        let have = self.header_bytes;
        let taken = (PacketHeader::BYTES - have).min(bytes.len() - *at);
        self.header[have..have + taken].copy_from_slice(&bytes[*at..*at + taken]);
        self.header_bytes += taken;
        *at += taken;
        (self.header_bytes == PacketHeader::BYTES).then_some(*at)
    }

    fn enter(&mut self, header: PacketHeader) {
        self.header_bytes = 0;
        self.skip = header.length;
        self.latest = Some(header);
    }

    /// A client's packet begins a command: 0 is also what follows 255 where a file goes on, up to its empty packet.
    fn is_command(&self, header: PacketHeader) -> bool {
        let goes_on = |latest: PacketHeader| latest.sequence_id == u8::MAX && latest.length > 0;
        header.sequence_id == 0 && !self.latest.is_some_and(goes_on)
    }
}

#[cfg(test)]
mod tests;
