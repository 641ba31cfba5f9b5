//! The TLS that everybody here speaks: one certificate, one version, one cipher suite.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use rustls::{ClientConfig, ClientConnection, client::Resumption, pki_types::ServerName};
use testkit::ScratchDirectory;
use transport::tls::{
    MinimumVersion, ServerVerification, Strength, client_config, generated_key_pair,
};

/// The cipher suite.
pub(crate) const CIPHER_SUITE: &str = "TLS_AES_128_GCM_SHA256";
/// The version, as MySQL and OpenSSL name it.
pub(crate) const VERSION: &str = "TLSv1.3";

/// What servers and proxies show: a self-signed certificate, ECDSA with P-256.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: ScratchDirectory,
}

impl Certificate {
    /// Makes one.
    pub(crate) fn generate() -> Result<Self> {
        let directory = ScratchDirectory::new();
        generated_key_pair(Some(directory.path()))?;
        let certificate = Self { directory };
        let both = [
            fs::read(certificate.path())?,
            fs::read(certificate.key_path())?,
        ];
        fs::write(certificate.with_key_path(), both.concat())?;
        Ok(certificate)
    }

    /// The certificate's file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.file("server-cert.pem")
    }

    /// Its key's file.
    pub(crate) fn key_path(&self) -> PathBuf {
        self.directory.file("server-key.pem")
    }

    /// A file with both, as HAProxy wants them.
    pub(crate) fn with_key_path(&self) -> PathBuf {
        self.directory.file("both.pem")
    }

    /// The options that servers and mysql-proxy take alike.
    pub(crate) fn options(&self) -> [String; 2] {
        let option = |name: &str, path: &Path| format!("--ssl-{name}={}", path.display());
        [
            option("cert", &self.path()),
            option("key", &self.key_path()),
        ]
    }
}

/// When a client begins to speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With the first byte.
    AtOnce,
    /// As MySQL does: behind the greeting, when the client has asked for it.
    InBand,
}

/// A client's side.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    /// When it begins.
    pub(crate) begin: Begin,
}

impl ClientTls {
    /// For clients that keep the keys of earlier connections, or do not.
    pub(crate) fn new(begin: Begin, resumes: bool) -> Result<Self> {
        let strength = Strength {
            minimum_version: MinimumVersion::Tls13,
            ciphers: vec![CIPHER_SUITE.to_owned()],
        };
        let connector = client_config(&ServerVerification::None, None, &strength)?;
        let mut config = ClientConfig::clone(connector.config());
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self {
            config: Arc::new(config),
            begin,
        })
    }

    /// A connection whose handshake is the first read's or write's.
    pub(crate) fn connection(&self) -> Result<ClientConnection> {
        let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        Ok(ClientConnection::new(Arc::clone(&self.config), name)?)
    }
}
