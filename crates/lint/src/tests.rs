//! What is found, and what is left alone.

use proptest::prelude::*;

use crate::{Finding, Surroundings, check};

/// Lua's own variables, and one module.
struct Lua;

impl Surroundings for Lua {
    fn has_global(&self, name: &str) -> bool {
        const GLOBALS: [&str; 23] = [
            "proxy",
            "_G",
            "assert",
            "error",
            "getfenv",
            "io",
            "ipairs",
            "loadstring",
            "math",
            "module",
            "os",
            "package",
            "pairs",
            "pcall",
            "print",
            "rawset",
            "require",
            "setfenv",
            "setmetatable",
            "string",
            "table",
            "tonumber",
            "type",
        ];
        GLOBALS.contains(&name)
    }

    fn find_module(&self, name: &str) -> Result<(), Vec<String>> {
        match name.starts_with("no") {
            true => Err(vec![format!("/lua/{name}.lua"), format!("/lua/{name}.so")]),
            false => Ok(()),
        }
    }
}

/// `LINE: severity: text`
fn findings(source: &str) -> Vec<String> {
    let shown =
        |finding: Finding| format!("{}: {}: {}", finding.line, finding.severity, finding.text);
    check(source, &Lua).into_iter().map(shown).collect()
}

#[track_caller]
fn assert_clean(source: &str) {
    assert_eq!(findings(source), [""; 0], "{source}");
}

/// There is one finding, and it begins so and has these words.
#[track_caller]
fn assert_one(source: &str, beginning: &str, words: &[&str]) {
    let findings = findings(source);
    let [finding] = &findings[..] else {
        panic!("{source}: {findings:#?}");
    };
    assert!(finding.starts_with(beginning), "{source}: {finding}");
    for word in words {
        assert!(finding.contains(word), "{source}: no {word} in {finding}");
    }
}

#[test]
fn unknown_names_are_errors_with_what_may_be_meant() {
    for (source, words) in [
        (
            "return_ = proxy.PROXY_SEND_RESULTS",
            &["proxy has no `PROXY_SEND_RESULTS`", "`PROXY_SEND_RESULT`?"][..],
        ),
        (
            "x = proxy.connection.foo",
            &["proxy.connection has no `foo`"],
        ),
        ("x = proxy.connection.sever", &["did you mean `server`?"]),
        (
            "x = proxy['conection'].client",
            &["did you mean `connection`?"],
        ),
        (
            "x = proxy.global.backends[1].adress",
            &["proxy.global.backends[i] has no `adress`", "`dst.name`?"],
        ),
        (
            "x = proxy.global.backends[1].dst.nam",
            &["did you mean `name`?"],
        ),
        (
            "x = proxy.global.backends[1].pool.users[''].idle",
            &["has no `idle`"],
        ),
        ("x = proxy.global.backends.state", &["this is a list"]),
        (
            "x = proxy.connection.client.src.ip",
            &["client.src, client.dst, backend.dst has no `ip`"],
        ),
        ("proxy.queries:apend(1, 'x')", &["did you mean `append`?"]),
        (
            "x = require('mysql.proto').to_ok_packets",
            &["did you mean `to_ok_packet`?"],
        ),
        (
            "proxy.connection.backend_idx = 1",
            &["has no `backend_idx` to write to", "`backend_ndx`?"],
        ),
        ("proxy.connection.client = 1", &["can only be read"]),
    ] {
        assert_one(source, "1: error: ", words);
    }
}

