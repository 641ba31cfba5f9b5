//! `SHOW SCRIPTS`

use proxy::{Control, HookReport};

use super::local_time;
use crate::resultset::{Answer, Column, Kind, value};

const COLUMNS: &[Column] = &[
    ("script", Kind::Text),
    ("lua_state", Kind::Integer),
    ("version", Kind::Integer),
    ("modified", Kind::Text),
    ("bytes", Kind::Integer),
    ("loaded", Kind::Text),
    ("connections", Kind::Integer),
    ("failures", Kind::Integer),
    ("fault", Kind::Text),
    ("hook_calls", Kind::Text),
    ("hook_milliseconds", Kind::Text),
    ("hook_errors", Kind::Text),
];

/// One row for each of the latest versions of each script, in each Lua state. The last row of a script is the version that
/// new connections get, unless it has a fault.
pub(super) async fn show(control: &Control) -> Answer {
    let reports = control.scripts().await.into_iter();
    let rows = reports.map(|report| {
        let version = report.version;
        let by_hook = |number: fn(&HookReport) -> u64| {
            let numbers = version
                .hooks
                .iter()
                .map(|(hook, report)| (hook, number(report)));
            let texts: Vec<_> = numbers
                .filter(|(_, number)| *number > 0)
                .map(|(hook, number)| format!("{hook}: {number}"))
                .collect();
            (!texts.is_empty()).then(|| texts.join(", ").into())
        };
        let calls = by_hook(|hook| hook.calls);
        let milliseconds = by_hook(|hook| hook.time.as_millis() as u64);
        let errors = by_hook(|hook| hook.errors);
        vec![
            value(report.script.display()),
            value(report.state),
            value(version.version),
            version.modified.and_then(local_time),
            value(version.bytes),
            local_time(version.loaded),
            value(version.connections),
            value(version.failures),
            version.fault.and_then(value),
            calls,
            milliseconds,
            errors,
        ]
    });
    Answer::Rows(COLUMNS, rows.collect())
}
