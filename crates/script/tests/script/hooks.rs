//! The seven hooks: what they are called with, and what their answers and errors become.

use script::{Decision, Endpoint, Hook};

use crate::support::{Bench, injection_result, logged, raw_text};

/// Each of them, with something to be called with.
fn hooks() -> Vec<Hook<'static>> {
    vec![
        Hook::ConnectServer,
        Hook::ReadHandshake,
        Hook::ReadAuth,
        Hook::ReadAuthResult(b"\x00"),
        Hook::ReadQuery(b"\x03SELECT 1"),
        Hook::ReadQueryResult(injection_result(true)),
        Hook::DisconnectClient,
    ]
}

/// A script whose hooks all consist of `body`.
fn script_of(body: &str) -> String {
    hooks()
        .iter()
        .map(|hook| format!("function {}(...) {body} end ", hook.name()))
        .collect()
}

/// `SendResult` with this text.
#[track_caller]
fn assert_answers(decision: Decision, text: &str) {
    assert_eq!(raw_text(decision), text);
}

#[test]
fn an_empty_script_decides_nothing() {
    let mut bench = Bench::new("");
    let mut connection = bench.open();
    for hook in hooks() {
        assert!(!bench.state.has_hook(connection.id, hook.name()));
        assert_eq!(bench.state.call(&mut connection, hook), Decision::Default);
    }
}

#[test]
fn a_connection_that_was_not_opened_decides_nothing() {
    let mut bench = Bench::new("function read_query() return 2 end");
    let mut connection = bench.connection();
    let decision = bench.query(&mut connection, "SELECT 1");
    assert_eq!(decision, Decision::Default);
    assert!(!bench.state.has_hook(connection.id, "read_query"));
}

#[test]
fn a_query_is_answered_by_the_script() {
    let mut bench = Bench::new(
        "function read_query(packet)
           proxy.response.type = proxy.MYSQLD_PACKET_RAW
           proxy.response.packets = { packet:byte() .. ' ' .. packet:sub(2) }
           return proxy.PROXY_SEND_RESULT
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, "SELECT 1"), "3 SELECT 1");
}

