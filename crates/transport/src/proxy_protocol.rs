//! The PROXY protocol, versions 1 and 2: what a relay says of the client that a connection is for, before anything else.
//! Bytes in, values out, as HAProxy's `proxy-protocol.txt` has it.
//!
//! Left out: TLVs (they are skipped) and the paths of Unix sockets. No library does this: what lies behind a header is
//! somebody else's, so that [`decode`] has to say how much may be read, which the parsers that there are do not; and they
//! refuse a LOCAL whose addresses are to be ignored.

use std::array;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// How version 1 begins.
const V1_PREFIX: &[u8] = b"PROXY ";
/// What it says of a connection that is for nobody, or for somebody that it has no words for.
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// The longest header of version 1, its end of line included.
const V1_BYTES_MAX: usize = 107;
const END_OF_LINE: &[u8] = b"\r\n";

/// How version 2 begins.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2, with the length of the rest at the end.
const V2_FIXED_BYTES: usize = 16;
/// Version and command.
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
/// Address family and transport.
const V2_UNSPECIFIED: u8 = 0x00;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;
const V2_UNIX: u8 = 0x31;
/// The families end at Unix sockets, the transports at datagrams.
const V2_FAMILY_MAX: u8 = 3;
const V2_TRANSPORT_MAX: u8 = 2;
/// Two paths.
const V2_UNIX_BYTES: usize = 2 * 108;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Whom a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The sender itself, or a client of which it says nothing: the connection's own addresses count.
    Local,
    /// A client on TCP.
    Tcp {
        /// The client's address.
        source: SocketAddr,
        /// Where it connected to, of the same family.
        destination: SocketAddr,
    },
    /// A client on a Unix socket.
    Unix,
}

/// What the bytes so far make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// The header, which is complete.
    Complete(Header),
    /// At least this many bytes are missing, one or more: as many may be read and no more.
    Incomplete(usize),
}

/// Why bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Neither version begins so.
    #[error("it begins otherwise")]
    Foreign,
    /// Version 1 without an end.
    #[error("version 1, and no end of line within {V1_BYTES_MAX} bytes")]
    Endless,
    /// A line of version 1 that says something else. The text is the line's, in ASCII.
    #[error("version 1, and its line is `{0}`")]
    Line(String),
    /// A version or command that there is not.
    #[error("version 2, and its command is {0:#04x}")]
    Command(u8),
    /// An address family or a transport that there is not.
    #[error("version 2, and its address family is {0:#04x}")]
    Family(u8),
    /// Too short for the addresses of its family.
    #[error("version 2, and its addresses are in {0} bytes")]
    Short(usize),
}

/// Whether a login that was read as a packet of this many bytes begins as a header does.
pub fn is_packet_length(bytes: usize) -> bool {
    let length = |start: &[u8]| match *start {
        [a, b, c, ..] => u32::from_le_bytes([a, b, c, 0]) as usize,
        _ => 0,
    };
    [length(V1_PREFIX), length(V2_SIGNATURE)].contains(&bytes)
}

/// The header that a connection begins with. `bytes` is what was read of it so far: nothing at first, and never more than
/// [`Decoded::Incomplete`] asks for, so that what lies behind the header is not touched.
///
/// # Errors
/// See [`HeaderError`]. They come as early as the bytes show it.
pub fn decode(bytes: &[u8]) -> Result<Decoded, HeaderError> {
    let begins_as = |start: &[u8]| bytes.iter().zip(start).all(|(byte, other)| byte == other);
    if bytes.is_empty() {
        return Ok(Decoded::Incomplete(V1_UNKNOWN.len().min(V2_FIXED_BYTES)));
    }
    match (begins_as(V1_PREFIX), begins_as(V2_SIGNATURE)) {
        (true, _) => decode_v1(bytes),
        (_, true) => decode_v2(bytes),
        _ => Err(HeaderError::Foreign),
    }
}

fn decode_v1(bytes: &[u8]) -> Result<Decoded, HeaderError> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let end = window
        .windows(END_OF_LINE.len())
        .position(|pair| pair == END_OF_LINE);
    let Some(end) = end else {
        if bytes.len() >= V1_BYTES_MAX {
            return Err(HeaderError::Endless);
        }
        let is_ending = bytes.last() == END_OF_LINE.first();
        let end_of_line = END_OF_LINE.len() - usize::from(is_ending);
        let missing = V1_UNKNOWN.len().saturating_sub(bytes.len());
        let room = V1_BYTES_MAX - bytes.len();
        return Ok(Decoded::Incomplete(missing.max(end_of_line).min(room)));
    };
    let line = &window[..end];
    let header = match line.get(V1_PREFIX.len()..) {
        Some(b"UNKNOWN") => Some(Header::Local),
        // Whatever else it says is to be ignored.
        Some(rest) if rest.starts_with(b"UNKNOWN ") => Some(Header::Local),
        Some(rest) => str::from_utf8(rest).ok().and_then(parse_v1),
        None => None,
    };
    header
        .map(Decoded::Complete)
        .ok_or_else(|| HeaderError::Line(line.escape_ascii().to_string()))
}

