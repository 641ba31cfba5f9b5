//! `/api/digests`: what SHOW DIGESTS says, filtered and sorted here; and what RESET DIGESTS does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use proxy::DigestReport;
use serde_json::{Value, json};
use telemetry::Peer;
use tracing::info;

use super::{millis, ok, query};
use crate::history;
use crate::limits::DIGESTS_MAX;
use crate::router::Web;

/// `?filter=TEXT&sort=COLUMN&descending=1`; the costliest first where nothing else is wanted.
pub(crate) async fn get(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let query = query(&uri);
    let reports = web.control.digests();
    let is_on = reports.is_some();
    let mut reports = reports.unwrap_or_default();
    let total = reports.len();
    let total_time: Duration = reports.iter().map(|report| report.total_time).sum();
    reports.retain(|report| is_wanted(report, &query));
    let matching = reports.len();
    sort(&mut reports, &query);
    reports.truncate(DIGESTS_MAX);
    ok(&json!({
        "is_on": is_on,
        "total": total,
        "total_ms": history::millis(Some(total_time)),
        "matching": matching,
        "digests": reports.iter().map(object).collect::<Value>(),
    }))
}

/// Counts from now on.
pub(crate) async fn reset(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
) -> Response {
    info!("web: the operator at {peer} resets the digests");
    web.control.reset_digests();
    ok(&json!({ "reset": true }))
}

/// One of its texts has the wanted text.
fn is_wanted(report: &DigestReport, query: &HashMap<String, String>) -> bool {
    let Some(filter) = query.get("filter").filter(|filter| !filter.is_empty()) else {
        return true;
    };
    let filter = filter.to_lowercase();
    let digest = report.digest.map(|digest| digest.to_string());
    let texts = [
        digest.as_deref().unwrap_or_default(),
        &report.text,
        &report.username,
        &report.database,
    ];
    texts
        .iter()
        .any(|text| text.to_lowercase().contains(&filter))
}

fn sort(reports: &mut [DigestReport], query: &HashMap<String, String>) {
    match query.get("sort").map_or("", String::as_str) {
        "statement" => reports.sort_by(|a, b| a.text.cmp(&b.text)),
        "user" => reports.sort_by(|a, b| a.username.cmp(&b.username)),
        "database" => reports.sort_by(|a, b| a.database.cmp(&b.database)),
        "count" => reports.sort_by_key(|report| report.count),
        "errors" => reports.sort_by_key(|report| report.errors),
        "rows" => reports.sort_by_key(|report| report.rows),
        "average" => reports.sort_by_key(average),
        "max" => reports.sort_by_key(|report| report.max_time),
        "total" => reports.sort_by_key(|report| report.total_time),
        _ => return reports.sort_by_key(|report| std::cmp::Reverse(report.total_time)),
    }
    if query.get("descending").is_some_and(|value| value == "1") {
        reports.reverse();
    }
}

fn average(report: &DigestReport) -> Duration {
    let nanos = report.total_time.as_nanos() / u128::from(report.count.max(1));
    Duration::from_nanos(nanos as u64)
}

fn object(report: &DigestReport) -> Value {
    let time = |time| history::millis(Some(time));
    json!({
        "digest": report.digest.map(|digest| digest.to_string()),
        "statement": report.text,
        "user": report.username,
        "database": report.database,
        "count": report.count,
        "errors": report.errors,
        "rows": report.rows,
        "total_ms": time(report.total_time),
        "average_ms": time(average(report)),
        "min_ms": time(report.min_time),
        "max_ms": time(report.max_time),
        "first_seen": millis(report.first_seen),
        "last_seen": millis(report.last_seen),
    })
}
