//! `proxy.shared`: the dictionary of the whole process, as functions.

use std::sync::Arc;
use std::time::Duration;

use mlua::{Error, IntoLua, Lua, Result, Table, Value};

use crate::api::{Field, Object};
use crate::callback::{self, bad_argument, type_name};
use crate::shared::{Refused, Shared, Stored};

/// `proxy.shared`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.shared",
    class: "mysql_proxy.Shared",
    text: "A dictionary that all Lua states share, where `proxy.global` is each state's own. Values are strings, numbers and \
           booleans; each function is one atomic step. It takes at most `--lua-shared-limit` bytes; what does not fit is \
           refused with `nil, \"full\"`.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read(
        "get",
        "fun(key: string): string|number|boolean|nil",
        "The value; nil where there is none, or it has expired.",
    ),
    Field::read(
        "set",
        "fun(key: string, value: string|number|boolean|nil, seconds?: number): true|nil, string?",
        "Stores a value, for so many seconds if they are given; nil deletes. `true`, or nil and `full`.",
    ),
    Field::read(
        "add",
        "fun(key: string, value: string|number|boolean, seconds?: number): true|nil, string?",
        "Stores a value where there is none: `true`, or nil and `exists` or `full`.",
    ),
    Field::read(
        "incr",
        "fun(key: string, amount: number, initial?: number, seconds?: number): number|nil, string?",
        "Adds to a number; where there is none, to `initial`. The sum, or nil and `not found`, `not a number` or `full`.",
    ),
    Field::read(
        "delete",
        "fun(key: string): boolean",
        "`true` when there was something.",
    ),
    Field::read(
        "ttl",
        "fun(key: string): number|false|nil",
        "Seconds that it still lives; `false` for ever, nil where there is nothing.",
    ),
];

/// The table of functions.
///
/// # Errors
/// No memory.
pub(crate) fn create(lua: &Lua, shared: &Arc<Shared>) -> Result<Table> {
    let table = lua.create_table()?;
    let this = Arc::clone(shared);
    let get = callback::create(lua, move |lua, key: Value| {
        this.get(&bytes(lua, 1, "get", &key)?)
            .map_or(Ok(Value::Nil), |value| into_lua(lua, value))
    })?;
    let this = Arc::clone(shared);
    let set = callback::create(lua, move |lua, (key, value, ttl): (Value, Value, Value)| {
        let key = bytes(lua, 1, "set", &key)?;
        if value.is_nil() {
            this.delete(&key);
            return Ok((Some(true), None));
        }
        let value = stored("set", &value)?;
        outcome(this.set(&key, value, seconds(lua, 3, "set", &ttl)?))
    })?;
    let this = Arc::clone(shared);
    let add = callback::create(lua, move |lua, (key, value, ttl): (Value, Value, Value)| {
        let (key, value) = (bytes(lua, 1, "add", &key)?, stored("add", &value)?);
        outcome(this.add(&key, value, seconds(lua, 3, "add", &ttl)?))
    })?;
    let this = Arc::clone(shared);
    let incr = callback::create(
        lua,
        move |lua, (key, amount, initial, ttl): (Value, Value, Value, Value)| {
            let key = bytes(lua, 1, "incr", &key)?;
            let amount = number(lua, 2, "incr", &amount)?;
            let initial = match initial {
                Value::Nil => None,
                initial => Some(number(lua, 3, "incr", &initial)?),
            };
            let ttl = seconds(lua, 4, "incr", &ttl)?;
            Ok(match this.incr(&key, amount, initial, ttl) {
                Ok(sum) => (Some(sum), None),
                Err(refused) => (None, Some(refused.to_string())),
            })
        },
    )?;
    let this = Arc::clone(shared);
    let delete = callback::create(lua, move |lua, key: Value| {
        Ok(this.delete(&bytes(lua, 1, "delete", &key)?))
    })?;
    let this = Arc::clone(shared);
    let ttl = callback::create(lua, move |lua, key: Value| {
        match this.ttl(&bytes(lua, 1, "ttl", &key)?) {
            None => Ok(Value::Nil),
            Some(None) => Ok(Value::Boolean(false)),
            Some(Some(left)) => left.as_secs_f64().into_lua(lua),
        }
    })?;
    for (name, function) in [
        ("get", get),
        ("set", set),
        ("add", add),
        ("incr", incr),
        ("delete", delete),
        ("ttl", ttl),
    ] {
        table.raw_set(name, function)?;
    }
    Ok(table)
}

fn bytes(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<Vec<u8>> {
    callback::bytes(lua, value).ok_or_else(|| bad_argument(position, function, "string", value))
}

fn number(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<f64> {
    lua.coerce_number(value.clone())?
        .ok_or_else(|| bad_argument(position, function, "number", value))
}

/// nil for ever.
fn seconds(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<Option<Duration>> {
    if value.is_nil() {
        return Ok(None);
    }
    let seconds = number(lua, position, function, value)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Ok(Some(duration)),
        // So many that it is for ever.
        Err(_) if seconds > 0.0 => Ok(None),
        Err(_) => Err(Error::RuntimeError(format!(
            "bad argument #{position} to '{function}' (seconds must not be negative)"
        ))),
    }
}

fn stored(function: &str, value: &Value) -> Result<Stored> {
    match value {
        Value::String(text) => Ok(Stored::String(text.as_bytes().to_vec())),
        Value::Integer(number) => Ok(Stored::Number(*number as f64)),
        Value::Number(number) => Ok(Stored::Number(*number)),
        Value::Boolean(boolean) => Ok(Stored::Boolean(*boolean)),
        other => Err(Error::RuntimeError(format!(
            "bad argument #2 to '{function}' (string, number or boolean expected, got {})",
            type_name(other)
        ))),
    }
}

fn into_lua(lua: &Lua, value: Stored) -> Result<Value> {
    match value {
        Stored::String(text) => lua.create_string(text)?.into_lua(lua),
        Stored::Number(number) => number.into_lua(lua),
        Stored::Boolean(boolean) => boolean.into_lua(lua),
    }
}

type Outcome = (Option<bool>, Option<String>);

fn outcome(result: std::result::Result<(), Refused>) -> Result<Outcome> {
    Ok(match result {
        Ok(()) => (Some(true), None),
        Err(refused) => (None, Some(refused.to_string())),
    })
}
