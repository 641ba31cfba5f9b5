//! Each script of `examples/` does what its head says, on real servers.

mod scripted;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Client, MariaDb, ProxyProcess, Server};

use scripted::{BINARY, DEADLINE, code, connect, connect_as_admin, rows, run_all, value};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn proxy(script: &str, servers: &[&Server], more: &[&str]) -> ProxyProcess {
    let script = directory().join(script);
    let mut arguments = vec![
        format!("--proxy-lua-script={}", script.display()),
        "--lua-on-load-error=error".to_owned(),
    ];
    for server in servers {
        arguments.push(format!("--proxy-backend-addresses={}", server.address()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ProxyProcess::start(BINARY, &[&arguments, more].concat())
}

/// Whatever the script does, this is no business of its.
fn check_alive(client: &mut Client) {
    assert_eq!(value(client, "SELECT 6 * 7"), "42");
    client.ping().expect("an OK");
}

#[test]
fn every_example_has_a_test_and_a_line_in_the_table() {
    let names: BTreeSet<_> = fs::read_dir(directory())
        .expect("the directory is there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name.ends_with(".lua"))
        .collect();
    assert!(names.len() >= 16, "{names:?}");
    let tests = include_str!("examples.rs");
    let table = fs::read_to_string(directory().join("README.md")).expect("the table is there");
    for name in &names {
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        assert!(
            table.contains(&format!("| [{name}]({name}) |")),
            "{name} has no line"
        );
    }
    let lines = table.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(lines, names.len());
}

#[test]
fn print_queries() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("print-queries.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    check_alive(&mut client);
    let line = proxy.wait_for_log("SELECT 6 * 7", DEADLINE);
    assert!(line.starts_with("app@127.0.0.1:"), "{line}");
}

#[test]
fn tokenise() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("tokenise.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    check_alive(&mut client);
    proxy.wait_for_log("shape: SELECT ? * ?", DEADLINE);
    run_all(
        &mut client,
        &["select 'it''s', \"/*\", -1.5e3 /* ; */ as `select`"],
    );
    proxy.wait_for_log("shape: SELECT ? , ? , - ? AS select", DEADLINE);
}

#[test]
fn rewrite() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("rewrite.lua", &[&server], &[]);
    let mut client = connect_as_admin(&proxy);
    run_all(
        &mut client,
        &[
            "CREATE DATABASE shop",
            "USE shop",
            "CREATE TABLE customer (id INT)",
            "INSERT INTO customer_old VALUES (1), (2)",
        ],
    );
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM customer_old"), "2");
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM customer"), "2");
    check_alive(&mut client);
}

#[test]
fn inject_and_time() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("inject-and-time.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    assert_eq!(rows(&mut client, "select 1 union select 2"), ["1", "2"]);
    let plan = proxy.wait_for_log("plan: id=1, select_type=PRIMARY", DEADLINE);
    assert!(plan.contains("Extra=No tables used"), "{plan}");
    proxy.wait_for_log("ms: select 1 union select 2", DEADLINE);
    assert_eq!(code(client.query("SELECT nothing")), Some(1054));
    check_alive(&mut client);
}

#[test]
fn change_rows() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("change-rows.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    assert_eq!(
        rows(
            &mut client,
            "SELECT 'jane.doe@example.com', NULL, 'x' UNION SELECT 'no address', 2, ''"
        ),
        ["j***@example.com NULL x", "no address 2 "]
    );
    assert_eq!(code(client.query("SELECT nothing")), Some(1054));
    check_alive(&mut client);
}

#[test]
fn answer() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(
        "answer.lua",
        &[&server],
        &["--proxy-read-only-backend-addresses=127.0.0.1:1"],
    );
    let mut client = connect(&proxy);
    assert_eq!(
        rows(&mut client, "show proxy status"),
        [
            format!("1 {} up 1", server.address()),
            "2 127.0.0.1:1 unknown 0".to_owned()
        ]
    );
    check_alive(&mut client);
}

#[test]
fn block_dangerous() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(
        "block-dangerous.lua",
        &[&server],
        &["--lua-on-hook-error=error"],
    );
    let mut client = connect_as_admin(&proxy);
    run_all(
        &mut client,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id INT)",
            "INSERT INTO shop.t VALUES (1), (2)",
        ],
    );
    for sql in [
        "DROP TABLE shop.t",
        " /* now */ drop\ntable shop.t",
        "TRUNCATE shop.t",
        "DELETE FROM shop.t",
        "UPDATE shop.t SET id = 3",
        "SELECT 1; DELETE FROM shop.t",
    ] {
        assert_eq!(code(client.query(sql)), Some(1290), "{sql}");
    }
    run_all(
        &mut client,
        &[
            "DELETE FROM shop.t WHERE id = 1",
            "UPDATE shop.t SET id = 3\nWHERE id = 2",
        ],
    );
    assert_eq!(value(&mut client, "SELECT id FROM shop.t"), "3");
    client
        .send_command(protocol::Command::STMT_PREPARE, b"DROP TABLE shop.t")
        .expect("it is sent");
    let error = client.read_ok().expect_err("it is refused");
    assert_eq!(error.code(), Some(1290));
    check_alive(&mut client);
}

