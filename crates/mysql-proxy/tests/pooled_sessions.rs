//! What follows a client from one connection to the next, and what other clients must never meet there.

mod scripted;

use protocol::{Capabilities, Command};
use testkit::{Client, ClientError, Connection, Login, MariaDb, Mysql97, ProxyProcess, Server};

use scripted::{DEADLINE, SHARING, ScriptFile, connect, sharing, value};

const CHARACTER_SETS: &str = "SELECT CONCAT_WS(' ', @@character_set_client, IFNULL(@@character_set_results, 'NULL'), \
                              @@collation_connection)";
const LIMIT: &str = "SELECT @@sql_select_limit";
const NO_LIMIT: &str = "18446744073709551615";

fn each_server(options: &[&str], test: impl Fn(&Server)) {
    test(&MariaDb::start(options));
    if let Some(server) = Mysql97::start(options) {
        test(&server);
    }
}

fn app() -> Login {
    Login::new("app", "app")
}

fn is_mariadb(server: &Server) -> bool {
    let version = server.query("SELECT VERSION()");
    version[0][0]
        .as_deref()
        .is_some_and(|version| version.contains("MariaDB"))
}

fn log_in(login: &Login, proxy: &ProxyProcess) -> Client {
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    login.connect(connection).expect("the proxy serves")
}

/// Without the proxy: what is right.
fn directly(login: &Login, server: &Server) -> Client {
    let connection = Connection::tcp(server.address()).expect("it listens");
    login.connect(connection).expect("the server serves")
}

fn id(client: &mut Client) -> String {
    value(client, "SELECT CONNECTION_ID()")
}

fn run(client: &mut Client, statements: &[&str]) {
    for sql in statements {
        client
            .query_all(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[track_caller]
fn code<T>(result: Result<T, ClientError>) -> Option<u16> {
    result.err().expect("it is refused").code()
}

/// Nobody else gets the connection of `client`: the next one makes its own.
#[track_caller]
fn assert_kept(client: &mut Client, proxy: &ProxyProcess) {
    assert_kept_from(&app(), client, proxy);
}

#[track_caller]
fn assert_kept_from(login: &Login, client: &mut Client, proxy: &ProxyProcess) {
    let kept = id(client);
    let mut other = log_in(login, proxy);
    for _ in 0..3 {
        assert_ne!(id(&mut other), kept);
        assert_eq!(id(client), kept);
    }
}

#[test]
fn everyone_has_the_character_set_of_the_login() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        // latin1, utf8mb3, utf8mb4 with two collations, and one that MariaDB does not know
        let logins = [8, 33, 45, 224, 255].map(|number| app().character_set(number));
        let expected: Vec<_> = logins
            .iter()
            .map(|login| value(&mut directly(login, server), CHARACTER_SETS))
            .collect();
        let mut clients: Vec<_> = logins.iter().map(|login| log_in(login, &proxy)).collect();
        let shared = id(&mut clients[0]);
        for _ in 0..3 {
            for (client, expected) in clients.iter_mut().zip(&expected) {
                assert_eq!(value(client, CHARACTER_SETS), *expected);
                run(client, &["SET @@sql_select_limit = 5"]);
            }
        }
        assert_eq!(id(&mut clients[0]), shared);
    });
}

#[test]
fn a_reset_gives_the_client_what_it_would_have_without_the_proxy() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let logins = [8, 33, 45, 224].map(|number| app().character_set(number));
        let mut clients: Vec<_> = logins.iter().map(|login| log_in(login, &proxy)).collect();
        for (client, login) in clients.iter_mut().zip(&logins) {
            let mut direct = directly(login, server);
            for client in [client, &mut direct] {
                run(client, &["SET NAMES latin2", "SET sql_select_limit = 5"]);
                client.reset_connection().expect("an OK");
            }
        }
        for (client, login) in clients.iter_mut().zip(&logins) {
            let mut direct = directly(login, server);
            direct.reset_connection().expect("an OK");
            for sql in [CHARACTER_SETS, LIMIT] {
                assert_eq!(value(client, sql), value(&mut direct, sql));
            }
        }
    });
}

