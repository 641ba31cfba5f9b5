//! A backend for a new client: the next one that is up, or the next after it when it turns out not to be.

use std::sync::Arc;

use backend::connector::{ConnectError, connect as connect_to};
use backend::{ClientCount, Greeted, PooledConnection, ServerSession, Stream};
use protocol::connection_phase::HandshakeV10;
use protocol::response::{ErrPacket, error_code};
use script::{Decision, Hold, Hook};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Context;
use super::error::{Refusal, SessionError};
use super::origin::Origin;
use super::script::Script;
use crate::register::{Registration, Why};

/// A backend that has greeted, held for this client.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) count: ClientCount,
    pub(super) stream: Stream,
    pub(super) handshake: Arc<HandshakeV10>,
    /// What the client is greeted with.
    pub(super) greeting: Vec<u8>,
    /// Of an idle connection: who is logged in there, and gives way to the client.
    pub(super) session: Option<Box<ServerSession>>,
    pub(super) why: Why,
}

impl Connected {
    fn new(count: ClientCount, why: Why, greeted: Greeted) -> Self {
        Self {
            count,
            stream: greeted.stream,
            handshake: Arc::new(greeted.handshake),
            greeting: greeted.payload,
            session: None,
            why,
        }
    }

    /// It is the session's backend from now on.
    pub(super) fn shown_in(&self, registration: &Registration) {
        registration.gets_it_by(self.why);
        registration.has_backend(self.count.backend());
    }

    /// The greeting is the server's, with the nonce that it goes by now.
    pub(super) fn reused(idle: PooledConnection) -> Self {
        let PooledConnection {
            count,
            stream,
            session,
        } = idle;
        let mut greeting = Vec::new();
        HandshakeV10 {
            auth_plugin_data: session.nonce.clone(),
            ..HandshakeV10::clone(&session.handshake)
        }
        .encode(&mut greeting);
        Self {
            count,
            stream,
            handshake: Arc::clone(&session.handshake),
            greeting,
            session: Some(session),
            why: Why::Pool,
        }
    }
}

/// What a new client may get.
enum Chosen {
    /// A connection to this backend, to be made.
    Backend(ClientCount, Why),
    /// This one, which the script took.
    Idle(Box<Connected>),
}

/// Nobody greets.
#[derive(Debug)]
pub(super) enum NoBackend {
    /// Every backend is down.
    AllDown,
    /// The last one left refused with this ERR payload.
    Refused(Vec<u8>),
    /// Our side lacks this for a connection to the last one left.
    Shortage(String),
    /// The script answers in a backend's place.
    Answered(Vec<Vec<u8>>),
}

/// Tries each backend that is up at most once. One that cannot be reached is marked down; one that refuses with an ERR,
/// or that we lack the means to connect to, is passed over for this client only. A script is asked before each attempt.
pub(super) async fn connect(
    (context, origin): (&Context, &Origin),
    mut script: Option<&mut Script>,
) -> Result<Connected, NoBackend> {
    let mut tried = Vec::new();
    let mut refusal = None;
    let mut shortage = None;
    while let Some(chosen) = choose(context, script.as_deref_mut(), &tried).await? {
        let (count, why) = match chosen {
            Chosen::Backend(count, why) => (count, why),
            Chosen::Idle(connected) => return Ok(*connected),
        };
        let backend = count.backend();
        let timeouts = context.settings.backend_timeouts();
        match connect_to(backend, timeouts, &origin.server_header).await {
            Ok(greeted) => return Ok(Connected::new(count, why, greeted)),
            Err(ConnectError::Unreachable(reason)) => backend.mark_down(Instant::now(), &reason),
            Err(ConnectError::Shortage(reason)) => {
                let address = backend.address();
                info!("connect({address}) failed: {reason}; passing it over for this client");
                shortage = Some(reason);
            }
            Err(error @ ConnectError::Refused(_)) => {
                let address = backend.address();
                info!("backend ({address}): {error}; passing it over for this client");
                if let ConnectError::Refused(payload) = error {
                    refusal = Some(payload);
                }
            }
        }
        tried.push(count.backend().index());
    }
    if let Some(payload) = refusal {
        return Err(NoBackend::Refused(payload));
    }
    if let Some(reason) = shortage {
        warn!("no means to connect to a backend that is up, a client was turned away: {reason}");
        return Err(NoBackend::Shortage(reason));
    }
    let reasons = context.backends.down_reasons();
    warn!("all backends are down, a client was turned away: {reasons}");
    Err(NoBackend::AllDown)
}

