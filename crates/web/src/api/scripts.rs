//! `/api/scripts`: what SHOW SCRIPTS says.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use proxy::HookReport;
use serde_json::{Map, Value, json};
use telemetry::limits::SCRIPTS_TIME;
use tokio::time::timeout;

use super::{millis, ok, refusal};
use crate::router::Web;

/// One object for each of the latest versions of each script in each Lua state, the oldest first.
pub(crate) async fn get(State(web): State<Arc<Web>>) -> Response {
    let Ok(reports) = timeout(SCRIPTS_TIME, web.control.scripts()).await else {
        return refusal(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "a hook holds a Lua state up",
        );
    };
    let objects = reports.into_iter().map(|report| {
        let version = report.version;
        let hooks = version.hooks.iter();
        let hooks = hooks.map(|(hook, report)| ((*hook).to_owned(), self::hook(report)));
        let hooks: Map<_, _> = hooks.collect();
        json!({
            "script": report.script.display().to_string(),
            "lua_state": report.state,
            "version": version.version,
            "modified": version.modified.and_then(millis),
            "bytes": version.bytes,
            "loaded": millis(version.loaded),
            "connections": version.connections,
            "failures": version.failures,
            "fault": version.fault,
            "hooks": hooks,
        })
    });
    ok(&objects.collect::<Value>())
}

fn hook(report: &HookReport) -> Value {
    json!({
        "calls": report.calls,
        "errors": report.errors,
        "milliseconds": report.time.as_millis() as u64,
    })
}
