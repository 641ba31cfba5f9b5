//! `/api/sessions`: what SHOW SESSIONS says, filtered and sorted here, so that many are no burden; and what KILL does.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use proxy::{Activity, SessionReport};
use serde_json::{Value, json};
use telemetry::Peer;
use tracing::info;

use super::{ok, query, refusal};
use crate::limits::SESSIONS_MAX;
use crate::router::Web;

/// `?filter=TEXT&phase=PHASE&sort=COLUMN&descending=1`
pub(crate) async fn get(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let query = query(&uri);
    let backends = web.control.backends().all();
    let reports = web.control.sessions();
    let total = reports.len();
    let rows = reports.into_iter().map(|report| {
        let backend = report.backend.and_then(|index| backends.get(index));
        let backend = backend.map(|backend| backend.address().to_string());
        Row { report, backend }
    });
    let mut rows: Vec<_> = rows.filter(|row| row.is_wanted(&query)).collect();
    let matching = rows.len();
    sort(&mut rows, &query);
    rows.truncate(SESSIONS_MAX);
    ok(&json!({
        "total": total,
        "matching": matching,
        "sessions": rows.iter().map(Row::json).collect::<Value>(),
    }))
}

pub(crate) async fn kill(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<u64>,
) -> Response {
    match web.control.kill(id) {
        true => {
            info!("web: the operator at {} ends session {id}", peer);
            ok(&json!({ "killed": id }))
        }
        false => refusal(StatusCode::NOT_FOUND, &format!("there is no session {id}")),
    }
}

struct Row {
    report: SessionReport,
    /// Its address.
    backend: Option<String>,
}

impl Row {
    fn phase(&self) -> &'static str {
        match self.report.activity {
            Activity::Login => "login",
            Activity::Idle => "idle",
            Activity::Command(_) => "command",
        }
    }

    fn client(&self) -> String {
        let address = self.report.client.map(|address| address.to_string());
        address.unwrap_or_else(|| "unix socket".to_owned())
    }

    /// Empty before the login.
    fn user(&self) -> Cow<'_, str> {
        match self.report.activity {
            Activity::Login => Cow::Borrowed(""),
            Activity::Idle | Activity::Command(_) => String::from_utf8_lossy(&self.report.username),
        }
    }

    fn command(&self) -> Option<String> {
        match self.report.activity {
            Activity::Login | Activity::Idle => None,
            Activity::Command(command) => Some(command.to_string()),
        }
    }

    /// Its phase is the wanted one, and one of its texts has the wanted text.
    fn is_wanted(&self, query: &HashMap<String, String>) -> bool {
        let is_set = |name| query.get(name).filter(|value: &&String| !value.is_empty());
        if is_set("phase").is_some_and(|phase| phase != self.phase()) {
            return false;
        }
        let Some(filter) = is_set("filter") else {
            return true;
        };
        let filter = filter.to_lowercase();
        let backend = self.backend.as_deref().unwrap_or_default();
        let texts = [
            self.report.id.to_string(),
            self.client(),
            self.user().to_lowercase(),
            backend.to_lowercase(),
            self.command().unwrap_or_default().to_lowercase(),
        ];
        texts.iter().any(|text| text.contains(&filter))
    }

    fn json(&self) -> Value {
        let report = &self.report;
        json!({
            "id": report.id,
            "client": self.client(),
            "user": (self.report.activity != Activity::Login).then(|| self.user()),
            "backend_number": report.backend.map(|index| index + 1),
            "backend": self.backend,
            "chosen_by": report.why.map(|why| why.to_string()),
            "digest": report.digest.map(|digest| digest.to_string()),
            "phase": self.phase(),
            "command": self.command(),
            "seconds": report.active_for.as_secs(),
            "age_seconds": report.age.as_secs(),
            "commands": report.commands,
        })
    }
}

/// By id where nothing else is wanted.
fn sort(rows: &mut [Row], query: &HashMap<String, String>) {
    match query.get("sort").map_or("", String::as_str) {
        "client" => rows.sort_by_cached_key(|row| row.report.client),
        "user" => rows.sort_by_cached_key(|row| row.user().into_owned()),
        "backend" => rows.sort_by_cached_key(|row| row.report.backend),
        "phase" => rows.sort_by_cached_key(|row| (row.phase(), row.command())),
        // What takes longest began first.
        "seconds" => rows.sort_by_key(|row| row.report.active_for),
        "age" => rows.sort_by_key(|row| (row.report.age, Reverse(row.report.id))),
        "commands" => rows.sort_by_key(|row| row.report.commands),
        _ => {}
    }
    if query.get("descending").is_some_and(|value| value == "1") {
        rows.reverse();
    }
}