#[test]
fn collations_of_a_change_of_user_may_have_large_numbers() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let (_script, proxy) = sharing(&server, &[]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    // utf8mb4_0900_as_cs
    app()
        .character_set(278)
        .change_user(&mut one)
        .expect("it is app");
    for _ in 0..3 {
        assert_eq!(
            value(&mut one, CHARACTER_SETS),
            "utf8mb4 utf8mb4 utf8mb4_0900_as_cs"
        );
        assert_eq!(
            value(&mut other, CHARACTER_SETS),
            "utf8mb4 utf8mb4 utf8mb4_general_ci"
        );
    }
}

#[test]
fn what_the_login_has_set_outlives_a_reset() {
    let options = ["--interactive-timeout=1111", "--wait-timeout=2222"];
    each_server(&options, |server| {
        let (_script, proxy) = sharing(server, &[]);
        let login = app().with(Capabilities::IGNORE_SPACE | Capabilities::INTERACTIVE);
        let (mut one, mut other) = (log_in(&login, &proxy), log_in(&login, &proxy));
        assert_eq!(id(&mut one), id(&mut other));
        let sql = "SELECT CONCAT_WS(' ', @@sql_mode, @@wait_timeout)";
        let said = |client: &mut Client| {
            let text = value(client, sql);
            let mut words: Vec<_> = text.split([',', ' ']).map(str::to_owned).collect();
            words.sort();
            words
        };
        let expected = said(&mut directly(&login, server));
        // The second login has taken over the connection of the first.
        assert_eq!(said(&mut other), expected);
        run(&mut one, &["SET sql_select_limit = 5"]);
        for client in [&mut other, &mut one] {
            assert_eq!(said(client), expected);
        }
    });
}

#[test]
fn what_no_reset_undoes_keeps_the_connection() {
    each_server(&[], |server| {
        for sql in [
            "CREATE ROLE chosen",
            "GRANT chosen TO app@'%'",
            "CREATE PROCEDURE test.choose() SET ROLE chosen",
            "GRANT EXECUTE ON test.* TO app@'%'",
        ] {
            server.query(sql);
        }
        let mut texts = vec![
            "SET ROLE chosen",
            "CALL test.choose()",
            "SET @a = 1; SET ROLE chosen",
        ];
        if is_mariadb(server) {
            texts.push("EXECUTE IMMEDIATE 'SET ROLE chosen'");
            texts.push("/*M!100000 SET ROLE chosen */");
        }
        for sql in texts {
            for login in [None, Some(app())] {
                let (_script, proxy) = sharing(server, &[]);
                let mut one = connect(&proxy);
                if one.query_all(sql).is_err() {
                    continue;
                }
                match login {
                    None => one.reset_connection().expect("an OK"),
                    Some(login) => login.change_user(&mut one).expect("it is app"),
                }
                assert_kept(&mut one, &proxy);
            }
        }
    });
}

#[test]
fn multi_statements_that_were_turned_on_keep_the_connection() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let login = app().without(Capabilities::MULTI_STATEMENTS);
        let (mut one, mut other) = (log_in(&login, &proxy), log_in(&login, &proxy));
        let shared = id(&mut one);
        assert_eq!(id(&mut other), shared);
        one.send_command(Command::SET_OPTION, &[0, 0])
            .expect("sent");
        one.read_payload().expect("an EOF");
        one.reset_connection().expect("an OK");
        assert_eq!(id(&mut one), shared);
        let mut next = log_in(&login, &proxy);
        assert_ne!(id(&mut next), shared);
        assert_eq!(code(next.query_all("SELECT 1; SELECT 2")), Some(1064));
    });
}

#[test]
fn a_resource_group_keeps_the_connection() {
    let Some(server) = Mysql97::start(&["--performance-schema=ON"]) else {
        return;
    };
    server.query("CREATE RESOURCE GROUP slow TYPE = USER");
    let (_script, proxy) = sharing(&server, &[]);
    let mut one = Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
    let kept = id(&mut one);
    run(&mut one, &["SET RESOURCE GROUP slow"]);
    one.reset_connection().expect("an OK");
    let mut other = Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
    assert_ne!(id(&mut other), kept);
}

