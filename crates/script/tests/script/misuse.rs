//! What scripts do wrong: each is a Lua error, a string with file and line, that the script can catch.

use std::sync::Arc;

use script::{Decision, Hook};

use crate::support::{Bench, CALCULATOR, FakeBackend, injection_result, logged};

/// Runs the statements in `read_query`; the error's text behind file and line.
fn error_of(statements: &str) -> String {
    let mut bench = Bench::new(&format!(
        "function read_query()
           local ok, err = pcall(function()
             {statements}
           end)
           assert(not ok, 'nothing failed')
           assert(type(err) == 'string', 'the error is no string')
           proxy.response = {{ type = 250, packets = {{ err }} }}
           return 2
         end"
    ));
    let mut connection = bench.open();
    connection.backends = vec![Arc::new(FakeBackend::new("10.0.0.1:3306"))];
    let text = bench.answer(&mut connection, "");
    let Some((position, message)) = text.split_once(":3: ") else {
        panic!("no position in {text}");
    };
    assert!(position.starts_with("[string \""), "{text}");
    message.to_owned()
}

fn check(cases: &[(&str, &str)]) {
    for (statements, message) in cases {
        assert_eq!(error_of(statements), *message, "{statements}");
    }
}

#[test]
fn misuse_of_connection_is_an_error_that_names_it() {
    check(&[
        (
            "proxy.connection.backend_ndx = nil",
            "bad argument #3 to 'backend_ndx' (number expected, got nil)",
        ),
        (
            "proxy.connection.backend_ndx = 'one'",
            "bad argument #3 to 'backend_ndx' (number expected, got string)",
        ),
        (
            "proxy.connection.backend_ndx = {}",
            "bad argument #3 to 'backend_ndx' (number expected, got table)",
        ),
        (
            "proxy.connection.connection_close = 1",
            "bad argument #3 to 'connection_close' (boolean expected, got number)",
        ),
        (
            "proxy.connection.connection_close = nil",
            "bad argument #3 to 'connection_close' (boolean expected, got nil)",
        ),
        (
            "proxy.connection.client = 1",
            "proxy.connection.client is not writable",
        ),
        (
            "proxy.connection.other = 1",
            "proxy.connection.other is not writable",
        ),
        (
            "local db = proxy.connection.default_db",
            "proxy.connection.default_db is deprecated, use proxy.connection.client.default_db or \
             proxy.connection.server.default_db instead",
        ),
        (
            "local id = proxy.connection.thread_id",
            "proxy.connection.thread_id is deprecated, use proxy.connection.client.thread_id or \
             proxy.connection.server.thread_id instead",
        ),
        (
            "local version = proxy.connection.mysqld_version",
            "proxy.connection.mysqld_version is deprecated, use proxy.connection.client.mysqld_version or \
             proxy.connection.server.mysqld_version instead",
        ),
        (
            "local address = proxy.connection.client.address",
            ".address is deprecated. Use .src.name or .dst.name instead",
        ),
        (
            "local db = proxy.connection.server.default_db",
            "attempt to index field 'server' (a nil value)",
        ),
    ]);
}

#[test]
fn misuse_of_backends_is_an_error_that_names_it() {
    check(&[
        (
            "local first = proxy.global.backends.first",
            "bad argument #2 to 'proxy.global.backends' (number expected, got string)",
        ),
        (
            "local first = proxy.global.backends[nil]",
            "bad argument #2 to 'proxy.global.backends' (number expected, got nil)",
        ),
        (
            "proxy.global.backends[1].type = 1",
            "proxy.global.backends[...].type is not writable",
        ),
        (
            "proxy.global.backends[1].other = 1",
            "proxy.global.backends[...].other is not writable",
        ),
        (
            "proxy.global.backends[1].uuid = true",
            "bad argument #3 to 'uuid' (string or nil expected, got boolean)",
        ),
        (
            "proxy.global.backends[1].pool.users = 1",
            "proxy.backend[...].users is not writable",
        ),
        (
            "proxy.global.backends[1].pool.min_idle_connections = 'x'",
            "bad argument #3 to 'min_idle_connections' (number expected, got string)",
        ),
        (
            "local user = proxy.global.backends[1].pool.users[true]",
            "bad argument #2 to 'pool.users' (string expected, got boolean)",
        ),
    ]);
}

#[test]
fn misuse_of_queries_is_an_error_that_names_it() {
    check(&[
        (
            "proxy.queries:append('x', 'x')",
            "bad argument #1 to 'append' (number expected, got string)",
        ),
        (
            "proxy.queries:prepend({}, 'x')",
            "bad argument #1 to 'prepend' (number expected, got table)",
        ),
        (
            "proxy.queries:append(1)",
            "bad argument #2 to 'append' (string expected, got nil)",
        ),
        (
            "proxy.queries:append(1, true)",
            "bad argument #2 to 'append' (string expected, got boolean)",
        ),
        (
            "proxy.queries:append(1, 'x', 1)",
            "bad argument #3 to 'append' (table expected, got number)",
        ),
        (
            "proxy.queries:append(1, 'x', { resultset_is_needed = 1 })",
            "bad argument #3 to 'append' (resultset_is_needed has to be a boolean, got number)",
        ),
        (
            "while true do proxy.queries:append(1, 'x') end",
            "proxy.queries is full: 65536 queries wait",
        ),
        (
            "proxy.queries:missing()",
            "attempt to call method 'missing' (a nil value)",
        ),
    ]);
}

