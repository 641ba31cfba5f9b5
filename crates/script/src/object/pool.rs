//! `proxy.global.backends[i].pool`: the backend's idle connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::api::{self, Field, Object};
use crate::callback::{self, bad_argument};
use crate::{Applicant, BackendView, lent};

/// A pool object; a new one at every access.
#[derive(Debug)]
pub(crate) struct Pool(pub(crate) Arc<dyn BackendView>);

/// `pool`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.global.backends[i].pool",
    class: "mysql_proxy.Pool",
    text: "A backend's idle connections. They come from hooks that write `proxy.connection.backend_ndx = 0`, and go to those \
           that write a number.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read_write(
        "min_idle_connections",
        "integer",
        "A user with more idle connections than this lends them to clients that log in; 0 unless set. All Lua states \
         share it.",
    ),
    Field::read_write(
        "max_idle_connections",
        "integer",
        "Noted down for scripts that agree on how many connections to keep; 0 unless set.",
    ),
    Field::read(
        "users",
        "table<string, mysql_proxy.PoolUser>",
        "Idle connections by user name; never nil.",
    ),
];

/// `pool.users[name]`
pub(crate) const USER: Object = Object {
    path: "proxy.global.backends[i].pool.users[name]",
    class: "mysql_proxy.PoolUser",
    text: "A user's idle connections. Of the user `\"\"`: those of some user who has more than `min_idle_connections`. Of the \
           client's own user, from `read_auth` on: those that suit what the client agreed on at its login.",
    fields: USER_FIELDS,
};

const USER_FIELDS: &[Field] = &[Field::read(
    "cur_idle_connections",
    "integer",
    "How many there are.",
)];

impl UserData for Pool {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
        callback::metamethod(fields, MetaMethod::NewIndex, write);
    }
}

fn read(lua: &Lua, Pool(view): &Pool, key: Value) -> Result<Value> {
    let (min_idle, max_idle) = view.idle_limits();
    match api::readable(FIELDS, &key) {
        Some("min_idle_connections") => min_idle.load(Ordering::Relaxed).into_lua(lua),
        Some("max_idle_connections") => max_idle.load(Ordering::Relaxed).into_lua(lua),
        Some("users") => PoolUsers(Arc::clone(view)).into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, Pool(view): &Pool, (key, value): (Value, Value)) -> Result<()> {
    let name = api::writable(FIELDS, &key);
    let (min_idle, max_idle) = view.idle_limits();
    let field: &AtomicI64 = match name {
        Some("min_idle_connections") => min_idle,
        Some("max_idle_connections") => max_idle,
        _ => return Err(callback::not_writable("proxy.backend[...].", &key)),
    };
    let number = callback::integer(lua, &value)
        .ok_or_else(|| bad_argument(3, name.unwrap_or_default(), "number", &value))?;
    field.store(number, Ordering::Relaxed);
    Ok(())
}

/// `pool.users`
#[derive(Debug)]
struct PoolUsers(Arc<dyn BackendView>);

impl UserData for PoolUsers {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, user);
    }
}

/// `pool.users[name]`: never nil, a user without idle connections has 0.
fn user(lua: &Lua, PoolUsers(view): &PoolUsers, name: Value) -> Result<Value> {
    let username = callback::bytes(lua, &name);
    let username = username.ok_or_else(|| bad_argument(2, "pool.users", "string", &name))?;
    PoolUser {
        view: Arc::clone(view),
        username,
    }
    .into_lua(lua)
}

/// `pool.users[name]`
#[derive(Debug)]
struct PoolUser {
    view: Arc<dyn BackendView>,
    username: Vec<u8>,
}

impl UserData for PoolUser {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, |lua, this: &Self, key: Value| {
            match api::readable(USER_FIELDS, &key) {
                Some("cur_idle_connections") => count(lua, this)?.into_lua(lua),
                _ => Ok(Value::Nil),
            }
        });
    }
}

/// What assigning `backend_ndx` in the command phase would find, if it is the client's own user.
fn count(lua: &Lua, user: &PoolUser) -> Result<usize> {
    lent::any(lua, |lent| {
        let client = lent.connection.applicant();
        let applicant = match !user.username.is_empty() && client.username == user.username {
            true => Applicant {
                logs_in: false,
                ..client
            },
            false => Applicant {
                username: &user.username,
                capabilities: None,
                logs_in: true,
            },
        };
        Ok(user.view.idle_connections(&applicant))
    })
}