/// MariaDB leaves the role of the user before in force for one who has none by default.
#[test]
fn nobody_has_the_roles_of_the_user_before() {
    each_server(&[], |server| {
        let default = match is_mariadb(server) {
            true => "SET DEFAULT ROLE mighty FOR app@'%'",
            false => "SET DEFAULT ROLE mighty TO app@'%'",
        };
        for sql in [
            "CREATE ROLE mighty",
            "GRANT SELECT ON mysql.* TO mighty",
            "GRANT mighty TO app@'%'",
            default,
            "CREATE USER plain@'%' IDENTIFIED BY 'plain'",
        ] {
            server.query(sql);
        }
        let plain = Login::new("plain", "plain");
        let of_app = value(&mut directly(&app(), server), "SELECT CURRENT_ROLE()");
        let of_plain = value(&mut directly(&plain, server), "SELECT CURRENT_ROLE()");
        let (_script, proxy) = sharing(server, &[]);
        let mut one = connect(&proxy);
        let shared = id(&mut one);
        assert_eq!(value(&mut one, "SELECT CURRENT_ROLE()"), of_app);
        let mut other = log_in(&plain, &proxy);
        assert_eq!(id(&mut other), shared);
        assert_eq!(value(&mut other, "SELECT CURRENT_ROLE()"), of_plain);
        assert_eq!(code(other.query("SELECT * FROM mysql.user")), Some(1142));
        let mut back = connect(&proxy);
        assert_eq!(id(&mut back), shared);
        assert_eq!(value(&mut back, "SELECT CURRENT_ROLE()"), of_app);
        // A client that changes its user itself has what the server gives it; nobody else gets that.
        plain.change_user(&mut back).expect("it is plain");
        id(&mut back);
        let mut last = log_in(&plain, &proxy);
        assert_eq!(value(&mut last, "SELECT CURRENT_ROLE()"), of_plain);
    });
}

#[test]
fn a_change_of_user_that_failed_keeps_the_connection() {
    let server = MariaDb::start(&[]);
    for login in [
        Login::new("adm", "wrong"),
        Login::new("adm", "adm").database("missing"),
    ] {
        let (_script, proxy) = sharing(&server, &[]);
        let mut one = connect(&proxy);
        run(&mut one, &["SET sql_select_limit = 5"]);
        login.change_user(&mut one).expect_err("it is refused");
        assert_kept(&mut one, &proxy);
    }
}

#[test]
fn statements_that_failed_half_way_keep_the_connection() {
    each_server(&[], |server| {
        for sql in [
            "SET sql_select_limit = 5; SELECT missing",
            "USE test; SELECT missing",
            "SET sql_select_limit = 5; SET sql_mode = 'bogus'",
        ] {
            let (_script, proxy) = sharing(server, &[]);
            let mut one = connect(&proxy);
            one.query_all(sql).expect_err("it fails");
            assert_kept(&mut one, &proxy);
        }
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        for sql in ["SET sql_mode = 'bogus'", "USE missing", "SELECT missing"] {
            one.query(sql).expect_err("it fails");
            assert_eq!(id(&mut one), id(&mut other), "{sql}");
        }
    });
}

#[test]
fn a_database_that_is_gone_costs_no_connection() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        let shared = id(&mut other);
        server.query("CREATE DATABASE short_lived");
        server.query("GRANT ALL ON short_lived.* TO app@'%'");
        run(&mut one, &["USE short_lived", "SET sql_select_limit = 5"]);
        server.query("DROP DATABASE short_lived");
        run(&mut other, &["USE test"]);
        for _ in 0..3 {
            assert_eq!(code(one.query("SELECT 1")), Some(1105));
            assert_eq!(id(&mut other), shared);
            assert_eq!(value(&mut other, "SELECT DATABASE()"), "test");
            assert_eq!(value(&mut other, LIMIT), NO_LIMIT);
        }
        run(&mut one, &["USE test"]);
        assert_eq!(value(&mut one, LIMIT), "5");
        assert_eq!(id(&mut one), shared);
    });
}

