//! What of a running proxy can change. The context that new connections get is exchanged as a whole; a session keeps the
//! one that it began with.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use backend::{AddError, Backends};
use thiserror::Error;

use crate::counters::Counters;
use crate::digests::Digests;
use crate::query_log::QueryLog;
use crate::scripts::Scripts;
use crate::session::Context;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::traces::Traces;

/// A running proxy.
pub(crate) struct Live {
    pub(crate) backends: Arc<Backends>,
    pub(crate) shutdown: Shutdown,
    pub(crate) counters: Arc<Counters>,
    pub(crate) digests: Arc<Digests>,
    pub(crate) query_log: Arc<QueryLog>,
    pub(crate) traces: Arc<Traces>,
    /// For connections to come.
    context: RwLock<Arc<Context>>,
}

/// Why new settings cannot be had. Nothing has changed.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// More servers than there is room for.
    #[error("{0}")]
    Backends(#[from] AddError),
    /// No Lua state could be made for the first script.
    #[error("{0}")]
    Scripts(#[source] io::Error),
}

impl Live {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            backends: Arc::clone(&context.backends),
            shutdown: context.shutdown.clone(),
            counters: Arc::clone(&context.counters),
            digests: Arc::clone(&context.digests),
            query_log: Arc::clone(&context.query_log),
            traces: Arc::clone(&context.traces),
            context: RwLock::new(context),
        }
    }

    /// For a new connection.
    pub(crate) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// New connections get these settings, but for what a process has for its life: where it listens, its threads, the
    /// room for digests, the query logs and traces. What became of each server whose place in the settings changed, in words.
    pub(crate) fn reload(&self, mut settings: Settings) -> Result<Vec<String>, ReloadError> {
        let mut context = self.context.write().unwrap_or_else(PoisonError::into_inner);
        let before = &context.settings;
        settings.listen.clone_from(&before.listen);
        settings.socket_mode = before.socket_mode;
        settings.workers = before.workers;
        settings.digest_bytes_max = before.digest_bytes_max;
        settings.query_log = before.query_log;
        settings.traces = before.traces;
        let scripts = scripts(&context, &settings).map_err(ReloadError::Scripts)?;
        let backends = &self.backends;
        let outcomes = backends.reconfigure(&before.backends, &settings.backends)?;
        backends.set_balance(settings.balance);
        *context = Arc::new(context.with(settings, scripts));
        Ok(outcomes)
    }
}

/// Those that there are, with new settings; made where this is the first script.
fn scripts(context: &Context, settings: &Settings) -> io::Result<Option<Scripts>> {
    match (&context.scripts, &settings.script) {
        (Some(scripts), Some(settings)) => Ok(Some(scripts.with(settings))),
        (Some(scripts), None) => Ok(Some(scripts.without_script())),
        (None, Some(settings)) => Scripts::start(settings, &context.shutdown).map(Some),
        (None, None) => Ok(None),
    }
}

/// Sessions whose connections to servers are alike: they share idle ones. With the last of them these are closed, and
/// servers that only they had are removed.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    backends: Arc<Backends>,
}

impl Generation {
    pub(crate) fn first(backends: &Arc<Backends>) -> Arc<Self> {
        Arc::new(Self {
            number: 1,
            backends: Arc::clone(backends),
        })
    }

    pub(crate) fn next(&self) -> Arc<Self> {
        Arc::new(Self {
            number: self.number + 1,
            backends: Arc::clone(&self.backends),
        })
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        for backend in self.backends.all().iter() {
            backend.pool().forget(self.number);
            backend.remove_if_left();
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
