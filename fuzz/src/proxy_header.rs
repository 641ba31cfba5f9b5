//! PROXY headers: nothing behind one is asked for, and one that is written reads the same.

use transport::proxy_protocol::{Decoded, Header, Version, decode};

use crate::memory::bounded;

/// Input: what a connection begins with.
pub(crate) fn run(input: &[u8]) {
    let whole = bounded(input, || decode(input));
    // As much as was asked for, as a reader does it.
    let mut have = 0;
    let read = loop {
        match decode(&input[..have]) {
            Ok(Decoded::Incomplete(bytes)) => {
                assert!(bytes > 0);
                if have + bytes > input.len() {
                    break None;
                }
                have += bytes;
            }
            end => break Some(end),
        }
    };
    match read {
        Some(Ok(end)) => {
            assert_eq!(whole, Ok(end));
            // Without its last byte it was none yet.
            assert!(matches!(
                decode(&input[..have - 1]),
                Ok(Decoded::Incomplete(1..))
            ));
            if let Decoded::Complete(header) = end {
                written(header);
            }
        }
        Some(Err(error)) => assert_eq!(whole, Err(error)),
        None => assert!(!matches!(whole, Ok(Decoded::Complete(_)))),
    }
}

fn written(header: Header) {
    for version in [Version::V1, Version::V2] {
        let bytes = header.encode(version);
        let expected = match header {
            Header::Unix => Header::Local,
            header => header,
        };
        let Ok(Decoded::Complete(again)) = decode(&bytes) else {
            panic!("{header:?} is written as {}", bytes.escape_ascii());
        };
        assert_eq!(canonical(again), canonical(expected));
    }
}

/// An IPv4 address may be written as the IPv6 address that stands for it.
fn canonical(header: Header) -> Header {
    let canonical = |mut address: std::net::SocketAddr| {
        address.set_ip(address.ip().to_canonical());
        address
    };
    match header {
        Header::Tcp {
            source,
            destination,
        } => Header::Tcp {
            source: canonical(source),
            destination: canonical(destination),
        },
        header => header,
    }
}
