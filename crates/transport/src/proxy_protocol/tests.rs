//! Vectors of both versions, every cut, and bytes from nowhere.

use proptest::prelude::*;

use super::*;

const LOGIN: &[u8] = b"\x55\0\0\x01PROXY \r\nlogin";

/// Reads as a session does: nothing but what is asked for. The header, and how much was read.
fn read(stream: &[u8]) -> Result<(Header, usize), HeaderError> {
    let mut read = 0;
    loop {
        match decode(&stream[..read])? {
            Decoded::Complete(header) => return Ok((header, read)),
            Decoded::Incomplete(bytes) => {
                assert!(bytes > 0);
                read += bytes;
                assert!(read <= stream.len(), "asks for more than there is");
            }
        }
    }
}

/// Whatever lies behind a header is left where it is, and each prefix of it is incomplete.
fn header(bytes: &[u8]) -> Header {
    for cut in 0..bytes.len() {
        match decode(&bytes[..cut]) {
            Ok(Decoded::Incomplete(missing)) => assert!(cut + missing <= bytes.len(), "{cut}"),
            other => panic!("{other:?} at {cut}"),
        }
    }
    let stream = [bytes, LOGIN].concat();
    let (header, read) = read(&stream).unwrap();
    assert_eq!(read, bytes.len());
    header
}

fn tcp(source: &str, destination: &str) -> Header {
    Header::Tcp {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, rest].concat()
}

#[test]
fn version_1() {
    assert_eq!(
        header(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 3306\r\n"),
        tcp("192.0.2.1:56324", "198.51.100.2:3306")
    );
    assert_eq!(
        header(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"),
        tcp("[2001:db8::1]:0", "[::1]:65535")
    );
    let longest: &[u8] = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                           ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), V1_BYTES_MAX);
    for unknown in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"PROXY UNKNOWN \xff\r\r \n a b c d e f g h\r\n",
        longest,
    ] {
        assert_eq!(header(unknown), Header::Local);
    }
}

