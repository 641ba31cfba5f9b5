//! `proxy.connection`: the connection whose hook runs.

use mlua::{Error, IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::api::{self, Field, Object, Retired};
use crate::callback::{self, bad_argument, key_text};
use crate::object::socket::{Identity, Socket};
use crate::{lent, retired};

/// `proxy.connection`, by the connection's number. One per connection.
#[derive(Debug)]
pub(crate) struct ConnectionObject {
    /// The connection's number.
    pub(crate) id: u64,
}

/// `proxy.connection`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.connection",
    class: "mysql_proxy.Connection",
    text: "The connection whose hook runs; no other can be reached.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read_write(
        "backend_ndx",
        "integer",
        "The number of the backend in `proxy.global.backends`, from 1; 0 for none. Writing 0 gives the attached connection \
         to its backend's pool; a number takes an idle connection of that backend in its place. In `connect_server` it \
         chooses the backend: with `proxy.PROXY_IGNORE_RESULT` the idle connection is used, else a new one. In \
         `read_auth` it sends the client to another backend. Without an idle connection for the client's user the number \
         is kept and nothing else happens; a client with no connection at all then waits for one when it sends a command. \
         A connection that others must not get (a transaction, a prepared statement, a lock ...) stays, and the log says \
         why.",
    ),
    Field::read("client", "mysql_proxy.Socket", "The client's side."),
    Field::read(
        "server",
        "mysql_proxy.Socket|nil",
        "The server's side; nil while there is no server.",
    ),
    Field::write(
        "connection_close",
        "boolean",
        "`true` closes the connection when the command that is running has its answer.",
    ),
];

impl UserData for ConnectionObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
        callback::metamethod(fields, MetaMethod::NewIndex, write);
    }
}

fn read(lua: &Lua, this: &ConnectionObject, key: Value) -> Result<Value> {
    match api::readable(FIELDS, &key) {
        Some("backend_ndx") => lent::with(lua, this.id, |lent| {
            lent.connection.backend_ndx.cast_signed().into_lua(lua)
        }),
        Some("client") => lent::with(lua, this.id, |_| {
            let connection = this.id;
            Socket::Client { connection }.into_lua(lua)
        }),
        Some("server") => lent::with(lua, this.id, |lent| {
            let server = lent.connection.server.as_ref();
            let socket = server.map(|server| Socket::Server {
                connection: this.id,
                identity: Identity::of(server),
            });
            socket.into_lua(lua)
        }),
        _ => moved(&key),
    }
}

/// What was here before it belonged to one side.
fn moved(key: &Value) -> Result<Value> {
    match retired::raising(OBJECT.class, &key_text(key)) {
        Some(Retired { name, instead, .. }) => Err(Error::RuntimeError(format!(
            "proxy.connection.{name} is deprecated, use {instead} instead"
        ))),
        None => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, this: &ConnectionObject, (key, value): (Value, Value)) -> Result<()> {
    match api::writable(FIELDS, &key) {
        Some("backend_ndx") => {
            let ndx = callback::integer(lua, &value)
                .ok_or_else(|| bad_argument(3, "backend_ndx", "number", &value))?;
            let ndx = isize::try_from(ndx).unwrap_or(isize::MAX).cast_unsigned();
            lent::with(lua, this.id, |lent| {
                match ndx {
                    0 => lent.connection.release(),
                    _ => lent.connection.change_to(ndx),
                }
                Ok(())
            })
        }
        Some("connection_close") => {
            let Value::Boolean(close) = value else {
                return Err(bad_argument(3, "connection_close", "boolean", &value));
            };
            lent::with(lua, this.id, |lent| {
                lent.connection.connection_close = close;
                Ok(())
            })
        }
        _ => Err(callback::not_writable("proxy.connection.", &key)),
    }
}