/// `TCP4 192.0.2.1 192.0.2.2 56324 3306`, with single spaces.
fn parse_v1(text: &str) -> Option<Header> {
    let mut fields = text.split(' ');
    let [family, source, destination, source_port, destination_port] =
        array::from_fn(|_| fields.next().unwrap_or_default());
    if fields.next().is_some() {
        return None;
    }
    let address = |ip: &str, port: &str| {
        let ip: IpAddr = match family {
            "TCP4" => ip.parse::<Ipv4Addr>().ok()?.into(),
            "TCP6" => ip.parse::<Ipv6Addr>().ok()?.into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, parse_port(port)?))
    };
    Some(Header::Tcp {
        source: address(source, source_port)?,
        destination: address(destination, destination_port)?,
    })
}

/// Digits, without a sign and without zeros in front.
fn parse_port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

fn decode_v2(bytes: &[u8]) -> Result<Decoded, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(Decoded::Incomplete(V2_FIXED_BYTES - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let address_bytes = match command {
        // Its family means nothing, nor does what follows.
        V2_LOCAL => 0,
        V2_PROXY if family >> 4 > V2_FAMILY_MAX || family & 0xf > V2_TRANSPORT_MAX => {
            return Err(HeaderError::Family(family));
        }
        V2_PROXY => match family {
            V2_TCP4 => 2 * (size_of::<Ipv4Addr>() + size_of::<u16>()),
            V2_TCP6 => 2 * (size_of::<Ipv6Addr>() + size_of::<u16>()),
            V2_UNIX => V2_UNIX_BYTES,
            _ => 0,
        },
        _ => return Err(HeaderError::Command(command)),
    };
    if length < address_bytes {
        return Err(HeaderError::Short(length));
    }
    if rest.len() < length {
        return Ok(Decoded::Incomplete(length - rest.len()));
    }
    let header = match (command, family) {
        (V2_PROXY, V2_TCP4) => addresses(rest, |octets: [u8; 4]| octets.into()),
        (V2_PROXY, V2_TCP6) => addresses(rest, |octets: [u8; 16]| octets.into()),
        (V2_PROXY, V2_UNIX) => Some(Header::Unix),
        // Also for transports that are none of ours.
        _ => Some(Header::Local),
    };
    header
        .map(Decoded::Complete)
        .ok_or(HeaderError::Short(length))
}

/// Source and destination, then their ports. `None` where there are too few bytes.
fn addresses<const N: usize>(bytes: &[u8], ip: fn([u8; N]) -> IpAddr) -> Option<Header> {
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    Some(Header::Tcp {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*destination_port)),
    })
}

impl Header {
    /// Its bytes. A client on a Unix socket has no address that would mean anything elsewhere: it is told as the sender's
    /// own.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        match (self, version) {
            (
                Self::Tcp {
                    source,
                    destination,
                },
                _,
            ) => {
                let ips = same_family(source.ip(), destination.ip());
                let ports = (source.port(), destination.port());
                match version {
                    Version::V1 => encode_v1(ips, ports),
                    Version::V2 => encode_v2(ips, ports),
                }
            }
            (_, Version::V1) => V1_UNKNOWN.to_vec(),
            (_, Version::V2) => [&V2_SIGNATURE[..], &[V2_LOCAL, V2_UNSPECIFIED, 0, 0]].concat(),
        }
    }
}

/// IPv4 clients of a socket that takes both kinds have IPv6 addresses that stand for their own.
fn same_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    let mapped = |ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    };
    match (source.to_canonical(), destination.to_canonical()) {
        (source, destination) if source.is_ipv4() == destination.is_ipv4() => (source, destination),
        (source, destination) => (mapped(source), mapped(destination)),
    }
}

fn encode_v1((source, destination): (IpAddr, IpAddr), ports: (u16, u16)) -> Vec<u8> {
    let family = match source {
        IpAddr::V4(_) => "TCP4",
        IpAddr::V6(_) => "TCP6",
    };
    let (source_port, destination_port) = ports;
    format!("PROXY {family} {source} {destination} {source_port} {destination_port}\r\n")
        .into_bytes()
}

fn encode_v2((source, destination): (IpAddr, IpAddr), ports: (u16, u16)) -> Vec<u8> {
    let mut addresses = Vec::new();
    for ip in [source, destination] {
        match ip {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    for port in [ports.0, ports.1] {
        addresses.extend(port.to_be_bytes());
    }
    let family = match source {
        IpAddr::V4(_) => V2_TCP4,
        IpAddr::V6(_) => V2_TCP6,
    };
    // Never more than 36.
    let length = addresses.len() as u8;
    [
        &V2_SIGNATURE[..],
        &[V2_PROXY, family, 0, length],
        &addresses,
    ]
    .concat()
}

#[cfg(test)]
mod tests;
