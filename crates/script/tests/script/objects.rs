//! What `proxy.connection`, its sockets and addresses, `proxy.global.backends`, `proxy.queries` and the constants show.

use std::sync::Arc;

use protocol::Capabilities;
use script::{Connection, Endpoint, Greeting, Hold, Hook, Loaded, Login, Peer, Shared};

use crate::support::{Bench, CALCULATOR, FakeBackend, logged};

fn ip(address: &str) -> Option<Endpoint> {
    Some(Endpoint::Ip(address.parse().expect("an address")))
}

/// Logged in, with a server attached and two backends.
fn full_connection(bench: &mut Bench) -> Box<Connection> {
    let greeting = Greeting {
        server_version: b"5.5.5-10.11.6-MariaDB".to_vec(),
        thread_id: 42,
        auth_plugin_data: b"01234567890123456789\0".to_vec(),
        auth_plugin_name: b"mysql_native_password".to_vec(),
    };
    let mut connection = bench.connection();
    connection.client = Peer {
        src: ip("127.0.0.1:4711"),
        dst: ip("[::1]:4040"),
        default_db: b"film".to_vec(),
        greeting: Some(greeting.clone()),
        login: Some(Login {
            username: b"anna".to_vec(),
            auth_response: b"\x00\xff".to_vec(),
            auth_plugin_name: b"caching_sha2_password".to_vec(),
        }),
    };
    connection.server = Some(Peer {
        src: Some(Endpoint::Unix("".into())),
        dst: Some(Endpoint::Unix("/run/mysqld/mysqld.sock".into())),
        default_db: Vec::new(),
        greeting: Some(Greeting {
            thread_id: 7,
            ..greeting
        }),
        login: None,
    });
    connection.backend_ndx = 1;
    connection.hold = Hold::Free;
    connection.backends = vec![
        Arc::new(FakeBackend::new("10.0.0.1:3306")),
        Arc::new(FakeBackend {
            dst: None,
            is_read_only: true,
            ..FakeBackend::new("10.0.0.2:3306")
        }),
    ];
    let script = bench.script();
    assert_eq!(
        bench.state.open(&script, &mut connection),
        Ok(Loaded::Scripted)
    );
    connection
}

/// Each expression's value.
fn check(cases: &[(&str, &str)]) {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = full_connection(&mut bench);
    for (expression, value) in cases {
        let found = bench.answer(&mut connection, expression);
        assert_eq!(found, *value, "{expression}");
    }
}

#[test]
fn proxy_connection_shows_the_connection() {
    check(&[
        ("type(proxy.connection)", "userdata"),
        ("proxy.connection.backend_ndx", "1"),
        ("proxy.connection.connection_close", "nil"),
        ("type(proxy.connection.client)", "userdata"),
        ("type(proxy.connection.server)", "userdata"),
        ("proxy.connection == proxy.connection", "true"),
        (
            "proxy.connection.client == proxy.connection.client",
            "false",
        ),
        ("proxy.connection.address", "nil"),
        ("proxy.connection[1]", "nil"),
        ("proxy.connection[true]", "nil"),
    ]);
}

#[test]
fn socket_objects_show_login_before_greeting() {
    check(&[
        ("proxy.connection.client.default_db", "film"),
        ("proxy.connection.server.default_db", ""),
        ("proxy.connection.client.username", "anna"),
        ("#proxy.connection.client.scrambled_password", "2"),
        (
            "proxy.connection.client.auth_plugin_name",
            "caching_sha2_password",
        ),
        (
            "proxy.connection.server.auth_plugin_name",
            "mysql_native_password",
        ),
        ("proxy.connection.client.mysqld_version", "50505"),
        ("proxy.connection.client.thread_id", "42"),
        ("proxy.connection.server.thread_id", "7"),
        ("#proxy.connection.server.scramble_buffer", "21"),
    ]);
}

#[test]
fn what_a_socket_does_not_know_is_nil_and_logged() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    for key in [
        "username",
        "thread_id",
        "auth_plugin_name",
        "challenge",
        "1",
    ] {
        let expression = format!("proxy.connection.client['{key}']");
        let (value, log) = logged(|| bench.answer(&mut connection, &expression));
        assert_eq!(value, "nil");
        assert_eq!(
            log,
            [format!(
                "ERROR a socket object's .{key} is not known, or not yet: it reads nil"
            )]
        );
    }
    assert_eq!(
        bench.answer(&mut connection, "proxy.connection.client.src"),
        "nil"
    );
    assert_eq!(
        bench.answer(&mut connection, "proxy.connection.server"),
        "nil"
    );
}

