//! `mysql-proxy check`: what it finds, what it leaves alone, and that nothing else happens.

mod scripted;

use std::fs;
use std::path::{Path, PathBuf};

use testkit::ScratchDirectory;
use testkit::process::{self, Finished};

use scripted::{BINARY, DEADLINE, ScriptFile};

fn check(arguments: &[&str]) -> Finished {
    let mut command = process::command(BINARY);
    // Modules of the machine are not those of the tests.
    command.env_remove("LUA_PATH").env_remove("LUA_CPATH");
    command.arg("check").args(arguments);
    process::run(command, DEADLINE)
}

/// The exit code, and the findings without the file's name and the summary.
fn findings(text: &str, options: &[&str]) -> (Option<i32>, Vec<String>) {
    let script = ScriptFile::new(text);
    let path = script.path.to_str().expect("it is UTF-8");
    let finished = check(&[&[path], options].concat());
    assert_eq!(finished.stderr, "", "{text}");
    let output = finished.text();
    let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
    let summary = lines.pop().expect("there is a summary");
    let count = |kind: &str| lines.iter().filter(|line| line.contains(kind)).count();
    let counted = |kind: &str| {
        let number = count(&format!(": {kind}: "));
        format!("{number} {kind}{}", if number == 1 { "" } else { "s" })
    };
    let counted = ["error", "warning", "note"].map(counted).join(", ");
    assert_eq!(summary, format!("{path}: {counted}"));
    let prefix = format!("{path}:");
    let stripped = lines
        .iter()
        .map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned());
    (finished.status.code(), stripped.collect())
}

#[track_caller]
fn assert_found(text: &str, code: i32, expected: &[&str]) {
    let (found_code, found) = findings(text, &[]);
    assert_eq!(found.len(), expected.len(), "{text}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.starts_with(expected),
            "{text}: {found}\nis not {expected}"
        );
    }
    assert_eq!(found_code, Some(code), "{text}: {found:#?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn nothing_is_wrong_with_the_scripts_that_we_ship() {
    let mut scripts = 0;
    for directory in ["examples", "lua/scripts"] {
        for entry in fs::read_dir(root().join(directory)).expect("it is there") {
            let path = entry.expect("it can be read").path();
            if path.extension().is_none_or(|extension| extension != "lua") {
                continue;
            }
            scripts += 1;
            let finished = check(&[path.to_str().expect("it is UTF-8")]);
            let text = finished.text();
            assert!(text.contains(": 0 errors, 0 warnings, "), "{text}");
            assert_eq!(finished.status.code(), Some(0), "{text}");
        }
    }
    assert!(scripts > 10, "{scripts}");
}

#[test]
fn faults_are_told_in_luas_words_at_their_line() {
    for (text, expected) in [
        (
            "\nfunction read_query( -- no end",
            "2: error: <name> or '...' expected near '<eof>'",
        ),
        ("local x = = 1", "1: error: unexpected symbol near '='"),
        (
            "local t = nil\nt.x = 1",
            "2: error: the script's body fails: attempt to index local 't' (a nil value)",
        ),
        (
            "\n\nerror('stop')",
            "3: error: the script's body fails: stop",
        ),
        (
            "error({})",
            "1: error: the script's body fails: (error object is a table value)",
        ),
        (
            "while true do end",
            "1: error: the script's body fails: stopped: it used more than --lua-hook-timeout=1 s",
        ),
    ] {
        assert_found(text, 1, &[expected]);
    }
}

