//! What is read and done, each path a module: JSON, in the words of the admin interface where it has some.

pub(crate) mod backends;
pub(crate) mod digests;
pub(crate) mod events;
pub(crate) mod overview;
pub(crate) mod scripts;
pub(crate) mod sessions;
pub(crate) mod settings;

use std::collections::HashMap;
use std::time::SystemTime;

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer.
fn answer(status: StatusCode, value: &Value) -> Response {
    let content = [(header::CONTENT_TYPE, "application/json")];
    (status, content, format!("{value}\n")).into_response()
}

fn ok(value: &Value) -> Response {
    answer(StatusCode::OK, value)
}

/// Why not, for a person.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Response {
    answer(status, &json!({ "error": text }))
}

/// What stands behind the `?`.
fn query(uri: &Uri) -> HashMap<String, String> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_owned().collect()
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> Option<u64> {
    let time = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(time.as_millis() as u64)
}
