//! `SHOW STATUS`, in the words of a server's, where it has one.

use proxy::Status;

use crate::resultset::{Answer, Column, Kind, value};

const COLUMNS: &[Column] = &[("Variable_name", Kind::Text), ("Value", Kind::Text)];

pub(super) fn show(status: &Status) -> Answer {
    let rows = [
        ("Uptime", status.uptime.as_secs()),
        ("Threads_connected", status.clients as u64),
        ("Connections", status.accepted),
        ("Connections_refused", status.refused),
        ("Sessions_panicked", status.panicked),
    ];
    let rows = rows.map(|(name, number)| vec![value(name), value(number)]);
    Answer::Rows(COLUMNS, rows.into())
}
