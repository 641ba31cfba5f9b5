//! The global table `proxy`: constants and `proxy.global` are every connection's; all other keys are read from and
//! written to the connection's own table, also by modules that connections share.

use std::sync::Arc;

use mlua::{AnyUserData, Lua, Result, Table};

use crate::api::{Field, Object};
use crate::constants;
use crate::object::backends::Backends;
use crate::object::connection::ConnectionObject;
use crate::object::queries::Queries;
use crate::{Shared, object};

/// `proxy`
pub(crate) const PROXY: Object = Object {
    path: "proxy",
    class: "mysql_proxy.Proxy",
    text: "What the program gives to scripts. New keys belong to the connection.",
    fields: &[
        Field::read(
            "connection",
            "mysql_proxy.Connection",
            "The connection whose hook runs.",
        ),
        Field::read(
            "queries",
            "mysql_proxy.Queries",
            "What is sent to the server.",
        ),
        Field::read_write(
            "response",
            "mysql_proxy.Response",
            "What is sent to the client.",
        ),
        Field::read(
            "global",
            "mysql_proxy.Global",
            "What all connections of a Lua state share.",
        ),
        Field::read("shared", "mysql_proxy.Shared", "What all Lua states share."),
        Field::read(
            "PROXY_VERSION",
            "integer",
            "This program's version, one byte a part: 0x000901 for 0.9.1.",
        ),
    ],
};

/// `proxy.global`
pub(crate) const GLOBAL: Object = Object {
    path: "proxy.global",
    class: "mysql_proxy.Global",
    text: "A table that all connections of a Lua state share, for whatever scripts keep in it.",
    fields: &[
        Field::read(
            "backends",
            "mysql_proxy.Backend[]",
            "The servers behind the proxy.",
        ),
        Field::read_write(
            "config",
            "table",
            "Empty; by custom the settings of scripts and modules.",
        ),
    ],
};

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
