//! `SHOW SCRIPTS`

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy::Control;

use crate::resultset::{Answer, Column, Kind, Value, value};

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
    ("hook_errors", Kind::Text),
];

/// One row for each of the latest versions of each script, in each Lua state. The last row of a script is the version that
/// new connections get, unless it has a fault.
pub(super) async fn show(control: &Control) -> Answer {
    let reports = control.scripts().await.into_iter();
    let rows = reports.map(|report| {
        let version = report.version;
        let errors = version.hook_errors.iter();
        let errors: Vec<_> = errors
            .map(|(hook, count)| format!("{hook}: {count}"))
            .collect();
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
            (!errors.is_empty()).then(|| errors.join(", ").into()),
        ]
    });
    Answer::Rows(COLUMNS, rows.collect())
}

/// `YYYY-MM-DD HH:MM:SS`, as in the log.
fn local_time(time: SystemTime) -> Value {
    let time = Timestamp::try_from(time).ok()?;
    let time = time.to_zoned(TimeZone::system());
    value(time.strftime("%Y-%m-%d %H:%M:%S"))
}
