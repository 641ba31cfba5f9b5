//! A Lua interpreter as scripts expect it: LuaJIT with every standard library, where `require` finds Lua and C modules.
#![expect(
    unsafe_code,
    reason = "C modules, `debug` and `ffi` can break the process, and scripts have always had them: a script is \
              trusted like the program itself. mlua asks for `unsafe` to say so; nothing else here is unsafe."
)]

use std::env;

use mlua::{Lua, LuaOptions, Result, StdLib, Table};

use crate::Options;

/// A fresh interpreter; reads no file.
pub(crate) fn create(options: &Options) -> Result<Lua> {
    let libraries = StdLib::ALL ^ StdLib::PACKAGE;
    // SAFETY: the operator chooses the script and the modules it loads, and may run any program anyway.
    let lua = unsafe { Lua::unsafe_new_with(libraries, LuaOptions::new()) };
    // Without the environment's variables the compiled-in paths, which `;;` stands for, can be read.
    lua.set_named_registry_value("LUA_NOENV", true)?;
    lua.load_std_libs(StdLib::PACKAGE)?;
    let package: Table = lua.globals().get("package")?;
    for (field, variable, option, default) in [
        (
            "path",
            "LUA_PATH",
            &options.lua_path,
            &options.default_lua_path,
        ),
        (
            "cpath",
            "LUA_CPATH",
            &options.lua_cpath,
            &options.default_lua_cpath,
        ),
    ] {
        let compiled_in: String = package.get(field)?;
        let variable = env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
        let path = search_path(option.as_ref(), variable.as_ref(), default, &compiled_in);
        package.set(field, path)?;
    }
    // What a script prints is read as it goes, also through a pipe or in a file.
    lua.load("io.stdout:setvbuf('line')").exec()?;
    Ok(lua)
}

/// The first that is set; in it, `;;` stands for the compiled-in path, as in `LUA_PATH`.
fn search_path(
    option: Option<&String>,
    variable: Option<&String>,
    default: &String,
    compiled_in: &str,
) -> String {
    let path = option.or(variable).unwrap_or(default);
    path.replace(";;", &format!(";{compiled_in};"))
}

#[cfg(test)]
mod tests {
    use super::search_path;

    #[test]
    fn the_option_wins_then_the_environment_then_the_default() {
        let [option, variable, default] = ["O", "V", "D"].map(String::from);
        let path = |option, variable| search_path(option, variable, &default, "C");
        assert_eq!(path(Some(&option), Some(&variable)), "O");
        assert_eq!(path(Some(&option), None), "O");
        assert_eq!(path(None, Some(&variable)), "V");
        assert_eq!(path(None, None), "D");
        assert_eq!(path(Some(&String::new()), Some(&variable)), "");
    }

    #[test]
    fn two_semicolons_stand_for_the_compiled_in_path() {
        let path = |path: &str| search_path(Some(&path.into()), None, &String::new(), "C");
        assert_eq!(path("/a/?.lua"), "/a/?.lua");
        assert_eq!(path("/a/?.lua;;"), "/a/?.lua;C;");
        assert_eq!(path(";;"), ";C;");
    }
}
