//! `HOST:PORT`, `[IPV6]:PORT` and `/path/to/socket`, as options and configuration files write them.
//!
//! No name is resolved here: a name stays a name until someone connects to it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The port of an address that names none.
const DEFAULT_PORT: u16 = 3306;

/// What `sockaddr_un` holds, less its terminating zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Where to listen or to connect to. Its `Display` is the text that the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    configured: String,
    target: Target,
}

/// What an [`Address`] points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A literal IPv4 or IPv6 address.
    Ip(IpAddr, u16),
    /// A host name, to be resolved at every use.
    Name(String, u16),
    /// A Unix socket's absolute path.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// `host:`
    #[error("address `{0}` has no port after the colon")]
    MissingPort(String),
    /// `host:12x`, `host:70000`
    #[error("address `{address}`: `{port}` is not a port number (0 to 65535)")]
    BadPort {
        /// The whole address.
        address: String,
        /// The part that should have been a number.
        port: String,
    },
    /// `::1` without brackets
    #[error(
        "address `{0}` has more than one colon; write an IPv6 address in brackets: `[::1]:3306`"
    )]
    Unbracketed(String),
    /// `[::1` or `[::1]x`
    #[error("address `{0}` is not of the form `[IPV6]:PORT`")]
    BadBrackets(String),
    /// A Unix socket's path that the system cannot hold.
    #[error("unix socket path `{0}` is too long ({UNIX_PATH_BYTES_MAX} bytes at most)")]
    UnixPathTooLong(String),
}

impl Address {
    /// What the address points at.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// True for a Unix socket, which counts as a secure transport.
    pub fn is_unix(&self) -> bool {
        matches!(self.target, Target::Unix(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.configured)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// `:PORT` is IPv4's any-address; a missing port is 3306.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let target = if text.starts_with('/') {
            unix(text)?
        } else if text.starts_with('[') {
            bracketed(text)?
        } else {
            host_and_port(text)?
        };
        Ok(Self {
            configured: text.to_owned(),
            target,
        })
    }
}

fn unix(path: &str) -> Result<Target, AddressError> {
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(AddressError::UnixPathTooLong(path.to_owned()));
    }
    Ok(Target::Unix(PathBuf::from(path)))
}

fn bracketed(text: &str) -> Result<Target, AddressError> {
    let bad = || AddressError::BadBrackets(text.to_owned());
    let (host, rest) = text
        .strip_prefix('[')
        .and_then(|t| t.split_once(']'))
        .ok_or_else(bad)?;
    let ip = host.parse().map(IpAddr::V6).map_err(|_| bad())?;
    match rest.strip_prefix(':') {
        Some(port_text) => Ok(Target::Ip(ip, port(text, port_text)?)),
        None if rest.is_empty() => Ok(Target::Ip(ip, DEFAULT_PORT)),
        None => Err(bad()),
    }
}

fn host_and_port(text: &str) -> Result<Target, AddressError> {
    let (host, port) = match text.split_once(':') {
        None => (text, DEFAULT_PORT),
        Some((_, rest)) if rest.contains(':') => {
            return Err(AddressError::Unbracketed(text.to_owned()));
        }
        Some((host, port_text)) => (host, port(text, port_text)?),
    };
    Ok(if host.is_empty() {
        Target::Ip(IpAddr::from([0, 0, 0, 0]), port)
    } else if let Ok(ip) = host.parse() {
        Target::Ip(ip, port)
    } else {
        Target::Name(host.to_owned(), port)
    })
}

fn port(address: &str, text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Err(AddressError::MissingPort(address.to_owned()));
    }
    text.parse().map_err(|_| AddressError::BadPort {
        address: address.to_owned(),
        port: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse::<Address>().unwrap().target
    }

    #[test]
    fn every_documented_form() {
        let ip = |text: &str, port| Target::Ip(text.parse().unwrap(), port);
        assert_eq!(target("10.0.0.1:3307"), ip("10.0.0.1", 3307));
        assert_eq!(target("10.0.0.1"), ip("10.0.0.1", 3306));
        assert_eq!(target(":4040"), ip("0.0.0.0", 4040));
        assert_eq!(target(""), ip("0.0.0.0", 3306));
        assert_eq!(target("[::1]:4040"), ip("::1", 4040));
        assert_eq!(target("[::1]"), ip("::1", 3306));
        assert_eq!(target("sakila:3306"), Target::Name("sakila".into(), 3306));
        assert_eq!(target("sakila:0"), Target::Name("sakila".into(), 0));
        assert_eq!(target("/run/m.sock"), Target::Unix("/run/m.sock".into()));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        assert!(error("sakila:").contains("no port"));
        assert!(error("sakila:12x").contains("`12x`"));
        assert!(error("sakila:65536").contains("`65536`"));
        assert!(error("::1").contains("[::1]:3306"));
        assert!(error("[::1").contains("[IPV6]:PORT"));
        assert!(error("[::1]x").contains("[IPV6]:PORT"));
        assert!(error(&format!("/{}", "x".repeat(107))).contains("too long"));
    }

    #[test]
    fn shows_what_was_written() {
        assert_eq!(":4040".parse::<Address>().unwrap().to_string(), ":4040");
    }
}
