//! Groups of peers, as an operator lists them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Peers that have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// `*`: everybody, on Unix sockets too.
    All,
    /// `localhost`: those on Unix sockets.
    UnixSockets,
    /// An address, or a network in CIDR notation.
    Ip(IpNet),
}

/// Text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no address, no network as in 192.0.2.0/24, neither localhost (Unix sockets) nor * (all)"
)]
pub struct NetworkError(String);

impl Network {
    /// Whether this peer is one of them; `None` is one on a Unix socket.
    pub fn contains(&self, peer: Option<SocketAddr>) -> bool {
        match (self, peer) {
            (Self::All, _) | (Self::UnixSockets, None) => true,
            // An IPv4 client of an IPv6 socket is one of its IPv4 network.
            (Self::Ip(network), Some(peer)) => network.contains(&peer.ip().to_canonical()),
            (Self::UnixSockets, Some(_)) | (Self::Ip(_), None) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        match text {
            "*" => return Ok(Self::All),
            "localhost" => return Ok(Self::UnixSockets),
            _ => {}
        }
        let address = text.parse().map(|ip: IpAddr| ip.to_canonical().into());
        address
            .or_else(|_| text.parse())
            .map(Self::Ip)
            .map_err(|_| NetworkError(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::UnixSockets => f.write_str("localhost"),
            Self::Ip(network) => network.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, peer: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(Some(SocketAddr::new(peer.parse().unwrap(), 3306)))
    }

    #[test]
    fn addresses_and_networks() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1", "::ffff:192.0.2.1", "::1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.77/24", "::ffff:192.0.2.1", "192.0.3.0"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("::/0", "::1", "1.2.3.4"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
            assert!(!network.parse::<Network>().unwrap().contains(None));
        }
    }

    #[test]
    fn all_and_unix_sockets() {
        assert!(contains("*", "1.2.3.4") && Network::All.contains(None));
        assert!(!contains("localhost", "127.0.0.1"));
        assert!(Network::UnixSockets.contains(None));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "db1",
            "192.0.2.0/33",
            "192.0.2",
            "::/129",
            "1.2.3.4:5",
            "**",
            "/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
