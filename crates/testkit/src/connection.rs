//! A client's connection before anything is said on it: bytes and packets, with a deadline on every wait.

use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::packet::{PacketHeader, put_payload};
use socket2::{Domain, SockAddr, Socket, Type};
use transport::tls::{ServerVerification, Strength, client_config};

/// Deadline of each connect, read and write unless the test sets another.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A TCP or Unix socket connection to a server or proxy.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    is_unix: bool,
    tls: Option<Box<rustls::ClientConnection>>,
    recording: Option<Recording>,
}

/// The packets that were read: see [`Connection::record`].
#[derive(Debug, Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Packet>>>);

/// A sequence id and bytes.
type Packet = (u8, Vec<u8>);

impl Recording {
    /// Sequence ids and bytes of the packets since the last call.
    pub fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut self.packets())
    }

    fn packets(&self) -> MutexGuard<'_, Vec<Packet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Connects over TCP.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        Self::open(Domain::for_address(address), None, &address.into())
    }

    /// Connects over TCP from a source address of one's choice, such as 127.0.0.2.
    pub fn tcp_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let source = SocketAddr::new(source, 0).into();
        Self::open(Domain::for_address(address), Some(&source), &address.into())
    }

    /// Connects to a Unix socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        Self::open(Domain::UNIX, None, &SockAddr::unix(path)?)
    }

    /// A connection that was accepted.
    pub(crate) fn accepted(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let connection = Self {
            socket: stream.into(),
            is_unix: false,
            tls: None,
            recording: None,
        };
        connection.set_timeout(TIMEOUT)?;
        Ok(connection)
    }

    fn open(domain: Domain, source: Option<&SockAddr>, address: &SockAddr) -> io::Result<Self> {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(source)?;
        }
        socket.connect_timeout(address, TIMEOUT)?;
        let is_unix = domain == Domain::UNIX;
        if !is_unix {
            socket.set_tcp_nodelay(true)?;
        }
        let connection = Self {
            socket,
            is_unix,
            tls: None,
            recording: None,
        };
        connection.set_timeout(TIMEOUT)?;
        Ok(connection)
    }

    /// Sets the deadline of each following read and write.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(timeout))?;
        self.socket.set_write_timeout(Some(timeout))
    }

    /// TLS from here on, whatever certificate the peer shows. The handshake is the next read's or write's.
    pub fn start_tls(&mut self) -> io::Result<()> {
        let connector = client_config(&ServerVerification::None, None, &Strength::default());
        let connector = connector.map_err(io::Error::other)?;
        let name = IpAddr::from([127, 0, 0, 1]).into();
        let config = connector.config().clone();
        let tls = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Servers take a Unix socket for as safe as TLS.
    pub fn is_secure(&self) -> bool {
        self.is_unix || self.tls.is_some()
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut self.socket);
                stream.write_all(bytes)?;
                stream.flush()
            }
            None => self.socket.write_all(bytes),
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read_exact(bytes),
            None => self.socket.read_exact(bytes),
        }
    }

    /// Sends a payload in as many packets as it takes. Returns the sequence id that follows.
    pub fn send_payload(&mut self, sequence_id: u8, payload: &[u8]) -> io::Result<u8> {
        let mut bytes = Vec::with_capacity(payload.len() + PacketHeader::BYTES);
        let next = put_payload(&mut bytes, sequence_id, payload);
        self.send_bytes(&bytes)?;
        Ok(next)
    }

    /// Reads one packet: its sequence id and its bytes.
    pub fn read_packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; PacketHeader::BYTES];
        self.read_exact(&mut header)?;
        let header = PacketHeader::decode(header);
        let mut bytes = vec![0; header.length];
        self.read_exact(&mut bytes)?;
        if let Some(recording) = &self.recording {
            recording
                .packets()
                .push((header.sequence_id, bytes.clone()));
        }
        Ok((header.sequence_id, bytes))
    }

    /// Keeps copies of the packets that are read from here on, also when the connection is gone.
    pub fn record(&mut self) -> Recording {
        self.recording.get_or_insert_default().clone()
    }

    /// Reads packets until a payload is complete. The first must have `sequence_id`, the others what follows.
    /// Returns the sequence id that comes next, and the payload.
    pub fn read_payload(&mut self, mut sequence_id: u8) -> io::Result<(u8, Vec<u8>)> {
        let mut payload = Vec::new();
        loop {
            let (got, bytes) = self.read_packet()?;
            if got != sequence_id {
                return Err(io::Error::other(format!(
                    "sequence id {got} instead of {sequence_id}"
                )));
            }
            let header = PacketHeader {
                length: bytes.len(),
                sequence_id,
            };
            sequence_id = sequence_id.wrapping_add(1);
            payload.extend(bytes);
            if !header.is_continued() {
                return Ok((sequence_id, payload));
            }
        }
    }

    /// Reads until the peer closes, at most `bytes_max` bytes.
    pub fn read_to_end(&mut self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.socket).take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// True once the peer has closed or reset the connection and everything it sent was read.
    pub fn is_closed(&self) -> bool {
        let _ = self.socket.set_nonblocking(true);
        let peeked = self.socket.peek(&mut [MaybeUninit::uninit()]);
        let _ = self.socket.set_nonblocking(false);
        match peeked {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Says that nothing more will be sent; reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) -> io::Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))
    }
}
