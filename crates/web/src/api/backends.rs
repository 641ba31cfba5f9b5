//! `/api/backends`: what SHOW BACKENDS says, and how quick they are; and what SET BACKEND does.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use backend::{Availability, Backend, Health};
use serde_json::{Value, json};
use telemetry::Peer;
use tokio::time::Instant;
use tracing::info;

use super::{ok, refusal};
use crate::history::{Rates, Sample, millis, rounded};
use crate::router::Web;

pub(crate) async fn get(State(web): State<Arc<Web>>) -> Response {
    ok(&list(&web, &web.history.latest()))
}

/// One object for each, with the latest sample's figures.
pub(crate) fn list(web: &Web, sample: &Sample) -> Value {
    let backends = web.control.backends().present();
    let objects = backends.iter().map(|backend| {
        let rates = sample.backends.get(&backend.index());
        object(backend, rates.copied().unwrap_or_default())
    });
    objects.collect()
}

fn object(backend: &Backend, rates: Rates) -> Value {
    let (reason, down_seconds) = match backend.health() {
        Health::Up => (None, None),
        Health::Down { reason, since } => {
            let down_for = Instant::now().saturating_duration_since(since);
            (Some(reason), Some(down_for.as_secs()))
        }
    };
    let idle = backend.pool().idle_by_user().into_iter();
    let uuid = backend.uuid();
    json!({
        "number": backend.index() + 1,
        "address": backend.address().to_string(),
        "resolved": backend.last_address().map(|address| address.to_string()),
        "role": backend.role().name(),
        "state": backend.state(),
        "availability": backend.availability().to_string(),
        "takes_clients": backend.takes_clients(),
        "reason": reason,
        "down_seconds": down_seconds,
        "clients": backend.clients(),
        "idle_connections": idle.map(|(_, count)| count).sum::<usize>(),
        "waiting_clients": backend.pool().waiting(),
        "uuid": uuid.map(|uuid| String::from_utf8_lossy(&uuid).into_owned()),
        "queries_per_second": rounded(rates.queries),
        "errors_per_second": rounded(rates.errors),
        "p50_ms": millis(rates.p50),
        "p99_ms": millis(rates.p99),
    })
}

/// Puts a backend into service, out of it, or lets it run empty.
pub(crate) async fn set(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    Path((number, word)): Path<(usize, String)>,
) -> Response {
    let availability = match word.as_str() {
        "up" => Availability::InService,
        "drain" => Availability::Draining,
        "down" => Availability::OutOfService,
        _ => return refusal(StatusCode::NOT_FOUND, "up, drain or down is expected"),
    };
    let backends = web.control.backends();
    let backend = number.checked_sub(1).and_then(|index| backends.get(index));
    let Some(backend) = backend else {
        return refusal(
            StatusCode::NOT_FOUND,
            &format!("there is no backend {number}"),
        );
    };
    info!(
        "web: the operator at {} says what becomes of backend {number}",
        peer
    );
    let ended = web.control.set_availability(&backend, availability);
    ok(&json!({ "closed_sessions": ended }))
}