#[test]
fn addresses_show_family_name_host_and_port() {
    check(&[
        ("proxy.connection.client.src.type", "2"),
        ("proxy.connection.client.src.name", "127.0.0.1:4711"),
        ("proxy.connection.client.src.address", "127.0.0.1"),
        ("proxy.connection.client.src.port", "4711"),
        ("proxy.connection.client.dst.type", "10"),
        ("proxy.connection.client.dst.name", "[::1]:4040"),
        ("proxy.connection.client.dst.address", "::1"),
        ("proxy.connection.client.dst.port", "4040"),
        ("proxy.connection.server.dst.type", "1"),
        (
            "proxy.connection.server.dst.name",
            "/run/mysqld/mysqld.sock",
        ),
        (
            "proxy.connection.server.dst.address",
            "/run/mysqld/mysqld.sock",
        ),
        ("proxy.connection.server.dst.port", "nil"),
        ("proxy.connection.server.src.name", ""),
        ("proxy.connection.server.src.address", ""),
        ("proxy.connection.client.src.other", "nil"),
    ]);
}

#[test]
fn backends_show_what_the_proxy_knows_of_them() {
    check(&[
        ("#proxy.global.backends", "2"),
        ("proxy.global.backends[0]", "nil"),
        ("proxy.global.backends[3]", "nil"),
        ("proxy.global.backends[-1]", "nil"),
        ("proxy.global.backends['1'].dst.name", "10.0.0.1:3306"),
        ("proxy.global.backends[1].connected_clients", "5"),
        (
            "proxy.global.backends[1].type == proxy.BACKEND_TYPE_RW",
            "true",
        ),
        (
            "proxy.global.backends[2].type == proxy.BACKEND_TYPE_RO",
            "true",
        ),
        (
            "proxy.global.backends[1].state == proxy.BACKEND_STATE_UNKNOWN",
            "true",
        ),
        ("proxy.global.backends[2].dst.name", "db.example:3306"),
        ("proxy.global.backends[2].dst.address", "nil"),
        ("proxy.global.backends[2].dst.port", "nil"),
        ("proxy.global.backends[2].dst.type", "nil"),
        ("proxy.global.backends[1].uuid", "nil"),
        ("proxy.global.backends[1].address", "nil"),
        ("proxy.global.backends[1].idling_connections", "nil"),
        (
            "proxy.global.backends[1] == proxy.global.backends[1]",
            "false",
        ),
        ("type(proxy.global.config)", "table"),
        ("next(proxy.global.config)", "nil"),
    ]);
}

/// Runs the statements, then gives the expression's value.
fn after(statements: &str, expression: &str) -> String {
    let mut bench = Bench::new(&format!("function set() {statements} end\n{CALCULATOR}"));
    let mut connection = full_connection(&mut bench);
    assert_eq!(
        bench.answer(&mut connection, "set()"),
        "nil",
        "{statements}"
    );
    bench.answer(&mut connection, expression)
}

#[test]
fn a_backends_state_and_uuid_can_be_set() {
    let backend = "proxy.global.backends[1]";
    for (value, state) in [
        ("proxy.BACKEND_STATE_UP", "1"),
        ("'1'", "1"),
        ("0", "0"),
        ("7", "0"),
    ] {
        let set = format!("{backend}.state = {value}");
        assert_eq!(after(&set, &format!("{backend}.state")), state, "{value}");
    }
    for value in ["nil", "true", "'up'", "{}"] {
        let set = format!("{backend}.state = 1 {backend}.state = {value}");
        assert_eq!(after(&set, &format!("{backend}.state")), "0", "{value}");
    }
    for (value, uuid) in [("'a-b'", "a-b"), ("12", "12"), ("nil", "nil")] {
        let set = format!("{backend}.uuid = 'x' {backend}.uuid = {value}");
        assert_eq!(after(&set, &format!("{backend}.uuid")), uuid, "{value}");
    }
}

