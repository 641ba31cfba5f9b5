//! The admin interface and the debug interface, with real servers behind the proxy and real clients in front of it.

mod scripted;

use std::net::SocketAddr;
use std::thread;

use protocol::{Capabilities, Command};
use testkit::{
    AuthPath, Client, ClientError, Connection, Direction, FaultLink, Faults, Login, MariaDb,
    Mysql97, ProxyProcess, Server, command, process, wait,
};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, plugin_address, sharing};

const ACCOUNT: [&str; 2] = ["--admin-username=root", "--admin-password=secret"];

fn start(servers: &[&Server], more: &[&str]) -> ProxyProcess {
    let mut arguments: Vec<String> = servers
        .iter()
        .map(|server| format!("--proxy-backend-addresses={}", server.address()))
        .collect();
    arguments.push("--plugins=proxy,admin".to_owned());
    arguments.push("--admin-address=127.0.0.1:0".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ProxyProcess::start(BINARY, &[&arguments, &ACCOUNT[..], more].concat())
}

fn operator(proxy: &ProxyProcess) -> Client {
    Client::connect(plugin_address(proxy, "admin"), "root", "secret").expect("the operator may")
}

/// Rows as text, NULL as `NULL`.
fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let result = client
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = result.text().into_iter();
    rows.map(|row| {
        row.into_iter()
            .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
            .collect()
    })
    .collect()
}

/// The values of one column.
fn column(client: &mut Client, sql: &str, name: &str) -> Vec<String> {
    let result = client
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let at = result.columns.iter().position(|column| column == name);
    let at = at.unwrap_or_else(|| panic!("{sql} has no column {name}"));
    let rows = result.text().into_iter();
    rows.map(|mut row| row.swap_remove(at).unwrap_or_else(|| "NULL".to_owned()))
        .collect()
}

fn names(client: &mut Client, sql: &str) -> Vec<String> {
    client.query(sql).expect("a result").columns
}

fn code(result: Result<impl Sized, ClientError>) -> Option<u16> {
    result.err().and_then(|error| error.code())
}

fn text(result: Result<impl Sized, ClientError>) -> String {
    result
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn the_statements_of_the_original_have_its_columns() {
    let server = MariaDb::start(&[]);
    let proxy = start(
        &[&server],
        &["--proxy-read-only-backend-addresses=127.0.0.1:1"],
    );
    let mut client = connect(&proxy);
    client.ping().expect("it is there");
    let mut operator = operator(&proxy);
    for sql in ["SELECT * FROM backends", "select * from Backends;"] {
        assert_eq!(
            names(&mut operator, sql),
            [
                "backend_ndx",
                "address",
                "state",
                "type",
                "uuid",
                "connected_clients"
            ]
        );
        let server = server.address().to_string();
        assert_eq!(
            rows(&mut operator, sql),
            [
                ["1", &server, "up", "rw", "NULL", "1"],
                ["2", "127.0.0.1:1", "unknown", "ro", "NULL", "0"]
            ]
        );
    }
    assert_eq!(
        names(&mut operator, "SELECT * FROM help"),
        ["command", "description"]
    );
    let help = column(&mut operator, "SELECT * FROM help", "command");
    assert!(help.contains(&"SELECT * FROM backends".to_owned()));
    let wrong = operator.query("SELECT * FROM nonsense");
    assert!(text(wrong).contains("SELECT * FROM help"));
    operator.ping().expect("it goes on");
    let err = operator.send_command(Command::PROCESS_INFO, &[]);
    err.expect("it is sent");
    assert_eq!(code(operator.read_ok()), Some(1105));
}

#[test]
fn both_methods_of_login_work_and_a_wrong_one_is_told() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], &[]);
    let address = plugin_address(&proxy, "admin");
    let login = |user: &str, password: &str| Login::new(user, password);
    let connect = |login: Login| login.connect(Connection::tcp(address).expect("it listens"));

    let modern = connect(login("root", "secret")).expect("caching_sha2_password");
    assert_eq!(modern.auth_path(), AuthPath::Fast);
    assert_eq!(modern.greeting().server_version, b"5.0.99-agent-admin");
    let switched = login("root", "secret").plugin(b"mysql_native_password");
    let switched = connect(switched).expect("mysql_native_password");
    assert_eq!(switched.auth_path(), AuthPath::Scramble);
    let old = login("root", "secret")
        .plugin(b"mysql_native_password")
        .without(Capabilities::PLUGIN_AUTH);
    let mut old = connect(old).expect("a client that knows no plugins");
    assert_eq!(old.value("SELECT USER()").expect("a value"), "root");

    for (user, password, expected) in [
        ("root", "wrong", "password doesn't match"),
        ("root", "", "password doesn't match"),
        ("admin", "secret", "unknown user"),
        ("", "", "unknown user"),
    ] {
        let refused = connect(login(user, password));
        assert_eq!(code(refused), Some(1045));
        let refused = connect(login(user, password));
        assert!(text(refused).contains(expected), "{user} {password}");
    }
    // Nobody is let in by what is no login.
    let mut garbage = Connection::tcp(address).expect("it listens");
    garbage.read_packet().expect("a greeting");
    garbage.send_payload(1, b"garbage").expect("it is sent");
    let answer = garbage.read_packet().expect("an answer").1;
    assert_eq!(answer[0], 0xff);
}

