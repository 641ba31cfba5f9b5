//! `SHOW POOLS`

use std::sync::atomic::Ordering;

use proxy::Control;

use crate::resultset::{Answer, Column, Kind, value};

const COLUMNS: &[Column] = &[
    ("backend_ndx", Kind::Integer),
    ("address", Kind::Text),
    ("user", Kind::Text),
    ("idle_connections", Kind::Integer),
    ("min_idle_connections", Kind::Integer),
    ("max_idle_connections", Kind::Integer),
    ("waiting_clients", Kind::Integer),
];

/// One row for each user who has, or had, idle connections with a backend. The last three columns are the backend's.
pub(super) fn show(control: &Control) -> Answer {
    let rows = control
        .backends()
        .present()
        .into_iter()
        .flat_map(|backend| {
            let pool = backend.pool();
            let users = pool.idle_by_user().into_iter();
            let rows = users.map(|(user, idle)| {
                vec![
                    value(backend.index() + 1),
                    value(backend.address()),
                    value(String::from_utf8_lossy(&user)),
                    value(idle),
                    value(pool.min_idle.load(Ordering::Relaxed)),
                    value(pool.max_idle.load(Ordering::Relaxed)),
                    value(pool.waiting()),
                ]
            });
            rows.collect::<Vec<_>>()
        });
    Answer::Rows(COLUMNS, rows.collect())
}
