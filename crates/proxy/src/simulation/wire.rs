//! One end of a connection that speaks packets, as well or as badly as it is told to.

use std::time::Duration;

use protocol::packet::PacketHeader;
use testkit::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::yield_now;
use tokio::time::sleep;

/// The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The peer closed between two packets.
    Closed,
    /// It closed, or reset the connection, within one; or this end did what it was told to.
    Cut,
}

/// How bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// Single bytes at first, then a few at a time.
    Pieces,
    /// With a pause behind so many bytes.
    Pause(usize, Duration),
    /// So many bytes, then nothing but a close.
    Cut(usize),
    /// So many bytes, then nothing; what the peer says is still read.
    Stuck(usize),
    /// So many bytes, then nothing; nothing is read any more.
    Deaf(usize, Duration),
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: UnixStream,
    read: Vec<u8>,
}

/// How many single bytes [`Delivery::Pieces`] starts with.
const SINGLE_BYTES: usize = 40;

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// The next packet: sequence id and payload. Cancelling loses nothing.
    pub(super) async fn packet(&mut self) -> Result<(u8, Vec<u8>), Lost> {
        loop {
            if let Some(header) = PacketHeader::peek(&self.read) {
                let end = PacketHeader::BYTES + header.length;
                if self.read.len() >= end {
                    let payload = self.read[PacketHeader::BYTES..end].to_vec();
                    self.read.drain(..end);
                    return Ok((header.sequence_id, payload));
                }
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) if self.read.is_empty() => return Err(Lost::Closed),
                Ok(0) | Err(_) => return Err(Lost::Cut),
                Ok(_) => {}
            }
        }
    }

    /// Reads until the peer closes.
    pub(super) async fn until_closed(&mut self) {
        loop {
            self.read.clear();
            if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                return;
            }
        }
    }

    /// Nothing was read behind the last packet.
    pub(super) fn is_silent(&self) -> bool {
        self.read.is_empty()
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(bytes).await.map_err(|_| Lost::Cut)
    }

    pub(super) async fn deliver(
        &mut self,
        bytes: &[u8],
        delivery: Delivery,
        random: &mut Random,
    ) -> Result<(), Lost> {
        match delivery {
            Delivery::Whole => self.send(bytes).await,
            Delivery::Pieces => {
                let (single, rest) = bytes.split_at(bytes.len().min(SINGLE_BYTES));
                for byte in single {
                    self.send(&[*byte]).await?;
                    yield_now().await;
                }
                let step = 1 + random.below(20_000);
                for piece in rest.chunks(step) {
                    self.send(piece).await?;
                    yield_now().await;
                }
                Ok(())
            }
            Delivery::Pause(at, time) => {
                self.send(&bytes[..at]).await?;
                sleep(time).await;
                self.send(&bytes[at..]).await
            }
            Delivery::Cut(at) => {
                self.send(&bytes[..at]).await?;
                Err(Lost::Cut)
            }
            Delivery::Stuck(at) => {
                self.send(&bytes[..at]).await?;
                self.until_closed().await;
                Err(Lost::Cut)
            }
            Delivery::Deaf(at, time) => {
                self.send(&bytes[..at]).await?;
                sleep(time).await;
                Err(Lost::Cut)
            }
        }
    }
}