#[test]
fn slow_log() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("slow-log.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    check_alive(&mut client);
    assert_eq!(value(&mut client, "SELECT SLEEP(0.25)"), "0");
    let line = proxy.wait_for_log("slow: ", DEADLINE);
    assert!(line.contains("ms, 1 rows, client 127.0.0.1:"), "{line}");
    assert!(
        line.ends_with(&format!("server {}: SELECT SLEEP(0.25)", server.address())),
        "{line}"
    );
    assert_eq!(proxy.count_in_log("slow: "), 1);
}

#[test]
fn retry_elsewhere() {
    let (mut preferred, other) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let proxy = proxy("retry-elsewhere.lua", &[&preferred, &other], &[]);
    for _ in 0..3 {
        assert_eq!(
            value(&mut connect(&proxy), "SELECT @@port"),
            preferred.port().to_string()
        );
    }
    preferred.kill9();
    for _ in 0..3 {
        let mut client = connect(&proxy);
        assert_eq!(
            value(&mut client, "SELECT @@port"),
            other.port().to_string()
        );
        check_alive(&mut client);
    }
}

#[test]
fn mock_server() {
    let proxy = proxy(
        "mock-server.lua",
        &[],
        &["--proxy-backend-addresses=127.0.0.1:1"],
    );
    let mut client =
        Client::connect(proxy.address(), "anybody", "anything").expect("all are let in");
    assert_eq!(value(&mut client, "SELECT 1"), "1");
    assert_eq!(
        rows(&mut client, "SELECT name FROM fruit"),
        ["apple", "pear"]
    );
    assert_eq!(code(client.query("SELECT 2")), Some(1064));
    client.ping().expect("an OK");
}

#[test]
fn count_per_user() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("count-per-user.lua", &[&server], &[]);
    let (mut one, mut two, mut other) =
        (connect(&proxy), connect(&proxy), connect_as_admin(&proxy));
    check_alive(&mut one);
    for client in [&mut one, &mut two, &mut other] {
        check_alive(client);
    }
    assert_eq!(rows(&mut two, "SHOW QUERY COUNTS"), ["adm 1", "app 3"]);
}

#[test]
fn sticky_users() {
    let servers = [
        MariaDb::start(&[]),
        MariaDb::start(&[]),
        MariaDb::start(&[]),
    ];
    let proxy = proxy("sticky-users.lua", &servers.each_ref(), &[]);
    for user in ["app", "adm"] {
        let ports: BTreeSet<_> = (0..4)
            .map(|_| {
                let mut client = Client::connect(proxy.address(), user, user).expect("a login");
                check_alive(&mut client);
                value(&mut client, "SELECT @@port")
            })
            .collect();
        assert_eq!(ports.len(), 1, "{user}: {ports:?}");
    }
}

