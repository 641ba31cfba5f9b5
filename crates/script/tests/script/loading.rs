//! Scripts that are missing, broken, failing, edited; and what connections get then.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use script::{Decision, LoadError, Loaded, OnLoadError};

use crate::support::{Bench, CALCULATOR, logged};

/// A script that answers each query with this text.
fn version(text: &str) -> String {
    format!(
        "function read_query() proxy.response = {{ type = 250, packets = {{ '{text}' }} }} return 2 end"
    )
}

const SYNTAX_ERROR: &str = "-- first line\nfunction read_query( return 2 end";
const BODY_ERROR: &str = "-- first line\nread_query = nonsense.read_query";

fn bench(script: &str, policy: OnLoadError) -> Bench {
    Bench::with(script, |options| options.on_load_error = policy)
}

#[test]
fn nothing_is_read_before_a_connection_comes() {
    let mut bench = Bench::new(SYNTAX_ERROR);
    bench.write(&version("good"));
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "good");
}

#[test]
fn an_edited_script_serves_the_next_connection_and_running_ones_keep_theirs() {
    let mut bench = Bench::new(&version("A"));
    let mut first = bench.open();
    // The same size, and in the same instant for a clock that is coarse.
    bench.write(&version("B"));
    let mut second = bench.open();
    fs::remove_file(bench.script()).unwrap();
    bench.write(&version("C"));
    let mut third = bench.open();
    let other = bench.directory.path().join("other.lua");
    fs::write(&other, version("D")).unwrap();
    fs::rename(&other, bench.script()).unwrap();
    let mut fourth = bench.open();
    for (connection, text) in [
        (&mut first, "A"),
        (&mut second, "B"),
        (&mut third, "C"),
        (&mut fourth, "D"),
    ] {
        assert_eq!(bench.answer(connection, ""), text);
    }
}

#[test]
fn versions_are_told_of_with_whom_they_served_and_what_failed() {
    let mut bench = Bench::new("function read_query() error('no') end");
    let mut first = bench.open();
    let mut second = bench.open();
    bench.query(&mut first, "");
    bench.query(&mut second, "");
    bench.write(SYNTAX_ERROR);
    bench.open();
    bench.query(&mut first, "");
    bench.write(&version("B"));
    bench.open();
    let reports = bench.state.reports();
    assert!(reports.iter().all(|(path, _)| *path == bench.script()));
    let numbers = |(_, report): &(_, script::VersionReport)| {
        let errors = report.hooks.get("read_query").map(|hook| hook.errors);
        let faults = (report.failures, report.fault.is_some());
        (report.version, report.connections, faults, errors)
    };
    assert_eq!(
        reports.iter().map(numbers).collect::<Vec<_>>(),
        [
            // The third one got it because the next version was faulty.
            (1, 3, (0, false), Some(3)),
            (2, 0, (1, true), None),
            (3, 1, (0, false), None),
        ]
    );
    for n in 0..100 {
        bench.write(&version(&n.to_string()));
        bench.open();
    }
    assert_eq!(bench.state.reports().len(), 8);
}

#[test]
fn several_scripts_share_a_state() {
    let mut bench = Bench::new("function read_query() proxy.global.seen = 'by proxy' end");
    let mut client = bench.open();
    bench.query(&mut client, "");
    let other = bench.directory.path().join("other.lua");
    let text = "function read_query()
            proxy.response = { type = 250, packets = { proxy.global.seen } } return 2
        end";
    fs::write(&other, text).unwrap();
    let mut operator = bench.connection();
    let loaded = bench.state.open(&other, &mut operator);
    assert_eq!(loaded, Ok(Loaded::Scripted));
    assert_eq!(bench.answer(&mut operator, ""), "by proxy");
    let mut built_in = bench.connection();
    let opened = bench.state.open_built_in("test", text, &mut built_in);
    assert_eq!(opened, Ok(()));
    assert_eq!(bench.answer(&mut built_in, ""), "by proxy");
    assert_eq!(bench.query(&mut client, ""), Decision::Default);
    let paths: Vec<_> = bench
        .state
        .reports()
        .into_iter()
        .map(|report| report.0)
        .collect();
    assert_eq!(paths, [bench.script(), other]);
}

#[test]
fn a_symbolic_link_that_leads_elsewhere_is_an_edit() {
    let mut bench = Bench::new(&version("old"));
    let other = bench.directory.path().join("other.lua");
    fs::write(&other, version("new")).unwrap();
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "old");
    fs::remove_file(bench.script()).unwrap();
    symlink(&other, bench.script()).unwrap();
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "new");
}

#[test]
fn a_script_whose_time_stands_still_serves_by_its_size() {
    let mut bench = Bench::new(&version("short"));
    let touch = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    };
    touch(&bench.script());
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "short");
    bench.write(&version("longer"));
    touch(&bench.script());
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "longer");
}

