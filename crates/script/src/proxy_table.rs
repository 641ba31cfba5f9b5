//! The global table `proxy`: constants and `proxy.global` are every connection's; all other keys are read from and
//! written to the connection's own table, also by modules that connections share.

use std::sync::Arc;

use mlua::{AnyUserData, Lua, Result, Table};

use crate::constants;
use crate::object::backends::Backends;
use crate::object::connection::ConnectionObject;
use crate::object::queries::Queries;
use crate::{Shared, object};

/// `proxy`, and what is behind it.
pub(crate) struct ProxyTable {
    /// Its `__index` and `__newindex` are the running connection's own table.
    metatable: Table,
    global: Table,
    backends: AnyUserData,
}

impl ProxyTable {
    /// Sets the global `proxy`.
    pub(crate) fn install(lua: &Lua, shared: &Arc<Shared>) -> Result<Self> {
        let proxy = lua.create_table()?;
        constants::set(&proxy)?;
        let metatable = lua.create_table()?;
        proxy.set_metatable(Some(metatable.clone()))?;
        // proxy.global: a table that all connections share, for whatever scripts put there.
        let global = lua.create_table()?;
        // proxy.global.config: an empty table, by custom for the settings of modules.
        global.raw_set("config", lua.create_table()?)?;
        proxy.raw_set("global", &global)?;
        // proxy.shared: strings, numbers and booleans that all states see.
        proxy.raw_set("shared", object::shared::create(lua, shared)?)?;
        lua.globals().raw_set("proxy", proxy)?;
        Ok(Self {
            metatable,
            global,
            // proxy.global.backends
            backends: lua.create_userdata(Backends)?,
        })
    }

    /// What `proxy` shows of one connection.
    pub(crate) fn create_own(lua: &Lua, connection: u64) -> Result<Table> {
        let own = lua.create_table_with_capacity(0, 4)?;
        // proxy.connection
        own.raw_set("connection", ConnectionObject { id: connection })?;
        // proxy.queries
        own.raw_set("queries", Queries { connection })?;
        // proxy.response: what the client gets when a hook returns proxy.PROXY_SEND_RESULT.
        own.raw_set("response", lua.create_table()?)?;
        Ok(own)
    }

    /// What decides which connection `proxy` shows.
    pub(crate) fn metatable(&self) -> &Table {
        &self.metatable
    }

    /// A script that overwrote `proxy.global.backends` did so until the next connection.
    pub(crate) fn restore_backends(&self) -> Result<()> {
        self.global.raw_set("backends", &self.backends)
    }
}
