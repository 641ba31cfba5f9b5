//! `/api/overview`: the state as a whole; `/api/history`: how it came about.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::{backends, ok};
use crate::history::millis_now;
use crate::router::Web;

pub(crate) async fn get(State(web): State<Arc<Web>>) -> Response {
    ok(&json(&web))
}

pub(crate) async fn history(State(web): State<Arc<Web>>) -> Response {
    ok(&web.history.json())
}

/// Also what streams say each second.
pub(crate) fn json(web: &Web) -> Value {
    let status = web.control.status();
    let sample = web.history.latest();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": millis_now(),
        "uptime_seconds": status.uptime.as_secs(),
        "is_draining": web.control.is_draining(),
        "clients": status.clients,
        "accepted": status.accepted,
        "refused": status.refused,
        "panicked": status.panicked,
        "failed_sessions": web.control.work().failed_sessions,
        "sample": sample.json(),
        "backends": backends::list(web, &sample),
        "latest_event": web.configuration.events().latest(),
    })
}
