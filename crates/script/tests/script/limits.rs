//! Time and memory that a script may take, and what a hook that failed decides.

use std::time::Duration;

use script::{Decision, Hook, LoadError, Loaded, OnHookError, OnLoadError, Options};

use crate::support::{Bench, injection_result};

/// Short enough for a test, long enough for what is no loop.
const LIMIT: Duration = Duration::from_millis(60);

fn limited(options: &mut Options) {
    options.hook_timeout = Some(LIMIT);
}

fn guarding(options: &mut Options) {
    options.on_hook_error = OnHookError::Error;
}

/// What `run` gives, and the log of it.
fn logged<R>(run: impl FnOnce() -> R) -> (R, String) {
    let (value, lines) = crate::support::logged(run);
    (value, lines.join("\n"))
}

/// The text of the ERR that the client gets; `None` when there is none.
fn err_text(decision: &Decision) -> Option<String> {
    let Decision::SendResult(response) = decision else {
        return None;
    };
    let payload = response.payloads.first()?;
    assert_eq!(payload[..9], *b"\xff\x51\x04#07000", "ERR 1105");
    Some(String::from_utf8_lossy(&payload[9..]).into_owned())
}

const RUNAWAYS: &[(&str, &str)] = &[
    ("a loop", "while true do end"),
    (
        "a compiled loop",
        "local n = 0 for i = 1, math.huge do n = n + i % 7 end",
    ),
    (
        "a loop that catches errors",
        "while true do pcall(function() while true do end end) end",
    ),
    (
        "a coroutine",
        "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
    ),
    (
        "strings",
        "local s = '' while true do s = (s .. 'x'):sub(-100) end",
    ),
    (
        "calls of ours",
        "while true do local queries = #proxy.queries end",
    ),
    (
        "a proxy.response that never ends",
        "
        proxy.response = setmetatable({}, { __index = function() while true do end end })
        return proxy.PROXY_SEND_RESULT",
    ),
];

#[test]
fn what_runs_away_is_stopped_and_the_next_hook_runs() {
    for (what, body) in RUNAWAYS {
        let source = format!(
            "calls = 0
             function read_query(packet)
                calls = calls + 1
                if packet:sub(2) == 'run' then
                    {body}
                end
                proxy.response = {{ type = proxy.MYSQLD_PACKET_RAW, packets = {{ 'call ' .. calls }} }}
                return proxy.PROXY_SEND_RESULT
             end"
        );
        let mut bench = Bench::with(&source, limited);
        let mut connection = bench.open();
        for call in [1, 3] {
            let (decision, log) = logged(|| bench.query(&mut connection, "run"));
            let text = err_text(&decision).expect(what);
            assert_eq!(
                text, "(lua) read_query was stopped: it took longer than --lua-hook-timeout allows",
                "{what}"
            );
            assert!(log.contains("(read_query) [string \""), "{what}: {log}");
            assert!(
                log.contains("stopped: it used more than --lua-hook-timeout=0.06 s of CPU time"),
                "{what}: {log}"
            );
            assert_eq!(
                bench.answer(&mut connection, "walk"),
                format!("call {}", call + 1),
                "{what}"
            );
        }
    }
}

#[test]
fn the_log_names_the_line() {
    let mut bench = Bench::with(
        "function read_query()\n  local n = 1\n  while true do end\nend",
        limited,
    );
    let mut connection = bench.open();
    let (_, log) = logged(|| bench.query(&mut connection, ""));
    let expected = format!("[string \"{}\"]:3: stopped", bench.script().display());
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn what_is_queued_is_dropped_and_a_command_without_response_ends_the_connection() {
    let mut bench = Bench::with(
        "function read_query(packet) proxy.queries:append(1, packet) while true do end end",
        limited,
    );
    let mut connection = bench.open();
    assert!(err_text(&bench.query(&mut connection, "")).is_some());
    assert!(connection.queries.is_empty() && !connection.connection_close);
    // COM_STMT_CLOSE
    let decision = bench
        .state
        .call(&mut connection, Hook::ReadQuery(b"\x19\x01\0\0\0"));
    let Decision::SendResult(response) = decision else {
        panic!("it is not forwarded");
    };
    assert!(response.payloads.is_empty() && connection.connection_close);
}

#[test]
fn each_hook_ends_as_its_place_allows() {
    let source = "for _, name in ipairs { 'connect_server', 'read_handshake', 'read_auth', 'read_auth_result',
                        'read_query_result', 'disconnect_client' } do
                    getfenv()[name] = function() proxy.queries:append(1, 'x') while true do end end
                  end";
    let mut bench = Bench::with(source, limited);
    let mut connection = bench.open();
    for hook in [
        Hook::ConnectServer,
        Hook::ReadHandshake,
        Hook::ReadAuth,
        Hook::ReadAuthResult(b"\0"),
    ] {
        let name = hook.name();
        let decision = bench.state.call(&mut connection, hook);
        let text = err_text(&decision).expect(name);
        assert!(text.contains(&format!("{name} was stopped")), "{text}");
        assert!(connection.queries.is_empty() && !connection.connection_close);
    }
    let decision = bench.state.call(
        &mut connection,
        Hook::ReadQueryResult(injection_result(true)),
    );
    assert!(err_text(&decision).is_some());
    assert!(!connection.connection_close);
    // The client has the response already: nothing can be said.
    let decision = bench.state.call(
        &mut connection,
        Hook::ReadQueryResult(injection_result(false)),
    );
    assert_eq!(decision, Decision::Default);
    assert!(connection.connection_close && connection.queries.is_empty());
    let decision = bench.state.call(&mut connection, Hook::DisconnectClient);
    assert_eq!(decision, Decision::Default);
}