#[test]
fn pools_keep_the_limits_that_scripts_set() {
    check(&[
        ("proxy.global.backends[1].pool.min_idle_connections", "0"),
        ("proxy.global.backends[1].pool.max_idle_connections", "0"),
        (
            "proxy.global.backends[1].pool.users[''].cur_idle_connections",
            "0",
        ),
        (
            "proxy.global.backends[1].pool.users['anna'].cur_idle_connections",
            "0",
        ),
        (
            "proxy.global.backends[1].pool.users[1].cur_idle_connections",
            "0",
        ),
        ("proxy.global.backends[1].pool.users['anna'].other", "nil"),
        ("proxy.global.backends[1].pool.other", "nil"),
    ]);
    let limits = "proxy.global.backends[1].pool.min_idle_connections .. ' '
                  .. proxy.global.backends[1].pool.max_idle_connections .. ' '
                  .. proxy.global.backends[2].pool.max_idle_connections";
    let set = "local pool = proxy.global.backends[1].pool
               pool.min_idle_connections = 4 pool.max_idle_connections = '8'";
    assert_eq!(after(set, limits), "4 8 0");
}

#[test]
fn backend_ndx_reads_what_was_written() {
    for (value, ndx) in [
        ("2", "2"),
        ("'2'", "2"),
        ("2.9", "2"),
        ("99", "99"),
        ("-1", "-1"),
    ] {
        let set = format!("proxy.connection.backend_ndx = {value}");
        assert_eq!(after(&set, "proxy.connection.backend_ndx"), ndx, "{value}");
        assert_eq!(after(&set, "proxy.connection.server.thread_id"), "7");
    }
}

#[test]
fn giving_the_server_up_hides_it_for_the_rest_of_the_hook() {
    let mut bench = Bench::new(
        "function read_query()
           local server = proxy.connection.server
           proxy.connection.backend_ndx = 0
           local readable = pcall(function() return server.thread_id end)
           proxy.response = { type = 250, packets = {
             proxy.connection.backend_ndx .. ' ' .. tostring(proxy.connection.server) .. ' ' .. tostring(readable)
           } }
           return 2
         end",
    );
    let mut connection = full_connection(&mut bench);
    assert_eq!(bench.answer(&mut connection, ""), "0 nil false");
    assert_eq!(connection.backend_ndx, 0);
    assert!(connection.is_released);
}

#[test]
fn zero_without_a_server_changes_nothing() {
    let mut bench = Bench::new(
        "function connect_server()
           proxy.connection.backend_ndx = 2
           proxy.connection.backend_ndx = 0
         end",
    );
    let mut connection = bench.open();
    bench.state.call(&mut connection, Hook::ConnectServer);
    assert_eq!(connection.backend_ndx, 2);
}

#[test]
fn a_saved_server_is_not_another_one() {
    let mut bench = Bench::new(
        "function read_query()
           saved = saved or proxy.connection.server
           local ok, id = pcall(function() return saved.thread_id end)
           proxy.response = { type = 250, packets = { tostring(id) } }
           return 2
         end",
    );
    let mut connection = full_connection(&mut bench);
    assert_eq!(bench.answer(&mut connection, ""), "7");
    let server = connection.server.as_mut().unwrap();
    server.greeting.as_mut().unwrap().thread_id = 8;
    let error = bench.answer(&mut connection, "");
    assert!(
        error.ends_with("is no longer the connection's server"),
        "{error}"
    );
    connection.server = None;
    let error = bench.answer(&mut connection, "");
    assert!(
        error.ends_with("is no longer the connection's server"),
        "{error}"
    );
}

#[test]
fn queries_are_appended_prepended_counted_and_forgotten() {
    let order = "(function()
        proxy.queries:append(1, '\\3a')
        proxy.queries:append('2', 34)
        proxy.queries:prepend(3.9, 'c\\0c', { resultset_is_needed = true, unknown = 1 })
        proxy.queries:append(-4, '', {})
        return #proxy.queries .. proxy.queries:len() .. proxy.queries:__len()
      end)()";
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    assert_eq!(bench.answer(&mut connection, order), "444");
    let queued: Vec<_> = connection
        .queries
        .iter()
        .map(|query| (query.id, &query.packet[..], query.resultset_is_needed))
        .collect();
    let expected: [(i32, &[u8], bool); 4] = [
        (3, b"c\0c", true),
        (1, b"\x03a", false),
        (2, b"34", false),
        (-4, b"", false),
    ];
    assert_eq!(queued, expected);
    let forgotten = "select('#', proxy.queries:append(1, 'x')) .. select('#', proxy.queries:reset()) .. #proxy.queries";
    assert_eq!(bench.answer(&mut connection, forgotten), "000");
}

