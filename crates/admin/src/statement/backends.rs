//! `SELECT * FROM backends`, `SHOW BACKENDS`

use backend::{Backend, Health, Role};
use proxy::{Control, Standing};
use tokio::time::Instant;

use super::options::{OptionOrigin, OptionValue};
use crate::resultset::{Answer, Column, Kind, Value, value};

/// MySQL Proxy 0.8.5's.
const SELECTED: &[Column] = &[
    ("backend_ndx", Kind::Integer),
    ("address", Kind::Text),
    ("state", Kind::Text),
    ("type", Kind::Text),
    ("uuid", Kind::Text),
    ("connected_clients", Kind::Integer),
];

const SHOWN: &[Column] = &[
    ("backend_ndx", Kind::Integer),
    ("address", Kind::Text),
    ("resolved", Kind::Text),
    ("type", Kind::Text),
    ("state", Kind::Text),
    ("availability", Kind::Text),
    ("reason", Kind::Text),
    ("down_seconds", Kind::Integer),
    ("connected_clients", Kind::Integer),
    ("idle_connections", Kind::Integer),
    ("uuid", Kind::Text),
    ("origin", Kind::Text),
    ("configured", Kind::Text),
];

/// With 0.8.5's columns: one that takes no clients is down, whatever the reason.
pub(super) fn select(control: &Control) -> Answer {
    let rows = control.backends().present().into_iter().map(|backend| {
        vec![
            value(backend.index() + 1),
            resolved(&backend).or_else(|| value(backend.address())),
            value(match backend.takes_clients() {
                true => backend.state(),
                false => "down",
            }),
            value(backend.role().name()),
            uuid(&backend),
            value(backend.clients()),
        ]
    });
    Answer::Rows(SELECTED, rows.collect())
}

/// With all that is known.
pub(super) fn show(control: &Control, options: &[OptionValue]) -> Answer {
    let now = Instant::now();
    let rows = control.backends().present().into_iter().map(|backend| {
        let (reason, down_for) = match backend.health() {
            Health::Up => (None, None),
            Health::Down { reason, since } => {
                let down_for = now.saturating_duration_since(since);
                (value(reason), value(down_for.as_secs()))
            }
        };
        let standing = control.standing(&backend);
        let idle = backend.pool().idle_by_user().into_iter();
        vec![
            value(backend.index() + 1),
            value(backend.address()),
            resolved(&backend),
            value(backend.role().name()),
            value(backend.state()),
            value(backend.availability()),
            reason,
            down_for,
            value(backend.clients()),
            value(idle.map(|(_, count)| count).sum::<usize>()),
            uuid(&backend),
            origin(&backend, standing, options),
            value(match standing {
                Standing::AsNamed => "yes",
                Standing::Otherwise => "changed",
                Standing::Unnamed => "no",
            }),
        ]
    });
    Answer::Rows(SHOWN, rows.collect())
}

/// Who named it. Of one that a list names, the list's.
fn origin(backend: &Backend, standing: Standing, options: &[OptionValue]) -> Value {
    if backend.is_operators() && standing == Standing::Unnamed {
        return value("operator");
    }
    let list = match backend.role() {
        Role::ReadWrite => "proxy-backend-addresses",
        Role::ReadOnly => "proxy-read-only-backend-addresses",
    };
    let option = options.iter().find(|option| option.name == list);
    value(option.map_or(OptionOrigin::Default, |option| option.origin))
}

/// The numeric address that answered last.
fn resolved(backend: &Backend) -> Value {
    backend.last_address().and_then(value)
}

fn uuid(backend: &Backend) -> Value {
    let uuid = backend.uuid()?;
    value(String::from_utf8_lossy(&uuid))
}
