//! `proxy.global.backends[i].pool`: the backend's idle connections.

use std::collections::HashMap;

use mlua::{IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};

use crate::callback::{self, bad_argument, key_text};

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
    match key_text(&key).as_str() {
        // Noted down for scripts that agree on how many connections to keep idle; 0 unless set.
        "min_idle_connections" => limit().min_idle_connections.into_lua(lua),
        "max_idle_connections" => limit().max_idle_connections.into_lua(lua),
        // Idle connections by user.
        "users" => PoolUsers.into_lua(lua),
        _ => Ok(Value::Nil),
    }
}

fn write(lua: &Lua, pool: &Pool, (key, value): (Value, Value)) -> Result<()> {
    let key_name = key_text(&key);
    let field: fn(&mut Limit) -> &mut i64 = match key_name.as_str() {
        "min_idle_connections" => |limit| &mut limit.min_idle_connections,
        "max_idle_connections" => |limit| &mut limit.max_idle_connections,
        _ => return Err(callback::not_writable("proxy.backend[...].", &key)),
    };
    let number = callback::integer(lua, &value)
        .ok_or_else(|| bad_argument(3, &key_name, "number", &value))?;
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
            match key_text(&key).as_str() {
                // The idle connections that this user could get.
                "cur_idle_connections" => 0.into_lua(lua),
                _ => Ok(Value::Nil),
            }
        });
    }
}