#[test]
fn a_large_packet_is_queued_whole() {
    let mut bench = Bench::new(
        "function read_query(packet) proxy.queries:append(1, packet .. packet) return 1 end",
    );
    let mut connection = bench.open();
    let packet = vec![b'x'; 17 * 1024 * 1024];
    bench.state.call(&mut connection, Hook::ReadQuery(&packet));
    assert_eq!(connection.queries[0].packet.len(), 2 * packet.len());
}

#[test]
fn constants_are_the_documented_numbers() {
    check(&[
        ("proxy.PROXY_SEND_QUERY", "1"),
        ("proxy.PROXY_SEND_RESULT", "2"),
        ("proxy.PROXY_IGNORE_RESULT", "4"),
        ("proxy.MYSQLD_PACKET_OK", "0"),
        ("proxy.MYSQLD_PACKET_RAW", "250"),
        ("proxy.MYSQLD_PACKET_EOF", "254"),
        ("proxy.MYSQLD_PACKET_ERR", "255"),
        ("proxy.PROXY_VERSION >= 0x00805", "true"),
        ("proxy.BACKEND_STATE_DOWN", "2"),
        ("proxy.BACKEND_TYPE_RO", "2"),
        ("proxy.COM_QUIT", "1"),
        ("proxy.COM_QUERY", "3"),
        ("proxy.COM_STMT_PREPARE", "22"),
        ("proxy.COM_STMT_FETCH", "28"),
        ("proxy.COM_DAEMON", "29"),
        ("proxy.MYSQL_TYPE_STRING", "254"),
        ("proxy.MYSQL_TYPE_NEWDECIMAL", "246"),
        ("proxy.MYSQL_TYPE_VARCHAR", "nil"),
        ("proxy.servers", "nil"),
        ("proxy.backends", "nil"),
        ("proxy.tokenize", "nil"),
    ]);
}

#[test]
fn capabilities_frame_the_answer() {
    let mut bench = Bench::new(
        "function read_query()
           proxy.response = { type = 0, resultset = { fields = { { name = 'a' } }, rows = { { 1 } } } }
           return 2
         end",
    );
    let mut connection = bench.open();
    let count = |decision| match decision {
        script::Decision::SendResult(response) => response.payloads.len(),
        other => panic!("{other:?}"),
    };
    let with_eof = count(bench.query(&mut connection, "x"));
    connection.capabilities |= Capabilities::DEPRECATE_EOF;
    let without_eof = count(bench.query(&mut connection, "x"));
    assert_eq!((with_eof, without_eof), (5, 4));
}

#[test]
fn all_states_share_a_dictionary() {
    let mut one = Bench::new(CALCULATOR);
    let shared = Arc::new(Shared::new(1_000));
    let mut two = Bench::with(CALCULATOR, |options| options.shared = Arc::clone(&shared));
    let mut three = Bench::with(CALCULATOR, |options| options.shared = shared);
    let mut connections = [one.open(), two.open(), three.open()];
    for (expression, expected) in [
        ("proxy.shared.get('a')", "nil"),
        ("proxy.shared.set('a', 'x\\0y')", "true"),
        ("#proxy.shared.get('a')", "3"),
        ("proxy.shared.add('a', 1)", "nil"),
        ("select(2, proxy.shared.add('a', 1))", "exists"),
        ("proxy.shared.add('b', true, 60)", "true"),
        ("proxy.shared.get('b')", "true"),
        ("proxy.shared.ttl('b') > 50", "true"),
        ("proxy.shared.ttl('a')", "false"),
        ("proxy.shared.ttl('c')", "nil"),
        ("select(2, proxy.shared.incr('n', 1))", "not found"),
        ("proxy.shared.incr('n', 2, 40)", "42"),
        ("proxy.shared.incr('n', -0.5)", "41.5"),
        ("select(2, proxy.shared.incr('a', 1))", "not a number"),
        ("proxy.shared.set(1, 2.5)", "true"),
        ("proxy.shared.get('1')", "2.5"),
        (
            "select(2, proxy.shared.set('big', ('x'):rep(1000)))",
            "full",
        ),
        ("proxy.shared.delete('a')", "true"),
        ("proxy.shared.delete('a')", "false"),
        ("proxy.shared.set('b', nil)", "true"),
        ("proxy.shared.get('b')", "nil"),
    ] {
        assert_eq!(
            two.answer(&mut connections[1], expression),
            expected,
            "{expression}"
        );
    }
    assert_eq!(
        three.answer(&mut connections[2], "proxy.shared.get('n')"),
        "41.5"
    );
    assert_eq!(
        one.answer(&mut connections[0], "proxy.shared.get('n')"),
        "nil"
    );
}

