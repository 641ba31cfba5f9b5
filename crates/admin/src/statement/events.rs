//! `SHOW EVENTS`

use jiff::tz::TimeZone;

use crate::events::Events;
use crate::resultset::{Answer, Column, Kind, value};

const COLUMNS: &[Column] = &[
    ("number", Kind::Integer),
    ("time", Kind::Text),
    ("level", Kind::Text),
    ("text", Kind::Text),
];

/// One row for each of the latest lines of the log, the newest first.
pub(super) fn show(events: &Events) -> Answer {
    let zone = TimeZone::system();
    let rows = events.after(0).into_iter().map(|event| {
        let time = event.time.to_zoned(zone.clone());
        vec![
            value(event.number),
            value(time.strftime("%Y-%m-%d %H:%M:%S")),
            value(event.level),
            value(event.text),
        ]
    });
    Answer::Rows(COLUMNS, rows.collect())
}
