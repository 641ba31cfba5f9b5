//! What a server for operators is made of, and what its connections share.

use std::path::PathBuf;

use backend::Address;
use proxy::Control;

use crate::login::Account;
use crate::statement::OptionValue;

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
        /// What `SHOW SETTINGS` shows.
        options: Vec<OptionValue>,
    },
    /// Lua, run in the first Lua state.
    Debug,
}

/// What all operators' connections share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) control: Control,
}

impl Interface {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Admin { .. } => "admin",
            Self::Debug => "debug",
        }
    }
}