#[test]
fn what_lua_reads_is_read() {
    for text in [
        "",
        "#!/usr/bin/lua\nlocal x = 1",
        "\u{feff}local x = 1",
        "local x = 1ULL + 0x10LL or '\\x41\\z  \\u{20}'",
        "goto done\n::done::",
        "local x = 1\r\nlocal y = [==[\r\n]==]\r\n",
    ] {
        assert_found(text, 0, &[]);
    }
    let script = ScriptFile::new("");
    fs::write(&script.path, b"-- Schl\xfcssel\nlocal x = '\xe9'").expect("the directory is ours");
    let finished = check(&[script.path.to_str().expect("it is UTF-8")]);
    assert!(
        finished
            .text()
            .ends_with(": 0 errors, 0 warnings, 0 notes\n")
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let directory = ScratchDirectory::new();
    for (path, reason) in [
        (directory.file("missing.lua"), "No such file"),
        (directory.path().to_owned(), "not a regular file"),
    ] {
        let path = path.display();
        let finished = check(&[&path.to_string()]);
        assert_eq!(finished.status.code(), Some(1));
        let text = finished.text();
        assert!(
            text.starts_with(&format!("{path}:1: error: it cannot be read: ")),
            "{text}"
        );
        assert!(text.contains(reason), "{text}");
        assert!(
            text.ends_with(&format!("{path}: 1 error, 0 warnings, 0 notes\n")),
            "{text}"
        );
    }
}

#[test]
fn a_body_that_wants_a_backend_is_warned_of() {
    assert_found(
        "local name = proxy.global.backends[1].dst.name\nproxy.global.backends[2].state = proxy.BACKEND_STATE_DOWN",
        0,
        &["1: warning: the script's body fails while there are no backends: attempt to index"],
    );
    assert_found(
        "local name = proxy.global.backends[1].dst.name\nerror(name)",
        1,
        &["1: error: the script's body fails: attempt to index"],
    );
}

#[test]
fn unknown_names_are_errors() {
    for (text, expected) in [
        (
            "return proxy.PROXY_SEND_RESULTS",
            "1: error: `proxy.PROXY_SEND_RESULTS`: proxy has no `PROXY_SEND_RESULTS`; did you mean `PROXY_SEND_RESULT`?",
        ),
        (
            "function read_query()\nreturn proxy.connection.foo end",
            "2: error: `proxy.connection.foo`: proxy.connection has no `foo`",
        ),
        (
            "function read_query()\nlocal b = proxy.global.backends[1]\nreturn b.adress end",
            "3: error: `b.adress`: proxy.global.backends[i] has no `adress`; did you mean `dst.name`?",
        ),
        (
            "function read_query_result(inj)\nreturn inj.foo end",
            "2: error: `inj.foo`: inj has no `foo`",
        ),
        (
            "function read_query_result(inj)\nreturn inj.resultset.row_cont end",
            "2: error: `inj.resultset.row_cont`: inj.resultset has no `row_cont`; did you mean `row_count`?",
        ),
        (
            "require('nosuch')",
            "1: error: module `nosuch` is not found; looked for ",
        ),
        (
            "function read_query()\nrequire('no.such') end",
            "2: error: module `no.such` is not found; looked for ",
        ),
    ] {
        assert_found(text, 1, &[expected]);
    }
}

#[test]
fn what_looks_like_a_mistake_is_a_warning() {
    for (text, expected) in [
        (
            "function read_querry(packet) end",
            "1: warning: nothing calls `read_querry`: there is no such hook; did you mean `read_query`?",
        ),
        (
            "function Read_Query(packet) end",
            "1: warning: nothing calls `Read_Query`",
        ),
        (
            "local function read_query(packet) end",
            "1: warning: the proxy does not see `read_query`, because it is local",
        ),
        (
            "function read_auth(auth) end",
            "1: warning: `auth` is always nil: the hook is called as read_auth()",
        ),
        (
            "function read_query(packet)\ntokens = {} end",
            "2: warning: `tokens` is a global variable, made here in a function",
        ),
        (
            "function read_query(packet)\nprnt(packet) end",
            "2: warning: nothing ever sets `prnt`: it is nil",
        ),
        (
            "function read_query(packet)\nproxy.queries:append(1, packet)\nend",
            "2: warning: the hook returns nothing after this",
        ),
    ] {
        assert_found(text, 0, &[expected]);
    }
}

#[test]
fn what_differs_from_before_is_a_note() {
    for (text, expected) in [
        (
            "local servers = proxy.servers",
            "1: note: `proxy.servers` is nil, as in MySQL Proxy 0.8.5; use proxy.global.backends",
        ),
        (
            "return proxy.MYSQLD_PACKET_EOF",
            "1: note: `proxy.MYSQLD_PACKET_EOF` is 254; it was nil",
        ),
        (
            "function disconnect_client()\nos.execute('true') end",
            "2: note: `os.execute`: while it waits, ",
        ),
        (
            "function read_query_result(inj)\nproxy.connection.backend_ndx = 0 end",
            "2: note: a connection with an open transaction",
        ),
    ] {
        assert_found(text, 0, &[expected]);
    }
}

/// Written as scripts of MySQL Proxy 0.6 were.
const OLD_STYLE: &str = r#"
tokenizer = require("mysql.tokenizer")

function read_handshake(auth)
    print(auth.server_addr)
end

function read_query(packet)
    if packet:byte() == proxy.COM_QUERY then
        tokens = tokenizer.tokenize(packet:sub(2))
        for i = 1, #proxy.servers do
            local s = proxy.servers[i]
            if s.idling_connections > 0 then proxy.connection.backend_ndx = i end
        end
        if proxy.connection.default_db == "" and is_debug then
            proxy.queries:append(1, packet)
        end
    end
end

function read_query_results(inj)
    return proxy.PROXY_IGNORE_RESULT
end
"#;

#[test]
fn a_script_of_the_old_style_gets_all_it_needs() {
    assert_found(
        OLD_STYLE,
        1,
        &[
            "4: warning: `auth` is always nil: the hook is called as read_handshake()",
            "10: warning: `tokens` is a global variable",
            "11: note: `proxy.servers` is nil",
            "12: note: `proxy.servers` is nil",
            "13: note: `s.idling_connections` is nil",
            "15: error: `proxy.connection.default_db` raises an error",
            "15: warning: nothing ever sets `is_debug`",
            "16: warning: the hook returns nothing after this",
            "21: warning: nothing calls `read_query_results`",
        ],
    );
}

#[test]
fn modules_are_looked_for_where_the_proxy_does() {
    let directory = ScratchDirectory::new();
    let base = directory.path().join("lib/mysql-proxy/lua");
    fs::create_dir_all(&base).expect("the directory is ours");
    fs::write(base.join("ours.lua"), "made_by_ours = 1 return {}").expect("the directory is ours");
    let text =
        "require('ours')\nprint(made_by_ours)\nfunction read_query() return made_by_ours end";
    let basedir = format!("--basedir={}", directory.path().display());
    let lua_path = format!("--lua-path={}/?.lua", base.display());
    for option in [&basedir, &lua_path] {
        assert_eq!(
            findings(text, &[option]),
            (Some(0), vec!["1".to_owned()]),
            "{option}"
        );
    }
    let (code, found) = findings(
        text,
        &["--lua-path=/none/?.lua;/nowhere/?.lua", "--lua-cpath="],
    );
    assert_eq!(code, Some(1));
    assert_eq!(
        found,
        [
            "1: error: module `ours` is not found; looked for /none/ours.lua, /nowhere/ours.lua",
            "2: warning: nothing ever sets `made_by_ours`: it is nil",
        ]
    );
}

#[test]
fn the_body_runs_once_and_no_hook_does() {
    let directory = ScratchDirectory::new();
    let trace = directory.file("trace");
    let hooks = [
        "connect_server",
        "read_handshake",
        "read_auth",
        "read_auth_result",
        "read_query",
        "read_query_result",
        "disconnect_client",
    ];
    let mut text = format!(
        "local function note(text) local f = io.open({:?}, 'a') f:write(text) f:close() end\nnote('body ')\n",
        trace.display().to_string()
    );
    for hook in hooks {
        text.push_str(&format!("function {hook}() note('{hook} ') end\n"));
    }
    assert_found(&text, 0, &[]);
    assert_eq!(fs::read_to_string(&trace).expect("the body ran"), "body ");
}

#[test]
fn usage() {
    let finished = check(&["--help"]);
    assert!(finished.status.success());
    let help = finished.text();
    assert!(
        help.contains("Usage: mysql-proxy check [OPTIONS] <FILE>"),
        "{help}"
    );
    assert!(help.ends_with("comes first.\n"), "{help}");
    for (arguments, reason) in [
        (&[][..], "check needs a script: mysql-proxy check FILE"),
        (
            &["a.lua", "b.lua"],
            "unknown option: b.lua (--help lists the options)",
        ),
        (
            &["--lua-pth=x", "a.lua"],
            "unknown option: --lua-pth (did you mean --lua-path?)",
        ),
        (
            &["--basedir=x", "a.lua"],
            "--basedir: `x` is not an absolute path",
        ),
    ] {
        let finished = check(arguments);
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
        assert_eq!(finished.stderr, format!("mysql-proxy: {reason}\n"));
        assert_eq!(finished.text(), "", "{arguments:?}");
    }
}