#[test]
fn what_variables_hold_is_known_where_it_shows() {
    for source in [
        "local backends = proxy.global.backends\nlocal first = backends[1]\nx = first.adress",
        "function connect_server()\nfor i = 1, #proxy.global.backends do local b = proxy.global.backends[i]\nif b.stat == 1 \
         then return 4 end\nend end",
        "local p = proxy\nlocal client = (p.connection).client\nx = client.user",
        "tokenizer_ = require('mysql.tokenizer')\nlocal tokens = tokenizer_.tokenize('SELECT 1')\nx = tokens[1].txt",
        "\nfunction read_query_result(inj)\nx = inj.resultset.rwos end x = 1",
        "\nread_query_result = function(result)\nreturn result.foo end",
        "local c = proxy.connection or proxy.connection\n\nx = c.foo",
    ] {
        assert_one(source, "3: error: ", &["has no `"]);
    }
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    for source in [
        // Set twice, or by somebody else.
        "local b = proxy.connection\nb = {}\nx = b.foo",
        "local function f(inj) return inj.foo end\nf({})",
        "local t = { proxy = {} }\nx = t.proxy.foo",
        "local proxy = {}\nx = proxy.foo",
        "function f() local proxy = 1 end x = proxy.connection f()",
        // Keys of the script's own.
        "proxy.mine = 1\nx = proxy.mine",
        "x = proxy.global.mine.deep",
        "x = proxy.global.config.rwsplit.is_debug",
        "local c = require('proxy.commands')\nx = proxy.commands, c",
        "local p = require('mysql.proto')\nx = p._VERSION",
        "x = proxy.connection[key_of()]\nfunction key_of() return 'client' end",
        "x = { foo = proxy.MYSQLD_PACKET_OK, [proxy.COM_QUERY] = 1 }",
        "x = proxy.connection.client.src.name:upper()",
        "for row in pairs(proxy.global.x or {}) do print(row.foo) end",
        "function read_auth_result(auth) return auth.packet:byte() == 0 and 1 end",
        "function read_query_result(inj) for r in inj.resultset.rows do print(r[1]) end end",
        "x = proxy.queries.append, proxy.shared.incr('x', 1, 0)",
    ] {
        assert_clean(source);
    }
}

#[test]
fn a_name_that_is_tested_before_may_be_missing() {
    for source in [
        "if proxy.something then print(1) end",
        "x = proxy.something == nil",
        "x = proxy.something and 1",
        "x = not proxy.something",
        "while proxy.connection.something do print(1) end",
    ] {
        assert_one(source, "1: warning: ", &["it is always nil"]);
    }
    assert_one(
        "if proxy.connection.sever then print(1) end",
        "1: error: ",
        &["`server`?"],
    );
}

#[test]
fn keys_that_nobody_looks_at() {
    for (source, words) in [
        (
            "proxy.response.errno = 1",
            &["`errno` in proxy.response"][..],
        ),
        (
            "proxy.response = { type = 0, resultset = { fields = {\n{ nam = 'x' } } } }",
            &["`nam`", "`name`?"],
        ),
        (
            "proxy.queries:append(1, 'x', { resultset_is_need = true })",
            &["`resultset_is_needed`?"],
        ),
        (
            "local q = proxy.queries q:prepend(1, 'x', { is_needed = true })",
            &["no option `is_needed`"],
        ),
        (
            "x = proxy.global.backend[1]",
            &["not set in this script", "`backends`?"],
        ),
        (
            "x = proxy.connection.connection_close",
            &["can only be written"],
        ),
        ("proxy.queries = {}", &["takes the place of it"]),
    ] {
        let line = if source.contains('\n') { "2" } else { "1" };
        assert_one(source, &format!("{line}: warning: "), words);
    }
    assert_clean(
        "proxy.response = { type = 0, resultset = { fields = { { name = 'x', type = 1 } }, rows = { { 1 } } } }",
    );
    assert_clean("proxy.queries:append(1, 'x', { resultset_is_needed = true })");
}

#[test]
fn retired_names_say_what_to_use() {
    for (source, beginning, words) in [
        ("x = proxy.servers", "1: note: ", "proxy.global.backends"),
        ("x = proxy.tokenize('')", "1: note: ", "mysql.tokenizer"),
        (
            "x = proxy.connection.address",
            "1: note: ",
            "client.src.name",
        ),
        (
            "x = proxy.global.backends[1].address",
            "1: note: ",
            ".dst.name",
        ),
        (
            "function f(s) return s.idling_connections end f()",
            "1: note: ",
            "cur_idle_connections",
        ),
        (
            "x = proxy.connection.thread_id",
            "1: error: ",
            "client.thread_id",
        ),
        (
            "x = proxy.connection.client.address",
            "1: error: ",
            ".src.name",
        ),
    ] {
        assert_one(source, beginning, &[words]);
    }
}