#[test]
fn misuse_of_the_dictionary_is_an_error_that_names_it() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    for (expression, expected) in [
        (
            "proxy.shared.get()",
            "bad argument #1 to 'get' (string expected, got nil)",
        ),
        (
            "proxy.shared.set({}, 1)",
            "bad argument #1 to 'set' (string expected, got table)",
        ),
        (
            "proxy.shared.set('a', {})",
            "(string, number or boolean expected, got table)",
        ),
        (
            "proxy.shared.add('a', nil)",
            "(string, number or boolean expected, got nil)",
        ),
        (
            "proxy.shared.set('a', 1, 'soon')",
            "bad argument #3 to 'set' (number expected, got string)",
        ),
        (
            "proxy.shared.set('a', 1, -1)",
            "(seconds must not be negative)",
        ),
        (
            "proxy.shared.incr('a', 'x')",
            "bad argument #2 to 'incr' (number expected, got string)",
        ),
    ] {
        let answer = bench.answer(&mut connection, expression);
        assert!(
            answer.starts_with("error: ") && answer.contains(expected),
            "{answer}"
        );
    }
}

/// The declared fields of the object at `path`.
fn declared(path: &str) -> Vec<script::api::Field> {
    let objects = script::api::objects();
    let object = objects.iter().find(|object| object.path == path);
    object
        .unwrap_or_else(|| panic!("{path} is not declared"))
        .fields
        .to_vec()
}

#[test]
fn what_is_declared_is_there() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = full_connection(&mut bench);
    for (path, expression) in [
        ("proxy", "proxy"),
        ("proxy.connection", "proxy.connection"),
        (
            "proxy.connection.client, proxy.connection.server",
            "proxy.connection.client",
        ),
        (
            "client.src, client.dst, backend.dst",
            "proxy.connection.client.src",
        ),
        ("proxy.global", "proxy.global"),
        ("proxy.global.backends[i]", "proxy.global.backends[1]"),
        (
            "proxy.global.backends[i].pool",
            "proxy.global.backends[1].pool",
        ),
        (
            "proxy.global.backends[i].pool.users[name]",
            "proxy.global.backends[1].pool.users.me",
        ),
        ("proxy.queries", "proxy.queries"),
        ("proxy.shared", "proxy.shared"),
        ("require(\"mysql.proto\")", "require('mysql.proto')"),
        ("require(\"mysql.password\")", "require('mysql.password')"),
    ] {
        for field in declared(path) {
            let field_of = format!("{expression}.{}", field.name);
            let found = bench.answer(&mut connection, &format!("type({field_of})"));
            let declared = match field.lua_type.split(['(', '<']).next() {
                _ if field.access == script::api::Access::Write => "nil",
                Some("fun") => "function",
                Some("integer") => "number",
                Some("string") | Some("string|nil") => "string",
                Some("integer|nil") => "number",
                Some(
                    "mysql_proxy.Response" | "mysql_proxy.Global" | "mysql_proxy.Shared" | "table",
                ) if field.name != "users" => "table",
                _ => "userdata",
            };
            // What a script never set.
            let may_be_nil = field.name == "uuid";
            assert!(
                found == declared || may_be_nil && found == "nil",
                "{field_of}: {found}"
            );
        }
    }
}

#[test]
fn what_is_there_is_declared() {
    let mut bench = Bench::new(CALCULATOR);
    let mut connection = bench.open();
    let constants = script::api::constants().iter();
    let constants: Vec<_> = constants.flat_map(|constants| constants.values).collect();
    for (path, expression) in [
        ("proxy", "proxy"),
        ("proxy.global", "proxy.global"),
        ("proxy.shared", "proxy.shared"),
        ("require(\"mysql.proto\")", "require('mysql.proto')"),
        ("require(\"mysql.password\")", "require('mysql.password')"),
    ] {
        let keys = format!(
            "(function() local keys = {{}} for key in pairs({expression}) do keys[#keys + 1] = key end \
             return table.concat(keys, ' ') end)()"
        );
        let declared = declared(path);
        for key in bench.answer(&mut connection, &keys).split(' ') {
            let is_declared = declared.iter().any(|field| field.name == key)
                || key.starts_with('_')
                || path == "proxy" && constants.iter().any(|(name, _)| *name == key);
            assert!(is_declared, "{expression}.{key}");
        }
    }
}
