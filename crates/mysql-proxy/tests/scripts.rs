//! Scripts through the real program, on real servers: what a user of `--proxy-lua-script` sees.

mod scripted;

use std::fs;
use std::path::PathBuf;

use protocol::Capabilities;
use testkit::{Client, Connection, Login, MariaDb, Mysql97, ProxyProcess};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, value};

const ANSWERS: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        local query = packet:sub(2)
        if query == "select hello" then
            proxy.response = {
                type = proxy.MYSQLD_PACKET_OK,
                resultset = {
                    fields = { { name = "greeting", type = proxy.MYSQL_TYPE_STRING } },
                    rows = { { "hello" } },
                },
            }
            return proxy.PROXY_SEND_RESULT
        elseif query == "select forbidden" then
            proxy.response = {
                type = proxy.MYSQLD_PACKET_ERR, errmsg = "not today", errcode = 1234, sqlstate = "42000",
            }
            return proxy.PROXY_SEND_RESULT
        elseif query == "select rewritten" then
            proxy.queries:append(1, string.char(proxy.COM_QUERY) .. "SELECT 2 + 3")
            return proxy.PROXY_SEND_QUERY
        elseif query == "select summed" then
            for i = 1, 3 do
                proxy.queries:append(i, string.char(proxy.COM_QUERY) .. "SELECT " .. i .. " UNION SELECT " .. 10 * i,
                    { resultset_is_needed = true })
            end
            return proxy.PROXY_SEND_QUERY
        elseif query == "select failing" then
            error("on purpose")
        end
    end

    local sum = 0
    function read_query_result(inj)
        if inj.query:sub(2) == "SELECT 2 + 3" then return end
        assert(inj.resultset.query_status == 0 and inj.resultset.row_count == 2)
        assert(#inj.resultset.fields == 1)
        for row in inj.resultset.rows do sum = sum + row[1] end
        if inj.id < 3 then return proxy.PROXY_IGNORE_RESULT end
        proxy.response = {
            type = proxy.MYSQLD_PACKET_OK,
            resultset = { fields = { { name = "sum" } }, rows = { { sum } } },
        }
        return proxy.PROXY_SEND_RESULT
    end
"#;

fn check_answers(proxy: &ProxyProcess, mut client: Client) {
    assert_eq!(value(&mut client, "SELECT 1"), "1");
    assert_eq!(value(&mut client, "select hello"), "hello");
    assert_eq!(value(&mut client, "select rewritten"), "5");
    assert_eq!(value(&mut client, "select summed"), "66");
    let error = client
        .query("select forbidden")
        .expect_err("the script says so");
    assert_eq!(error.code(), Some(1234));
    assert!(error.to_string().contains("not today"), "{error}");
    // A failing hook: the default action, and a line that says where.
    let error = client
        .query("select failing")
        .expect_err("the server does not know it");
    assert_eq!(error.code(), Some(1054));
    proxy.wait_for_log("(read_query) [string \"", DEADLINE);
    proxy.wait_for_log("on purpose", DEADLINE);
    assert_eq!(value(&mut client, "SELECT 7"), "7");
}

#[test]
fn answers_rewrites_and_injections_on_mariadb() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(ANSWERS);
    let proxy = script.proxy(&[&server], &[]);
    check_answers(&proxy, connect(&proxy));
}

#[test]
fn answers_rewrites_and_injections_on_mysql() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let script = ScriptFile::new(ANSWERS);
    let proxy = script.proxy(&[&server], &[]);
    check_answers(&proxy, connect(&proxy));
}

#[tokio::test]
async fn answers_reach_a_driver_with_all_its_capabilities() {
    use mysql_async::prelude::Queryable;
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(ANSWERS);
    let proxy = script.proxy(&[&server], &[]);
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        // Else it asks the server for its socket and goes on there.
        .prefer_socket(false)
        .tcp_port(proxy.address().port())
        .user(Some("app"))
        .pass(Some("app"));
    let mut client = mysql_async::Conn::new(options).await.expect("a login");
    let hello: Option<String> = client.query_first("select hello").await.expect("an answer");
    assert_eq!(hello.as_deref(), Some("hello"));
    let sum: Option<String> = client
        .query_first("select summed")
        .await
        .expect("an answer");
    assert_eq!(sum.as_deref(), Some("66"));
    let prepared: Option<i64> = client
        .exec_first("SELECT ? + 1", (41,))
        .await
        .expect("it passes");
    assert_eq!(prepared, Some(42));
}

