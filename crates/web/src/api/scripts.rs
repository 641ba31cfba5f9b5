//! `/api/scripts`: what SHOW SCRIPTS says; `/api/scripts/changes`: what is otherwise in the latest version of one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use proxy::{HookReport, ScriptReport};
use serde_json::{Map, Value, json};
use similar::TextDiff;
use telemetry::limits::SCRIPTS_TIME;
use tokio::time::timeout;

use super::{millis, ok, query, refusal};
use crate::router::Web;

/// For the difference of two texts: past it, it is told in larger pieces.
const DIFFERENCE_TIME: Duration = Duration::from_millis(100);
/// Lines that stay the same, around those that do not.
const CONTEXT_LINES: usize = 3;

/// One object for each of the latest versions of each script in each Lua state, the oldest first.
pub(crate) async fn get(State(web): State<Arc<Web>>) -> Response {
    let reports = match reports(&web).await {
        Ok(reports) => reports,
        Err(refusal) => return refusal,
    };
    let has_changes: Vec<_> = reports
        .iter()
        .map(|report| texts(&reports, report).is_some())
        .collect();
    let objects = reports.into_iter().zip(has_changes);
    let objects = objects.map(|(report, has_changes)| {
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
            "has_changes": has_changes,
        })
    });
    ok(&objects.collect::<Value>())
}

/// `?script=PATH&lua_state=NUMBER&version=NUMBER`: its lines with `+`, `-` or a blank in front, and where they are behind `@@`.
pub(crate) async fn changes(State(web): State<Arc<Web>>, uri: Uri) -> Response {
    let reports = match reports(&web).await {
        Ok(reports) => reports,
        Err(refusal) => return refusal,
    };
    let query = query(&uri);
    let is = |name, value: String| query.get(name) == Some(&value);
    let report = reports.iter().find(|report| {
        is("script", report.script.display().to_string())
            && is("lua_state", report.state.to_string())
            && is("version", report.version.version.to_string())
    });
    match report.and_then(|report| texts(&reports, report)) {
        Some((before, after)) => ok(&lines(before, after)),
        None => refusal(
            StatusCode::NOT_FOUND,
            "what changed is known of the latest version alone, and not of a very long one",
        ),
    }
}

async fn reports(web: &Web) -> Result<Vec<ScriptReport>, Response> {
    let reports = timeout(SCRIPTS_TIME, web.control.scripts()).await;
    reports.map_err(|_| {
        refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "a hook holds a Lua state up",
        )
    })
}

/// Of the version before this one, and its own.
fn texts<'a>(reports: &'a [ScriptReport], report: &'a ScriptReport) -> Option<(&'a str, &'a str)> {
    let before = reports.iter().find(|other| {
        (other.state, &other.script) == (report.state, &report.script)
            && other.version.version + 1 == report.version.version
    })?;
    before
        .version
        .text
        .as_deref()
        .zip(report.version.text.as_deref())
}

fn lines(before: &str, after: &str) -> Value {
    let difference = TextDiff::configure()
        .timeout(DIFFERENCE_TIME)
        .diff_lines(before, after);
    let text = difference
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .missing_newline_hint(false)
        .to_string();
    text.lines().collect()
}

fn hook(report: &HookReport) -> Value {
    json!({
        "calls": report.calls,
        "errors": report.errors,
        "milliseconds": report.time.as_millis() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_line_by_line() {
        let before = "a\nb\nc\nd\ne\nf\n";
        let after = "a\nb\nc\nd\nE\nf";
        let expected = json!(["@@ -2,5 +2,5 @@", " b", " c", " d", "-e", "-f", "+E", "+f"]);
        assert_eq!(lines(before, after), expected);
        assert_eq!(lines(before, before), json!([]));
    }
}
