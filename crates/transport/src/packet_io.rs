//! Whole small packets from and to a socket, for the connection phase. The command phase relays bytes instead.

use std::io;

use bytes::BufMut;
use protocol::DecodeError;
use protocol::packet::PacketHeader;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Stream;

/// One read: more than any usual packet of a login.
const READ_BYTES: usize = 1024;

/// One packet of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its place in the exchange.
    pub sequence_id: u8,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Why there is no packet.
#[derive(Debug, Error)]
pub enum PacketError {
    /// The peer closed between two packets.
    #[error("closed the connection")]
    Closed,
    /// The peer closed, or the system failed, inside a packet.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A packet that may not be this long.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
}

/// Reads packets of one peer. Bytes behind a packet are kept, at most one read of them.
#[derive(Debug, Default)]
pub struct PacketReader {
    buffer: Vec<u8>,
    /// Bytes behind a packet stay where they are.
    is_exact: bool,
}

impl PacketReader {
    /// Goes on behind bytes that were read already.
    pub fn after(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            is_exact: false,
        }
    }

    /// Whether bytes behind a packet are left to be read: they may belong to TLS.
    pub fn set_exact(&mut self, is_exact: bool) {
        self.is_exact = is_exact;
    }

    /// What was read behind the latest packet.
    pub fn into_rest(self) -> Vec<u8> {
        self.buffer
    }

    /// How much was read behind the latest packet.
    pub fn unread_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next packet, of at most `payload_bytes_max`; `name` is its name in errors. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`PacketError`]. A length above the bound is refused before anything is allocated for it.
    pub async fn read(
        &mut self,
        stream: &mut Stream,
        name: &'static str,
        payload_bytes_max: usize,
    ) -> Result<Packet, PacketError> {
        loop {
            if let Some(packet) = self.take(name, payload_bytes_max)? {
                return Ok(packet);
            }
            let wanted = self.wanted();
            self.buffer.reserve(wanted);
            let mut limited = (&mut self.buffer).limit(wanted);
            if stream.read_buf(&mut limited).await? == 0 {
                return Err(match self.buffer.len() {
                    0 => PacketError::Closed,
                    _ => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                });
            }
        }
    }

    /// How much to read at once.
    fn wanted(&self) -> usize {
        match (self.is_exact, PacketHeader::peek(&self.buffer)) {
            (false, _) => READ_BYTES,
            (true, None) => PacketHeader::BYTES - self.buffer.len(),
            (true, Some(header)) => PacketHeader::BYTES + header.length - self.buffer.len(),
        }
    }

    fn take(
        &mut self,
        name: &'static str,
        payload_bytes_max: usize,
    ) -> Result<Option<Packet>, DecodeError> {
        let Some(header) = PacketHeader::peek(&self.buffer) else {
            return Ok(None);
        };
        if header.length > payload_bytes_max {
            return Err(DecodeError::TooLong {
                packet: name,
                bytes: header.length,
                limit: payload_bytes_max,
            });
        }
        let end = PacketHeader::BYTES + header.length;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let payload = self.buffer[PacketHeader::BYTES..end].to_vec();
        self.buffer.drain(..end);
        Ok(Some(Packet {
            sequence_id: header.sequence_id,
            payload,
        }))
    }
}

/// Writes one packet in one write.
///
/// # Errors
/// The socket's.
pub async fn write_packet(stream: &mut Stream, sequence_id: u8, payload: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(PacketHeader::BYTES + payload.len());
    protocol::packet::put_payload(&mut bytes, sequence_id, payload);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn an_exact_reader_leaves_what_is_behind_a_packet() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(near);
        let mut bytes = Vec::new();
        protocol::packet::put_payload(&mut bytes, 1, b"SSLRequest");
        bytes.extend_from_slice(b"TLS");
        far.write_all(&bytes).await.unwrap();
        let mut reader = PacketReader::default();
        reader.set_exact(true);
        let packet = reader.read(&mut stream, "test", 100).await.unwrap();
        assert_eq!(packet.payload, b"SSLRequest");
        assert_eq!(reader.unread_bytes(), 0);
        let mut rest = [0; 3];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"TLS");
    }
}