#[test]
fn real_clients_talk_to_it() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], &[]);
    let address = plugin_address(&proxy, "admin");
    let sql = "SHOW BACKENDS; HELP; SHOW SETTINGS LIKE 'admin%'";
    for mut client in clients(address) {
        client.args(["--user=root", "--password=secret", "-e", sql]);
        let text = process::run(client, DEADLINE).expect_success();
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains(&server.address().to_string()), "{text}");
        assert!(
            text.contains("admin-username\troot\tcommand line"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}

/// Those that are there.
fn clients(address: SocketAddr) -> Vec<std::process::Command> {
    let mut clients = vec![command::mariadb(address)];
    if Mysql97::prefix().join("bin/mysql").exists() {
        clients.push(command::mysql97(address));
    }
    clients
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], &["--event-threads=2"]);
    let mut operator = operator(&proxy);
    let setting = |operator: &mut Client, name: &str| {
        rows(operator, &format!("SHOW SETTINGS LIKE '{name}'")).remove(0)
    };
    assert_eq!(
        setting(&mut operator, "event-threads"),
        ["event-threads", "2", "command line", "NULL"]
    );
    assert_eq!(
        setting(&mut operator, "proxy-balance"),
        ["proxy-balance", "round-robin", "default", "NULL"]
    );
    assert_eq!(
        setting(&mut operator, "admin-password"),
        ["admin-password", "***", "command line", "NULL"]
    );
    assert!(!proxy.log().join("\n").contains("secret"));
}

#[test]
fn sessions_tell_why_they_have_their_backend() {
    let servers = [MariaDb::start(&[]), MariaDb::start(&[])];
    let script = ScriptFile::new(
        "function connect_server()
            proxy.global.clients = (proxy.global.clients or 0) + 1
            if proxy.global.clients > 1 then proxy.connection.backend_ndx = 2 end
         end",
    );
    let operators = [
        "--plugins=proxy,admin",
        "--admin-address=127.0.0.1:0",
        "--lua-states=1",
    ];
    let more = [&operators[..], &ACCOUNT].concat();
    let proxy = script.proxy(&[&servers[0], &servers[1]], &more);
    let mut operator = operator(&proxy);
    let _clients = [connect(&proxy), connect(&proxy)];
    operator.query("SET BACKEND 2 DRAIN").expect("it is there");
    let _late = connect(&proxy);
    assert_eq!(
        column(&mut operator, "SHOW SESSIONS", "chosen_by"),
        ["balance", "script", "instead of the script's"]
    );

    let (_script, proxy) = sharing(&servers[0], &more);
    let mut operator = self::operator(&proxy);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    client.query("BEGIN").expect("it begins");
    assert_eq!(
        column(&mut operator, "SHOW SESSIONS", "chosen_by"),
        ["idle connection"]
    );
}