/// To this one, which the script named, and no other. One that cannot be reached is marked down. The error is the reason.
pub(super) async fn connect_to_one(
    count: ClientCount,
    (context, origin): (&Context, &Origin),
) -> Result<Connected, String> {
    let backend = count.backend();
    let timeouts = context.settings.backend_timeouts();
    match connect_to(backend, timeouts, &origin.server_header).await {
        Ok(greeted) => Ok(Connected::new(count, Why::Script, greeted)),
        Err(error) => {
            if let ConnectError::Unreachable(reason) = &error {
                backend.mark_down(Instant::now(), reason);
            }
            Err(error.to_string())
        }
    }
}

/// The idle connection that the script took, or its backend if that is up, else the next one. A number that names no
/// backend is nobody.
async fn choose(
    context: &Context,
    script: Option<&mut Script>,
    tried: &[usize],
) -> Result<Option<Chosen>, NoBackend> {
    let backends = &context.backends;
    let next = || {
        let count = backends.choose(tried)?;
        Some(Chosen::Backend(count, Why::Balance))
    };
    let Some(script) = script else {
        return Ok(next());
    };
    script.connection.detach();
    script.connection.hold = Hold::Vacant;
    let decision = script.call(Hook::ConnectServer).await;
    if decision == Decision::IgnoreResult
        && let Some(idle) = script.take_idle()
    {
        let connected = Connected::reused(idle);
        return Ok(Some(Chosen::Idle(Box::new(connected))));
    }
    let chosen = script.connection.backend_ndx;
    script.connection.detach();
    if let Decision::SendResult(response) = decision {
        return Err(NoBackend::Answered(response.payloads));
    }
    let Some(index) = chosen.checked_sub(1) else {
        return Ok(next());
    };
    if backends.get(index).is_none() {
        return Ok(None);
    }
    let wanted = match tried.contains(&index) {
        true => None,
        false => backends.take(index),
    };
    Ok(match wanted {
        Some(count) => Some(Chosen::Backend(count, Why::Script)),
        None => {
            let count = backends.choose(tried);
            count.map(|count| Chosen::Backend(count, Why::Instead))
        }
    })
}

impl NoBackend {
    /// What stands in the greeting's place.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Answered(payloads) => payloads.clone(),
            Self::Refused(payload) => vec![payload.clone()],
            Self::AllDown => vec![err("(proxy) all backends are down")],
            Self::Shortage(reason) => vec![err(&format!("(proxy) no way to a backend: {reason}"))],
        }
    }
}

fn err(message: &str) -> Vec<u8> {
    let code = error_code::UNKNOWN_ERROR;
    Refusal::new(code, ErrPacket::GENERAL_ERROR, message).payload_before_greeting()
}

impl From<NoBackend> for SessionError {
    fn from(error: NoBackend) -> Self {
        let message = match error {
            NoBackend::Answered(payloads) => return Self::Answered(payloads),
            NoBackend::AllDown => "all backends are down".to_owned(),
            NoBackend::Shortage(reason) => format!("no way to a backend: {reason}"),
            NoBackend::Refused(payload) => match ErrPacket::decode(&payload) {
                Ok(err) => format!("no backend takes it: {}", err.message_lossy()),
                Err(error) => error.to_string(),
            },
        };
        Self::NoBackend(message)
    }
}
