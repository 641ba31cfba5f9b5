//! The client's login as it comes in: under TLS if it wants that, and refused as a server refuses it where it is none.
//!
//! What becomes of it is for `login`.

use protocol::DecodeError;
use protocol::connection_phase::{HandshakeResponse41, SslRequest};
use protocol::response::{ErrPacket, error_code};
use transport::proxy_protocol;

use super::authentication::Authentication;
use super::error::{Party, Refusal, SessionError};
use crate::tls::{ClientTlsMode, TlsSettings};

/// The client's login, under TLS if it wants that. `None` where it is for the backend to read.
pub(super) async fn read(
    login: &mut Authentication<'_>,
    tls: &TlsSettings,
    offers_tls: bool,
) -> Result<Option<Vec<u8>>, SessionError> {
    login.expect_tls(offers_tls);
    let mut payload = first_packet(login).await?;
    if offers_tls && SslRequest::is(&payload) {
        match (tls.client_mode, &tls.acceptor) {
            (ClientTlsMode::Passthrough, _) | (_, None) => {
                login.send_backend(&payload).await?;
                return Ok(None);
            }
            (_, Some(acceptor)) => login.accept_tls(acceptor).await?,
        }
        payload = first_packet(login).await?;
    }
    login.expect_tls(false);
    if tls.client_mode == ClientTlsMode::Required && !login.streams().0.is_secure() {
        return Err(SessionError::Refused(Refusal::new(
            error_code::SECURE_TRANSPORT_REQUIRED,
            ErrPacket::GENERAL_ERROR,
            "(proxy) connections without TLS are refused (--client-ssl-mode=REQUIRED)",
        )));
    }
    Ok(Some(payload))
}

/// Garbage is answered as a server answers it.
async fn first_packet(login: &mut Authentication<'_>) -> Result<Vec<u8>, SessionError> {
    match login.client_packet().await {
        Ok(packet) => Ok(packet.payload),
        Err(SessionError::Malformed(Party::Client, error)) => Err(bad_handshake(&error)),
        Err(error) => Err(error),
    }
}

pub(super) fn decode(payload: &[u8]) -> Result<HandshakeResponse41, SessionError> {
    if SslRequest::is(payload) {
        return Err(SessionError::Refused(Refusal::new(
            error_code::HANDSHAKE_ERROR,
            *b"08S01",
            "(proxy) TLS was asked for, but the greeting does not offer it",
        )));
    }
    HandshakeResponse41::decode(payload).map_err(|error| match error {
        DecodeError::Invalid {
            field: "client flags",
            ..
        } => SessionError::Refused(Refusal::new(
            error_code::VERSION_ERROR,
            *b"08S01",
            "4.0 protocol is not supported",
        )),
        error => bad_handshake(&error),
    })
}

fn bad_handshake(error: &DecodeError) -> SessionError {
    SessionError::Refused(Refusal::new(
        error_code::HANDSHAKE_ERROR,
        *b"08S01",
        format!("Bad handshake: {error}{}", header_hint(error)),
    ))
}

/// A relay before us that sends what nobody asked it for. It is not believed.
fn header_hint(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::TooLong { bytes, .. } if proxy_protocol::is_packet_length(*bytes) => {
            "; it begins as a PROXY header does, and this peer is not in --proxy-protocol-networks"
        }
        _ => "",
    }
}