#[test]
fn a_client_without_a_default_database_does_not_get_anothers() {
    each_server(&[], |server| {
        server.query("CREATE TABLE test.secret (a INT)");
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        run(&mut one, &["USE test"]);
        assert_eq!(value(&mut one, "SELECT COUNT(*) FROM secret"), "0");
        other
            .query("SELECT * FROM secret")
            .expect_err("there is no default database");
        assert_ne!(value(&mut other, "SELECT DATABASE()"), "test");
        assert_eq!(value(&mut one, "SELECT COUNT(*) FROM secret"), "0");
        assert_eq!(id(&mut one), id(&mut other));
        run(&mut other, &["USE sbtest"]);
        assert_eq!(value(&mut other, "SELECT DATABASE()"), "sbtest");
    });
}

#[test]
fn who_dropped_a_database_keeps_the_connection() {
    each_server(&[], |server| {
        for command in [true, false] {
            let (_script, proxy) = sharing(server, &[]);
            let mut one = Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
            run(
                &mut one,
                &["CREATE DATABASE short_lived", "USE short_lived"],
            );
            let kept = id(&mut one);
            match command {
                true => {
                    one.send_command(Command::DROP_DB, b"short_lived")
                        .expect("sent");
                    if one.read_payload().is_err() {
                        run(&mut one, &["DROP DATABASE short_lived"]);
                    }
                }
                false => run(&mut one, &["DROP /**/ SCHEMA short_lived; SELECT 1"]),
            }
            let mut other =
                Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
            assert_ne!(id(&mut other), kept);
        }
    });
}

#[test]
fn autocommit_follows_the_client_where_servers_start_without() {
    each_server(&["--autocommit=0"], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let mut clients: Vec<_> = (0..3).map(|_| connect(&proxy)).collect();
        for client in &mut clients[..2] {
            run(client, &["SET autocommit = 1"]);
        }
        for _ in 0..3 {
            let got: Vec<_> = clients
                .iter_mut()
                .map(|client| value(client, "SELECT @@autocommit"))
                .collect();
            assert_eq!(got, ["1", "1", "0"]);
        }
    });
}

#[test]
fn names_in_double_quotes_hide_nothing() {
    each_server(&["--sql-mode=ANSI_QUOTES"], |server| {
        for sql in [
            r#"SELECT "get_lock"('mine', 0)"#,
            r#"SELECT 1 AS "a\", @hidden := 5 AS "b""#,
            r#"SELECT 1 AS "a\"; SET @hidden = '"'"#,
        ] {
            let (_script, proxy) = sharing(server, &[]);
            let mut one = connect(&proxy);
            one.query_all(sql)
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_kept(&mut one, &proxy);
        }
    });
}

#[test]
fn the_last_insert_id_is_the_clients_own_or_an_error() {
    each_server(&[], |server| {
        server.query("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT)");
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        run(&mut one, &["INSERT INTO test.t (a) VALUES (1), (2)"]);
        // Nobody was there in between.
        assert_eq!(value(&mut one, "SELECT LAST_INSERT_ID()"), "1");
        for sql in [
            "SELECT LAST_INSERT_ID()",
            "SELECT @@identity",
            "SELECT @@session.last_insert_id",
        ] {
            assert_eq!(value(&mut other, sql), "0", "{sql}");
            assert_eq!(code(one.query(sql)), Some(1105), "{sql}");
            // It is the command that is refused.
            assert_eq!(value(&mut one, "SELECT 8"), "8");
        }
        assert_eq!(id(&mut one), id(&mut other));
        assert_eq!(value(&mut one, "SELECT LAST_INSERT_ID(5)"), "5");
        assert_eq!(value(&mut one, "SELECT LAST_INSERT_ID()"), "5");
        assert_eq!(value(&mut other, "SELECT LAST_INSERT_ID ( )"), "0");
    });
}

