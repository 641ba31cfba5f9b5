//! `proxy.global.backends` and its elements.

use std::sync::Arc;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::callback::{self, bad_argument, key_text};
use crate::lent;
use crate::object::address::Address;
use crate::object::pool::Pool;
use crate::{BackendState, BackendView};

/// `proxy.global.backends`. One per interpreter.
#[derive(Debug)]
pub(crate) struct Backends;

impl UserData for Backends {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, element);
        callback::metamethod(fields, MetaMethod::Len, len);
    }
}

/// `#proxy.global.backends`
fn len(lua: &Lua, _: &Backends, (): ()) -> Result<usize> {
    lent::any(lua, |lent| Ok(lent.connection.backends.len()))
}

/// `proxy.global.backends[i]`, from 1 in the order of the command line; nil beyond the last.
fn element(lua: &Lua, _: &Backends, key: Value) -> Result<Value> {
    let ndx = callback::integer(lua, &key)
        .ok_or_else(|| bad_argument(2, "proxy.global.backends", "number", &key))?;
    let index = usize::try_from(ndx).ok().and_then(|ndx| ndx.checked_sub(1));
    let view = lent::any(lua, |lent| {
        let backends = &lent.connection.backends;
        Ok(index.and_then(|index| backends.get(index)).cloned())
    })?;
    match (index, view) {
        (Some(index), Some(view)) => Backend { index, view }.into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

/// `proxy.global.backends[i]`; a new one at every access.
#[derive(Debug)]
struct Backend {
    index: usize,
    view: Arc<dyn BackendView>,
}

impl UserData for Backend {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
        callback::metamethod(fields, MetaMethod::NewIndex, write);
    }
}

fn read(lua: &Lua, this: &Backend, key: Value) -> Result<Value> {
    let view = &this.view;
    match key_text(&key).as_str() {
        // Connections that clients use now; idle ones in the pool do not count.
        "connected_clients" => view.connected_clients().into_lua(lua),
        // The backend's address object.
        "dst" => {
            let known = view.dst().map(Address::Known);
            let address = known.unwrap_or_else(|| Address::Unresolved(view.configured_address()));
            address.into_lua(lua)
        }
        // proxy.BACKEND_STATE_UNKNOWN, _UP or _DOWN.
        "state" => (view.state() as u8).into_lua(lua),
        // proxy.BACKEND_TYPE_RW or _RO.
        "type" => (if view.is_read_only() { 2 } else { 1 }).into_lua(lua),
        // The server's UUID as a script noted it down; nil when none did.
        "uuid" => match view.uuid() {
            Some(uuid) => lua.create_string(uuid)?.into_lua(lua),
            None => Ok(Value::Nil),
        },
        // The pool object: idle connections.
        "pool" => Pool {
            backend: this.index,
        }
        .into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, this: &Backend, (key, value): (Value, Value)) -> Result<()> {
    match key_text(&key).as_str() {
        // What is no number, or none of the constants, is proxy.BACKEND_STATE_UNKNOWN.
        "state" => this.view.set_state(match callback::integer(lua, &value) {
            Some(1) => BackendState::Up,
            Some(2) => BackendState::Down,
            _ => BackendState::Unknown,
        }),
        "uuid" => {
            let uuid = match &value {
                Value::Nil => None,
                value => {
                    let uuid = callback::bytes(lua, value);
                    Some(uuid.ok_or_else(|| bad_argument(3, "uuid", "string or nil", value))?)
                }
            };
            this.view.set_uuid(uuid);
        }
        _ => {
            return Err(callback::not_writable("proxy.global.backends[...].", &key));
        }
    }
    Ok(())
}
