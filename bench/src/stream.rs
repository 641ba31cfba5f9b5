//! A client's socket with what it speaks over it: TLS, the compressed protocol, or neither. Blocking or not, as the socket
//! is.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
};

use rustls::{ClientConnection, HandshakeKind};
use transport::compression::{Codec, Compression, Role};

/// One read of compressed bytes.
const WIRE_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    compressed: Option<Box<Compressed>>,
}

#[derive(Debug)]
struct Compressed {
    codec: Codec,
    /// What was read and is still to be decoded.
    wire: Vec<u8>,
}

impl Stream {
    /// Neither.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            tls: None,
            compressed: None,
        }
    }

    /// TLS from here on.
    pub(crate) fn encrypt(&mut self, connection: ClientConnection) {
        self.tls = Some(Box::new(connection));
    }

    /// The compressed protocol from here on: behind the OK of a login.
    pub(crate) fn compress(&mut self, compression: Compression) {
        self.compressed = Some(Box::new(Compressed {
            codec: Codec::new(Role::Client, compression),
            wire: Vec::new(),
        }));
    }

    /// See [`TcpStream::set_nonblocking`].
    pub(crate) fn set_nonblocking(&self, is_nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(is_nonblocking)
    }

    /// Did TLS go on with the keys of an earlier connection?
    pub(crate) fn is_resumed(&self) -> bool {
        let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
        kind == Some(HandshakeKind::Resumed)
    }

    fn read_below(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(buffer);
        };
        match rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer) {
            // A peer that leaves without TLS's goodbye has left.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    fn write_below(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).write(bytes),
            None => self.socket.write(bytes),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut compressed) = self.compressed.take() else {
            return self.read_below(buffer);
        };
        let read = compressed.read(buffer, |wire| self.read_below(wire));
        self.compressed = Some(compressed);
        read
    }
}

impl Write for Stream {
    /// What is compressed is written as a whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(compressed) = &mut self.compressed else {
            return self.write_below(bytes);
        };
        let mut wire = Vec::new();
        let taken = compressed.codec.encode(bytes, &mut wire);
        let mut unsent = &wire[..];
        while !unsent.is_empty() {
            let written = self.write_below(unsent)?;
            unsent = &unsent[written..];
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).flush(),
            None => self.socket.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Compressed {
    /// Gives out all that fits of what was read: whoever waits for the socket must not wait for what is here.
    fn read(
        &mut self,
        out: &mut [u8],
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let decoded = self.codec.decode(&self.wire, out)?;
            self.wire.drain(..decoded.taken);
            if decoded.put > 0 {
                return Ok(decoded.put);
            }
            let before = self.wire.len();
            self.wire.resize(before + WIRE_BYTES, 0);
            let bytes = read(&mut self.wire[before..]);
            self.wire.truncate(before + *bytes.as_ref().unwrap_or(&0));
            if bytes? == 0 {
                return Ok(0);
            }
        }
    }
}