#[test]
fn the_hooks_of_a_connection_come_in_order_and_know_it() {
    let script = ScriptFile::new(
        r#"
        print("loaded", #proxy.global.backends, proxy.connection.backend_ndx)
        function connect_server() print("connect_server", proxy.connection.server) end
        function read_handshake() print("read_handshake", proxy.connection.server.mysqld_version > 50000) end
        function read_auth() print("read_auth", proxy.connection.client.username, proxy.connection.client.default_db) end
        function read_auth_result(auth) print("read_auth_result", auth.packet:byte()) end
        function read_query(packet) print("read_query", packet:byte(), packet:sub(2)) end
        function disconnect_client() print("disconnect_client") end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &[]);
    let mut client = connect(&proxy);
    assert_eq!(value(&mut client, "SELECT 1"), "1");
    client.quit().expect("a goodbye");
    proxy.wait_for_log("disconnect_client", DEADLINE);
    let log = proxy.log();
    let start = log.iter().position(|line| line.starts_with("loaded"));
    let said: Vec<_> = log[start.expect("the script was loaded")..]
        .iter()
        .map(|line| line.replace('\t', " "))
        .collect();
    assert_eq!(
        said,
        [
            "loaded 1 0",
            "connect_server nil",
            "read_handshake true",
            "read_auth app ",
            "read_auth_result 0",
            "read_query 3 SELECT 1",
            "read_query 1 ",
            "disconnect_client",
        ]
    );
}

#[test]
fn an_edited_script_serves_the_next_connection_and_a_broken_one_nobody() {
    let answer = |text: &str| {
        format!(
            "function read_query(packet)
                 if packet:byte() ~= proxy.COM_QUERY then return end
                 proxy.response = {{ type = proxy.MYSQLD_PACKET_OK,
                     resultset = {{ fields = {{ {{ name = 'v' }} }}, rows = {{ {{ '{text}' }} }} }} }}
                 return proxy.PROXY_SEND_RESULT
             end"
        )
    };
    let script = ScriptFile::new(&answer("one"));
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &[]);
    let mut first = connect(&proxy);
    assert_eq!(value(&mut first, "SELECT 1"), "one");
    script.edit(&answer("two"));
    assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "two");
    assert_eq!(value(&mut first, "SELECT 1"), "one");
    script.edit("function read_query( -- no end");
    assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "two");
    assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "two");
    proxy.wait_for_log("lua_load_file(", DEADLINE);
    assert_eq!(proxy.count_in_log("lua_load_file("), 1);
    script.edit(&answer("three"));
    assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "three");
}

#[test]
fn faults_of_a_script_do_not_change_who_gets_which_server() {
    let script = ScriptFile::new("this is no Lua");
    let (a, b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let proxy = script.proxy(&[&a, &b], &[]);
    let ports: Vec<_> = (0..4)
        .map(|_| value(&mut connect(&proxy), "SELECT @@port"))
        .collect();
    let (a, b) = (a.port().to_string(), b.port().to_string());
    assert_eq!(ports, [a.clone(), b.clone(), a, b]);
    fs::remove_file(&script.path).expect("the file is ours");
    assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "1");
}

#[test]
fn a_script_that_guards_something_can_insist_on_being_loaded() {
    let script = ScriptFile::new("error('not ready')");
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-on-load-error=error"]);
    let error = Client::connect(proxy.address(), "app", "app").expect_err("no service without");
    let text = "MySQL Proxy Lua script failed to execute. Check the error log.";
    assert!(error.to_string().contains(text), "{error}");
    proxy.wait_for_log("not ready", DEADLINE);
}

