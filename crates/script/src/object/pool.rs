//! `proxy.global.backends[i].pool`: the backend's idle connections.

use std::collections::HashMap;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::api::{self, Field, Object};
use crate::callback::{self, bad_argument};

/// A pool object, by its backend's position; a new one at every access.
#[derive(Debug)]
pub(crate) struct Pool {
    /// From 0.
    pub(crate) backend: usize,
}

/// What scripts set, by the backend's position.
#[derive(Debug, Default)]
struct Limits(HashMap<usize, Limit>);

#[derive(Debug, Default, Clone, Copy)]
struct Limit {
    min_idle_connections: i64,
    max_idle_connections: i64,
}

/// Once per interpreter, before any pool object is used.
pub(crate) fn install(lua: &Lua) {
    lua.set_app_data(Limits::default());
}

/// `pool`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.global.backends[i].pool",
    class: "mysql_proxy.Pool",
    text: "A backend's idle connections. This version keeps none.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read_write(
        "min_idle_connections",
        "integer",
        "Noted down for scripts that agree on how many connections to keep; 0 unless set.",
    ),
    Field::read_write(
        "max_idle_connections",
        "integer",
        "As `min_idle_connections`.",
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
    text: "A user's idle connections; of the user `\"\"`, everyone's.",
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

fn read(lua: &Lua, pool: &Pool, key: Value) -> Result<Value> {
    let limit = || {
        let limits = lua.app_data_ref::<Limits>();
        let limit = limits.and_then(|limits| limits.0.get(&pool.backend).copied());
        limit.unwrap_or_default()
    };
    match api::readable(FIELDS, &key) {
        Some("min_idle_connections") => limit().min_idle_connections.into_lua(lua),
        Some("max_idle_connections") => limit().max_idle_connections.into_lua(lua),
        Some("users") => PoolUsers.into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, pool: &Pool, (key, value): (Value, Value)) -> Result<()> {
    let name = api::writable(FIELDS, &key);
    let field: fn(&mut Limit) -> &mut i64 = match name {
        Some("min_idle_connections") => |limit| &mut limit.min_idle_connections,
        Some("max_idle_connections") => |limit| &mut limit.max_idle_connections,
        _ => return Err(callback::not_writable("proxy.backend[...].", &key)),
    };
    let number = callback::integer(lua, &value)
        .ok_or_else(|| bad_argument(3, name.unwrap_or_default(), "number", &value))?;
    if let Some(mut limits) = lua.app_data_mut::<Limits>() {
        *field(limits.0.entry(pool.backend).or_default()) = number;
    }
    Ok(())
}

/// `pool.users`
#[derive(Debug)]
struct PoolUsers;

impl UserData for PoolUsers {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, user);
    }
}

/// `pool.users[name]`: never nil, a user without idle connections has 0.
fn user(lua: &Lua, _: &PoolUsers, name: Value) -> Result<Value> {
    match name {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => PoolUser.into_lua(lua),
        other => Err(bad_argument(2, "pool.users", "string", &other)),
    }
}

/// `pool.users[name]`
#[derive(Debug)]
struct PoolUser;

impl UserData for PoolUser {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, |lua, _: &Self, key: Value| {
            match api::readable(USER_FIELDS, &key) {
                Some("cur_idle_connections") => 0.into_lua(lua),
                _ => Ok(Value::Nil),
            }
        });
    }
}