#[test]
fn sessions_are_shown_and_killed() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], &[]);
    let mut operator = operator(&proxy);
    let mut idle = connect(&proxy);
    idle.ping().expect("it is there");
    let mut busy = connect(&proxy);
    busy.send_query("SELECT SLEEP(600)").expect("it is sent");
    let commands = wait::poll(DEADLINE, || {
        let commands = column(&mut operator, "SHOW SESSIONS", "command");
        (commands == ["Sleep", "COM_QUERY"]).then_some(commands)
    });
    commands.expect("both are shown");
    assert_eq!(
        column(&mut operator, "SHOW SESSIONS", "user"),
        ["app", "app"]
    );
    assert_eq!(
        column(&mut operator, "SHOW SESSIONS", "backend_ndx"),
        ["1", "1"]
    );
    let backends = column(&mut operator, "SHOW PROCESSLIST", "backend");
    assert_eq!(
        backends,
        [server.address().to_string(), server.address().to_string()]
    );

    let ids = column(&mut operator, "SHOW SESSIONS", "id");
    assert_eq!(code(operator.query("KILL 4711")), Some(1094));
    for id in &ids {
        operator.query(&format!("KILL {id}")).expect("an OK");
    }
    assert_eq!(code(busy.read_ok()), Some(1317));
    assert_eq!(code(idle.ping()), Some(1317));
    let gone = wait::poll(DEADLINE, || {
        let ids = column(&mut operator, "SHOW SESSIONS", "id");
        ids.is_empty().then_some(())
    });
    gone.expect("both are gone");
    connect(&proxy).ping().expect("others are served");
}

/// It waits for the server as a login does, which may take long.
#[test]
fn a_change_of_user_is_shown() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let backend = format!("--proxy-backend-addresses={}", link.address());
    let proxy = start(&[], &[&backend]);
    let (mut operator, mut client) = (operator(&proxy), connect(&proxy));
    client.ping().expect("it is there");
    let stalled = Faults {
        stalled: true,
        ..Faults::default()
    };
    link.set(Direction::ToServer, stalled);
    thread::scope(|scope| {
        let change = scope.spawn(|| Login::new("adm", "adm").change_user(&mut client));
        let shown = wait::poll(DEADLINE, || {
            let commands = column(&mut operator, "SHOW SESSIONS", "command");
            (commands == ["COM_CHANGE_USER"]).then_some(())
        });
        link.set(Direction::ToServer, Faults::default());
        change.join().expect("no panic").expect("adm may");
        shown.expect("the session is shown with what it does");
    });
}

#[test]
fn a_backend_is_drained_taken_down_and_taken_back() {
    let (a, b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let proxy = start(&[&a, &b], &[]);
    let mut operator = operator(&proxy);
    let port = |client: &mut Client| client.value("SELECT @@port").expect("a value");
    let (first, second) = (a.port().to_string(), b.port().to_string());
    let mut on_a = connect(&proxy);
    let mut on_b = connect(&proxy);
    assert_eq!(
        [port(&mut on_a), port(&mut on_b)],
        [first.clone(), second.clone()]
    );

    operator.query("SET BACKEND 2 DRAIN").expect("an OK");
    for _ in 0..3 {
        assert_eq!(port(&mut connect(&proxy)), first);
    }
    assert_eq!(port(&mut on_b), second, "who is there stays");
    let state = rows(&mut operator, "SELECT * FROM backends");
    assert_eq!(state[1][2], "down");
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "availability"),
        ["in service", "draining"]
    );
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "state"),
        ["up", "up"]
    );

    let down = format!("SET BACKEND '{}' DOWN", b.address());
    let ended = operator.query(&down).expect("an OK");
    assert_eq!(ended.affected_rows, 1);
    assert_eq!(code(on_b.ping()), Some(1053));
    proxy.wait_for_log("is out of service; 1 session(s) on it are closed", DEADLINE);

    operator.query("SET BACKEND 2 UP").expect("an OK");
    let ports = [port(&mut connect(&proxy)), port(&mut connect(&proxy))];
    assert!(ports.contains(&second), "{ports:?}");

    operator.query("SET BACKEND 1 DRAIN").expect("an OK");
    operator.query("SET BACKEND 2 DRAIN").expect("an OK");
    let refused = Client::connect(proxy.address(), "app", "app");
    assert!(text(refused).contains("all backends are down"));
    proxy.wait_for_log("(draining)", DEADLINE);
}

