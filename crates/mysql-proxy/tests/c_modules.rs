//! Lua modules in C find Lua's functions in the program, as they would in the `lua` command.

use std::fs;
use std::process::Command;

use testkit::{Client, MariaDb, ProxyProcess, ScratchDirectory};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");

/// Declares by itself what it needs of `lua.h`, which need not be installed.
const MODULE: &str = r"
    void lua_pushinteger(void *state, long value);
    int luaopen_answer(void *state) { lua_pushinteger(state, 42); return 1; }
";

const SCRIPT: &str = r#"
    local answer = require "answer"
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

#[test]
fn a_script_requires_a_module_in_c() {
    let directory = ScratchDirectory::new();
    let source = directory.file("answer.c");
    let module = directory.file("answer.so");
    let script = directory.file("script.lua");
    fs::write(&source, MODULE).expect("the directory is ours");
    fs::write(&script, SCRIPT).expect("the directory is ours");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&module, &source])
        .status()
        .expect("a C compiler, which building needs too");
    assert!(compiled.success());

    let server = MariaDb::start(&[]);
    let proxy = ProxyProcess::start(
        BINARY,
        &[
            &format!("--proxy-backend-addresses={}", server.address()),
            &format!("--proxy-lua-script={}", script.display()),
            &format!("--lua-cpath={}/?.so", directory.path().display()),
        ],
    );
    let mut client = Client::connect(proxy.address(), "app", "app").expect("the script loads");
    assert_eq!(client.value("SELECT 1").expect("the script answers"), "42");
}
