//! A connection to a client or a server: TCP or a Unix socket, plain or under TLS, compressed or not, behind one type.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::compressed_stream::CompressedStream;
use crate::compression::{Compression, Role};

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

/// Either kind of socket, plain or under TLS.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket: counts as a secure transport.
    Unix(UnixStream),
    /// TLS over one of these.
    Tls(Box<Tls>),
    /// The compressed protocol over one of these.
    Compressed(Box<CompressedStream>),
    /// A TLS handshake took it and did not give it back.
    Lost,
}

/// A connection under TLS.
#[derive(Debug)]
pub struct Tls(TlsStream<Socket>);

/// What TLS runs over.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// No runtime watches it.
    IdleTcp(std::net::TcpStream),
    IdleUnix(std::os::unix::net::UnixStream),
    /// Between two of these.
    Gone,
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Unix($inner) => $call,
            Stream::Tls(tls) => {
                let $inner = &mut tls.0;
                $call
            }
            Stream::Compressed(compressed) => {
                let $inner = compressed.as_mut();
                $call
            }
            Stream::Lost => Poll::Ready(Err(lost())),
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

    /// A server's side of TLS from here on. Nothing of it may have been read before.
    ///
    /// # Errors
    /// The handshake's; the connection is lost.
    pub async fn accept_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let socket = Socket::try_from(mem::replace(self, Self::Lost))?;
        let tls = acceptor.accept(socket).await?;
        *self = Self::Tls(Box::new(Tls(tls.into())));
        Ok(())
    }

    /// A client's side of TLS from here on, with the server of this name.
    ///
    /// # Errors
    /// The handshake's; the connection is lost.
    pub async fn connect_tls(
        &mut self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let socket = Socket::try_from(mem::replace(self, Self::Lost))?;
        let tls = connector.connect(name, socket).await?;
        *self = Self::Tls(Box::new(Tls(tls.into())));
        Ok(())
    }

    /// The compressed protocol from here on: behind the OK of a login. `read` is what was read behind that.
    pub fn compress(&mut self, role: Role, compression: Compression, read: Vec<u8>) {
        let below = mem::replace(self, Self::Lost);
        let compressed = CompressedStream::new(below, role, compression, read);
        *self = Self::Compressed(Box::new(compressed));
    }

    /// True where nobody on a network can listen.
    pub fn is_secure(&self) -> bool {
        matches!(self.below_compression(), Self::Unix(_) | Self::Tls(_))
    }

    /// True for a Unix socket without TLS.
    pub fn is_unix(&self) -> bool {
        matches!(self.below_compression(), Self::Unix(_))
    }

    /// Which version of TLS is spoken, as operators write it: `TLSv1.3`. `None` without TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        let Self::Tls(tls) = self.below_compression() else {
            return None;
        };
        match tls.0.get_ref().1.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => Some("other"),
        }
    }

    /// True under TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.below_compression(), Self::Tls(_))
    }

    fn below_compression(&self) -> &Self {
        match self {
            Self::Compressed(compressed) => compressed.below(),
            other => other,
        }
    }

    /// What the peer showed of itself under TLS, in DER.
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        let Self::Tls(tls) = self.below_compression() else {
            return None;
        };
        let (_, session) = tls.0.get_ref();
        let certificate = session.peer_certificates()?.first()?;
        Some(certificate.to_vec())
    }

    /// Our end; `None` when the connection is gone.
    pub fn local_address(&self) -> Option<SocketAddress> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(SocketAddress::Ip),
            Self::Unix(stream) => stream.local_addr().ok().map(|address| unix(&address)),
            Self::Tls(tls) => match tls.socket() {
                Socket::Tcp(stream) => stream.local_addr().ok().map(SocketAddress::Ip),
                Socket::Unix(stream) => stream.local_addr().ok().map(|address| unix(&address)),
                Socket::IdleTcp(_) | Socket::IdleUnix(_) | Socket::Gone => None,
            },
            Self::Compressed(compressed) => compressed.below().local_address(),
            Self::Lost => None,
        }
    }

    /// The peer's end; `None` when the connection is gone.
    pub fn peer_address(&self) -> Option<SocketAddress> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(SocketAddress::Ip),
            Self::Unix(stream) => stream.peer_addr().ok().map(|address| unix(&address)),
            Self::Tls(tls) => match tls.socket() {
                Socket::Tcp(stream) => stream.peer_addr().ok().map(SocketAddress::Ip),
                Socket::Unix(stream) => stream.peer_addr().ok().map(|address| unix(&address)),
                Socket::IdleTcp(_) | Socket::IdleUnix(_) | Socket::Gone => None,
            },
            Self::Compressed(compressed) => compressed.below().peer_address(),
            Self::Lost => None,
        }
    }

    /// Ready when it is worth while to read: bytes, the end, or an error. Takes nothing. Without TLS the system may be
    /// wrong, and a read finds nothing after all.
    pub fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::Tls(_) => self.poll_peek(context).map_ok(drop),
            Self::Compressed(compressed) => compressed.poll_read_ready(context),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }

    /// What a read would find, without taking it: true for bytes, false for the end.
    ///
    /// # Errors
    /// The connection's own, a reset for one.
    pub fn poll_peek(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let peeked = match self {
                Self::Tls(tls) => {
                    let buffered = ready!(Pin::new(&mut tls.0).poll_fill_buf(context));
                    let has_bytes = buffered.map(|bytes| !bytes.is_empty());
                    return Poll::Ready(or_end(has_bytes, false));
                }
                Self::Compressed(compressed) => return compressed.poll_peek(context),
                Self::Lost => return Poll::Ready(Err(lost())),
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || peek(SockRef::from(&*stream)))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || peek(SockRef::from(&*stream)))
                }
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }
}

