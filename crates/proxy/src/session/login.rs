//! The client logs in at its backend: the backend's greeting goes to the client, the client's answer back. The proxy
//! knows no password.
//!
//! Both sides end up speaking alike: what the backend offers and we cannot relay as it comes is masked in the greeting.

use backend::abandoned_login::{self, Stage};
use backend::packet_io::PacketReader;
use backend::{ClientCount, Greeted, Stream};
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10, SslRequest};
use protocol::response::error_code;
use protocol::{Capabilities, DecodeError, StatusFlags};

use super::Context;
use super::authentication::{Authentication, Decision, FirstAnswer};
use super::connect::Connected;
use super::error::{Party, Refusal, SessionError};
use super::{last_words, unless_expired};
use crate::shutdown::Registration;

/// What both sides may agree on. The rest needs the proxy's help (TLS, compression) or is unknown to it.
const RELAYED: Capabilities = Capabilities::from_bits_retain(0x3f_ffff_ffff)
    .difference(Capabilities::SSL)
    .difference(Capabilities::COMPRESS)
    .difference(Capabilities::ZSTD_COMPRESSION)
    .difference(Capabilities::MARIADB_COM_MULTI);

/// A client that its backend let in.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) client: Stream,
    pub(super) backend: Stream,
    pub(super) count: ClientCount,
    pub(super) capabilities: Capabilities,
    pub(super) status: StatusFlags,
    pub(super) nonce: Vec<u8>,
    /// What the client sent behind its login.
    pub(super) rest: Vec<u8>,
}

/// Relays the login.
///
/// # Errors
/// Whatever ends it. The client has been told, and the backend holds nothing against our host.
pub(super) async fn log_in(
    mut client: Stream,
    connected: Connected,
    context: &Context,
    registration: &Registration,
) -> Result<LoggedIn, SessionError> {
    let Connected { count, greeted } = connected;
    let Greeted {
        stream: mut backend,
        payload,
        handshake,
    } = greeted;
    let mut login = Authentication::new(
        (&mut client, PacketReader::default()),
        &mut backend,
        handshake.auth_plugin_data.clone(),
        context.settings.login_timeout,
    );
    let attempt = attempt(&mut login, payload, &handshake);
    let outcome = unless_expired(registration, attempt)
        .await
        .unwrap_or(Err(SessionError::Shutdown));
    let client_sequence_id = login.client_sequence_id;
    let stage = match login.backend_sequence_id {
        0 => Stage::Greeted(&handshake),
        sequence_id => Stage::Answered {
            sequence_id,
            server_waits: login.is_backend_waiting,
        },
    };
    let (rest, nonce) = login.into_rest();
    match outcome {
        Ok((capabilities, status)) => Ok(LoggedIn {
            client,
            backend,
            count,
            capabilities,
            status,
            nonce,
            rest,
        }),
        Err(SessionError::Denied) => {
            last_words::linger(&mut client).await;
            Err(SessionError::Denied)
        }
        Err(error) => {
            let address = count.backend().address().to_string();
            let told = last_words::tell(&mut client, client_sequence_id, &error, &address);
            tokio::join!(told, abandoned_login::end(backend, stage));
            Err(error)
        }
    }
}

async fn attempt(
    login: &mut Authentication<'_>,
    mut greeting: Vec<u8>,
    handshake: &HandshakeV10,
) -> Result<(Capabilities, StatusFlags), SessionError> {
    let offered = handshake.capabilities & RELAYED;
    HandshakeV10::patch_capabilities(&mut greeting, offered)
        .map_err(|error| SessionError::Malformed(Party::Backend, error))?;
    login.greet(&greeting).await?;
    let mut payload = client_login(login).await?;
    let mut response = decode(&payload)?;
    // What was not offered is not for the backend to see; the rest stays the client's business.
    let masked = handshake.capabilities - offered;
    response.capabilities -= masked;
    login.plugin_name.clone_from(&response.auth_plugin_name);
    let answer = login.first_answer(&response.auth_plugin_name, &response.auth_response)?;
    match answer {
        FirstAnswer::Relay => {
            HandshakeResponse41::patch_capabilities(&mut payload, response.capabilities)
                .map_err(|error| SessionError::Malformed(Party::Client, error))?;
            // The client's own packet has the id 1 here as there.
            login.send_backend(&payload).await?;
        }
        FirstAnswer::Password(key_request) => {
            let password = std::mem::replace(&mut response.auth_response, vec![key_request]);
            login.password = Some(password);
            let mut payload = Vec::new();
            response.encode(&mut payload);
            login.send_backend(&payload).await?;
        }
    }
    match login.run().await? {
        Decision::Accepted(status) => Ok((response.capabilities & offered, status)),
        Decision::Denied => Err(SessionError::Denied),
    }
}

/// The client's first packet; garbage is answered as a server answers it.
async fn client_login(login: &mut Authentication<'_>) -> Result<Vec<u8>, SessionError> {
    match login.client_packet().await {
        Ok(packet) => Ok(packet.payload),
        Err(SessionError::Malformed(Party::Client, error)) => Err(bad_handshake(&error)),
        Err(error) => Err(error),
    }
}

fn decode(payload: &[u8]) -> Result<HandshakeResponse41, SessionError> {
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
        format!("Bad handshake: {error}"),
    ))
}