#[test]
fn backends_come_and_go_while_clients_are_served() {
    let (a, b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let proxy = start(&[&a], &[]);
    let mut operator = operator(&proxy);
    let add = format!("ADD BACKEND '{}'", b.address());
    operator.query(&add).expect("an OK");
    assert!(text(operator.query(&add)).contains("already known"));
    assert!(text(operator.query("ADD BACKEND 'x:y'")).contains("x:y"));
    let mut clients = [connect(&proxy), connect(&proxy)];
    let mut ports = clients
        .each_mut()
        .map(|client| client.value("SELECT @@port").expect("a value"));
    ports.sort();
    let mut expected = [a.port().to_string(), b.port().to_string()];
    expected.sort();
    assert_eq!(ports, expected);

    operator.query("REMOVE BACKEND 1").expect("an OK");
    assert_eq!(column(&mut operator, "SHOW BACKENDS", "backend_ndx"), ["2"]);
    assert!(text(operator.query("SET BACKEND 1 UP")).contains("no such backend"));
    for _ in 0..2 {
        let mut client = connect(&proxy);
        assert_eq!(
            client.value("SELECT @@port").expect("a value"),
            b.port().to_string()
        );
    }
    // It comes back with the number that it had.
    operator
        .query(&format!("ADD BACKEND '{}'", a.address()))
        .expect("an OK");
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "backend_ndx"),
        ["1", "2"]
    );
}

#[test]
fn an_added_backend_that_is_down_is_probed_too() {
    let (a, mut b) = (MariaDb::start(&[]), MariaDb::start(&[]));
    b.kill9();
    let proxy = start(&[&a], &[]);
    let mut operator = operator(&proxy);
    operator
        .query(&format!("ADD BACKEND '{}'", b.address()))
        .expect("an OK");
    for _ in 0..2 {
        connect(&proxy).ping().expect("the other one serves");
    }
    proxy.wait_for_log("marking it as down", DEADLINE);
    let reasons = column(&mut operator, "SHOW BACKENDS", "reason");
    assert!(reasons[1].contains("refused"), "{reasons:?}");
    b.restart();
    proxy.wait_for_log("is up again", DEADLINE);
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "reason"),
        ["NULL", "NULL"]
    );
}

const SCRIPT: &str = "
function read_query(packet)
    proxy.global.queries = (proxy.global.queries or 0) + 1
    if packet:sub(2) == 'fail' then error('on purpose') end
end";

const ADMIN_SCRIPT: &str = "
function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    if packet:sub(2) == 'SHOW QUERIES' then
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
            fields = { { name = 'queries', type = proxy.MYSQL_TYPE_LONG } },
            rows = { { proxy.global.queries } },
        } }
        return proxy.PROXY_SEND_RESULT
    elseif packet:sub(2) == 'BACKENDS' then
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = #proxy.global.backends }
        return proxy.PROXY_SEND_RESULT
    elseif packet:sub(2) == 'NONSENSE' then
        proxy.queries:append(1, packet)
        return proxy.PROXY_SEND_QUERY
    end
end";

#[test]
fn a_script_of_the_operators_own_is_asked_first() {
    let server = MariaDb::start(&[]);
    let (script, admin) = (ScriptFile::new(SCRIPT), ScriptFile::new(ADMIN_SCRIPT));
    let options = [
        format!("--proxy-lua-script={}", script.path.display()),
        format!("--admin-lua-script={}", admin.path.display()),
    ];
    let proxy = start(&[&server], &options.each_ref().map(String::as_str));
    let mut client = connect(&proxy);
    client.ping().expect("it is there");
    client.ping().expect("it is there");
    let mut one = operator(&proxy);
    assert_eq!(one.value("SHOW QUERIES").expect("a value"), "2");
    assert_eq!(one.query("BACKENDS").expect("an OK").affected_rows, 1);
    // What it has no answer to is ours.
    assert_eq!(column(&mut one, "SHOW BACKENDS", "backend_ndx"), ["1"]);
    // What makes no sense ends the connection, as tools know it.
    let text_of = |result| text(result);
    assert!(text_of(one.query("NONSENSE").map(drop)).contains("... got something else"));
    assert!(one.ping().is_err());
    let mut one = operator(&proxy);
    let error = text_of(one.query("nobody knows").map(drop));
    assert!(
        error.contains("need a resultset + proxy.PROXY_SEND_RESULT"),
        "{error}"
    );
    assert!(error.contains("SELECT * FROM help"), "{error}");
    one.ping().expect("it goes on");

    admin.edit("function read_query( oops");
    let mut one = operator(&proxy);
    assert_eq!(
        one.value("SHOW QUERIES").expect("the last good version"),
        "2"
    );
}

