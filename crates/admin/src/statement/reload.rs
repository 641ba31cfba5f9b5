//! `RELOAD`

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::error;
use crate::resultset::{Answer, Column, Kind, value};
use crate::settings::Configuration;

/// An option whose value is not what it was, or what it would be after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionChange {
    /// Its long name, without dashes.
    pub name: String,
    /// What counted, without secrets; `None` for nothing.
    pub old: Option<String>,
    /// What the options say now, likewise.
    pub new: Option<String>,
    /// What became of it, in words.
    pub outcome: String,
}

const COLUMNS: &[Column] = &[
    ("option", Kind::Text),
    ("old", Kind::Text),
    ("new", Kind::Text),
    ("outcome", Kind::Text),
];

/// One row for each change.
pub(super) async fn reload(configuration: &Arc<dyn Configuration>) -> Answer {
    let configuration = Arc::clone(configuration);
    // Files are read.
    let changes = match spawn_blocking(move || configuration.reload()).await {
        Ok(Ok(changes)) => changes,
        Ok(Err(reason)) => return error(&reason),
        Err(panic) => return error(&panic.to_string()),
    };
    let row = |change: OptionChange| {
        vec![
            value(change.name),
            change.old.and_then(value),
            change.new.and_then(value),
            value(change.outcome),
        ]
    };
    Answer::Rows(COLUMNS, changes.into_iter().map(row).collect())
}
