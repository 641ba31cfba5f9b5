//! `chassis`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use script::Shutdown;
use tracing::Level;

use crate::support::{Bench, logged, logged_from};

/// Runs what a query says, and answers with its error or `done`.
const SCRIPT: &str = "local chassis = require('chassis')
function read_query(packet)
  local chunk = assert(loadstring(packet:sub(2)))
  setfenv(chunk, setmetatable({ chassis = chassis, log_here = log_here }, { __index = _G }))
  local succeeded, message = pcall(chunk)
  proxy.response = { type = 250, packets = { succeeded and 'done' or message } }
  return 2
end
function log_here(message) chassis.warning(message) end
";

#[test]
fn lines_have_a_level_and_a_place() {
    let mut bench = Bench::new(SCRIPT);
    let mut connection = bench.open();
    let script = bench.script().display().to_string();
    let query = "chassis.log('error', 'a') chassis.log('critical', 'b') chassis.log('warning', 'c')
        chassis.log('message', 'd') chassis.log(nil, 'e') chassis.log('info', 'f') chassis.log('debug', 'g')
        chassis.critical('B') chassis.warning('C') chassis.message('D') chassis.info('F') chassis.debug('G')";
    let (answer, log) = logged_from(Level::TRACE, || bench.answer(&mut connection, query));
    assert_eq!(answer, "done");
    let expected = [
        "ERROR a", "ERROR b", "WARN c", "INFO d", "INFO e", "DEBUG f", "TRACE g", "ERROR B",
        "WARN C", "INFO D", "DEBUG F", "TRACE G",
    ];
    // The chunk is of no file, its caller is.
    let expected = expected.map(|line| line.replace(' ', &format!(" ({script}:5) ")));
    assert_eq!(log, expected);

    let (_, log) = logged(|| bench.answer(&mut connection, "log_here('here')"));
    assert_eq!(log, [format!("WARN ({script}:9) here")]);
}

#[test]
fn a_module_is_named_by_its_file() {
    let mut bench = Bench::new("require('helper')");
    bench.module(
        "helper",
        "\nrequire('chassis').message('loaded')\n\
         function read_query() return chassis.message('a query') end",
    );
    let helper = bench.directory.path().join("helper.lua");
    let helper = helper.display();
    let (mut connection, log) = logged(|| bench.open());
    assert_eq!(log, [format!("INFO ({helper}:2) loaded")]);
    let (_, log) = logged(|| bench.query(&mut connection, ""));
    // A tail call leaves no place behind.
    assert_eq!(log.len(), 1);
    assert!(log[0].ends_with("a query"), "{log:?}");
}

#[test]
fn messages_are_strings_numbers_or_nothing() {
    let mut bench = Bench::new(SCRIPT);
    let mut connection = bench.open();
    let (_, log) = logged(|| {
        let query = "chassis.message(42) chassis.message() chassis.log() chassis.message('a\\0b')
            chassis.message(('x'):rep(100000))";
        assert_eq!(bench.answer(&mut connection, query), "done");
    });
    let texts: Vec<_> = log
        .iter()
        .map(|line| line.split_once(") ").unwrap().1)
        .collect();
    assert_eq!(texts[..4], ["42", "nil", "nil", "a\0b"]);
    assert_eq!(
        texts[4],
        format!("{} ... (100000 bytes)", "x".repeat(65536))
    );
    for (query, error) in [
        (
            "chassis.message({})",
            "bad argument #1 to 'message' (string expected, got table)",
        ),
        (
            "chassis.debug(true)",
            "bad argument #1 to 'debug' (string expected, got boolean)",
        ),
        (
            "chassis.log('info', {})",
            "bad argument #2 to 'log' (string expected, got table)",
        ),
        (
            "chassis.log('fatal', '')",
            "bad argument #1 to 'log' (there is no level 'fatal')",
        ),
        (
            "chassis.log({}, '')",
            "bad argument #1 to 'log' (string expected, got table)",
        ),
        (
            "chassis.error('x')",
            "attempt to call field 'error' (a nil value)",
        ),
    ] {
        let answer = bench.answer(&mut connection, query);
        assert!(answer.contains(error), "{answer}");
    }
}

#[test]
fn print_logs_its_first_argument() {
    let mut bench = Bench::new(&format!(
        "local print_before = print\n{SCRIPT}\nassert(os.print == print_before)"
    ));
    let mut connection = bench.open();
    let (_, log) = logged(|| {
        assert_eq!(
            bench.answer(&mut connection, "print('a', 'b') print()"),
            "done"
        );
    });
    assert_eq!(log.len(), 2);
    assert!(
        log[0].starts_with("INFO (") && log[0].ends_with(") a"),
        "{log:?}"
    );
    assert!(log[1].ends_with(") nil"), "{log:?}");
    let answer = bench.answer(&mut connection, "print({})");
    assert!(answer.contains("string expected, got table"), "{answer}");
    bench.write("-- another script of the same state\nassert(print == require('chassis').message and print ~= os.print)");
    bench.open();
}

#[test]
fn a_script_asks_for_the_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let mut bench = Bench::with(SCRIPT, |options| {
        options.shutdown = Shutdown::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
    });
    let mut connection = bench.open();
    let (answer, log) = logged(|| bench.answer(&mut connection, "chassis.set_shutdown()"));
    assert_eq!(answer, "done");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let script = bench.script().display().to_string();
    assert_eq!(
        log,
        [format!("INFO ({script}:5) the script shuts the proxy down")]
    );
}

#[test]
fn statistics_by_name() {
    let mut bench = Bench::new(SCRIPT);
    let mut connection = bench.open();
    let query = "local all = chassis.get_stats()
        assert(all.chassis.lua_mem_bytes > 10000)
        assert(all.chassis.lua_mem_bytes_max >= all.chassis.lua_mem_bytes)
        local large = ('x'):rep(1000000)
        local grown = chassis.get_stats('CHASSIS')
        assert(grown.lua_mem_bytes > all.chassis.lua_mem_bytes + 1000000)
        large = nil
        collectgarbage()
        local shrunk = chassis.get_stats('chassis')
        assert(shrunk.lua_mem_bytes < grown.lua_mem_bytes)
        assert(shrunk.lua_mem_bytes_max >= grown.lua_mem_bytes)
        assert(chassis.get_stats('other') == nil)
        assert(not pcall(chassis.get_stats, 'chassis', 1))
        assert(not pcall(chassis.get_stats, {}))
        chassis.mem_profile()";
    let (answer, log) = logged(|| bench.answer(&mut connection, query));
    assert_eq!(answer, "done");
    assert!(log[0].contains(") Lua's values take "), "{log:?}");
}
