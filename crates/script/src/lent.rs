//! The connection that is lent to Lua for the length of one hook. Userdata hold its number only, and find it here.

use std::cell::RefCell;
use std::mem;

use mlua::{Error, Lua, Result};

use crate::Connection;

/// What the running hook sees.
#[derive(Default)]
pub(crate) struct Lent {
    /// The session's own, on loan; an empty one while no hook runs.
    pub(crate) connection: Box<Connection>,
    /// A hook runs.
    is_lent: bool,
}

thread_local! {
    /// A hook runs on one thread from its start to its end.
    static DESK: RefCell<Lent> = RefCell::default();
}

/// Lends `connection` while `hook` runs; it is back afterwards, panic or not.
pub(crate) fn lend<R>(connection: &mut Box<Connection>, hook: impl FnOnce() -> R) -> R {
    let _loan = Loan::new(connection);
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
pub(crate) fn any<R>(_: &Lua, visit: impl FnOnce(&mut Lent) -> Result<R>) -> Result<R> {
    DESK.with_borrow_mut(|lent| match lent.is_lent {
        true => visit(lent),
        false => Err(unusable()),
    })
}

fn unusable() -> Error {
    Error::runtime("proxy.connection is only usable inside a hook of its connection")
}

struct Loan<'a> {
    owner: &'a mut Box<Connection>,
}

impl<'a> Loan<'a> {
    fn new(owner: &'a mut Box<Connection>) -> Self {
        DESK.with_borrow_mut(|lent| {
            mem::swap(&mut lent.connection, owner);
            lent.is_lent = true;
        });
        Self { owner }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        DESK.with_borrow_mut(|lent| {
            mem::swap(&mut lent.connection, self.owner);
            lent.is_lent = false;
        });
    }
}