fn peek(socket: SockRef<'_>) -> io::Result<bool> {
    let mut byte = [mem::MaybeUninit::uninit()];
    socket.peek(&mut byte).map(|bytes| bytes > 0)
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
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(tls) => {
                let read = ready!(Pin::new(&mut tls.0).poll_read(context, buffer));
                Poll::Ready(or_end(read, ()))
            }
            Self::Compressed(compressed) => {
                Pin::new(compressed.as_mut()).poll_read(context, buffer)
            }
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }
}

/// A peer that leaves without TLS's goodbye has left, as most do. Packets have lengths: one that was cut short is known.
fn or_end<T>(result: io::Result<T>, end: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(end),
        result => result,
    }
}

/// Under TLS, and where it is compressed, what was written is on its way only when it was flushed.
impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut tls.0).poll_flush(context),
            Self::Compressed(compressed) => Pin::new(compressed.as_mut()).poll_flush(context),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}

impl Tls {
    pub(crate) fn socket(&self) -> &Socket {
        self.0.get_ref().0
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        self.0.get_mut().0
    }
}

impl TryFrom<Stream> for Socket {
    type Error = io::Error;

    fn try_from(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(stream) => Ok(Self::Tcp(stream)),
            Stream::Unix(stream) => Ok(Self::Unix(stream)),
            Stream::Tls(_) => Err(io::Error::other("there is TLS already")),
            Stream::Compressed(_) => Err(io::Error::other("TLS does not begin behind a login")),
            Stream::Lost => Err(lost()),
        }
    }
}

impl Socket {
    /// Takes it from its runtime.
    pub(crate) fn detach(&mut self) -> io::Result<()> {
        *self = match mem::replace(self, Self::Gone) {
            Self::Tcp(stream) => Self::IdleTcp(stream.into_std()?),
            Self::Unix(stream) => Self::IdleUnix(stream.into_std()?),
            other => other,
        };
        Ok(())
    }

    /// Gives it to the runtime that this is called in.
    pub(crate) fn attach(&mut self) -> io::Result<()> {
        *self = match mem::replace(self, Self::Gone) {
            Self::IdleTcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            Self::IdleUnix(stream) => Self::Unix(UnixStream::from_std(stream)?),
            other => other,
        };
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::IdleTcp(_) | Self::IdleUnix(_) | Self::Gone => Poll::Ready(Err(unwatched())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::IdleTcp(_) | Self::IdleUnix(_) | Self::Gone => Poll::Ready(Err(unwatched())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::IdleTcp(_) | Self::IdleUnix(_) | Self::Gone => Poll::Ready(Err(unwatched())),
        }
    }

    /// Several TLS records go out in one write.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::IdleTcp(_) | Self::IdleUnix(_) | Self::Gone => Poll::Ready(Err(unwatched())),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::IdleTcp(stream) => stream.as_fd(),
            Self::IdleUnix(stream) => stream.as_fd(),
            Self::Gone => {
                unreachable!("it is gone only where the system failed, and then nobody has it")
            }
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake failed")
}

fn unwatched() -> io::Error {
    io::Error::other("no runtime watches the connection")
}
