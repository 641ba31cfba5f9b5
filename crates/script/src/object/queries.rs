//! `proxy.queries`: what the script sends to the server in place of the client's command, or beside it.

use std::time::Instant;

use mlua::{Error, Function, Lua, MetaMethod, Result, Table, UserData, UserDataFields, Value};

use crate::Injection;
use crate::api::{Field, Object};
use crate::callback::{self, bad_argument};
use crate::{lent, query_attributes};

/// Queries that may wait in one connection. Far beyond any script's need; a loop that never ends stops here.
pub(crate) const MAX_QUERIES: usize = 65_536;

/// `proxy.queries`, by the connection's number. One per connection.
#[derive(Debug)]
pub(crate) struct Queries {
    /// The connection's number.
    pub(crate) connection: u64,
}

/// `proxy.queries`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.queries",
    class: "mysql_proxy.Queries",
    text: "What the script sends in the place of the client's command, one after the other, when a hook returns \
           `proxy.PROXY_SEND_QUERY`. Empty at the start of each `read_query`; `#proxy.queries` is how many wait.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read(
        "append",
        "fun(self: mysql_proxy.Queries, id: integer, packet: string, options?: { resultset_is_needed?: boolean, attributes?: table<string, string|number> })",
        "Behind all others. `id` is for `read_query_result` to tell queries apart; `packet` is the command byte and the \
         body. With `resultset_is_needed` the result is kept for `read_query_result` and may be changed or dropped; \
         without, it goes to the client as it comes. `attributes` are the query attributes of a COM_QUERY, instead of those \
         of the client's command; they are left out where client and server did not agree on any.",
    ),
    Field::read(
        "prepend",
        "fun(self: mysql_proxy.Queries, id: integer, packet: string, options?: { resultset_is_needed?: boolean, attributes?: table<string, string|number> })",
        "As `append`, before all others.",
    ),
    Field::read(
        "reset",
        "fun(self: mysql_proxy.Queries)",
        "Forgets all that wait.",
    ),
    Field::read(
        "len",
        "fun(self: mysql_proxy.Queries): integer",
        "How many wait.",
    ),
];

impl UserData for Queries {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_meta_field_with(MetaMethod::Index.name(), methods);
        callback::metamethod(fields, MetaMethod::Len, len);
    }
}

fn methods(lua: &Lua) -> Result<Table> {
    let methods = lua.create_table()?;
    for field in FIELDS {
        let method = match field.name {
            "reset" => callback::method(lua, reset)?,
            "len" => callback::method(lua, len)?,
            name => queue(lua, name)?,
        };
        methods.raw_set(field.name, method)?;
    }
    methods.raw_set("__len", callback::method(lua, len)?)?;
    Ok(methods)
}

fn len(lua: &Lua, this: &Queries, (): ()) -> Result<usize> {
    lent::with(lua, this.connection, |lent| {
        Ok(lent.connection.queries.len())
    })
}

fn reset(lua: &Lua, this: &Queries, (): ()) -> Result<()> {
    lent::with(lua, this.connection, |lent| {
        lent.connection.queries.clear();
        Ok(())
    })
}

fn queue(lua: &Lua, name: &'static str) -> Result<Function> {
    callback::method(
        lua,
        move |lua, this: &Queries, (id, packet, options): (Value, Value, Value)| {
            let injection = injection(lua, name, &id, &packet, options)?;
            lent::with(lua, this.connection, |lent| {
                let queries = &mut lent.connection.queries;
                if queries.len() >= MAX_QUERIES {
                    return Err(Error::RuntimeError(format!(
                        "proxy.queries is full: {MAX_QUERIES} queries wait"
                    )));
                }
                match name {
                    "prepend" => queries.push_front(injection),
                    _ => queries.push_back(injection),
                }
                Ok(())
            })
        },
    )
}

fn injection(
    lua: &Lua,
    name: &str,
    id: &Value,
    packet: &Value,
    options: Value,
) -> Result<Injection> {
    let number = callback::integer(lua, id).ok_or_else(|| bad_argument(1, name, "number", id))?;
    let packet =
        callback::bytes(lua, packet).ok_or_else(|| bad_argument(2, name, "string", packet))?;
    let mut injection = Injection {
        // Scripts' numbers are a C int.
        id: number as i32,
        packet,
        attributes: None,
        resultset_is_needed: false,
        queued_at: Instant::now(),
    };
    match options {
        Value::Nil => {}
        Value::Table(options) => {
            injection.resultset_is_needed = resultset_is_needed(name, &options)?;
            injection.attributes = attributes(lua, name, &options)?;
        }
        other => return Err(bad_argument(3, name, "table", &other)),
    }
    Ok(injection)
}

fn attributes(lua: &Lua, name: &str, options: &Table) -> Result<Option<Vec<u8>>> {
    match options.get("attributes")? {
        Value::Nil => Ok(None),
        Value::Table(table) => query_attributes::encoded(lua, name, &table).map(Some),
        other => Err(Error::RuntimeError(format!(
            "bad argument #3 to '{name}' (attributes has to be a table, got {})",
            callback::type_name(&other)
        ))),
    }
}

fn resultset_is_needed(name: &str, options: &Table) -> Result<bool> {
    match options.get("resultset_is_needed")? {
        Value::Nil => Ok(false),
        Value::Boolean(is_needed) => Ok(is_needed),
        other => Err(Error::RuntimeError(format!(
            "bad argument #3 to '{name}' (resultset_is_needed has to be a boolean, got {})",
            callback::type_name(&other)
        ))),
    }
}