#[test]
fn messages_have_the_bare_path_and_exact_lines() {
    let mut bench = Bench::new(&format!(
        "#! /usr/bin/env lua\n{CALCULATOR}\nfunction where()\n  return debug.getinfo(1).currentline\nend"
    ));
    let mut connection = bench.open();
    let lines = CALCULATOR.lines().count();
    let expected = (lines + 4).to_string();
    assert_eq!(bench.answer(&mut connection, "where()"), expected);
    let source = bench.answer(&mut connection, "debug.getinfo(where).source");
    assert_eq!(source, bench.script().display().to_string());
}

/// What each policy gives to a connection, without a version that worked and with one.
#[test]
fn each_policy_gives_what_it_says_for_each_fault() {
    let cases = [
        (None, LoadError::Load),
        (Some(SYNTAX_ERROR), LoadError::Load),
        (Some("\x1bLJ\x02\n"), LoadError::Load),
        (Some("end end"), LoadError::Load),
        (Some(BODY_ERROR), LoadError::Execute),
        (Some("error({})"), LoadError::Execute),
        (Some("require('missing.module')"), LoadError::Execute),
    ];
    for (fault, failure) in cases {
        for had_one in [false, true] {
            for (policy, expected) in [
                (OnLoadError::Error, Err(failure.clone())),
                (OnLoadError::PassThrough, Ok(Loaded::PassThrough)),
                (
                    OnLoadError::KeepLast,
                    Ok(if had_one {
                        Loaded::Scripted
                    } else {
                        Loaded::PassThrough
                    }),
                ),
            ] {
                let mut bench = bench(&version("before"), policy);
                if had_one {
                    bench.open();
                }
                match fault {
                    None => fs::remove_file(bench.script()).unwrap(),
                    Some(script) => bench.write(script),
                }
                let (mut connection, loaded) = bench.try_open();
                assert_eq!(loaded, expected, "{policy:?} {fault:?} {had_one}");
                match loaded {
                    Ok(Loaded::Scripted) => assert_eq!(bench.answer(&mut connection, ""), "before"),
                    _ => assert_eq!(bench.query(&mut connection, ""), Decision::Default),
                }
                bench.write(&version("after"));
                let mut connection = bench.open();
                assert_eq!(bench.answer(&mut connection, ""), "after");
            }
        }
    }
}

#[test]
fn the_texts_for_clients_are_the_contracts() {
    assert_eq!(
        LoadError::Load.to_string(),
        "MySQL Proxy Lua script failed to load. Check the error log."
    );
    assert_eq!(
        LoadError::Execute.to_string(),
        "MySQL Proxy Lua script failed to execute. Check the error log."
    );
}

#[test]
fn a_faulty_version_is_logged_once_with_file_line_and_consequence() {
    let mut bench = bench(SYNTAX_ERROR, OnLoadError::KeepLast);
    let path = bench.script().display().to_string();
    let ((), log) = logged(|| {
        for _ in 0..3 {
            assert_eq!(bench.try_open().1, Ok(Loaded::PassThrough));
        }
    });
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with(&format!("ERROR lua_load_file({path}) failed: [string \"")));
    assert!(log[0].contains(":2: "), "{log:?}");
    assert!(
        log[0].ends_with("; connections go on without a script"),
        "{log:?}"
    );

    bench.write(BODY_ERROR);
    let ((), log) = logged(|| {
        for _ in 0..2 {
            assert_eq!(bench.try_open().1, Ok(Loaded::PassThrough));
        }
    });
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(
        log[0],
        format!("INFO the version of {path} that failed is replaced; it touched 3 connection(s)")
    );
    assert!(log[1].starts_with(&format!("ERROR (lua-error) [{path}] [string \"")));
    assert!(
        log[1].contains(":2: attempt to index global 'nonsense' (a nil value)"),
        "{log:?}"
    );
}

#[test]
fn a_missing_script_is_logged_once() {
    let mut bench = bench("", OnLoadError::Error);
    fs::remove_file(bench.script()).unwrap();
    let path = bench.script().display().to_string();
    let ((), log) = logged(|| {
        for _ in 0..3 {
            assert_eq!(bench.try_open().1, Err(LoadError::Load));
        }
    });
    assert_eq!(
        log,
        [format!(
            "ERROR lua_load_file({path}) failed: No such file or directory (os error 2); clients get ERR 1105"
        )]
    );
}

#[test]
fn what_is_no_file_is_not_read() {
    let mut bench = bench("", OnLoadError::Error);
    fs::remove_file(bench.script()).unwrap();
    let made = Command::new("mkfifo").arg(bench.script()).status();
    assert!(made.unwrap().success());
    let (result, log) = logged(|| bench.try_open().1);
    assert_eq!(result, Err(LoadError::Load));
    assert!(log[0].contains("it is not a regular file"), "{log:?}");
    fs::remove_file(bench.script()).unwrap();
    fs::create_dir(bench.script()).unwrap();
    assert_eq!(bench.try_open().1, Err(LoadError::Load));
}

#[test]
fn a_body_is_tried_again_for_each_connection() {
    let mut bench = bench("require('helper')", OnLoadError::Error);
    assert_eq!(bench.try_open().1, Err(LoadError::Execute));
    bench.module("helper", &version("helped"));
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "helped");
}