#[test]
fn read_only_mode() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("read-only-mode.lua", &[&server], &[]);
    let (mut operator, mut client) = (connect_as_admin(&proxy), connect_as_admin(&proxy));
    run_all(
        &mut operator,
        &["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT)"],
    );
    run_all(&mut client, &["INSERT INTO shop.t VALUES (1)"]);
    run_all(&mut operator, &["SET PROXY READ_ONLY = 1"]);
    for sql in [
        "INSERT INTO shop.t VALUES (2)",
        "/* x */ update shop.t set id = 3",
        "CALL p()",
    ] {
        let error = client.query(sql).expect_err("maintenance");
        assert!(error.to_string().contains("maintenance"), "{error}");
    }
    assert_eq!(rows(&mut client, "(SELECT id FROM shop.t)"), ["1"]);
    check_alive(&mut client);
    run_all(&mut operator, &["set proxy read_only=0"]);
    run_all(&mut client, &["INSERT INTO shop.t VALUES (2)"]);
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM shop.t"), "2");
}

#[test]
fn hide_column() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(
        "hide-column.lua",
        &[&server],
        &["--lua-on-hook-error=error"],
    );
    let mut client = connect_as_admin(&proxy);
    run_all(
        &mut client,
        &[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.users (id INT, password TEXT, name TEXT)",
            "INSERT INTO shop.users VALUES (1, 'secret', 'jane'), (2, 'secret', NULL)",
        ],
    );
    assert_eq!(
        rows(&mut client, "SELECT * FROM shop.users"),
        ["1 jane", "2 NULL"]
    );
    assert_eq!(
        rows(&mut client, "SELECT password AS p, id FROM shop.users"),
        ["1", "2"]
    );
    for sql in [
        "SELECT password FROM shop.users",
        "SELECT 1; SELECT password FROM shop.users",
    ] {
        assert_eq!(code(client.query(sql)), Some(1295), "{sql}");
    }
    check_alive(&mut client);
}

#[test]
fn query_cache() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("query-cache.lua", &[&server], &[]);
    let (mut client, mut other) = (connect(&proxy), connect_as_admin(&proxy));
    let cached = "SELECT /* cache: 3600 */ UUID(), NULL";
    let first = rows(&mut client, cached);
    assert_eq!(rows(&mut client, cached), first);
    assert_eq!(rows(&mut connect(&proxy), cached), first);
    assert_ne!(rows(&mut other, cached), first, "another user");
    let short = "SELECT /* cache: 0 */ UUID()";
    assert_ne!(rows(&mut client, short), rows(&mut client, short));
    let plain = "SELECT UUID()";
    assert_ne!(rows(&mut client, plain), rows(&mut client, plain));
    assert_eq!(
        code(client.query("SELECT /* cache: 9 */ nothing")),
        Some(1054)
    );
    check_alive(&mut client);
}

#[test]
fn deny_by_address() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(
        "deny-by-address.lua",
        &[&server],
        &["--lua-on-hook-error=error"],
    );
    check_alive(&mut connect(&proxy));
    let denied = testkit::Connection::tcp_from([127, 0, 0, 2].into(), proxy.address());
    let error = testkit::Login::new("app", "app")
        .connect(denied.expect("a connection"))
        .expect_err("it is not on the list");
    assert!(
        error.to_string().contains("127.0.0.2 is not allowed"),
        "{error}"
    );
    proxy.wait_for_log("denied: 127.0.0.2:", DEADLINE);
}

#[test]
fn login_log() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("login-log.lua", &[&server], &[]);
    let mut client = connect(&proxy);
    check_alive(&mut client);
    client.quit().expect("a goodbye");
    let line = proxy.wait_for_log("login: app@127.0.0.1:", DEADLINE);
    assert!(line.ends_with(&server.address().to_string()), "{line}");
    let line = proxy.wait_for_log("logout: app@127.0.0.1:", DEADLINE);
    assert!(line.ends_with("and 3 commands"), "{line}");
    Client::connect(proxy.address(), "app", "wrong").expect_err("a wrong password");
    proxy.wait_for_log("login refused: app@127.0.0.1:", DEADLINE);
}

#[test]
fn tag_queries() {
    let server = MariaDb::start(&[]);
    let proxy = proxy("tag-queries.lua", &[&server], &[]);
    let mut client = connect_as_admin(&proxy);
    let seen = value(
        &mut client,
        "SELECT INFO FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()",
    );
    assert!(seen.starts_with("/* adm@127.0.0.1:"), "{seen}");
    check_alive(&mut client);
}
