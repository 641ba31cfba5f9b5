//! `/api/settings`: what SHOW SETTINGS says. Secrets are none of it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::ok;
use crate::router::Web;

pub(crate) async fn get(State(web): State<Arc<Web>>) -> Response {
    let objects = web.configuration.options().into_iter().map(|option| {
        json!({
            "name": option.name,
            "value": option.value,
            "origin": option.origin.to_string(),
            "after_restart": option.after_restart,
        })
    });
    ok(&objects.collect::<Value>())
}