#[test]
fn a_version_that_worked_and_fails_for_one_connection_lets_it_pass() {
    let mut bench = Bench::new(
        "proxy.global.count = (proxy.global.count or 0) + 1
         if proxy.global.count == 2 then error('not twice') end
         function read_query() proxy.response = { type = 250, packets = { 'x' } } return 2 end",
    );
    bench.open();
    assert_eq!(bench.try_open().1, Ok(Loaded::PassThrough));
    bench.open();
}

#[test]
fn a_last_good_version_that_fails_too_lets_connections_pass() {
    let mut bench = Bench::new("if proxy.global.closed then error('closed') end");
    bench.open();
    bench.write("proxy.global.closed = true error('new one')");
    let ((), log) = logged(|| {
        for _ in 0..3 {
            assert_eq!(bench.try_open().1, Ok(Loaded::PassThrough));
        }
    });
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(
        log[0].contains("new one; connections get the version before"),
        "{log:?}"
    );
    assert!(
        log[1].contains("closed; connections go on without a script"),
        "{log:?}"
    );
}

#[test]
fn a_body_that_fails_leaves_the_connection_as_it_was() {
    let mut bench = Bench::new(
        "proxy.connection.backend_ndx = 3
         proxy.connection.connection_close = true
         proxy.queries:append(1, 'x')
         error('boom')",
    );
    let (connection, loaded) = bench.try_open();
    assert_eq!(loaded, Ok(Loaded::PassThrough));
    assert_eq!(connection.backend_ndx, 0);
    assert!(!connection.connection_close);
    assert!(connection.queries.is_empty());
    assert_eq!(connection.id, 1);
}

#[test]
fn a_body_sees_its_connection() {
    let mut bench = Bench::new(&format!(
        "found = proxy.connection.backend_ndx .. proxy.connection.client.default_db .. #proxy.queries\n{CALCULATOR}"
    ));
    let mut connection = bench.connection();
    connection.client.default_db = b"film".to_vec();
    let script = bench.script();
    assert_eq!(
        bench.state.open(&script, &mut connection),
        Ok(Loaded::Scripted)
    );
    assert_eq!(bench.answer(&mut connection, "found"), "0film0");
}

#[test]
fn overwritten_backends_come_back_with_the_next_connection() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    bench.answer(&mut connection, "rawset(proxy.global, 'backends', 5)");
    assert_eq!(bench.answer(&mut connection, "proxy.global.backends"), "5");
    bench.open();
    assert_eq!(
        bench.answer(&mut connection, "type(proxy.global.backends)"),
        "userdata"
    );
}

#[test]
fn paths_are_the_options_before_the_defaults() {
    let mut bench = Bench::with(CALCULATOR, |options| {
        options.lua_path = Some("/mine/?.lua;;".into());
        options.lua_cpath = Some("/mine/?.so".into());
        options.default_lua_path = "/default/?.lua".into();
    });
    let mut connection = bench.open();
    let path = bench.answer(&mut connection, "package.path");
    assert!(path.starts_with("/mine/?.lua;./?.lua;"), "{path}");
    assert_eq!(bench.answer(&mut connection, "package.cpath"), "/mine/?.so");
}

#[test]
fn whoever_only_tries_is_told_what_is_wrong_and_nothing_is_logged() {
    let ((), events) = logged(|| {
        for (script, what, message) in [
            (SYNTAX_ERROR, LoadError::Load, ":2: "),
            (BODY_ERROR, LoadError::Execute, ":2: attempt to index"),
        ] {
            let mut bench = Bench::new(script);
            let (path, mut connection) = (bench.script(), bench.connection());
            let fault = bench.state.try_open(&path, &mut connection).unwrap_err();
            assert_eq!(fault.what, what);
            assert!(fault.message.contains(message), "{fault}");
        }
        let mut bench = Bench::new(&version("A"));
        let (path, mut connection) = (bench.script(), bench.connection());
        assert_eq!(bench.state.try_open(&path, &mut connection), Ok(()));
        assert_eq!(bench.answer(&mut connection, ""), "A");
    });
    assert_eq!(events, [""; 0]);
}

#[test]
fn a_state_knows_its_variables_and_its_modules() {
    let mut bench = Bench::new("local_to_the_connection = 1\nrequire('module')");
    bench.module("module", "everyones = 1");
    let connection = bench.open();
    let state = &bench.state;
    for name in ["local_to_the_connection", "everyones", "print", "proxy"] {
        assert!(state.has_global(connection.id, name), "{name}");
    }
    assert!(!state.has_global(connection.id, "nobodys"));
    assert!(!state.has_global(connection.id + 1, "local_to_the_connection"));
    for module in ["module", "mysql.proto", "string"] {
        assert_eq!(state.find_module(module), Ok(()), "{module}");
    }
    let directory = bench.directory.path().display();
    assert_eq!(
        state.find_module("no.such"),
        Err(vec![
            format!("{directory}/no/such.lua"),
            format!("{directory}/no/such.so"),
            format!("{directory}/no.so"),
        ])
    );
}
