//! Lua modules in C find Lua's functions in the program, as they would in the `lua` command. Those of the distribution load.

mod scripted;

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{MariaDb, ScratchDirectory, skip};

use scripted::{ScriptFile, connect, value};

/// Declares by itself what it needs of `lua.h`, which need not be installed.
const MODULE: &str = r"
    void lua_pushinteger(void *state, long value);
    int luaopen_answer(void *state) { lua_pushinteger(state, 42); return 1; }
";

/// Answers every query with `answer`.
const ANSWER: &str = r#"
    function read_query()
        proxy.response = {
            type = proxy.MYSQLD_PACKET_OK,
            resultset = {
                fields = { { name = "answer", type = proxy.MYSQL_TYPE_STRING } },
                rows = { { answer } },
            },
        }
        return proxy.PROXY_SEND_RESULT
    end
"#;

/// What a script makes of its global variable `answer`.
fn answer(script: &str, options: &[&str]) -> String {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&format!("{script}\n{ANSWER}"));
    let proxy = script.proxy(
        &[&server],
        &[&["--lua-on-load-error=error"], options].concat(),
    );
    value(&mut connect(&proxy), "SELECT 1")
}

/// The file of a module in C, where the distribution puts it. `None`, and a visible skip, where it is not installed.
fn installed(file: &str, package: &str) -> Option<PathBuf> {
    let directories = [
        format!("/usr/lib/{ARCH}-linux-gnu/lua/5.1"),
        "/usr/lib/lua/5.1".to_owned(),
        "/usr/lib64/lua/5.1".to_owned(),
        "/usr/local/lib/lua/5.1".to_owned(),
    ];
    let mut files = directories
        .map(|directory| Path::new(&directory).join(file))
        .into_iter();
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("needs the package {package}"));
    }
    found
}

/// `--lua-cpath` for the directory of a module's file.
fn cpath(file: &Path) -> String {
    let directory = file.parent().expect("it is in a directory");
    format!("--lua-cpath={}/?.so", directory.display())
}

#[test]
fn a_script_requires_a_module_in_c() {
    let directory = ScratchDirectory::new();
    let source = directory.file("answer.c");
    let module = directory.file("answer.so");
    fs::write(&source, MODULE).expect("the directory is ours");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&module, &source])
        .status()
        .expect("a C compiler, which building needs too");
    assert!(compiled.success());
    assert_eq!(
        answer("answer = require 'answer'", &[&cpath(&module)]),
        "42"
    );
}

/// Without an option that says where it is.
#[test]
fn lpeg_is_found_where_it_is_installed() {
    if installed("lpeg.so", "lua-lpeg").is_none() {
        return;
    }
    let script = r#"
        local required = require("lpeg")
        assert(required == lpeg and package.loaded.lpeg == lpeg)
        local number = lpeg.R("09") ^ 1 / tonumber
        local sum = lpeg.Cf(number * (lpeg.P("+") * number) ^ 0, function(a, b) return a + b end)
        answer = sum:match("1+20+300")
    "#;
    assert_eq!(answer(script, &[]), "321");
}

#[test]
fn lpeg_is_taken_from_the_path_first() {
    let directory = ScratchDirectory::new();
    fs::write(directory.file("lpeg.lua"), "return { P = 'mine' }").expect("the directory is ours");
    let path = format!("--lua-path={}/?.lua", directory.path().display());
    assert_eq!(answer("answer = require('lpeg').P", &[&path]), "mine");
}

#[test]
fn cjson_of_the_distribution() {
    let Some(file) = installed("cjson.so", "lua-cjson") else {
        return;
    };
    let script = r#"
        local cjson = require("cjson")
        answer = cjson.encode(cjson.decode('[1, {"a": [true, null]}]'))
    "#;
    assert_eq!(answer(script, &[&cpath(&file)]), r#"[1,{"a":[true,null]}]"#);
}

/// A module in Lua with one in C behind it, which talks to the test.
#[test]
fn socket_of_the_distribution() {
    let Some(file) = installed("socket/core.so", "lua-socket") else {
        return;
    };
    let script = r#"
        local socket = require("socket")
        local listener = assert(socket.bind("127.0.0.1", 0))
        local _, port = listener:getsockname()
        local client = assert(socket.connect("127.0.0.1", port))
        local server = assert(listener:accept())
        server:send("hello\n")
        answer = client:receive()
        for _, one in ipairs({ client, server, listener }) do one:close() end
    "#;
    let options = [
        &cpath(file.parent().expect("it is in a directory")),
        "--lua-path=/usr/share/lua/5.1/?.lua",
    ];
    assert_eq!(answer(script, &options), "hello");
}

/// Ours comes first; a script that wants the other one says so.
#[test]
fn lfs_of_the_distribution() {
    let Some(file) = installed("lfs.so", "lua-filesystem") else {
        return;
    };
    let script = r#"
        local ours = require("lfs")
        package.loaded.lfs, package.preload.lfs = nil, nil
        local theirs = require("lfs")
        assert(ours ~= theirs and not ours._VERSION:find("^LuaFileSystem") and theirs._VERSION:find("^LuaFileSystem"))
        for _, name in ipairs({ "mode", "size", "ino", "modification", "uid", "nlink", "blocks", "blksize" }) do
            local own, other = ours.attributes("/etc/passwd", name), theirs.attributes("/etc/passwd", name)
            assert(own == other, name)
        end
        answer = theirs.attributes("/", "mode")
    "#;
    assert_eq!(answer(script, &[&cpath(&file)]), "directory");
}
