//! `lpeg`: the module that the operating system's package has. It is a module in C; where `package.cpath` does not lead to
//! it, it is looked for where such packages put it.

use std::env::consts::ARCH;

use mlua::{Lua, Result};

/// The last of `require`'s searchers.
const SEARCHER: &str = r#"
local path = ...
local searchpath, loadlib = package.searchpath, package.loadlib
table.insert(package.loaders, function(name)
  if name ~= "lpeg" then return nil end
  local file, searched = searchpath(name, path)
  if not file then return searched .. "\n\tlpeg is not installed: on Debian and Ubuntu the package lua-lpeg has it" end
  local open, problem = loadlib(file, "luaopen_lpeg")
  return open or "\n\t" .. problem
end)
"#;

/// Makes `require("lpeg")` find it.
///
/// # Errors
/// No memory.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let directories = [
        &format!("/usr/lib/{ARCH}-linux-gnu/lua/5.1"),
        "/usr/lib/lua/5.1",
        "/usr/lib64/lua/5.1",
        "/usr/local/lib/lua/5.1",
    ];
    install_searching(
        lua,
        &directories.map(|directory| format!("{directory}/?.so")),
    )
}

fn install_searching(lua: &Lua, templates: &[String]) -> Result<()> {
    let searcher = lua.load(SEARCHER).set_name("=mysql-proxy");
    searcher.call(templates.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter;

    fn error(templates: &[&str], module: &str) -> String {
        let options = crate::Options::new();
        let lua = interpreter::create(&options).unwrap();
        let templates: Vec<_> = templates.iter().map(ToString::to_string).collect();
        install_searching(&lua, &templates).unwrap();
        let required = lua.load(format!("require('{module}')")).exec();
        required.unwrap_err().to_string()
    }

    #[test]
    fn a_missing_one_says_what_to_install() {
        let text = error(&["/nowhere/?.so", "/nowhere/else/?.so"], "lpeg");
        for part in [
            "module 'lpeg' not found",
            "no file '/nowhere/lpeg.so'",
            "no file '/nowhere/else/lpeg.so'",
            "the package lua-lpeg has it",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_none_says_so() {
        let text = error(&["/etc/passwd"], "lpeg");
        assert!(text.contains("/etc/passwd: "), "{text}");
    }

    #[test]
    fn others_are_not_looked_for() {
        let text = error(&["/nowhere/?.so"], "cjson");
        assert!(
            !text.contains("nowhere") && !text.contains("lua-lpeg"),
            "{text}"
        );
    }
}
