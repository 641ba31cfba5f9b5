//! `SHOW SESSIONS`

use proxy::{Activity, Control, SessionReport};

use crate::resultset::{Answer, Column, Kind, Value, value};

const COLUMNS: &[Column] = &[
    ("id", Kind::Integer),
    ("user", Kind::Text),
    ("client", Kind::Text),
    ("backend_ndx", Kind::Integer),
    ("backend", Kind::Text),
    ("command", Kind::Text),
    ("seconds", Kind::Integer),
    ("age_seconds", Kind::Integer),
    ("commands", Kind::Integer),
    ("chosen_by", Kind::Text),
    ("digest", Kind::Text),
];

/// One row for each client of the proxy, the oldest first.
pub(super) fn show(control: &Control) -> Answer {
    let backends = control.backends().all();
    let rows = control.sessions().into_iter().map(|session| {
        let backend = session.backend.and_then(|index| backends.get(index));
        vec![
            value(session.id),
            user(&session),
            value(match session.client {
                Some(address) => address.to_string(),
                None => "unix socket".to_owned(),
            }),
            session.backend.and_then(|index| value(index + 1)),
            backend.and_then(|backend| value(backend.address())),
            value(command(session.activity)),
            value(session.active_for.as_secs()),
            value(session.age.as_secs()),
            value(session.commands),
            session.why.and_then(value),
            session.digest.and_then(value),
        ]
    });
    Answer::Rows(COLUMNS, rows.collect())
}

/// NULL before the login.
fn user(session: &SessionReport) -> Value {
    match session.activity {
        Activity::Login => None,
        Activity::Idle | Activity::Command(_) => value(String::from_utf8_lossy(&session.username)),
    }
}

/// In the words of the servers' own process lists, where they have some.
fn command(activity: Activity) -> String {
    match activity {
        Activity::Login => "Connect".to_owned(),
        Activity::Idle => "Sleep".to_owned(),
        Activity::Command(command) => command.to_string(),
    }
}
