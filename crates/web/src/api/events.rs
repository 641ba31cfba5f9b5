//! `/api/events`: what SHOW EVENTS says.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::{ok, query};
use crate::router::Web;

/// The newest first; with `?after=NUMBER` those behind that one.
pub(crate) async fn get(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let after = query(&uri)
        .get("after")
        .and_then(|number| number.parse().ok());
    let events = web
        .configuration
        .events()
        .after(after.unwrap_or_default())
        .into_iter();
    let objects = events.map(|event| {
        json!({
            "number": event.number,
            "at": event.time.as_millisecond(),
            "level": event.level,
            "text": event.text,
        })
    });
    ok(&objects.collect::<Value>())
}
