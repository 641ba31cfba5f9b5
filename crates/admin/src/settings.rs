//! What a server for operators is made of, and what its connections share.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use backend::Address;
use proxy::Control;

use crate::events::Events;
use crate::login::Account;
use crate::statement::{OptionChange, OptionValue};

/// What a server for operators is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where operators connect to.
    pub listen: Address,
    /// Who may.
    pub account: Account,
    /// What they find there.
    pub interface: Interface,
}

/// What operators find.
#[derive(Debug, Clone)]
pub enum Interface {
    /// Statements about the proxy.
    Admin {
        /// Is asked about each command first; absolute.
        script: Option<PathBuf>,
    },
    /// Lua, run in the first Lua state.
    Debug,
}

/// The process's options, which are not this crate's business.
pub trait Configuration: fmt::Debug + Send + Sync {
    /// What `SHOW SETTINGS` shows.
    fn options(&self) -> Vec<OptionValue>;

    /// The account of operators, as new connections find it; `None` without one.
    fn account(&self) -> Option<Account>;

    /// What `SHOW EVENTS` shows.
    fn events(&self) -> Events;

    /// What `RELOAD` does: reads the options again. Blocks.
    ///
    /// # Errors
    /// What is wrong with them; nothing has changed.
    fn reload(&self) -> Result<Vec<OptionChange>, String>;
}

/// The settings that new connections get. Its clones share them.
#[derive(Debug, Clone)]
pub struct LiveSettings(Arc<RwLock<Arc<Settings>>>);

impl LiveSettings {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(settings))))
    }

    /// Exchanges them. Where the server listens stays what it is.
    pub fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(crate) fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What an operator's connection begins with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Arc<Settings>,
    pub(crate) control: Control,
    pub(crate) configuration: Arc<dyn Configuration>,
}

impl Interface {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Admin { .. } => "admin",
            Self::Debug => "debug",
        }
    }
}