#[test]
fn a_body_that_runs_away_is_a_faulty_script_and_is_not_tried_again() {
    let mut bench = Bench::with("while true do end", |options| {
        limited(options);
        options.on_load_error = OnLoadError::Error;
    });
    let ((_, loaded), log) = logged(|| bench.try_open());
    assert_eq!(loaded, Err(LoadError::Execute));
    assert!(log.contains("]:1: stopped: it used more than"), "{log}");
    // The watchdog never stops what does not run.
    let ((_, loaded), _) = logged(|| bench.try_open());
    assert_eq!(loaded, Err(LoadError::Load));
    bench.write("local edited = true");
    let (_, loaded) = bench.try_open();
    assert_eq!(loaded, Ok(Loaded::Scripted));
}

#[test]
fn a_required_module_is_watched_too() {
    let mut bench = Bench::with("function read_query() require('endless') end", limited);
    bench.module("endless", "\nwhile true do end");
    let mut connection = bench.open();
    let (decision, log) = logged(|| bench.query(&mut connection, ""));
    assert!(err_text(&decision).is_some());
    assert!(log.contains("endless.lua:2: stopped"), "{log}");
}

#[test]
fn time_that_passes_without_work_is_not_counted() {
    let mut bench = Bench::with(
        "function read_query() os.execute('sleep 0.2') return 'nothing' end",
        limited,
    );
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, ""), Decision::Default);
}

#[test]
fn code_in_c_is_stopped_where_it_comes_back() {
    // string.find tries every way to share 28 characters among these.
    let source = "function read_query() (('a'):rep(30)):find(('a-'):rep(9) .. 'b') end";
    let mut bench = Bench::with(source, |options| {
        options.hook_timeout = Some(Duration::from_millis(10));
    });
    let mut connection = bench.open();
    let (decision, log) = logged(|| bench.query(&mut connection, ""));
    assert!(err_text(&decision).is_some(), "{log}");
}

#[test]
fn an_error_decides_what_a_guarding_script_wants() {
    let source = "function read_query(packet) proxy.queries:append(1, packet) error('broken') end
                  read_query_result = read_query
                  connect_server = function() error('broken') end";
    let mut bench = Bench::with(source, guarding);
    let mut connection = bench.open();
    let (decision, log) = logged(|| bench.query(&mut connection, ""));
    assert_eq!(
        err_text(&decision).as_deref(),
        Some("(lua) read_query failed, check error-log")
    );
    assert!(
        log.contains("broken") && connection.queries.is_empty(),
        "{log}"
    );
    let decision = bench.state.call(&mut connection, Hook::ConnectServer);
    assert!(err_text(&decision).is_some());
    let decision = bench.state.call(
        &mut connection,
        Hook::ReadQueryResult(injection_result(true)),
    );
    assert!(err_text(&decision).is_some());
}

#[test]
fn an_error_without_guard_decides_nothing() {
    let mut bench = Bench::new("function read_query() error('broken') end");
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, ""), Decision::Default);
}

const MIB: usize = 1024 * 1024;

fn small(options: &mut Options) {
    options.memory_limit = 16 * MIB;
}

#[test]
fn a_hook_that_wants_too_much_fails_and_others_go_on() {
    let mut bench = Bench::with(
        "function read_query(packet)
            if packet:sub(2) == 'much' then local s = ('x'):rep(40 * 1024 * 1024) end
            if packet:sub(2) == 'many' then local t = {} for i = 1, 1e8 do t[i] = { i } end end
            proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { 'here' } }
            return proxy.PROXY_SEND_RESULT
         end",
        small,
    );
    let mut connection = bench.open();
    for wish in ["much", "many"] {
        let (decision, log) = logged(|| bench.query(&mut connection, wish));
        assert_eq!(decision, Decision::Default);
        assert!(log.contains("(read_query) not enough memory"), "{log}");
        assert!(!bench.state.is_worn_out());
        assert_eq!(bench.answer(&mut connection, ""), "here");
    }
}

#[test]
fn a_state_that_keeps_too_much_is_worn_out() {
    let mut bench = Bench::with(
        "function read_query()
            local kept = proxy.global.kept or {}
            proxy.global.kept = kept
            while true do kept[#kept + 1] = ('x'):rep(64 * 1024) .. #kept end
         end",
        small,
    );
    let mut connection = bench.open();
    assert!(!bench.state.is_worn_out());
    let (decision, log) = logged(|| bench.query(&mut connection, ""));
    assert_eq!(decision, Decision::Default, "{log}");
    assert!(bench.state.is_worn_out(), "{log}");
}