/// Not every response says that there is another insert id.
#[test]
fn insert_ids_that_no_answer_tells_of_are_nobody_elses() {
    each_server(&[], |server| {
        server.query(
            "CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE) ENGINE = MyISAM",
        );
        let mut texts = vec![
            "INSERT INTO test.t (a) VALUES (1); SELECT 1",
            // The first row stays.
            "INSERT INTO test.t (a) VALUES (2), (1)",
            "LOAD DATA LOCAL INFILE 'x' INTO TABLE test.t (a)",
            "CREATE TABLE test.u (id INT AUTO_INCREMENT PRIMARY KEY) SELECT NULL AS id, 5 AS a",
        ];
        if is_mariadb(server) {
            texts.push("INSERT INTO test.t (a) VALUES (6) RETURNING id");
            texts.push("ANALYZE INSERT INTO test.t (a) VALUES (7)");
        }
        for sql in texts {
            let (_script, proxy) = sharing(server, &[]);
            let login = app().with(Capabilities::LOCAL_FILES);
            let (mut one, mut other) = (log_in(&login, &proxy), log_in(&login, &proxy));
            match sql.starts_with("LOAD") {
                true => load(&mut one, sql, b"3\n4\n"),
                // The second row may be a duplicate.
                false => drop(one.query_all(sql)),
            }
            // No hook runs behind a file.
            one.ping().expect("an OK");
            assert_eq!(value(&mut other, "SELECT LAST_INSERT_ID()"), "0", "{sql}");
            // Nor is a count that another result hides.
            one.query_all("SELECT 1 UNION SELECT 2; DO 1")
                .expect("two results");
            assert_eq!(
                code(other.query("SELECT FOUND_ROWS()")),
                Some(1105),
                "{sql}"
            );
        }
    });
}

#[test]
fn counts_and_warnings_are_of_the_clients_own_statement_or_an_error() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        let warn = "DROP TABLE IF EXISTS test.missing";
        run(&mut one, &[warn]);
        assert_eq!(other.query("SHOW WARNINGS").expect("no rows").rows.len(), 0);
        assert_eq!(value(&mut other, "SELECT @@warning_count"), "0");
        assert_eq!(code(one.query("SHOW WARNINGS")), Some(1105));
        run(&mut one, &[warn]);
        assert_eq!(one.query("SHOW WARNINGS").expect("a row").rows.len(), 1);
        run(&mut one, &["SELECT 1 UNION SELECT 2 UNION SELECT 3"]);
        assert_eq!(value(&mut one, "SELECT FOUND_ROWS()"), "3");
        run(&mut one, &["SELECT 1 UNION SELECT 2 UNION SELECT 3"]);
        assert_eq!(code(other.query("SELECT FOUND_ROWS()")), Some(1105));
        assert_eq!(code(other.query("SELECT ROW_COUNT()")), Some(1105));
        assert_eq!(id(&mut one), id(&mut other));
    });
}

#[test]
fn the_last_value_of_a_sequence_is_the_clients_own_or_an_error() {
    let server = MariaDb::start(&[]);
    server.query("CREATE SEQUENCE test.s");
    let (_script, proxy) = sharing(&server, &[]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    assert_eq!(value(&mut one, "SELECT NEXTVAL(test.s)"), "1");
    assert_eq!(value(&mut one, "SELECT LASTVAL(test.s)"), "1");
    for sql in ["SELECT LASTVAL(test.s)", "SELECT PREVIOUS VALUE FOR test.s"] {
        assert_eq!(code(other.query(sql)), Some(1105));
        assert_eq!(id(&mut one), id(&mut other));
    }
}

/// A connection that another client has used is as new for the next one, whatever triggers and functions did.
#[test]
fn with_always_every_connection_is_as_new() {
    each_server(&["--log-bin-trust-function-creators=ON"], |server| {
        server.query(
            "CREATE FUNCTION test.mark() RETURNS INT NO SQL RETURN @mark := IFNULL(@mark, 0) + 1",
        );
        let (_script, proxy) = sharing(server, &["--proxy-pool-reset=always"]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        for _ in 0..3 {
            assert_eq!(value(&mut one, "SELECT test.mark()"), "1");
            assert_eq!(value(&mut other, "SELECT test.mark()"), "1");
        }
        assert_eq!(id(&mut one), id(&mut other));
        assert_eq!(value(&mut one, "SELECT test.mark()"), "1");
        assert_eq!(value(&mut one, "SELECT test.mark()"), "2");
    });
}

#[test]
fn a_setting_that_is_too_long_keeps_the_connection() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &[]);
    let mut one = connect(&proxy);
    run(
        &mut one,
        &[&format!(
            "SET session_track_system_variables = '{}autocommit'",
            "autocommit,".repeat(2000)
        )],
    );
    assert_kept(&mut one, &proxy);
}