#[test]
fn a_line_that_is_not_version_1() {
    for line in [
        "PROXY ",
        "PROXY TCP4",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2",
        "PROXY TCP4 1.2.3.4 1.2.3.04 1 2",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2",
        "PROXY UNKNOWNS",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\u{e9}",
    ] {
        let bytes = [line.as_bytes(), b"\r\n"].concat();
        match decode(&bytes) {
            Err(HeaderError::Line(text)) => assert!(text.is_ascii(), "{text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn version_1_ends_within_107_bytes() {
    let line = |bytes: usize| {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(bytes, b'x');
        line
    };
    assert_eq!(decode(&line(106)), Ok(Decoded::Incomplete(1)));
    assert_eq!(decode(&line(107)), Err(HeaderError::Endless));
    let mut late = line(107);
    late.extend_from_slice(b"\r\n");
    assert_eq!(read(&late), Err(HeaderError::Endless));
    assert_eq!(decode(&late), Err(HeaderError::Endless));
}

#[test]
fn version_2() {
    let ipv4 = b"\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x0c\xea";
    let expected = tcp("192.0.2.1:56324", "198.51.100.2:3306");
    assert_eq!(header(&v2(V2_PROXY, V2_TCP4, ipv4)), expected);
    let tlv = b"\x02\0\x05nobox\x04\0\x00\xee\xff\xff";
    let with_tlvs = [&ipv4[..], tlv].concat();
    assert_eq!(header(&v2(V2_PROXY, V2_TCP4, &with_tlvs)), expected);

    let mut ipv6 = [0; 36];
    ipv6[15] = 1;
    ipv6[31] = 2;
    ipv6[33] = 3;
    ipv6[35] = 4;
    assert_eq!(
        header(&v2(V2_PROXY, V2_TCP6, &ipv6)),
        tcp("[::1]:3", "[::2]:4")
    );
    assert_eq!(header(&v2(V2_PROXY, V2_UNIX, &[b'/'; 216])), Header::Unix);
    // Whatever the rest says.
    for rest in [&b""[..], ipv4, &[0xff; 1000], &[0; 0xffff]] {
        assert_eq!(header(&v2(V2_PROXY, V2_UNSPECIFIED, rest)), Header::Local);
        for family in 0..=u8::MAX {
            let local = v2(V2_LOCAL, family, rest);
            let (header, read) = read(&[&local, LOGIN].concat()).unwrap();
            assert_eq!((header, read), (Header::Local, local.len()));
        }
        // UDP, and families without a transport.
        for family in [0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x32] {
            let bytes = v2(V2_PROXY, family, rest);
            assert_eq!(read(&bytes), Ok((Header::Local, bytes.len())));
        }
    }
}

/// Before its rest is read.
#[test]
fn what_is_not_version_2() {
    let fixed = |command: u8, family: u8, length: u16| {
        let [high, low] = length.to_be_bytes();
        decode(&[&V2_SIGNATURE[..], &[command, family, high, low]].concat())
    };
    for command in (0..=u8::MAX).filter(|command| ![V2_LOCAL, V2_PROXY].contains(command)) {
        let expected = Err(HeaderError::Command(command));
        assert_eq!(fixed(command, V2_TCP4, 12), expected);
    }
    for family in [0x03, 0x0f, 0x13, 0x1f, 0x40, 0x41, 0xff] {
        assert_eq!(
            fixed(V2_PROXY, family, 300),
            Err(HeaderError::Family(family))
        );
    }
    for (family, bytes) in [(V2_TCP4, 12), (V2_TCP6, 36), (V2_UNIX, 216)] {
        assert_eq!(
            fixed(V2_PROXY, family, bytes),
            Ok(Decoded::Incomplete(bytes.into()))
        );
        let error = HeaderError::Short((bytes - 1).into());
        assert_eq!(fixed(V2_PROXY, family, bytes - 1), Err(error));
        assert_eq!(fixed(V2_PROXY, family, 0), Err(HeaderError::Short(0)));
    }
}

#[test]
fn what_begins_otherwise_is_known_at_once() {
    for bytes in [
        &b"\x55\0\0\x01"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY\tTCP4",
        b"PROXX",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\r\nPROXY ",
        b"\n",
        b" ",
    ] {
        assert_eq!(decode(bytes), Err(HeaderError::Foreign), "{bytes:?}");
        assert_eq!(read(&[bytes, &[0; 20]].concat()), Err(HeaderError::Foreign));
    }
}

#[test]
fn a_header_that_is_read_as_a_packet_has_a_length_of_its_own() {
    for start in [&b"PROXY TCP4"[..], V2_SIGNATURE] {
        let header = protocol::packet::PacketHeader::peek(start).unwrap();
        assert!(is_packet_length(header.length));
        assert!(header.length > protocol::limits::LOGIN_PACKET_BYTES_MAX);
    }
    assert!(!is_packet_length(85));
}

#[test]
fn headers_are_written() {
    let ipv4 = tcp("192.0.2.1:56324", "198.51.100.2:3306");
    let text = ipv4.encode(Version::V1);
    assert_eq!(text, b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 3306\r\n");
    let rest = b"\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x0c\xea";
    assert_eq!(ipv4.encode(Version::V2), v2(V2_PROXY, V2_TCP4, rest));
    for of_no_address in [Header::Local, Header::Unix] {
        assert_eq!(of_no_address.encode(Version::V1), b"PROXY UNKNOWN\r\n");
        assert_eq!(of_no_address.encode(Version::V2), v2(V2_LOCAL, 0, b""));
    }
}

#[test]
fn both_addresses_are_of_one_family() {
    for (source, destination, expected) in [
        (
            "[::ffff:192.0.2.1]:1",
            "[::ffff:192.0.2.2]:2",
            tcp("192.0.2.1:1", "192.0.2.2:2"),
        ),
        (
            "192.0.2.1:1",
            "[2001:db8::2]:2",
            tcp("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2"),
        ),
        (
            "[2001:db8::2]:2",
            "[::ffff:192.0.2.1]:1",
            tcp("[2001:db8::2]:2", "[::ffff:192.0.2.1]:1"),
        ),
    ] {
        for version in [Version::V1, Version::V2] {
            let bytes = tcp(source, destination).encode(version);
            assert_eq!(header(&bytes), expected);
        }
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

/// Of one family, and none that stands for one of the other.
fn any_header() -> impl Strategy<Value = Header> {
    let tcp = (
        prop_oneof![
            any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ],
        any::<(u16, u16)>(),
    );
    let tcp = tcp.prop_map(|((source, destination), ports)| Header::Tcp {
        source: SocketAddr::new(source.to_canonical(), ports.0),
        destination: SocketAddr::new(destination.to_canonical(), ports.1),
    });
    let tcp = tcp.prop_filter("one family", |header| match header {
        Header::Tcp {
            source,
            destination,
        } => source.is_ipv4() == destination.is_ipv4(),
        _ => true,
    });
    prop_oneof![tcp, Just(Header::Local)]
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_no_byte_behind_it(header in any_header(), version in version()) {
        let bytes = header.encode(version);
        prop_assert!(version == Version::V2 || bytes.len() <= V1_BYTES_MAX);
        prop_assert_eq!(self::header(&bytes), header);
    }

    /// No panic, and an end: every byte that is asked for is one of a header that could be.
    #[test]
    fn bytes_from_nowhere(
        start in prop_oneof![
            Just(&b""[..]),
            Just(V1_PREFIX),
            Just(&b"PROXY TCP4 1.2.3.4 1.2.3.4 "[..]),
            Just(&V2_SIGNATURE[..]),
            Just(&b"\r\n\r\n\0\r\nQUIT\n\x21"[..]),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let stream = [start, &rest].concat();
        let mut read = 0;
        while read <= stream.len() {
            match decode(&stream[..read]) {
                Ok(Decoded::Incomplete(bytes)) => {
                    prop_assert!(bytes > 0);
                    read += bytes;
                    prop_assert!(read <= V2_FIXED_BYTES + usize::from(u16::MAX));
                }
                Ok(Decoded::Complete(_)) | Err(_) => break,
            }
        }
    }

    /// Also where more was read than was asked for.
    #[test]
    fn any_bytes_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        for start in [V1_PREFIX, &V2_SIGNATURE[..]] {
            let _ = decode(&[start, &bytes].concat());
        }
    }
}
