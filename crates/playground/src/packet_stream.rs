//! Payloads over a socket, with deadlines and bounds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use protocol::DecodeError;
use protocol::limits::LOGIN_PACKET_BYTES_MAX;
use protocol::packet::{PayloadDecoder, put_payload};
use thiserror::Error;

use crate::limits::{PACKET_BYTES_MAX, READ_TIMEOUT, WRITE_TIMEOUT};

/// What is kept before it is written.
const WRITE_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 16 << 10;

/// Why no payload came or went.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    #[error("the connection was closed")]
    Closed,
    #[error("nothing came in time")]
    TimedOut,
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// A connection, of either side.
#[derive(Debug)]
pub(crate) struct PacketStream {
    stream: TcpStream,
    decoder: PayloadDecoder,
    written: Vec<u8>,
    /// Of the packet that is written next.
    sequence_id: u8,
}

impl PacketStream {
    /// The server's side, which writes first.
    pub(crate) fn of_server(stream: TcpStream) -> io::Result<Self> {
        Self::new(stream, 1)
    }

    /// The client's side.
    pub(crate) fn of_client(stream: TcpStream) -> io::Result<Self> {
        Self::new(stream, 0)
    }

    fn new(stream: TcpStream, first_read: u8) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self {
            stream,
            decoder: PayloadDecoder::new("packet", first_read, LOGIN_PACKET_BYTES_MAX),
            written: Vec::new(),
            sequence_id: 0,
        })
    }

    /// Both sides know each other: packets may be larger.
    pub(crate) fn logged_in(&mut self) {
        self.decoder.set_payload_bytes_max(PACKET_BYTES_MAX);
    }

    /// A payload that goes on with an exchange; the next one to be written follows it.
    pub(crate) fn read_payload(&mut self, deadline: Instant) -> Result<Vec<u8>, StreamError> {
        loop {
            if let Some(payload) = self.decoder.next_payload()? {
                self.sequence_id = self.decoder.sequence_id();
                return Ok(payload);
            }
            self.read(deadline)?;
        }
    }

    /// The first payload of a new exchange. Waits for its first byte until `deadline`.
    pub(crate) fn read_command(&mut self, deadline: Instant) -> Result<Vec<u8>, StreamError> {
        self.decoder.set_sequence_id(0);
        if self.decoder.pending() == 0 {
            self.read(deadline)?;
        }
        self.read_payload(Instant::now() + READ_TIMEOUT)
    }

    /// What is written next is a command.
    pub(crate) fn start_command(&mut self) {
        self.sequence_id = 0;
    }

    /// What is written next answers a packet that could not be read.
    pub(crate) fn answer_unread(&mut self) {
        self.sequence_id = self.decoder.sequence_id().wrapping_add(1);
    }

    /// Appends a payload; it may stay here until [`Self::flush`].
    pub(crate) fn write_payload(&mut self, payload: &[u8]) -> Result<(), StreamError> {
        self.sequence_id = put_payload(&mut self.written, self.sequence_id, payload);
        if self.written.len() < WRITE_BYTES {
            return Ok(());
        }
        self.flush()
    }

    /// What was written is with the kernel; the client's next packet follows it.
    pub(crate) fn flush(&mut self) -> Result<(), StreamError> {
        self.stream.write_all(&self.written)?;
        self.written.clear();
        self.written.shrink_to(WRITE_BYTES);
        self.decoder.set_sequence_id(self.sequence_id);
        Ok(())
    }

    fn read(&mut self, deadline: Instant) -> Result<(), StreamError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StreamError::TimedOut);
        }
        // The kernel counts in coarser ticks: a tiny rest must not round to "for ever".
        let timeout = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(timeout))?;
        let mut buffer = [0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(length) => {
                self.decoder.feed(&buffer[..length]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(StreamError::TimedOut),
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error.into()),
            },
        }
    }
}