/// The server gets this file.
fn load(client: &mut Client, sql: &str, file: &[u8]) {
    client.send_query(sql).expect("sent");
    let request = client.read_payload().expect("a request for the file");
    assert_eq!(request[0], 0xfb);
    let connection = client.connection();
    let next = connection.send_payload(2, file).expect("sent");
    connection.send_payload(next, b"").expect("sent");
    let (_, answer) = connection.read_packet().expect("an OK");
    assert_eq!(answer[0], 0);
}

#[test]
fn variables_that_a_file_has_set_keep_the_connection() {
    let server = MariaDb::start(&[]);
    server.query("CREATE TABLE test.t (a INT)");
    let (_script, proxy) = sharing(&server, &[]);
    let login = app().with(Capabilities::LOCAL_FILES);
    let mut one = log_in(&login, &proxy);
    let sql = "LOAD DATA LOCAL INFILE 'x' INTO TABLE test.t (@hidden) SET a = @hidden";
    load(&mut one, sql, b"1\n2\n");
    assert_kept_from(&login, &mut one, &proxy);
}

/// The flags that the server has seen are another's.
#[test]
fn a_login_that_the_script_has_replaced_keeps_its_connection() {
    let server = MariaDb::start(&[]);
    let flags = directly(&app(), &server).capabilities() | Capabilities::FOUND_ROWS;
    let script = ScriptFile::new(&format!(
        "{SHARING}
        function read_auth()
            if proxy.global.is_replaced then return end
            proxy.global.is_replaced = true
            local client = proxy.connection.client
            proxy.queries:append(1, require('mysql.proto').to_response_packet {{
                username = client.username, response = client.scrambled_password,
                auth_plugin_name = client.auth_plugin_name, capabilities = {}, charset = 45 }})
            return proxy.PROXY_SEND_QUERY
        end",
        flags.low()
    ));
    let proxy = script.proxy(&[&server], &[]);
    let mut one = connect(&proxy);
    assert_kept(&mut one, &proxy);
}

#[test]
fn a_greeting_that_is_said_again_is_not_shown_again() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&format!(
        "{SHARING} function read_handshake() print('a greeting') end"
    ));
    let proxy = script.proxy(&[&server], &[]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    assert_eq!(id(&mut one), id(&mut other));
    proxy.wait_for_log("a greeting", DEADLINE);
    assert_eq!(proxy.count_in_log("a greeting"), 1);
}

#[test]
fn nobody_gets_diagnostics_of_anothers_statement() {
    each_server(&[], |server| {
        let (_script, proxy) = sharing(server, &[]);
        let (mut one, mut other) = (connect(&proxy), connect(&proxy));
        assert_eq!(code(other.query("SELECT missing")), Some(1054));
        let diagnostics = one.query("GET DIAGNOSTICS CONDITION 1 @text = MESSAGE_TEXT");
        assert_eq!(code(diagnostics), Some(1105));
    });
}

#[test]
fn with_never_clients_meet_what_others_left() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = sharing(&server, &["--proxy-pool-reset=never"]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    run(&mut one, &["SET sql_select_limit = 5", "USE test"]);
    assert_eq!(value(&mut other, LIMIT), "5");
    assert_eq!(value(&mut other, "SELECT DATABASE()"), "test");
    // What ties a session to its connection does so all the same.
    run(&mut one, &["SET @a = 1"]);
    assert_kept(&mut one, &proxy);
}