#[test]
fn scripts_are_shown_with_versions_and_errors() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let option = format!("--proxy-lua-script={}", script.path.display());
    let proxy = start(&[&server], &[&option]);
    let mut operator = operator(&proxy);
    assert_eq!(
        rows(&mut operator, "SHOW SCRIPTS").len(),
        0,
        "nothing is read before a client comes"
    );
    let mut client = connect(&proxy);
    assert_eq!(code(client.query("fail")), Some(1064));
    script.edit("syntax error");
    let mut other = connect(&proxy);
    other.ping().expect("it has the last good version");
    let shown = rows(&mut operator, "SHOW SCRIPTS");
    let path = script.path.display().to_string();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0][..3], [path.as_str(), "1", "1"]);
    assert_eq!(
        column(&mut operator, "SHOW SCRIPTS", "connections"),
        ["2", "0"]
    );
    assert_eq!(
        column(&mut operator, "SHOW SCRIPTS", "failures"),
        ["0", "1"]
    );
    assert_eq!(
        column(&mut operator, "SHOW SCRIPTS", "hook_errors"),
        ["read_query: 1", "NULL"]
    );
    let faults = column(&mut operator, "SHOW SCRIPTS", "fault");
    assert!(faults[1].contains(":1:"), "{faults:?}");
}

#[test]
fn pools_are_shown_and_a_drain_empties_them() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_auth_result(auth)
            if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
         end",
    );
    let option = format!("--proxy-lua-script={}", script.path.display());
    let proxy = start(&[&server], &[&option]);
    let mut operator = operator(&proxy);
    let _clients = [connect(&proxy), connect(&proxy)];
    assert_eq!(column(&mut operator, "SHOW POOLS", "user"), ["app"]);
    assert_eq!(
        column(&mut operator, "SHOW POOLS", "idle_connections"),
        ["2"]
    );
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "idle_connections"),
        ["2"]
    );
    operator.query("SET BACKEND 1 DRAIN").expect("an OK");
    assert_eq!(
        column(&mut operator, "SHOW BACKENDS", "idle_connections"),
        ["0"]
    );
}

#[test]
fn the_admin_interface_works_without_the_proxy() {
    let options = ["--plugins=admin", "--admin-address=127.0.0.1:0"];
    let proxy = ProxyProcess::start(BINARY, &[&options[..], &ACCOUNT].concat());
    let mut operator = operator(&proxy);
    assert_eq!(rows(&mut operator, "SELECT * FROM backends").len(), 0);
    assert_eq!(rows(&mut operator, "SHOW SESSIONS").len(), 0);
}

fn debug(proxy: &ProxyProcess) -> Client {
    Client::connect(plugin_address(proxy, "debug"), "root", "secret").expect("the operator may")
}

#[test]
fn the_debug_interface_runs_lua_for_the_operator_alone() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let option = format!("--proxy-lua-script={}", script.path.display());
    let proxy = start(
        &[&server],
        &[&option, "--plugins=debug", "--debug-address=127.0.0.1:0"],
    );
    connect(&proxy).ping().expect("it is there");
    let address = plugin_address(&proxy, "debug");
    assert_eq!(code(Client::connect(address, "root", "wrong")), Some(1045));

    let mut debug = debug(&proxy);
    assert_eq!(debug.value("6 * 7").expect("a value"), "42");
    assert_eq!(debug.value("return 6 * 7").expect("a value"), "42");
    assert_eq!(
        debug.value("proxy.global.queries > 0").expect("a value"),
        "TRUE"
    );
    assert_eq!(debug.value("nil").expect("a value"), "NULL");
    assert_eq!(debug.value("#proxy.global.backends").expect("a value"), "1");
    assert_eq!(names(&mut debug, "{ a = 1, b = 'x' }"), ["a", "b"]);
    assert_eq!(
        rows(&mut debug, "{ a = 1, b = 'x', c = print }"),
        [["1", "x", "NULL"]]
    );
    assert_eq!(
        rows(&mut debug, "{ { a = 1 }, { a = 2.5 }, {} }"),
        [["1"], ["2.5"], ["NULL"]]
    );
    debug.query("{}").expect("an OK");
    debug.query("proxy.global.answer = 42").expect("an OK");
    assert_eq!(debug.value("proxy.global.answer").expect("a value"), "42");
    for wrong in ["syntax error", "error('on purpose')", "nothing.at.all"] {
        assert_eq!(code(debug.query(wrong)), Some(1105), "{wrong}");
    }
    let error = text(debug.query("while true do end"));
    assert!(error.contains("lua-hook-timeout"), "{error}");
    assert_eq!(debug.value("1").expect("it goes on"), "1");
}
