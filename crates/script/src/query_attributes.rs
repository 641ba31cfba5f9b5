//! Query attributes as tables: what `read_query` gets of the client's, and what a script gives its own queries.

use mlua::{Error, Lua, Result, Table, Value};
use protocol::prepared_statement::ParameterType;
use protocol::query::QueryAttribute;
use protocol::resultset::{ColumnType, Value as Parameter};

use crate::callback;
use crate::parameter;

/// What `attributes` say, by name. Of several by one name it is the first, as for servers.
///
/// # Errors
/// Attributes that cannot be read; no memory.
pub(crate) fn table(lua: &Lua, attributes: &[u8]) -> Result<Table> {
    let all = QueryAttribute::decode_all(attributes).map_err(Error::external)?;
    by_name(lua, &all)
}

/// The same for decoded ones.
pub(crate) fn by_name(lua: &Lua, all: &[QueryAttribute<'_>]) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, all.len())?;
    for attribute in all.iter().rev() {
        let value = parameter::lua_value(lua, Some(attribute.value), attribute.bound.column_type)?;
        table.raw_set(lua.create_string(attribute.name)?, value)?;
    }
    Ok(table)
}

/// The attributes that a script has written down as a table of strings and numbers by name.
///
/// # Errors
/// Other names or values; `function` is whose argument it is.
pub(crate) fn encoded(lua: &Lua, function: &str, table: &Table) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        let Value::String(name) = name else {
            return Err(refused(function, "names are strings", &name));
        };
        let owned = owned(lua, &value).ok_or_else(|| {
            let name = name.to_string_lossy();
            refused(function, &format!("{name} is a string or a number"), &value)
        })?;
        all.push((name.as_bytes().to_vec(), owned));
    }
    // A table has no order; what is sent has one that stays.
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let attributes: Vec<_> = all.iter().map(|(name, owned)| owned.named(name)).collect();
    let mut bytes = Vec::new();
    QueryAttribute::encode_all(&attributes, &mut bytes).map_err(Error::external)?;
    Ok(bytes)
}

fn refused(function: &str, expected: &str, found: &Value) -> Error {
    Error::RuntimeError(format!(
        "bad argument #3 to '{function}' (attributes: {expected}, got {})",
        callback::type_name(found)
    ))
}

/// A script's value.
enum Owned {
    Integer(i64),
    Number(f64),
    Text(Vec<u8>),
}

fn owned(lua: &Lua, value: &Value) -> Option<Owned> {
    Some(match value {
        Value::Integer(number) => Owned::Integer(*number),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 2f64.powi(63) => {
            Owned::Integer(*number as i64)
        }
        Value::Number(number) => Owned::Number(*number),
        Value::String(_) => Owned::Text(callback::bytes(lua, value)?),
        _ => return None,
    })
}

impl Owned {
    fn named<'a>(&'a self, name: &'a [u8]) -> QueryAttribute<'a> {
        let (column_type, value) = match self {
            Self::Integer(number) => (ColumnType::LONGLONG, Parameter::Int(*number)),
            Self::Number(number) => (ColumnType::DOUBLE, Parameter::Double(*number)),
            Self::Text(text) => (ColumnType::STRING, Parameter::Bytes(text)),
        };
        let bound = ParameterType {
            column_type,
            is_unsigned: false,
        };
        QueryAttribute { name, bound, value }
    }
}
