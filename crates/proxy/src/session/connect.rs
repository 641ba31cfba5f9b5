//! A backend for a new client: the next one that is up, or the next after it when it turns out not to be.

use backend::connector::{ConnectError, connect as connect_to};
use backend::{ClientCount, Greeted};
use protocol::response::error_code;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Context;
use super::error::SessionError;
use protocol::response::ErrPacket;

/// A backend that has greeted, held for this client.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) count: ClientCount,
    pub(super) greeted: Greeted,
}

/// Nobody greets.
#[derive(Debug)]
pub(super) enum NoBackend {
    /// Every backend is down.
    AllDown,
    /// The last one left refused with this ERR payload.
    Refused(Vec<u8>),
}

/// Tries each backend that is up at most once. One that cannot be reached is marked down; one that refuses with an ERR
/// is passed over for this client only.
pub(super) async fn connect(context: &Context) -> Result<Connected, NoBackend> {
    let mut tried = Vec::new();
    let mut refusal = None;
    while let Some(count) = context.backends.choose(&tried) {
        let backend = count.backend();
        match connect_to(backend, context.settings.backend_timeouts()).await {
            Ok(greeted) => {
                return Ok(Connected { count, greeted });
            }
            Err(ConnectError::Unreachable(reason)) => backend.mark_down(Instant::now(), &reason),
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
    match refusal {
        Some(payload) => Err(NoBackend::Refused(payload)),
        None => {
            let reasons = context.backends.down_reasons();
            warn!("all backends are down, a client was turned away: {reasons}");
            Err(NoBackend::AllDown)
        }
    }
}

impl NoBackend {
    /// The ERR before the handshake, which has no SQLSTATE: both sides do not know yet what they speak.
    pub(super) fn payload(&self) -> Vec<u8> {
        match self {
            Self::Refused(payload) => payload.clone(),
            Self::AllDown => {
                let mut payload = Vec::new();
                let err = ErrPacket {
                    sql_state: None,
                    ..ErrPacket::new(
                        error_code::UNKNOWN_ERROR,
                        ErrPacket::GENERAL_ERROR,
                        "(proxy) all backends are down",
                    )
                };
                err.encode(&mut payload);
                payload
            }
        }
    }
}

impl From<NoBackend> for SessionError {
    fn from(error: NoBackend) -> Self {
        let message = match &error {
            NoBackend::AllDown => "all backends are down".to_owned(),
            NoBackend::Refused(payload) => match ErrPacket::decode(payload) {
                Ok(err) => format!("no backend takes it: {}", err.message_lossy()),
                Err(error) => error.to_string(),
            },
        };
        Self::NoBackend(message)
    }
}
