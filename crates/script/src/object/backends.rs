//! `proxy.global.backends` and its elements.

use std::sync::Arc;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::api::{self, Field, Object};
use crate::callback::{self, bad_argument};
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
    view.map_or(Ok(Value::Nil), |view| Backend { view }.into_lua(lua))
}

/// `proxy.global.backends[i]`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.global.backends[i]",
    class: "mysql_proxy.Backend",
    text: "A server behind the proxy, from 1 in the order of the command line; `#proxy.global.backends` is how many there \
           are. Beyond the last it is nil.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read("dst", "mysql_proxy.Address", "Its address."),
    Field::read_write(
        "state",
        "integer",
        "`proxy.BACKEND_STATE_UNKNOWN` (never used), `_UP` or `_DOWN`. A script may mark it.",
    ),
    Field::read("type", "integer", "`proxy.BACKEND_TYPE_RW` or `_RO`."),
    Field::read(
        "connected_clients",
        "integer",
        "Clients that use it now; idle connections in the pool do not count.",
    ),
    Field::read_write(
        "uuid",
        "string|nil",
        "The server's UUID, as a script noted it down; nil when none did.",
    ),
    Field::read("pool", "mysql_proxy.Pool", "Its idle connections."),
];

/// `proxy.global.backends[i]`; a new one at every access.
#[derive(Debug)]
struct Backend {
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
    match api::readable(FIELDS, &key) {
        Some("connected_clients") => view.connected_clients().into_lua(lua),
        Some("dst") => {
            let known = view.dst().map(Address::Known);
            let address = known.unwrap_or_else(|| Address::Unresolved(view.configured_address()));
            address.into_lua(lua)
        }
        Some("state") => (view.state() as u8).into_lua(lua),
        Some("type") => (if view.is_read_only() { 2 } else { 1 }).into_lua(lua),
        Some("uuid") => match view.uuid() {
            Some(uuid) => lua.create_string(uuid)?.into_lua(lua),
            None => Ok(Value::Nil),
        },
        Some("pool") => Pool(Arc::clone(view)).into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, this: &Backend, (key, value): (Value, Value)) -> Result<()> {
    match api::writable(FIELDS, &key) {
        // What is no number, or none of the constants, is proxy.BACKEND_STATE_UNKNOWN.
        Some("state") => this.view.set_state(match callback::integer(lua, &value) {
            Some(1) => BackendState::Up,
            Some(2) => BackendState::Down,
            _ => BackendState::Unknown,
        }),
        Some("uuid") => {
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
