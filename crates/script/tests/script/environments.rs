//! What connections share and what is each one's own.

use script::Hook;

use crate::support::{Bench, CALCULATOR};

#[test]
fn globals_and_locals_of_the_script_are_the_connections_own() {
    let mut bench = Bench::new(
        "local count = 0
         total = 0
         function read_query(packet)
           count, total = count + 1, total + 1
           proxy.response = { type = 250, packets = { count .. ' ' .. total .. ' ' .. tostring(rawget(_G, 'total')) } }
           return 2
         end",
    );
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut one, ""), "1 1 nil");
    assert_eq!(bench.answer(&mut one, ""), "2 2 nil");
    assert_eq!(bench.answer(&mut other, ""), "1 1 nil");
    assert_eq!(bench.answer(&mut one, ""), "3 3 nil");
}

#[test]
fn compiled_loops_keep_connections_apart() {
    let mut bench = Bench::new(
        "mine = 0
         function read_query(packet)
           for _ = 1, 200 do
             mine = mine + 1
             proxy.response.mine = mine
           end
           proxy.response = { type = 250, packets = { mine .. ' ' .. proxy.response.mine } }
           return 2
         end",
    );
    let mut connections: Vec<_> = (0..5).map(|_| bench.open()).collect();
    for round in 1..=100 {
        for connection in &mut connections {
            let expected = format!("{0} {0}", round * 200);
            assert_eq!(bench.answer(connection, ""), expected);
        }
    }
}

#[test]
fn unknown_globals_come_from_the_real_global_table() {
    let mut bench = Bench::new(CALCULATOR);
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut one, "_VERSION"), "Lua 5.1");
    bench.answer(&mut one, "rawset(_G, 'shared', 5)");
    assert_eq!(bench.answer(&mut other, "shared"), "5");
    assert_eq!(
        bench.answer(&mut other, "getfenv(calculate) == _G"),
        "false"
    );
    assert_eq!(
        bench.answer(&mut other, "getmetatable(getfenv(calculate)).__index == _G"),
        "true"
    );
}

#[test]
fn the_environment_shows_what_is_behind_proxy() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    for (expression, value) in [
        ("type(__proxy)", "table"),
        ("__proxy.connection == proxy.connection", "true"),
        ("__proxy.queries == proxy.queries", "true"),
        ("rawget(proxy, 'connection')", "nil"),
        ("rawget(getfenv(calculate), 'proxy')", "nil"),
        ("rawequal(_G.proxy, proxy)", "true"),
        ("proxy['response'] == __proxy.response", "true"),
    ] {
        assert_eq!(
            bench.answer(&mut connection, expression),
            value,
            "{expression}"
        );
    }
}

#[test]
fn a_script_that_breaks_its_proxy_table_breaks_its_own() {
    let mut bench = Bench::new(&format!("{CALCULATOR} __proxy = nil"));
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, "1 + 1"), "2");
}

#[test]
fn new_keys_of_proxy_are_the_connections_own_and_existing_ones_everybodys() {
    let mut bench = Bench::new(
        "local mine = 'not set'
         function read_query(packet)
           if packet:sub(2) == 'set' then
             proxy.mine = 'set'
             proxy.COM_SLEEP = 1000
             proxy.global.mine = 'global'
           end
           local found = { tostring(proxy.mine), proxy.COM_SLEEP, tostring(proxy.global.mine) }
           proxy.response = { type = 250, packets = { table.concat(found, ' ') } }
           return 2
         end",
    );
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut other, ""), "nil 0 nil");
    assert_eq!(bench.answer(&mut one, "set"), "set 1000 global");
    assert_eq!(bench.answer(&mut other, ""), "nil 1000 global");
    assert_eq!(bench.answer(&mut one, ""), "set 1000 global");
}

#[test]
fn iterating_proxy_shows_what_connections_share_only() {
    let mut bench = Bench::new(
        "proxy.mine = 1
         function read_query()
           local others = {}
           for key, value in pairs(proxy) do
             if type(value) ~= 'number' then others[#others + 1] = key end
           end
           table.sort(others)
           proxy.response = { type = 250, packets = { table.concat(others, ' ') } }
           return 2
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "global shared");
}

#[test]
fn required_code_is_shared_and_sees_the_running_connection() {
    let mut bench = Bench::new(
        "local counter = require('counter')
         function read_query(packet)
           proxy.connection.backend_ndx = tonumber(packet:sub(2))
           proxy.response = { type = 250, packets = { counter.next() } }
           return 2
         end",
    );
    bench.module(
        "counter",
        "local count = 0
         local counter = {}
         function counter.next()
           count = count + 1
           return count .. ' on ' .. proxy.connection.backend_ndx
         end
         return counter",
    );
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut one, "1"), "1 on 1");
    assert_eq!(bench.answer(&mut other, "2"), "2 on 2");
    assert_eq!(bench.answer(&mut one, "3"), "3 on 3");
}

