//! A connection that speaks the compressed protocol, over whatever it ran over before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::compression::{Codec, Compression, Role};
use crate::{IdleStream, Stream};

/// One read of the connection below.
const READ_BYTES: usize = 16 * 1024;

/// See [`Stream::compress`]. Holds no buffer while it waits.
#[derive(Debug)]
pub struct CompressedStream {
    below: Stream,
    codec: Codec,
    /// What was read and is still to be decoded, from `wire_start` on.
    wire: Vec<u8>,
    wire_start: usize,
    /// A read may find more without the connection below.
    has_more: bool,
    /// What is encoded and still to be written, from `unsent_start` on.
    unsent: Vec<u8>,
    unsent_start: usize,
}

/// The same while no runtime watches the connection below.
#[derive(Debug)]
pub struct IdleCompressed {
    pub(crate) below: IdleStream,
    codec: Codec,
}

impl CompressedStream {
    /// `wire` was read already behind the login.
    pub(crate) fn new(below: Stream, role: Role, compression: Compression, wire: Vec<u8>) -> Self {
        Self::over(below, Codec::new(role, compression), wire)
    }

    fn over(below: Stream, codec: Codec, wire: Vec<u8>) -> Self {
        Self {
            below,
            codec,
            has_more: !wire.is_empty(),
            wire,
            wire_start: 0,
            unsent: Vec::new(),
            unsent_start: 0,
        }
    }

    pub(crate) fn below(&self) -> &Stream {
        &self.below
    }

    /// See [`Stream::into_idle`].
    pub(crate) fn into_idle(self) -> io::Result<IdleCompressed> {
        let is_at_rest = self.wire.is_empty() && self.unsent.is_empty() && self.codec.is_at_rest();
        if !is_at_rest {
            return Err(io::Error::other("a compressed packet is on its way"));
        }
        Ok(IdleCompressed {
            below: self.below.into_idle()?,
            codec: self.codec,
        })
    }

    pub(crate) fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.has_more {
            true => Poll::Ready(Ok(())),
            false => self.below.poll_read_ready(context),
        }
    }

    pub(crate) fn poll_peek(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self.has_more || !self.wire.is_empty() {
            true => Poll::Ready(Ok(true)),
            false => self.below.poll_peek(context),
        }
    }

    /// What there is of the wire, into `out`.
    fn decode(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let decoded = self.codec.decode(&self.wire[self.wire_start..], out)?;
        self.wire_start += decoded.taken;
        self.has_more = decoded.has_more;
        if self.wire_start == self.wire.len() {
            self.wire = Vec::new();
            self.wire_start = 0;
        }
        Ok(decoded.put)
    }

    /// More of the wire. What is left of it is less than a header.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.wire.drain(..self.wire_start);
        self.wire_start = 0;
        self.wire.reserve(READ_BYTES);
        let mut room = (&mut self.wire).limit(READ_BYTES);
        let read = poll_read_buf(Pin::new(&mut self.below), context, &mut room);
        if self.wire.is_empty() {
            self.wire = Vec::new();
        }
        read
    }

    /// What is encoded, to the connection below.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent_start < self.unsent.len() {
            let unsent = &self.unsent[self.unsent_start..];
            let written = ready!(Pin::new(&mut self.below).poll_write(context, unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent_start += written;
        }
        self.unsent.clear();
        self.unsent_start = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for CompressedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let put = self.decode(buffer.initialize_unfilled())?;
            if put > 0 {
                buffer.advance(put);
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_fill(context))? == 0 {
                let is_whole = self.wire.is_empty() && self.codec.is_at_rest();
                return Poll::Ready(match is_whole {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }
}

impl AsyncWrite for CompressedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let this = &mut *self;
        let taken = this.codec.encode(bytes, &mut this.unsent);
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The rest goes with the next write, or with the flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        self.unsent = Vec::new();
        Pin::new(&mut self.below).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.below).poll_shutdown(context)
    }
}

impl IdleCompressed {
    pub(crate) fn awaken(self) -> io::Result<CompressedStream> {
        let below = self.below.awaken()?;
        Ok(CompressedStream::over(below, self.codec, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use protocol::packet::put_payload;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::compression::Algorithm;

    const ZSTD: Compression = Compression {
        algorithm: Algorithm::Zstd,
        level: Compression::LEVEL_DEFAULT,
    };

    fn packet(sequence_id: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        put_payload(&mut packet, sequence_id, payload);
        packet
    }

    /// A client's end and a server's.
    fn pair() -> (Stream, Stream) {
        let (client, server) = UnixStream::pair().unwrap();
        let (mut client, mut server) = (Stream::Unix(client), Stream::Unix(server));
        client.compress(Role::Client, ZSTD, Vec::new());
        server.compress(Role::Server, ZSTD, Vec::new());
        (client, server)
    }

    async fn say(stream: &mut Stream, packet: &[u8]) {
        stream.write_all(packet).await.unwrap();
        stream.flush().await.unwrap();
    }

    async fn hear(stream: &mut Stream, packet: &[u8]) {
        let mut heard = vec![0; packet.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, packet);
    }

    /// More than the socket takes at once.
    #[tokio::test]
    async fn much_in_both_directions() {
        let (mut client, mut server) = pair();
        let zeros = packet(0, &vec![0; 5_000_000]);
        let noise: Vec<u8> = (0..5_000_000_u32)
            .map(|n| (n.wrapping_mul(n) >> 9) as u8)
            .collect();
        let answer = packet(1, &noise);
        tokio::join!(say(&mut client, &zeros), hear(&mut server, &zeros));
        tokio::join!(say(&mut server, &answer), hear(&mut client, &answer));
    }

    #[tokio::test]
    async fn idle_is_who_has_nothing_left_to_be_read() {
        let (mut client, mut server) = pair();
        let command = packet(0, b"a command");
        say(&mut client, &command).await;
        let both = [packet(1, b"an answer"), packet(2, b"more")].concat();
        hear(&mut server, &command).await;
        say(&mut server, &both).await;
        hear(&mut client, &both[..13]).await;
        assert!(poll_fn(|task| client.poll_peek(task)).await.unwrap());
        assert!(client.into_idle().is_err());

        let (mut client, mut server) = pair();
        for _ in 0..2 {
            let idle = client.into_idle().unwrap();
            assert!(idle.is_silent());
            client = idle.awaken().unwrap();
            say(&mut client, &command).await;
            hear(&mut server, &command).await;
            let answer = packet(1, &[7; 200]);
            say(&mut server, &answer).await;
            hear(&mut client, &answer).await;
        }
    }

    #[tokio::test]
    async fn an_end_amid_a_compressed_packet_is_an_error() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut near = Stream::Unix(near);
        near.compress(Role::Server, ZSTD, vec![9, 0]);
        assert!(poll_fn(|task| near.poll_peek(task)).await.unwrap());
        far.write_all(&[0, 0, 0, 0, 0, 5, 0]).await.unwrap();
        drop(far);
        hear(&mut near, &[5, 0]).await;
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
