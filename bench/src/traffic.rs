//! What goes over the wire, between a client and a proxy and behind that.

use transport::compression::{Algorithm, Compression};

/// How clients speak, and what a proxy makes of it. The table has its rows in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// Neither encrypted nor compressed.
    Plain,
    /// TLS with the proxy, which speaks TLS with the server.
    Tls,
    /// The same; clients go on with the keys of an earlier connection where they are allowed to.
    TlsResumed,
    /// TLS with the server; the proxy cannot look into it.
    TlsPassthrough,
    /// Compressed by zlib between client and proxy, not behind that.
    Zlib,
    /// The same by zstd.
    Zstd,
}

/// How a proxy has to be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it is, without encryption.
    Plain,
    /// It ends the client's TLS and begins another with the server.
    Tls,
    /// It passes TLS on.
    Passthrough,
}

impl Traffic {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Tls,
        Self::TlsResumed,
        Self::TlsPassthrough,
        Self::Zlib,
        Self::Zstd,
    ];

    /// What it takes.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Plain | Self::Zlib | Self::Zstd => Mode::Plain,
            Self::Tls | Self::TlsResumed => Mode::Tls,
            Self::TlsPassthrough => Mode::Passthrough,
        }
    }

    /// Between client and proxy.
    pub(crate) fn compression(self) -> Option<Compression> {
        let algorithm = match self {
            Self::Zlib => Algorithm::Zlib,
            Self::Zstd => Algorithm::Zstd,
            Self::Plain | Self::Tls | Self::TlsResumed | Self::TlsPassthrough => return None,
        };
        Some(Compression {
            algorithm,
            level: Compression::LEVEL_DEFAULT,
        })
    }

    /// As the table and JSON say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS",
            Self::TlsResumed => "TLS resumed",
            Self::TlsPassthrough => "TLS passed through",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}