#[test]
fn a_module_table_in_proxy_is_seen_only_where_it_was_loaded() {
    let mut bench = Bench::new(
        "local commands = require('proxy.words')
         function read_query(packet)
           local seen = rawget(proxy, 'words') == nil and type(proxy.words)
           proxy.response = { type = 250, packets = { commands.parse(packet) .. ' ' .. seen } }
           return 2
         end",
    );
    std::fs::create_dir(bench.directory.path().join("proxy")).unwrap();
    bench.module(
        "proxy/words",
        "module('proxy.words', package.seeall)
         function parse(packet) return 'parsed ' .. packet:sub(2) end",
    );
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut one, "x"), "parsed x table");
    assert_eq!(bench.answer(&mut other, "y"), "parsed y nil");
}

#[test]
fn hooks_of_a_required_file_serve_every_connection() {
    let mut bench = Bench::new("require('hooks')");
    bench.module(
        "hooks",
        "local queries = 0
         function read_query()
           queries = queries + 1
           proxy.response = { type = 250, packets = { '' .. queries } }
           return 2
         end",
    );
    let (mut one, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut one, ""), "1");
    assert_eq!(bench.answer(&mut other, ""), "2");
}

#[test]
fn loaded_strings_run_with_the_real_globals() {
    let mut bench = Bench::new(
        "loadstring('function read_query() proxy.response = { type = 250, packets = { \"shared\" } } return 2 end')()",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "shared");
    bench.write("-- no hook of its own");
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "shared");
}

#[test]
fn the_builtin_modules_are_globals_once_required() {
    let mut bench = Bench::new(&format!("before = tostring(proto)\n{CALCULATOR}"));
    let mut connection = bench.open();
    for (expression, value) in [
        ("before", "nil"),
        ("require('mysql.proto') == proto", "true"),
        ("require('proto') == proto", "true"),
        ("package.loaded['mysql.proto'] == proto", "true"),
        ("require('mysql.password') == password", "true"),
        ("require('password') == password", "true"),
        ("type(proto.from_ok_packet)", "function"),
        ("type(password.hash)", "function"),
    ] {
        assert_eq!(
            bench.answer(&mut connection, expression),
            value,
            "{expression}"
        );
    }
}

#[test]
fn the_standard_libraries_are_complete() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    for name in [
        "io.open",
        "os.time",
        "os.execute",
        "debug.traceback",
        "debug.getinfo",
        "package.loadlib",
        "coroutine.create",
        "string.format",
        "table.getn",
        "math.random",
        "setfenv",
        "getfenv",
        "module",
        "package.seeall",
        "loadstring",
        "unpack",
        "require",
        "dofile",
        "jit.on",
        "bit.band",
        "require('ffi').cdef",
    ] {
        let expression = format!("type({name})");
        assert_eq!(
            bench.answer(&mut connection, &expression),
            "function",
            "{name}"
        );
    }
}

#[test]
fn a_closed_connection_leaves_nothing() {
    let mut bench = Bench::new(
        "proxy.global.alive = proxy.global.alive or setmetatable({}, { __mode = 'k' })
         proxy.global.alive[getfenv(1)] = true
         big = ('x'):rep(1000)
         function read_query()
           collectgarbage() collectgarbage()
           local count = 0
           for _ in pairs(proxy.global.alive) do count = count + 1 end
           proxy.response = { type = 250, packets = { '' .. count } }
           return 2
         end",
    );
    let mut survivor = bench.open();
    let others: Vec<_> = (0..10).map(|_| bench.open().id).collect();
    assert_eq!(bench.answer(&mut survivor, ""), "11");
    for id in others {
        bench.state.close(id);
        assert!(!bench.state.has_hook(id, "read_query"));
    }
    assert_eq!(bench.answer(&mut survivor, ""), "1");
}

/// Far more than the values that Rust may hold in one interpreter.
#[test]
fn fifty_thousand_connections_live_in_one_state() {
    const CONNECTIONS: u64 = 50_000;
    const MAX_BYTES_EACH: u64 = 2048;
    let mut bench = Bench::new(
        "local mine = proxy.global.opened or 0
         proxy.global.opened = mine + 1
         function read_query(packet)
           proxy.queries:append(mine, packet)
           local text = mine .. proxy.connection.client.default_db
           if packet == '\\3memory' then
             collectgarbage()
             text = '' .. math.floor(collectgarbage('count') * 1024)
           end
           proxy.response = { type = 250, packets = { text } }
           return 2
         end
         function disconnect_client() proxy.global.opened = proxy.global.opened - 1 end",
    );
    let memory = |bench: &mut Bench, connection: &mut _| -> u64 {
        bench.answer(connection, "memory").parse().unwrap()
    };
    let mut first = bench.open();
    let before = memory(&mut bench, &mut first);
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| bench.open()).collect();
    let bytes_each = (memory(&mut bench, &mut first) - before) / CONNECTIONS;
    println!("{bytes_each} bytes of Lua's memory each");
    assert!(bytes_each < MAX_BYTES_EACH, "{bytes_each}");
    for (index, connection) in connections.iter_mut().enumerate().step_by(7) {
        assert_eq!(
            bench.answer(connection, "SELECT 1"),
            (index + 1).to_string()
        );
    }
    for connection in &mut connections {
        bench.state.call(connection, Hook::DisconnectClient);
        bench.state.close(connection.id);
    }
    assert_eq!(bench.answer(&mut first, "SELECT 1"), "0");
    bench.write(CALCULATOR);
    let mut last = bench.open();
    assert_eq!(bench.answer(&mut last, "proxy.global.opened"), "1");
}