#[test]
fn errors_without_a_text_of_their_own_are_errors_all_the_same() {
    for statements in [
        "proxy.queries.append(1, 'x')",
        "proxy.queries.append(proxy.connection, 1, 'x')",
        "proxy.queries.reset()",
        "proxy.queries.append()",
        "proxy.queries.x = 1",
        "proxy.connection.client.username = 'x'",
        "proxy.connection.client.src.x = 1",
        "proxy.global.backends[1] = nil",
        "proxy.connection()",
        "local x = proxy.connection + 1",
        "local x = proxy.connection < proxy.connection",
    ] {
        assert!(!error_of(statements).is_empty(), "{statements}");
    }
}

#[test]
fn too_many_arguments_are_ignored() {
    let mut bench = Bench::new(
        "function read_query()
           local many = {}
           for i = 1, 7000 do many[i] = 'x' .. i end
           proxy.queries:append(1, 'x', nil, unpack(many))
           return 1
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, ""), Decision::SendQuery);
}

#[test]
fn a_connection_is_only_usable_in_its_own_hooks() {
    let mut bench = Bench::new(
        "proxy.global.saved = proxy.global.saved or {
           function() return proxy.connection end,
           connection = proxy.connection, client = proxy.connection.client, queries = proxy.queries,
         }
         function read_query(packet)
           local saved = proxy.global.saved
           local tries = {
             function() return saved.connection.backend_ndx end,
             function() saved.connection.backend_ndx = 1 end,
             function() saved.connection.connection_close = true end,
             function() return saved.connection.client end,
             function() return saved.client.default_db end,
             function() return #saved.queries end,
             function() saved.queries:append(1, 'x') end,
             function() saved.queries:reset() end,
           }
           local failures = {}
           for i, try in ipairs(tries) do
             local ok, err = pcall(try)
             if not ok then failures[#failures + 1] = err:match(':%d+: (.*)') end
           end
           proxy.response = { type = 250, packets = { #failures .. ' ' .. tostring(failures[1]) } }
           return 2
         end",
    );
    let (mut owner, mut other) = (bench.open(), bench.open());
    assert_eq!(bench.answer(&mut owner, ""), "0 nil");
    assert_eq!(
        bench.answer(&mut other, ""),
        "8 proxy.connection is only usable inside a hook of its connection"
    );
    assert_eq!(other.backend_ndx, 0);
    assert!(!other.connection_close);
}

#[test]
fn an_injection_is_gone_after_its_hook() {
    let mut bench = Bench::new(
        "function read_query_result(inj)
           saved = inj
           assert(inj.id == 7 and inj.query == '\\3SELECT 1')
           return proxy.PROXY_IGNORE_RESULT
         end
         function read_query()
           local ok, err = pcall(function() return saved.id end)
           proxy.response = { type = 250, packets = { tostring(ok) .. type(err) } }
           return 2
         end",
    );
    let mut connection = bench.open();
    let hook = Hook::ReadQueryResult(injection_result(true));
    assert_eq!(
        bench.state.call(&mut connection, hook),
        Decision::IgnoreResult
    );
    assert_eq!(bench.answer(&mut connection, ""), "falsestring");
}

#[test]
fn a_panic_in_our_code_is_an_error_of_that_hook_only() {
    for attempt in [
        "panicking()",
        "pcall(panicking)",
        "coroutine.wrap(panicking)()",
    ] {
        let mut bench = Bench::new(&format!(
            "function panicking() proxy.global.backends[1].state = proxy.BACKEND_STATE_DOWN end
             function read_auth() {attempt} end
             {CALCULATOR}"
        ));
        let mut connection = bench.open();
        connection.backends = vec![Arc::new(FakeBackend::new("10.0.0.1:3306"))];
        let (decision, log) = logged(|| bench.state.call(&mut connection, Hook::ReadAuth));
        assert_eq!(decision, Decision::Default);
        if attempt != "pcall(panicking)" {
            assert_eq!(log.len(), 1, "{log:?}");
            assert!(
                log[0].starts_with("ERROR (read_auth) fault of the proxy itself"),
                "{log:?}"
            );
        }
        assert_eq!(connection.id, 1);
        assert_eq!(connection.backends.len(), 1);
        assert_eq!(bench.answer(&mut connection, "#proxy.global.backends"), "1");
        let mut other = bench.open();
        assert_eq!(bench.answer(&mut other, "1 + 1"), "2");
    }
}

#[test]
fn a_script_that_spoils_the_standard_functions_spoils_its_own_code_only() {
    let mut bench = Bench::new(
        "pcall, error, type, tostring = nil
         _G.pcall = function() return true, 2 end
         _G.error = nil
         setfenv(1, {})
         ",
    );
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, "x"), Decision::Default);
    bench.write(
        "function read_query() proxy.response = { type = 250, packets = { 'fine' } } return 2 end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "fine");
}