#[test]
fn a_script_chooses_the_server_and_denies_clients() {
    let script = ScriptFile::new(
        r#"
        function connect_server() proxy.connection.backend_ndx = 3 end
        function read_auth()
            if proxy.connection.client.username == "adm" then
                proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "not through here", errcode = 1045 }
                return proxy.PROXY_SEND_RESULT
            end
        end
        "#,
    );
    let (a, b, mut reader) = (
        MariaDb::start(&[]),
        MariaDb::start(&[]),
        MariaDb::start(&[]),
    );
    let read_only = format!("--proxy-read-only-backend-addresses={}", reader.address());
    let proxy = script.proxy(&[&a, &b], &[&read_only]);
    for _ in 0..3 {
        let port = value(&mut connect(&proxy), "SELECT @@port");
        assert_eq!(port, reader.port().to_string());
    }
    let error = Client::connect(proxy.address(), "adm", "adm").expect_err("the script denies it");
    assert!(error.to_string().contains("not through here"), "{error}");
    reader.kill9();
    // The one that it asks for is down: another one serves.
    let port = value(&mut connect(&proxy), "SELECT @@port");
    assert!(
        [a.port(), b.port()]
            .map(|port| port.to_string())
            .contains(&port)
    );
}

#[test]
fn a_script_can_be_the_server() {
    let script = ScriptFile::new(
        r#"
        local proto = require("mysql.proto")
        function connect_server()
            proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { proto.to_challenge_packet({}) } }
            return proxy.PROXY_SEND_RESULT
        end
        function read_query(packet)
            proxy.response = { type = proxy.MYSQLD_PACKET_OK }
            if packet:byte() == proxy.COM_QUERY then
                proxy.response.resultset = { fields = { { name = "echo" } }, rows = { { packet:sub(2) } } }
            end
            return proxy.PROXY_SEND_RESULT
        end
        "#,
    );
    let mock = script.proxy(&[], &["--proxy-backend-addresses=127.0.0.1:1"]);
    assert_eq!(value(&mut connect(&mock), "SELECT me"), "SELECT me");
    // The mock is a server like any other.
    let backend = format!("--proxy-backend-addresses={}", mock.address());
    let proxy = ProxyProcess::start(BINARY, &[&backend]);
    let mut client = connect(&proxy);
    assert_eq!(value(&mut client, "SELECT me too"), "SELECT me too");
    client.ping().expect("the script answers everything");
}

