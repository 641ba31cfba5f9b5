//! The modules that scripts `require` from us.

use std::path::Path;

use mlua::{Function, Lua, Result, Table, Value};

use crate::callback;
use crate::proxy_modules::{self, LuaModule};
use crate::{
    Shutdown, chassis, glib2, lfs, lpeg, mysql_password, mysql_proto, mysql_tokenizer, posix,
};

type Create = fn(&Lua) -> Result<Table>;

/// What scripts require, and the global variable that the module is in from then on.
const MODULES: &[(&str, &str, Create)] = &[
    ("chassis", "chassis", chassis::module),
    ("glib2", "glib2", glib2::module),
    ("lfs", "lfs", lfs::module),
    ("mysql.password", "password", mysql_password::module),
    ("mysql.proto", "proto", mysql_proto::module),
    ("mysql.tokenizer", "tokenizer", mysql_tokenizer::module),
    ("posix", "posix", posix::module),
];

/// Whether `require` finds a module; the error is the files that it would look for. Runs nothing of the script.
pub(crate) fn find(lua: &Lua, name: &str) -> std::result::Result<(), Vec<String>> {
    let Ok(package) = lua.globals().raw_get::<Table>("package") else {
        return Err(Vec::new());
    };
    let is_in = |table: &str| {
        let table: Result<Table> = package.raw_get(table);
        let value = table.and_then(|table| table.raw_get::<Value>(name));
        value.is_ok_and(|value| !value.is_nil())
    };
    if is_in("loaded") || is_in("preload") {
        return Ok(());
    }
    // A library in C may hold all modules of a name's first part.
    let root = name.split('.').next().unwrap_or(name);
    let mut candidates = Vec::new();
    for (field, name) in [("path", name), ("cpath", name), ("cpath", root)] {
        let templates: String = package.raw_get(field).unwrap_or_default();
        let templates = templates.split(';').filter(|template| !template.is_empty());
        candidates.extend(templates.map(|template| template.replace('?', &name.replace('.', "/"))));
    }
    if candidates.iter().any(|file| Path::new(file).is_file()) {
        return Ok(());
    }
    candidates.dedup();
    Err(candidates)
}

/// Puts the modules where `require` looks first. They are made when a script asks for them.
pub(crate) fn preload(lua: &Lua, shutdown: &Shutdown) -> Result<()> {
    lua.set_app_data(shutdown.clone());
    let package: Table = lua.globals().raw_get("package")?;
    let preload: Table = package.raw_get("preload")?;
    let loaded: Table = package.raw_get("loaded")?;
    for &(name, global, create) in MODULES {
        let loaded = loaded.clone();
        let globals = lua.globals();
        let loader = callback::create(lua, move |lua, ()| {
            let module = create(lua)?;
            globals.raw_set(global, &module)?;
            loaded.raw_set(global, &module)?;
            Ok(module)
        })?;
        preload.raw_set(name, loader)?;
    }
    for module in proxy_modules::MODULES {
        preload.raw_set(module.name, lua_loader(lua, module)?)?;
    }
    lpeg::install(lua)
}

/// As `module("proxy.tokenizer")` did, it also sets `proxy.tokenizer`, for the connection that loads it first.
fn lua_loader(lua: &Lua, module: &'static LuaModule) -> Result<Function> {
    callback::create(lua, move |lua, ()| {
        let table = module.create(lua)?;
        let proxy: Table = lua.globals().raw_get("proxy")?;
        proxy.set(module.key(), &table)?;
        Ok(table)
    })
}
