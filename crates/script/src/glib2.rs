//! `glib2`: sleep, MD5, and the time of day.

use std::thread;
use std::time::{Duration, SystemTime};

use md5::{Digest, Md5};
use mlua::{Lua, Result, Table, Value};

use crate::api::{Field, Object};
use crate::builtin_module::{self, integer, string};
use crate::callback;

/// `glib2`
pub(crate) const MODULE: Object = Object {
    path: "require(\"glib2\")",
    class: "mysql_proxy.Glib2",
    text: "Sleep, MD5, and the time of day. Also the global `glib2` once it is required.",
    fields: &[
        Field::read(
            "usleep",
            "fun(microseconds: integer)",
            "Waits. So do all other connections of the Lua state, and what else its thread serves.",
        ),
        Field::read(
            "md5",
            "fun(text: string): string",
            "The MD5 sum, as 32 hexadecimal digits.",
        ),
        Field::read(
            "get_current_time",
            "fun(): { tv_sec: integer, tv_usec: integer }",
            "The time since 1970, in seconds and microseconds.",
        ),
    ],
};

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "sleep, MD5, and the time of day")?;
    module.raw_set("usleep", callback::create(lua, usleep)?)?;
    module.raw_set("md5", callback::create(lua, md5)?)?;
    let get_current_time = callback::create(lua, get_current_time)?;
    module.raw_set("get_current_time", get_current_time)?;
    Ok(module)
}

/// `usleep(microseconds)`
fn usleep(lua: &Lua, microseconds: Value) -> Result<()> {
    let microseconds = integer(lua, 1, "usleep", &microseconds)?;
    let time = u64::try_from(microseconds).unwrap_or_default();
    thread::sleep(Duration::from_micros(time));
    Ok(())
}

/// `md5(text)`
fn md5(lua: &Lua, text: Value) -> Result<String> {
    let sum = Md5::digest(string(lua, 1, "md5", &text)?);
    Ok(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `get_current_time()`
fn get_current_time(lua: &Lua, (): ()) -> Result<Table> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let table = lua.create_table()?;
    table.raw_set("tv_sec", now.as_secs())?;
    table.raw_set("tv_usec", now.subsec_micros())?;
    Ok(table)
}