#[test]
fn states_have_a_proxy_global_each_and_one_state_is_shared_by_all() {
    let script = ScriptFile::new(
        r#"
        proxy.global.connections = (proxy.global.connections or 0) + 1
        function read_query(packet)
            if packet:byte() ~= proxy.COM_QUERY then return end
            proxy.response = { type = proxy.MYSQLD_PACKET_OK,
                resultset = { fields = { { name = "n" } }, rows = { { proxy.global.connections } } } }
            return proxy.PROXY_SEND_RESULT
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    for (states, expected) in [("--lua-states=1", "4"), ("--lua-states=2", "2")] {
        let proxy = script.proxy(&[&server], &[states, "--event-threads=2"]);
        let mut clients: Vec<_> = (0..4).map(|_| connect(&proxy)).collect();
        for client in &mut clients {
            assert_eq!(value(client, "SELECT 1"), expected);
        }
    }
}

#[test]
fn a_result_that_is_larger_than_allowed_is_refused_and_the_session_goes_on() {
    let script = ScriptFile::new(
        r#"
        function read_query(packet)
            if packet:byte() ~= proxy.COM_QUERY then return end
            proxy.queries:append(1, packet, { resultset_is_needed = true })
            return proxy.PROXY_SEND_QUERY
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-result-limit=100000"]);
    let mut client = connect(&proxy);
    let error = client
        .query("SELECT REPEAT('x', 200000)")
        .expect_err("it is larger");
    assert!(error.to_string().contains("--lua-result-limit"), "{error}");
    assert_eq!(
        value(&mut client, "SELECT LENGTH(REPEAT('x', 200000))"),
        "200000"
    );
}

/// The Lua blocks of a page.
fn lua_of(page: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(page);
    let text = fs::read_to_string(path).expect("the page is there");
    let blocks = text.split("```lua\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().expect("the block ends"));
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_first_scripts_of_the_documentation_do_what_it_says() {
    let server = MariaDb::start(&[]);
    for page in ["README.md", "docs/scripting.md"] {
        let script = ScriptFile::new(&lua_of(page)[0]);
        let proxy = script.proxy(&[&server], &[]);
        let mut client = connect(&proxy);
        assert_eq!(value(&mut client, "select 'hello'"), "hello from the proxy");
        assert_eq!(value(&mut client, "select 'other'"), "other");
        if page == "docs/scripting.md" {
            let error = client
                .query("DROP TABLE t")
                .expect_err("the script refuses");
            assert_eq!(error.code(), Some(1142));
            proxy.wait_for_log("select 'other'\t", DEADLINE);
        }
    }
}

#[test]
fn the_other_scripts_of_the_tour_do_what_it_says() {
    let (server, reader) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let [_, rewrite, inject, change, route, pool, track, rename] = &lua_of("docs/scripting.md")[..]
    else {
        panic!("the tour has another number of scripts");
    };
    let read_only = format!("--proxy-read-only-backend-addresses={}", reader.address());
    let start = |script: &str| {
        let script = ScriptFile::new(script);
        let proxy = script.proxy(&[&server], &[&read_only]);
        (script, proxy)
    };
    let (_script, proxy) = start(rewrite);
    assert_eq!(value(&mut connect(&proxy), "SLECT 4711"), "4711");
    let (_script, proxy) = start(inject);
    assert_eq!(value(&mut connect(&proxy), "SELECT 4711"), "4711");
    proxy.wait_for_log("ms: SELECT 4711", DEADLINE);
    proxy.wait_for_log("rows read one by one so far: ", DEADLINE);
    let (_script, proxy) = start(change);
    let mut client = connect(&proxy);
    assert_eq!(value(&mut client, "SELECT 'quiet'"), "QUIET");
    client.query("DO 1").expect("an OK passes");
    // The route is for a user of its own.
    let (_script, proxy) = start(&route.replace("report", "adm"));
    let port = |user: &str| {
        let mut client = Client::connect(proxy.address(), user, user).expect("a login");
        value(&mut client, "SELECT @@port")
    };
    assert_eq!(port("adm"), reader.port().to_string());
    assert_eq!(port("app"), server.port().to_string());
    let (_script, proxy) = start(pool);
    let (mut one, _other) = (connect(&proxy), connect(&proxy));
    let id = |client: &mut Client| value(client, "SELECT CONNECTION_ID()");
    assert_ne!(id(&mut one), id(&mut one), "two share two");
    one.query("BEGIN").expect("an OK");
    assert_eq!(id(&mut one), id(&mut one), "a transaction stays");
    let (_script, proxy) = start(track);
    let login = Login::new("app", "app").with(Capabilities::SESSION_TRACK);
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut client = login.connect(connection).expect("a login");
    client.query("USE test").expect("it is there");
    proxy.wait_for_log("now in test", DEADLINE);
    let (_script, proxy) = start(rename);
    let sql = "SELECT 'film_archive' FROM (SELECT 1) film WHERE `film_archive`.`1` = film_archive.1 -- film_archive";
    assert_eq!(value(&mut connect(&proxy), sql), "film_archive");
}

const ROUTES: &str = r#"
    local routes = { app = 1, adm = 2, nobody = 7 }
    function read_auth()
        local client = proxy.connection.client
        proxy.connection.backend_ndx = routes[client.username] or 2
    end
    function read_query(packet)
        if packet:sub(2) == "where" then
            local row = { proxy.connection.backend_ndx, proxy.connection.server.dst.port }
            proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                fields = { { name = "ndx" }, { name = "port" } }, rows = { row } } }
            return proxy.PROXY_SEND_RESULT
        end
    end
"#;

/// `adm` always goes to the second server, whoever greeted.
fn check_routes(a: &testkit::Server, b: &testkit::Server) {
    let script = ScriptFile::new(ROUTES);
    let proxy = script.proxy(&[a, b], &[]);
    for _ in 0..3 {
        for (user, ndx, server) in [("app", "1", a), ("adm", "2", b)] {
            let mut client = Client::connect(proxy.address(), user, user).expect("a login");
            let port = server.port().to_string();
            assert_eq!(value(&mut client, "SELECT @@port"), port);
            assert_eq!(
                value(
                    &mut client,
                    "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
                ),
                user
            );
            let row = client.query("where").expect("an answer").text();
            assert_eq!(row, [[Some(ndx.to_owned()), Some(port)]]);
        }
        let error = Client::connect(proxy.address(), "adm", "wrong").expect_err("a wrong password");
        assert_eq!(error.code(), Some(1045));
        let error = Client::connect(proxy.address(), "nobody", "").expect_err("no such user");
        assert_eq!(error.code(), Some(1045));
    }
    proxy.wait_for_log("(read_auth) chose backend 7 of 2", DEADLINE);
}

#[test]
fn a_script_chooses_the_server_by_the_user_on_mariadb() {
    check_routes(&MariaDb::start(&[]), &MariaDb::start(&[]));
}

#[test]
fn a_script_chooses_the_server_by_the_user_on_mysql() {
    let (Some(a), Some(b)) = (Mysql97::start(&[]), Mysql97::start(&[])) else {
        return;
    };
    check_routes(&a, &b);
}

#[test]
fn a_server_that_was_chosen_by_the_user_and_is_down_is_told_of() {
    let script = ScriptFile::new(ROUTES);
    let (a, mut b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let proxy = script.proxy(&[&a, &b], &[]);
    b.kill9();
    for _ in 0..2 {
        let error = Client::connect(proxy.address(), "adm", "adm").expect_err("it is down");
        assert_eq!(error.code(), Some(1105), "{error}");
        assert!(error.to_string().contains("no way to backend 2"), "{error}");
        assert_eq!(value(&mut connect(&proxy), "SELECT 1"), "1");
    }
}

#[test]
fn scripts_know_the_default_database() {
    let script = ScriptFile::new(
        r#"
        function read_query(packet)
            if packet:sub(2) == "db" then
                local connection = proxy.connection
                local row = { connection.client.default_db, connection.server.default_db }
                proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                    fields = { { name = "client" }, { name = "server" } }, rows = { row } } }
                return proxy.PROXY_SEND_RESULT
            elseif packet:sub(2, 9) == "inject: " then
                proxy.queries:append(1, "\003" .. packet:sub(10), { resultset_is_needed = true })
                return proxy.PROXY_SEND_QUERY
            end
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &[]);
    let mut client = Client::connect(proxy.address(), "adm", "adm").expect("a login");
    let mut known = |command: &str| {
        let _ = client.query(command);
        let row = client.query("db").expect("an answer").text().remove(0);
        assert_eq!(row[0], row[1]);
        row[0].clone().expect("a name")
    };
    assert_eq!(known("SELECT 1"), "");
    assert_eq!(known("USE mysql"), "mysql");
    assert_eq!(known("USE no_such_database"), "mysql");
    assert_eq!(
        known("inject: use `information_schema` ;"),
        "information_schema"
    );
    client
        .send_command(protocol::Command::INIT_DB, b"mysql")
        .expect("it is sent");
    client.read_ok().expect("it is there");
    let row = client.query("db").expect("an answer").text().remove(0);
    assert_eq!(row[0].as_deref(), Some("mysql"));
}

#[test]
fn a_backend_that_was_never_reached_shows_the_address_that_is_written() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_query(packet)
             if packet:sub(2) ~= 'where' then return end
             local dst = proxy.global.backends[2].dst
             proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                 fields = { { name = 'dst' } },
                 rows = { { table.concat({ dst.type, dst.name, dst.address, dst.port }, ' ') } },
             } }
             return proxy.PROXY_SEND_RESULT
         end",
    );
    let options = ["--proxy-read-only-backend-addresses=127.0.0.1:1"];
    let proxy = script.proxy(&[&server], &options);
    let shown = value(&mut connect(&proxy), "where");
    assert_eq!(shown, "2 127.0.0.1:1 127.0.0.1 1");
}
