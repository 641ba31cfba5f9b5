//! A connection to a client or a server: TCP or a Unix socket behind one type.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// TCP
    Ip(SocketAddr),
    /// A Unix socket; empty for an unnamed one.
    Unix(PathBuf),
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Either kind of socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket: counts as a secure transport.
    Unix(UnixStream),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl Stream {
    /// A TCP connection that sends at once and notices a vanished peer.
    ///
    /// # Errors
    /// What `setsockopt` says.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_keepalive(true)?;
        Ok(Self::Tcp(stream))
    }

    /// True where nobody on a network can listen.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Our end; `None` when the connection is gone.
    pub fn local_address(&self) -> Option<SocketAddress> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(SocketAddress::Ip),
            Self::Unix(stream) => stream.local_addr().ok().map(|address| unix(&address)),
        }
    }

    /// The peer's end; `None` when the connection is gone.
    pub fn peer_address(&self) -> Option<SocketAddress> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(SocketAddress::Ip),
            Self::Unix(stream) => stream.peer_addr().ok().map(|address| unix(&address)),
        }
    }

    /// Ready when a read would not wait: bytes, the end, or an error. Takes nothing.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read_ready(context))
    }

    /// What a read would find, without taking it: `Some(true)` for bytes, `Some(false)` for the end, `None` for
    /// nothing yet. Call it when [`Self::poll_read_ready`] was ready.
    ///
    /// # Errors
    /// The connection's own, a reset for one.
    pub fn peek(&self) -> io::Result<Option<bool>> {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = each!(self, stream => {
            stream.try_io(Interest::READABLE, || SockRef::from(stream).peek(&mut byte))
        });
        match peeked {
            Ok(bytes) => Ok(Some(bytes > 0)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn unix(address: &tokio::net::unix::SocketAddr) -> SocketAddress {
    let path = address.as_pathname().map(std::path::Path::to_owned);
    SocketAddress::Unix(path.unwrap_or_default())
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}
