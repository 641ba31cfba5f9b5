//! What the modules that a script can `require` from us have in common.

use mlua::{Lua, Result, Table, Value};

use crate::callback::{self, bad_argument};

/// A module's table, with nothing in it but who and what it is.
///
/// # Errors
/// No memory.
pub(crate) fn new(lua: &Lua, description: &str) -> Result<Table> {
    let module = lua.create_table()?;
    module.raw_set("_COPYRIGHT", "Copyright (c) The mysql-proxy maintainers")?;
    module.raw_set("_DESCRIPTION", description)?;
    module.raw_set("_VERSION", env!("CARGO_PKG_VERSION"))?;
    Ok(module)
}

/// Argument `position` of `function`: a string, or a number as text.
///
/// # Errors
/// Lua's own for everything else.
pub(crate) fn string(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<Vec<u8>> {
    callback::bytes(lua, value).ok_or_else(|| bad_argument(position, function, "string", value))
}

/// Argument `position` of `function`: a number, or a string that reads as one; cut to an integer.
///
/// # Errors
/// Lua's own for everything else.
pub(crate) fn integer(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<i64> {
    callback::integer(lua, value).ok_or_else(|| bad_argument(position, function, "number", value))
}
