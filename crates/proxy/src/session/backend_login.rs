//! The login that a backend gets: compressed and under TLS where that is wanted, its password hidden as that side needs it.
//!
//! What the backend says to it is for `authentication`.

use backend::{Address, Backend, ServerSession};
use protocol::Capabilities;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10, SslRequest};
use transport::compression::Compression;

use super::authentication::{Authentication, FirstAnswer};
use super::client_login::decode;
use super::error::{Party, SessionError};
use crate::compression::{COMPRESSED, CompressionSettings};
use crate::tls::{ClientTlsMode, TlsSettings, server_name};

/// Who is at the other end.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    /// The backend's.
    pub(super) index: usize,
    address: &'a Address,
    pub(super) tls: &'a TlsSettings,
    pub(super) compression: &'a CompressionSettings,
    pub(super) handshake: &'a HandshakeV10,
    /// Of an idle connection.
    pub(super) session: Option<&'a ServerSession>,
}

impl<'a> Server<'a> {
    pub(super) fn new(
        backend: &'a Backend,
        (tls, compression): (&'a TlsSettings, &'a CompressionSettings),
        handshake: &'a HandshakeV10,
        session: Option<&'a ServerSession>,
    ) -> Self {
        Self {
            index: backend.index(),
            address: backend.address(),
            tls,
            compression,
            handshake,
            session,
        }
    }

    /// What a client may have with us. One that goes on to the backend under TLS of theirs may have it with that.
    pub(super) fn offered_compression(&self) -> Capabilities {
        let offered = self.compression.offered();
        match self.tls.client_mode {
            ClientTlsMode::Passthrough => offered & self.handshake.capabilities,
            _ => offered,
        }
    }
}

/// The client's login, compressed and under TLS where that is wanted.
pub(super) async fn send(
    login: &mut Authentication<'_>,
    mut payload: Vec<u8>,
    (response, compression): (&HandshakeResponse41, Option<Compression>),
    server: Server<'_>,
) -> Result<(), SessionError> {
    login.plugin_name.clone_from(&response.auth_plugin_name);
    ask_for_compression(login, &mut payload, (compression, server))?;
    // How a password crosses depends on whether the backend's side is secure, so that comes first.
    secure(login, &mut payload, server).await?;
    let answer = login.first_answer(&response.auth_plugin_name, &response.auth_response)?;
    let auth_response = match answer {
        FirstAnswer::Relay => return login.send_backend(&payload).await,
        FirstAnswer::Password(key_request) => {
            login.password = Some(response.auth_response.clone());
            vec![key_request]
        }
        FirstAnswer::OfferKey(_) => login.password_under_our_key().await?,
    };
    let response = HandshakeResponse41 {
        auth_response,
        ..decode(&payload)?
    };
    encode(&response, &mut payload);
    login.send_backend(&payload).await
}

/// The backend is told in its login, before anything of TLS: servers look at the flags of the request for that.
pub(super) fn ask_for_compression(
    login: &mut Authentication<'_>,
    payload: &mut Vec<u8>,
    (client, server): (Option<Compression>, Server<'_>),
) -> Result<(), SessionError> {
    let wanted = server
        .compression
        .with_backend(client, server.handshake.capabilities);
    login.backend_compression = wanted;
    let mut response = decode(payload)?;
    if wanted.is_none() && !response.capabilities.intersects(COMPRESSED) {
        return Ok(());
    }
    response.capabilities -= COMPRESSED;
    if let Some(wanted) = wanted {
        response.capabilities |= wanted.algorithm.capability();
        response.zstd_level = Some(wanted.level);
    }
    encode(&response, payload);
    Ok(())
}

pub(super) fn encode(response: &HandshakeResponse41, payload: &mut Vec<u8>) {
    payload.clear();
    response.encode(payload);
}

/// TLS with the backend, where it is wanted, before it gets this login.
pub(super) async fn secure(
    login: &mut Authentication<'_>,
    payload: &mut [u8],
    server: Server<'_>,
) -> Result<(), SessionError> {
    let (client, backend) = login.streams();
    let no_tls = |reason: &str| {
        let address = server.address;
        SessionError::refused(format!("(proxy) no TLS with backend {address}: {reason}"))
    };
    let wanted = server
        .tls
        .is_wanted(client, backend, server.handshake.capabilities)
        .map_err(no_tls)?;
    if !wanted {
        return Ok(());
    }
    let connector = server.tls.connector.as_ref();
    let connector = connector.ok_or_else(|| no_tls("it is not set up"))?;
    let name = server_name(server.address).ok_or_else(|| no_tls("it has no name"))?;
    let response = HandshakeResponse41::decode(payload)
        .map_err(|error| SessionError::Malformed(Party::Client, error))?;
    HandshakeResponse41::patch_capabilities(payload, response.capabilities | Capabilities::SSL)
        .map_err(|error| SessionError::Malformed(Party::Client, error))?;
    // Its beginning is the request for TLS.
    let request = payload.get(..SslRequest::BYTES).unwrap_or_default();
    login.connect_tls(request, connector, name).await
}
