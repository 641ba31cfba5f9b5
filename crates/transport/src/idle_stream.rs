//! A connection that no runtime watches: whoever takes it may be on another one than whoever left it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Waker};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Stream;
use crate::compressed_stream::IdleCompressed;
use crate::stream::Tls;

/// See [`Stream::into_idle`].
#[derive(Debug)]
pub enum IdleStream {
    /// TCP
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over either, with its keys; its socket is detached.
    Tls(Box<Tls>),
    /// The compressed protocol over one of these.
    Compressed(Box<IdleCompressed>),
}

impl Stream {
    /// Takes the connection from its runtime. What was read of it and not given out would be lost: there may be nothing.
    ///
    /// # Errors
    /// The system's; and one that the peer has said something on.
    pub fn into_idle(mut self) -> io::Result<IdleStream> {
        // Asked once, by nobody who waits.
        let mut nobody = Context::from_waker(Waker::noop());
        if self.poll_peek(&mut nobody).is_ready() {
            return Err(io::Error::other("the peer has said something, or is gone"));
        }
        Ok(match self {
            Self::Tcp(stream) => IdleStream::Tcp(stream.into_std()?),
            Self::Unix(stream) => IdleStream::Unix(stream.into_std()?),
            Self::Tls(mut tls) => {
                tls.socket_mut().detach()?;
                IdleStream::Tls(tls)
            }
            Self::Compressed(compressed) => {
                IdleStream::Compressed(Box::new(compressed.into_idle()?))
            }
            Self::Lost => return Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl IdleStream {
    /// For the runtime that this is called in.
    ///
    /// # Errors
    /// The system's.
    pub fn awaken(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(socket) => Stream::Tcp(tokio::net::TcpStream::from_std(socket)?),
            Self::Unix(socket) => Stream::Unix(tokio::net::UnixStream::from_std(socket)?),
            Self::Tls(mut tls) => {
                tls.socket_mut().attach()?;
                Stream::Tls(tls)
            }
            Self::Compressed(idle) => Stream::Compressed(Box::new(idle.awaken()?)),
        })
    }

    /// Neither bytes nor an end.
    pub fn is_silent(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
    }
}

impl AsFd for IdleStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tls(tls) => tls.socket().as_fd(),
            Self::Compressed(idle) => idle.below.as_fd(),
        }
    }
}