#[test]
fn an_empty_packet_is_an_empty_string() {
    let mut bench = Bench::new(
        "function read_query(packet)
           proxy.response = { type = 250, packets = { tostring((packet:byte())) .. #packet } }
           return 2
         end",
    );
    let mut connection = bench.open();
    let decision = bench.state.call(&mut connection, Hook::ReadQuery(b""));
    assert_answers(decision, "nil0");
}

#[test]
fn a_login_packet_comes_in_a_table() {
    let mut bench = Bench::new(
        "function read_auth_result(auth)
           proxy.response = { type = 250, packets = { auth.packet:upper() } }
           return 2
         end",
    );
    let mut connection = bench.open();
    let hook = Hook::ReadAuthResult(b"\xfeswitch\x00it");
    assert_answers(
        bench.state.call(&mut connection, hook),
        "\u{fffd}SWITCH\0IT",
    );
}

#[test]
fn three_hooks_get_an_argument() {
    for (hook, arguments) in hooks().into_iter().zip([0, 0, 0, 1, 1, 1, 0]) {
        let name = hook.name();
        let mut bench = Bench::new(&format!(
            "function {name}(...) error(select('#', ...) .. ' given', 0) end"
        ));
        let mut connection = bench.open();
        let ((), log) = logged(|| drop(bench.state.call(&mut connection, hook)));
        let expected = format!("ERROR ({name}) {arguments} given");
        assert!(log[0].starts_with(&expected), "{log:?}");
    }
}

#[test]
fn only_numbers_and_what_reads_as_one_decide() {
    for (value, decides) in [
        ("2", true),
        ("'2'", true),
        ("2.9", true),
        ("'0x2'", true),
        ("2, 4", true),
        ("nil, 2", false),
        ("nil", false),
        ("true", false),
        ("'two'", false),
        ("''", false),
        ("{ 2 }", false),
        ("function() return 2 end", false),
    ] {
        let mut bench = Bench::new(&format!(
            "function connect_server()
               proxy.response = {{ type = 250, packets = {{ 'x' }} }}
               return {value}
             end"
        ));
        let mut connection = bench.open();
        let decision = bench.state.call(&mut connection, Hook::ConnectServer);
        assert_eq!(decision != Decision::Default, decides, "{value}");
    }
}

/// What each hook decides for 0 to 5 with one query waiting and its result kept.
#[test]
fn each_hook_reads_numbers_by_its_own_rule() {
    const TABLE: [(usize, [char; 6]); 7] = [
        (0, ['-', '-', 'R', '-', 'I', '-']),
        (1, ['-', 'R', 'R', '-', '-', '-']),
        (2, ['-', 'Q', 'R', '-', '-', '-']),
        (3, ['-', '-', 'R', '-', '-', '-']),
        (4, ['-', 'Q', 'R', '-', '-', '-']),
        (5, ['-', '-', 'R', '-', 'I', '-']),
        (6, ['-', '-', '-', '-', '-', '-']),
    ];
    for (index, row) in TABLE {
        for (number, expected) in row.into_iter().enumerate() {
            let mut bench = Bench::new(&script_of(&format!(
                "proxy.response = {{ type = 250, packets = {{ 'x' }} }}
                 proxy.queries:append(1, '\\3SELECT 1')
                 return {number}"
            )));
            let mut connection = bench.open();
            let hook = hooks().swap_remove(index);
            let name = hook.name();
            let decision = match bench.state.call(&mut connection, hook) {
                Decision::Default => '-',
                Decision::SendQuery => 'Q',
                Decision::SendResult(_) => 'R',
                Decision::IgnoreResult => 'I',
            };
            assert_eq!(decision, expected, "{name} returned {number}");
        }
    }
}

#[test]
fn a_result_that_was_not_kept_cannot_be_replaced() {
    for number in [2, 4] {
        let mut bench = Bench::new(&format!("function read_query_result() return {number} end"));
        let mut connection = bench.open();
        let hook = Hook::ReadQueryResult(injection_result(false));
        let (decision, log) = logged(|| bench.state.call(&mut connection, hook));
        assert_eq!(decision, Decision::Default);
        assert_eq!(log.len(), 1);
        assert!(log[0].starts_with(&format!(
            "ERROR (read_query_result) returned {number}, but the query hasn't asked to buffer"
        )));
    }
}

#[test]
fn queries_live_from_one_read_query_to_the_next() {
    let mut bench = Bench::new(
        "function read_query(packet)
           if packet:sub(2) == 'two' then
             proxy.queries:append(1, '\\3A')
             proxy.queries:append(2, '\\3B', { resultset_is_needed = true })
             return proxy.PROXY_SEND_QUERY
           end
           proxy.response = { type = 250, packets = { '' .. #proxy.queries } }
           return proxy.PROXY_SEND_RESULT
         end
         function read_query_result() end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, "two"), Decision::SendQuery);
    let queued: Vec<_> = connection
        .queries
        .iter()
        .map(|query| (query.id, &query.packet[..], query.resultset_is_needed))
        .collect();
    assert_eq!(
        queued,
        [(1, &b"\x03A"[..], false), (2, &b"\x03B"[..], true)]
    );
    let hook = Hook::ReadQueryResult(injection_result(true));
    assert_eq!(bench.state.call(&mut connection, hook), Decision::Default);
    assert_eq!(connection.queries.len(), 2);
    assert_eq!(bench.answer(&mut connection, "count"), "0");
}

#[test]
fn a_new_query_empties_the_queue_even_without_read_query() {
    let mut bench = Bench::new("function read_auth() proxy.queries:append(1, 'x') return 1 end");
    let mut connection = bench.open();
    let decision = bench.state.call(&mut connection, Hook::ReadAuth);
    assert_eq!(decision, Decision::SendQuery);
    assert_eq!(connection.queries.len(), 1);
    assert_eq!(bench.query(&mut connection, "x"), Decision::Default);
    assert_eq!(connection.queries.len(), 0);
}

#[test]
fn an_answer_keeps_the_queries() {
    let mut bench = Bench::new(
        "function read_query()
           proxy.queries:append(1, 'x')
           proxy.response = { type = 250, packets = { 'y' } }
           return 2
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "y");
    assert_eq!(connection.queries.len(), 1);
}

#[test]
fn queries_without_send_query_are_discarded_aloud() {
    for (returned, complaints) in [("", 1), ("return 0", 1), ("return 4", 2)] {
        let mut bench = Bench::new(&format!(
            "function read_query() proxy.queries:append(1, 'x') {returned} end"
        ));
        let mut connection = bench.open();
        let (decision, log) = logged(|| bench.query(&mut connection, "x"));
        assert_eq!(decision, Decision::Default);
        assert_eq!(connection.queries.len(), 0);
        assert_eq!(log.len(), complaints, "{log:?}");
        assert!(log[complaints - 1].starts_with("ERROR (read_query) added to proxy.queries"));
    }
}

#[test]
fn send_query_without_queries_forwards_aloud() {
    let mut bench = Bench::new("function read_query() return proxy.PROXY_SEND_QUERY end");
    let mut connection = bench.open();
    let (decision, log) = logged(|| bench.query(&mut connection, "x"));
    assert_eq!(decision, Decision::Default);
    assert_eq!(log.len(), 1);
    assert!(log[0].starts_with("ERROR (read_query) returned proxy.PROXY_SEND_QUERY, but"));
}

#[test]
fn an_error_is_logged_with_hook_file_and_line_and_decides_nothing() {
    for (body, text) in [
        ("error('boom')", "[string \"SCRIPT\"]:2: boom"),
        (
            "local x = nil + 1",
            "[string \"SCRIPT\"]:2: attempt to perform arithmetic on a nil value",
        ),
        ("error('boom', 0)", "boom"),
        ("error(42)", "[string \"SCRIPT\"]:2: 42"),
        ("error()", "(error object is a nil value)"),
        ("error({})", "(error object is a table value)"),
        ("error(true)", "(error object is a boolean value)"),
        (
            "error(setmetatable({}, { __tostring = function() return 'told' end }))",
            "told",
        ),
        (
            "error(setmetatable({}, { __tostring = function() error('worse') end }))",
            "(error object is a table value)",
        ),
        ("error(io.stdout)", "file ("),
        (
            "coroutine.yield()",
            "[string \"SCRIPT\"]:2: attempt to yield across C-call boundary",
        ),
        (
            "proxy.queries:append()",
            "[string \"SCRIPT\"]:2: bad argument #1 to 'append' (number expected, got nil)",
        ),
        (
            "local function f() return f() + 1 end f()",
            "[string \"SCRIPT\"]:2: stack overflow",
        ),
    ] {
        for hook in hooks() {
            let name = hook.name();
            let mut bench = Bench::new(&format!("function {name}()\n{body}\nend"));
            let mut connection = bench.open();
            connection.client.src = Some(Endpoint::Ip("127.0.0.1:4711".parse().unwrap()));
            let (decision, log) = logged(|| bench.state.call(&mut connection, hook));
            assert_eq!(decision, Decision::Default);
            assert_eq!(log.len(), 1, "{log:?}");
            let script = bench.script().display().to_string();
            let text = text.replace("SCRIPT", &short_source(&script));
            let expected = format!("ERROR ({name}) {text}");
            assert!(log[0].starts_with(&expected), "{}\n{expected}", log[0]);
            assert!(log[0].ends_with("client=\"127.0.0.1:4711\""), "{}", log[0]);
            assert!(!log[0].contains("traceback"), "{}", log[0]);
        }
    }
}

/// Lua keeps 60 bytes of `[string "..."]`.
fn short_source(path: &str) -> String {
    let room = 60 - "[string \"...\"]".len() - 1;
    if path.len() + "[string \"\"]".len() < 60 {
        path.to_owned()
    } else {
        format!("{}...", &path[..room])
    }
}

#[test]
fn an_error_discards_the_queries_of_read_query_only() {
    let mut bench = Bench::new(&script_of("proxy.queries:append(1, 'x') error('boom')"));
    let mut connection = bench.open();
    bench.query(&mut connection, "x");
    assert_eq!(connection.queries.len(), 0);
    let hook = Hook::ReadQueryResult(injection_result(true));
    bench.state.call(&mut connection, hook);
    assert_eq!(connection.queries.len(), 1);
}

#[test]
fn what_a_hook_did_before_its_error_stands() {
    let mut bench =
        Bench::new("function connect_server() proxy.connection.backend_ndx = 3 error('boom') end");
    let mut connection = bench.open();
    bench.state.call(&mut connection, Hook::ConnectServer);
    assert_eq!(connection.backend_ndx, 3);
}

#[test]
fn a_script_that_failed_is_called_again() {
    let mut bench = Bench::new(
        "function read_query()
           n = (n or 0) + 1
           if n == 1 then error('boom') end
           proxy.response = { type = 250, packets = { '' .. n } }
           return 2
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.query(&mut connection, "x"), Decision::Default);
    assert_eq!(bench.answer(&mut connection, "x"), "2");
}

#[test]
fn hooks_are_looked_up_by_name_each_time() {
    let mut bench = Bench::new(
        "function read_query(packet)
           read_query = nil
           function read_auth() return 2 end
         end",
    );
    let mut connection = bench.open();
    assert!(bench.state.has_hook(connection.id, "read_query"));
    assert!(!bench.state.has_hook(connection.id, "read_auth"));
    bench.query(&mut connection, "x");
    assert!(!bench.state.has_hook(connection.id, "read_query"));
    assert!(bench.state.has_hook(connection.id, "read_auth"));
}

#[test]
fn what_is_no_function_is_not_called_and_named_except_for_read_query() {
    for hook in hooks() {
        let name = hook.name();
        let mut bench = Bench::new(&format!("{name} = 5"));
        let mut connection = bench.open();
        assert!(!bench.state.has_hook(connection.id, name));
        let (decision, log) = logged(|| bench.state.call(&mut connection, hook));
        assert_eq!(decision, Decision::Default);
        match name {
            "read_query" => assert!(log.is_empty()),
            _ => assert_eq!(
                log,
                [format!(
                    "INFO {name} is a number, not a function; it is not called"
                )]
            ),
        }
    }
}

#[test]
fn hooks_of_a_strict_global_table_that_are_missing_are_no_fault() {
    let mut bench = Bench::new(
        "setmetatable(_G, { __index = function(_, name) error('undeclared ' .. name) end })",
    );
    let mut connection = bench.open();
    let (decision, log) = logged(|| bench.query(&mut connection, "x"));
    assert_eq!(decision, Decision::Default);
    assert_eq!(log, [""; 0]);
}

#[test]
fn thousands_of_values_returned_are_as_good_as_one() {
    let mut bench = Bench::new(
        "function read_query()
           local many = { 2 }
           for i = 2, 7900 do many[i] = 'x' .. i end
           proxy.response = { type = 250, packets = { 'answered' } }
           return unpack(many)
         end",
    );
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, ""), "answered");
}

#[test]
fn only_read_query_starts_with_an_empty_response() {
    let mut bench = Bench::new(
        "function connect_server() proxy.response.type = 250 proxy.response.packets = { 'kept' } end
         function read_auth() return 2 end
         function read_query() proxy.response.packets = { 'mine' } end
         function read_query_result() proxy.response.type = 250 return 2 end",
    );
    let mut connection = bench.open();
    bench.state.call(&mut connection, Hook::ConnectServer);
    let decision = bench.state.call(&mut connection, Hook::ReadAuth);
    assert_answers(decision, "kept");
    bench.query(&mut connection, "x");
    let hook = Hook::ReadQueryResult(injection_result(true));
    assert_answers(bench.state.call(&mut connection, hook), "mine");
}

#[test]
fn a_response_that_cannot_be_built_is_an_err_that_says_so() {
    for response in ["nil", "5", "{}", "{ type = 254 }"] {
        let mut bench = Bench::new(&format!(
            "function read_query() proxy.response = {response} return 2 end"
        ));
        let mut connection = bench.open();
        let (decision, log) = logged(|| bench.query(&mut connection, "x"));
        let text = raw_text(decision);
        assert!(
            text.ends_with("#07000(lua) handling proxy.response failed, check error-log"),
            "{text}"
        );
        assert_eq!(log.len(), 1, "{log:?}");
    }
}

#[test]
fn connection_close_and_backend_ndx_come_back() {
    let mut bench = Bench::new(
        "function read_query()
           proxy.connection.connection_close = true
           proxy.connection.backend_ndx = 2
         end",
    );
    let mut connection = bench.open();
    bench.query(&mut connection, "x");
    assert!(connection.connection_close);
    assert_eq!(connection.backend_ndx, 2);
}