#[test]
fn functions_that_are_no_hooks() {
    for (source, words) in [
        (
            "function read_querry() end",
            &["did you mean `read_query`?"][..],
        ),
        (
            "function read_query_results() end",
            &["did you mean `read_query_result`?"],
        ),
        ("function Read_Query() end", &["did you mean `read_query`?"]),
        (
            "READ_QUERY = function() end",
            &["did you mean `read_query`?"],
        ),
        (
            "function read_query_response() end",
            &["the hooks are connect_server, "],
        ),
        ("function connect_client() end", &["there is no such hook"]),
        ("local function read_query() end", &["leave out `local`"]),
        ("local read_auth = function() end", &["leave out `local`"]),
    ] {
        assert_one(source, "1: warning: ", words);
    }
    assert_clean("function read_config() end\nread_config()");
    assert_clean("local function read_query() end\n_G.read_query = read_query");
    assert_clean("function tokenize() end");
    assert_clean("local M = {}\nfunction M.read_querry() end\nreturn M");
}

#[test]
fn parameters_that_a_hook_does_not_get() {
    assert_one(
        "function read_query(packet, attributes, id) end",
        "1: warning: ",
        &["`id` is always nil", "read_query(packet, attributes)"],
    );
    assert_one(
        "function connect_server(a, b) end",
        "1: warning: ",
        &["`a` and `b` are always nil"],
    );
    assert_one(
        "function read_handshake(auth) end",
        "1: warning: ",
        &["read_handshake()"],
    );
    assert_clean(
        "function read_query() end\nfunction read_auth(...) end\nfunction read_query_result(inj) end",
    );
}

#[test]
fn globals_that_are_made_by_mistake() {
    assert_one(
        "function read_query(packet)\ntokens = packet end",
        "2: warning: ",
        &["`tokens`", "is `local` missing?"],
    );
    assert_one(
        "function f()\nfunction g() end end f()",
        "2: warning: ",
        &["`g`"],
    );
    for source in [
        "count = 0\nfunction read_query() count = count + 1 end",
        "if proxy then count = 0 end\nfunction read_query() count = 1 end",
        "function f() function read_query() end end f()",
        "function f() print = nil end f()",
        "function f() local x; x = 1; return x end f()",
        "function f(x) x = 1 for i = 1, 2 do i = x end end f()",
    ] {
        assert_clean(source);
    }
}

#[test]
fn globals_that_nobody_sets() {
    assert_one(
        "function read_query()\nif is_debug then return end end",
        "2: warning: ",
        &["`is_debug`: it is nil"],
    );
    assert_one(
        "local counter = 0\nprint(countr)",
        "2: warning: ",
        &["did you mean `counter`?"],
    );
    assert_one(
        "function read_query()\nreturn packet:byte() end",
        "2: warning: ",
        &["function read_query(packet, attributes)"],
    );
    assert_one(
        "do local x = 1; print(x) end\nprint(x)",
        "2: warning: ",
        &["`x`"],
    );
    assert_one(
        "local x = x_of()\nrepeat local y = x until y",
        "1: warning: ",
        &["`x_of`"],
    );
    assert_one("local x = x or 1\nx = nil", "1: warning: ", &["`x`"]);
    for source in [
        "_G.helper = print\nhelper('x')",
        "function _G.helper() end\nhelper('x')",
        "loadstring('x = 1')()\nprint(x)",
        "setmetatable(_G, {})\nprint(x)",
        "module('m')\nprint(x)",
        "local function f() return g() end\nfunction g() return f end",
        "local t = {}\nfunction t:m() return self end\nfunction t.n(...) return ... end",
        "goto continue\n::continue::",
    ] {
        assert_clean(source);
    }
}

#[test]
fn modules_that_are_not_there() {
    assert_one(
        "\nlocal m = require('nosuch')",
        "2: error: ",
        &["module `nosuch`", "/lua/nosuch.lua, /lua/nosuch.so"],
    );
    assert_one("require \"nosuch\"", "1: error: ", &["module `nosuch`"]);
    assert_clean(
        "require('there')\npcall(require, 'nosuch')\npcall(function() require('nosuch') end)",
    );
    assert_clean("local require = print\nrequire('nosuch')");
}

