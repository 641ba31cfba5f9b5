//! Where TLS is spoken: towards clients, towards backends, and which of them depends on the other.
//!
//! Certificates are [`transport::tls`]'s.

use std::fmt;

use backend::{Address, Stream, Target};
use protocol::Capabilities;
use rustls_pki_types::{DnsName, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Whether clients are offered TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientTlsMode {
    /// No.
    Disabled,
    /// Those who want it have it.
    #[default]
    Preferred,
    /// Who does not want it is turned away, unless it comes by a Unix socket.
    Required,
    /// What clients and backends say under TLS is theirs: it is copied, and nobody sees it.
    Passthrough,
}

/// Whether backends are spoken to under TLS. Their Unix sockets never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerTlsMode {
    /// No.
    Disabled,
    /// Where they offer it.
    Preferred,
    /// Always.
    Required,
    /// As the client does.
    #[default]
    AsClient,
}

/// Modes, certificates, and what is expected of a backend's.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// Towards clients.
    pub client_mode: ClientTlsMode,
    /// Towards backends.
    pub server_mode: ServerTlsMode,
    /// Our certificate; without one clients cannot have TLS of ours.
    pub acceptor: Option<TlsAcceptor>,
    /// Whose certificates count; without one backends are spoken to in plain.
    pub connector: Option<TlsConnector>,
    /// Of what `connector` was made of: where it differs, other servers are trusted, or are shown another certificate.
    pub server_fingerprint: u64,
}

impl TlsSettings {
    /// Whether a client is to be offered TLS, where its backend offers these capabilities over this connection.
    pub(crate) fn is_offered(&self, backend: &Stream, capabilities: Capabilities) -> bool {
        let is_backend_able = capabilities.contains(Capabilities::SSL);
        match self.client_mode {
            ClientTlsMode::Disabled => false,
            ClientTlsMode::Passthrough => is_backend_able,
            ClientTlsMode::Required => self.acceptor.is_some(),
            // Both sides are to be alike, so both have to be able to.
            ClientTlsMode::Preferred if self.server_mode == ServerTlsMode::AsClient => {
                self.acceptor.is_some() && (is_backend_able || backend.is_unix())
            }
            ClientTlsMode::Preferred => self.acceptor.is_some(),
        }
    }

    /// Whether the backend is to be spoken to under TLS.
    ///
    /// # Errors
    /// It should be, and cannot.
    pub(crate) fn is_wanted(
        &self,
        client: &Stream,
        backend: &Stream,
        capabilities: Capabilities,
    ) -> Result<bool, &'static str> {
        let is_able = capabilities.contains(Capabilities::SSL);
        if backend.is_unix() || backend.is_tls() {
            return Ok(false);
        }
        let is_needed = match self.server_mode {
            ServerTlsMode::Disabled => return Ok(false),
            ServerTlsMode::Preferred => return Ok(is_able),
            ServerTlsMode::Required => true,
            ServerTlsMode::AsClient => client.is_tls(),
        };
        match (is_needed, is_able) {
            (true, false) => Err("it offers no TLS"),
            (is_needed, _) => Ok(is_needed),
        }
    }

    /// What of a login's capabilities tells connections of a pool apart: TLS does where it depends on the client.
    pub(crate) fn pool_key(&self, client: &Stream, capabilities: Capabilities) -> Capabilities {
        let depends = self.server_mode == ServerTlsMode::AsClient && client.is_tls();
        match depends {
            true => capabilities | Capabilities::SSL,
            false => capabilities - Capabilities::SSL,
        }
    }
}

/// The host that a backend's certificate has to be for. A Unix socket's never needs one.
pub fn server_name(address: &Address) -> Option<ServerName<'static>> {
    match address.target() {
        Target::Ip(ip, _) => Some(ServerName::IpAddress((*ip).into())),
        Target::Name(name, _) => {
            let name = DnsName::try_from(name.clone()).ok()?;
            Some(ServerName::DnsName(name))
        }
        Target::Unix(_) => None,
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("client_mode", &self.client_mode)
            .field("server_mode", &self.server_mode)
            .finish_non_exhaustive()
    }
}
