//! The connection that is lent to Lua for the length of one hook. Userdata hold its number only, and find it here.

use std::mem;

use mlua::{Error, Lua, Result};

use crate::Connection;

/// What the running hook sees.
pub(crate) struct Lent {
    /// The session's own, on loan.
    pub(crate) connection: Connection,
    /// The hook let go of its backend, so `proxy.connection.server` is nil for the rest of it.
    pub(crate) server_given_up: bool,
}

/// `None` while no hook runs.
#[derive(Default)]
struct Desk(Option<Lent>);

/// Once per interpreter, before any connection is lent.
pub(crate) fn install(lua: &Lua) {
    lua.set_app_data(Desk::default());
}

/// Lends `connection` while `hook` runs; it is back afterwards, panic or not.
pub(crate) fn lend<R>(lua: &Lua, connection: &mut Connection, hook: impl FnOnce() -> R) -> R {
    let _loan = Loan::new(lua, connection);
    hook()
}

/// The connection `id`, if it is the one whose hook runs.
pub(crate) fn with<R>(lua: &Lua, id: u64, visit: impl FnOnce(&mut Lent) -> Result<R>) -> Result<R> {
    any(lua, |lent| {
        if lent.connection.id == id {
            visit(lent)
        } else {
            Err(unusable())
        }
    })
}

/// The connection whose hook runs.
pub(crate) fn any<R>(lua: &Lua, visit: impl FnOnce(&mut Lent) -> Result<R>) -> Result<R> {
    let desk = lua.try_app_data_mut::<Desk>().ok().flatten();
    let mut desk = desk.ok_or_else(unusable)?;
    visit(desk.0.as_mut().ok_or_else(unusable)?)
}

fn unusable() -> Error {
    Error::runtime("proxy.connection is only usable inside a hook of its connection")
}

struct Loan<'a> {
    lua: &'a Lua,
    owner: &'a mut Connection,
}

impl<'a> Loan<'a> {
    fn new(lua: &'a Lua, owner: &'a mut Connection) -> Self {
        let lent = Lent {
            connection: mem::take(owner),
            server_given_up: false,
        };
        if let Some(mut desk) = lua.app_data_mut::<Desk>() {
            desk.0 = Some(lent);
        }
        Self { lua, owner }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let desk = self.lua.app_data_mut::<Desk>();
        if let Some(lent) = desk.and_then(|mut desk| desk.0.take()) {
            *self.owner = lent.connection;
        }
    }
}