#[test]
fn what_holds_others_up() {
    for source in [
        "function read_query() os.execute('sleep 1') end",
        "function read_query() local f = io.popen('ls') return f end",
        "local g = require('glib2')\nfunction read_query()\ng.usleep(1) end",
        "require('glib2').usleep(1)",
        "local s = require('socket')\nprint(s)",
        "local s = require('socket.http')\nprint(s)",
    ] {
        let line = 1 + source.matches('\n').count() - usize::from(source.ends_with("print(s)"));
        assert_one(source, &format!("{line}: note: "), &["--lua-states"]);
    }
    assert_clean("local os = { execute = print }\nos.execute('x')");
}

#[test]
fn queries_that_are_added_and_dropped() {
    for source in [
        "function read_query(p)\nproxy.queries:append(1, p) end",
        "function read_query(p)\nproxy.queries:append(1, p)\nprint(p)\nend",
        "function read_query(p)\nlocal q = proxy.queries q:prepend(1, p) if p then return end end",
        "function read_query(p) if p then\nproxy.queries:append(1, p) return end return proxy.PROXY_SEND_QUERY end",
    ] {
        assert_one(source, "2: warning: ", &["return proxy.PROXY_SEND_QUERY"]);
    }
    for source in [
        "function read_query(p) proxy.queries:append(1, p) return proxy.PROXY_SEND_QUERY end",
        "function read_query(p) if p then proxy.queries:append(1, p) end return proxy.PROXY_SEND_QUERY end",
        "function read_query_result() proxy.queries:append(1, 'x') end",
        "function read_query(p) local function add() proxy.queries:append(1, p) end add() return 1 end",
    ] {
        assert_clean(source);
    }
}

#[test]
fn what_differs_from_before() {
    for (source, words) in [
        ("x = proxy.MYSQLD_PACKET_EOF", "was nil"),
        (
            "function read_query_result() proxy.connection.backend_ndx = 0 end",
            "stays with its client",
        ),
        (
            "function disconnect_client() proxy.connection.backend_ndx = 0 end",
            "is closed",
        ),
        (
            "function read_handshake() x = proxy.MYSQLD_PACKET_RAW end x = 1",
            "connect_server",
        ),
        (
            "function read_query(p) proxy.queries:append(1, string.char(proxy.COM_CHANGE_USER) .. p) return 1 end",
            "read_query_result is not called",
        ),
    ] {
        assert_one(source, "1: note: ", &[words]);
    }
    assert_clean(
        "function read_query_result(inj) if inj.resultset.flags.in_trans then return end proxy.connection.backend_ndx = 0 end",
    );
    assert_clean("function read_auth_result() proxy.connection.backend_ndx = 0 end");
}

#[test]
fn what_luajit_leaves_out_is_a_warning() {
    assert_one(
        "x = math.mod(3, 2)",
        "1: warning: `math.mod` is nil",
        &["`math.fmod`"],
    );
    assert_one(
        "local function f(...)\nreturn #arg end\nf()",
        "2: warning: `arg` is nil: LuaJIT",
        &["select"],
    );
    assert_clean("x = math.fmod(3, 2)");
}

#[test]
fn what_only_luajit_reads_is_read() {
    assert_clean("local a, b = 1ULL, 0x1p4\nlocal s = '\\x41\\z  \\u{20}'\nreturn a, b, s");
    assert_clean("local s = [==[\n]]\n]==] return s --[[ x ]]");
    assert_clean("local x = 5 % 3 ^ 2 .. '' return x");
}

#[test]
fn what_is_no_lua_is_no_panic() {
    let findings = findings("function (");
    assert!(
        findings[0].starts_with("1: note: this cannot be read"),
        "{findings:?}"
    );
}

/// Words of Lua, in any order.
fn soup() -> impl Strategy<Value = String> {
    const WORDS: [&str; 44] = [
        "and",
        "break",
        "do",
        "else",
        "elseif",
        "end",
        "false",
        "for",
        "function",
        "goto",
        "if",
        "in",
        "local",
        "nil",
        "not",
        "or",
        "repeat",
        "return",
        "then",
        "true",
        "until",
        "while",
        "proxy",
        "inj",
        "read_query",
        "require",
        "=",
        "==",
        "..",
        "...",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ".",
        ":",
        ",",
        ";",
        "#",
        "'x'",
        "[[y]]",
        "1e3",
    ];
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn whatever_it_is_it_is_no_panic(source in soup(), noise in ".{0,60}") {
        findings(&source);
        findings(&noise);
        findings(&format!("function read_query(packet) {source} {noise} end"));
    }
}
