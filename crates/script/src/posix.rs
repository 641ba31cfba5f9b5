//! `posix`: who the process is, who users are, and signals.

use mlua::{Lua, Result, Table, Value};
use nix::sys::signal::{self, Signal};
use nix::unistd::{self, Pid, Uid, User};

use crate::api::{Field, Object};
use crate::builtin_module::{self, integer};
use crate::callback;

/// `posix`
pub(crate) const MODULE: Object = Object {
    path: "require(\"posix\")",
    class: "mysql_proxy.Posix",
    text: "Processes and users. Also the global `posix` once it is required.",
    fields: &[
        Field::read("getpid", "fun(): integer", "The proxy's process."),
        Field::read("getuid", "fun(): integer", "The user that it runs as."),
        Field::read(
            "getpwuid",
            "fun(uid: integer): { name: string, uid: integer, gid: integer, dir: string, shell: string }|nil",
            "A user of the system; nil where there is none of this number.",
        ),
        Field::read(
            "kill",
            "fun(pid: integer, signal: integer): integer",
            "Sends a signal, or with 0 asks whether it could be sent: 0, or -1 when it could not.",
        ),
    ],
};

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "processes and users")?;
    let getpid = |_: &Lua, (): ()| Ok(std::process::id());
    module.raw_set("getpid", callback::create(lua, getpid)?)?;
    let getuid = |_: &Lua, (): ()| Ok(unistd::getuid().as_raw());
    module.raw_set("getuid", callback::create(lua, getuid)?)?;
    module.raw_set("getpwuid", callback::create(lua, getpwuid)?)?;
    module.raw_set("kill", callback::create(lua, kill)?)?;
    Ok(module)
}

/// `getpwuid(uid)`
fn getpwuid(lua: &Lua, uid: Value) -> Result<Option<Table>> {
    let uid = integer(lua, 1, "getpwuid", &uid)?;
    let found = u32::try_from(uid)
        .ok()
        .and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    let Some(user) = found else {
        return Ok(None);
    };
    let table = lua.create_table()?;
    table.raw_set("name", user.name)?;
    table.raw_set("uid", user.uid.as_raw())?;
    table.raw_set("gid", user.gid.as_raw())?;
    table.raw_set("dir", user.dir)?;
    table.raw_set("shell", user.shell)?;
    Ok(Some(table))
}

/// `kill(pid, signal)`
fn kill(lua: &Lua, (pid, signal): (Value, Value)) -> Result<i32> {
    let pid = integer(lua, 1, "kill", &pid)?;
    let signal = integer(lua, 2, "kill", &signal)?;
    Ok(if is_sent(pid, signal) { 0 } else { -1 })
}

fn is_sent(pid: i64, signal: i64) -> bool {
    let (Ok(pid), Ok(signal)) = (i32::try_from(pid), i32::try_from(signal)) else {
        return false;
    };
    let signal = match signal {
        0 => Ok(None),
        number => Signal::try_from(number).map(Some),
    };
    signal.is_ok_and(|signal| signal::kill(Pid::from_raw(pid), signal).is_ok())
}
