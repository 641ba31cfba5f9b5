//! The shipped scripts that answer statements, change results or run other scripts; each of `lua/scripts` has a test and a
//! section of its own in the documentation.

mod scripted;
mod shipped;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::{Client, ClientError, MariaDb, ScratchDirectory, process, wait};

use scripted::{
    BINARY, DEADLINE, ScriptFile, code, connect, connect_as_admin, plugin_address, rows, run_all,
    value,
};

#[test]
fn every_script_is_checked_tested_and_documented() {
    let names: BTreeSet<_> = fs::read_dir(shipped::directory())
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").display().to_string())
        .collect();
    assert!(names.len() >= 13, "{names:?}");
    let tests = [
        include_str!("shipped_scripts.rs"),
        include_str!("shipped_watchers.rs"),
        include_str!("shipped_routing.rs"),
        include_str!("rw_splitting.rs"),
        include_str!("pooling.rs"),
    ]
    .concat();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scripts.md");
    let docs = fs::read_to_string(docs).expect("the page is there");
    for name in &names {
        let mut check = process::command(BINARY);
        let script = shipped::directory().join(name).with_extension("lua");
        check.arg("check").arg(script);
        let checked = process::run(check, DEADLINE).expect_success();
        let checked = String::from_utf8_lossy(&checked);
        assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        assert!(
            docs.contains(&format!("\n## {name}\n")),
            "{name} has no section"
        );
    }
}

#[test]
fn admin() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings(
        "admin",
        "x = {}",
        &[&server],
        &["--proxy-read-only-backend-addresses=127.0.0.1:1"],
    );
    let mut client = connect(&proxy);
    for sql in [
        "select * from backends",
        "SELECT * FROM backends",
        " Select  *\nfrom Backends ; ",
    ] {
        let result = client.query(sql).expect(sql);
        assert_eq!(
            result.columns,
            [
                "backend_ndx",
                "address",
                "state",
                "type",
                "uuid",
                "connected_clients"
            ]
        );
        assert_eq!(
            rows(&mut client, sql),
            [
                format!("1 {} up rw NULL 1", server.address()),
                "2 127.0.0.1:1 unknown ro NULL 0".to_owned(),
            ]
        );
    }
    let help = client.query("select * from help").expect("rows").text();
    let commands: Vec<_> = help.iter().filter_map(|row| row[0].as_deref()).collect();
    assert_eq!(commands, ["SELECT * FROM help", "SELECT * FROM backends"]);
    // The rest is somebody else's.
    assert_eq!(
        code(client.query("select * from backends where 1")),
        Some(1046)
    );
    assert_eq!(
        value(&mut client, "SELECT 'select * from help'"),
        "select * from help"
    );
}

#[test]
fn admin_at_the_port_for_operators() {
    let server = MariaDb::start(&[]);
    let script = shipped::directory().join("admin.lua");
    let proxy = shipped::proxy(
        "histogram",
        &[&server],
        &[
            "--plugins=proxy,admin",
            "--admin-address=127.0.0.1:0",
            "--admin-username=root",
            "--admin-password=secret",
            &format!("--admin-lua-script={}", script.display()),
        ],
    );
    let mut client = connect(&proxy);
    client.ping().expect("it is up");
    let address = plugin_address(&proxy, "admin");
    let mut operator = Client::connect(address, "root", "secret").expect("the operator may");
    assert_eq!(
        rows(&mut operator, "SELECT * FROM Backends;"),
        [format!("1 {} up rw NULL 1", server.address())]
    );
    assert_eq!(rows(&mut operator, "select * from help").len(), 2);
    // The rest is the admin interface's.
    operator.ping().expect("an OK");
    assert_eq!(rows(&mut operator, "SHOW BACKENDS").len(), 1);
    operator
        .query("SET BACKEND 1 DRAIN")
        .expect("it is drained");
    assert_eq!(
        rows(&mut operator, "select * from backends"),
        [format!("1 {} down rw NULL 1", server.address())]
    );
}

#[test]
fn xtab() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) =
        shipped::with_settings("xtab", "xtab = { columns_max = 5 }", &[&server], &[]);
    let mut client = connect(&proxy);
    run_all(
        &mut client,
        &[
            "USE test",
            "CREATE TABLE sales (region VARCHAR(20), `date` INT, product VARCHAR(20), amount INT) CHARSET latin1",
            "INSERT INTO sales VALUES ('north', 2023, 'b\\'ee', 1), ('north', 2024, 'b\\'ee', 2), \
             ('south', 2024, 'a\u{e4}\\\\`x', 4), ('south', 2024, NULL, 8), ('north', 2024, '', 16)",
        ],
    );
    let names = |client: &mut Client, sql: &str| client.query(sql).expect(sql).columns;
    let by_year = "XTAB sales region date SUM(amount)";
    assert_eq!(names(&mut client, by_year), ["region", "2023", "2024"]);
    assert_eq!(rows(&mut client, by_year), ["north 1 18", "south NULL 12"]);
    for sql in [
        "xtab test.sales region date sum(amount) summary;",
        "XTAB `test`.`sales` `region` `date` SUM amount SUMMARY",
    ] {
        assert_eq!(names(&mut client, sql), ["region", "2023", "2024", "total"]);
        assert_eq!(
            rows(&mut client, sql),
            ["north 1 18 19", "south NULL 12 12", "NULL 1 30 31"]
        );
    }
    for sql in [
        "XTAB sales region product COUNT(*)",
        "XTAB sales region product COUNT",
    ] {
        assert_eq!(
            names(&mut client, sql),
            ["region", "NULL", "''", "a\u{e4}\\`x", "b'ee"]
        );
        assert_eq!(rows(&mut client, sql), ["north 0 1 0 2", "south 1 0 1 0"]);
    }
    // In another character set the values are the same.
    client.query("SET NAMES latin1").expect("an OK");
    assert_eq!(
        rows(&mut client, "XTAB sales region product MAX(amount)"),
        ["north NULL 16 NULL 2", "south 8 NULL 4 NULL"]
    );
    for sql in [
        "XTAB",
        "XTAB sales",
        "XTAB sales region date SUM(amount) AND MORE",
        "XTAB sales region date SLEEP(amount)",
        "XTAB sales region date SUM(amount",
        "XTAB sales region 'date' SUM(amount)",
    ] {
        assert_eq!(code(client.query(sql)), Some(1064), "{sql}");
    }
    assert_eq!(code(client.query("XTAB nothing a b COUNT(*)")), Some(1146));
    assert_eq!(
        code(client.query("XTAB sales region date SUM(nothing)")),
        Some(1054)
    );
    client
        .query("INSERT INTO sales (product) VALUES ('c'), ('d')")
        .expect("an OK");
    let error = client.query("XTAB sales region product COUNT(*)");
    let error = error.expect_err("there are too many").to_string();
    assert!(error.contains("columns_max=5"), "{error}");
    assert!(rows(&mut client, "XTAB HELP").len() > 2);
    assert_eq!(rows(&mut client, "xtab version").len(), 1);
    assert_eq!(value(&mut client, "SELECT 'XTAB'"), "XTAB");
}

/// A row goes into a transaction; what the COMMIT came to.
fn commit(client: &mut Client, commit: &str) -> Result<(), ClientError> {
    run_all(client, &["BEGIN", "INSERT INTO test.t VALUES (1)"]);
    client.query(commit).map(drop)
}

#[test]
fn commit_obfuscator() {
    let server = MariaDb::start(&[]);
    server.query("CREATE TABLE test.t (a INT)");
    let count = || server.query("SELECT COUNT(*) FROM test.t")[0][0].clone();
    let start = |rates: &str| {
        let settings = format!("commit_obfuscator = {{ seed = 1, {rates} }}");
        shipped::with_settings("commit-obfuscator", &settings, &[&server], &[])
    };
    let (_script, proxy) = start("error_rate = 1, drop_rate = 0, rollback_rate = 0");
    let mut client = connect(&proxy);
    let error = commit(&mut client, "/* x */ commit;").expect_err("an error");
    assert_eq!(error.code(), Some(1180));
    assert_eq!(count().as_deref(), Some("1"));
    client.query("SELECT 'COMMIT'").expect("it is none");
    assert_eq!(value(&mut client, "SELECT @@in_transaction"), "0");

    let (_script, proxy) = start("error_rate = 0, drop_rate = 1, rollback_rate = 0");
    let error = commit(&mut connect(&proxy), "COMMIT").expect_err("the connection is lost");
    assert_eq!(error.code(), None, "{error}");
    assert_eq!(count().as_deref(), Some("2"));
    proxy.wait_for_log("commit-obfuscator: drop for app at ", DEADLINE);
    assert_eq!(proxy.count_in_log("ended a command with no result"), 0);

    let (_script, proxy) = start("error_rate = 0, drop_rate = 0, rollback_rate = 1");
    let mut client = connect(&proxy);
    let error = commit(&mut client, "COMMIT AND CHAIN").expect_err("a deadlock");
    assert_eq!(error.code(), Some(1213));
    assert_eq!(count().as_deref(), Some("2"));
    assert_eq!(value(&mut client, "SELECT @@in_transaction"), "1");

    // The same seed, the same choices.
    let choices = || {
        let (_script, proxy) = start("error_rate = 0.5, drop_rate = 0, rollback_rate = 0");
        let mut client = connect(&proxy);
        (0..20)
            .map(|_| commit(&mut client, "COMMIT").is_ok())
            .collect::<Vec<_>>()
    };
    let chosen = choices();
    assert!(
        chosen.contains(&true) && chosen.contains(&false),
        "{chosen:?}"
    );
    assert_eq!(choices(), chosen);
}

#[test]
fn admin_sql() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings("admin-sql", "x = {}", &[&server], &[]);
    let mut client = connect_as_admin(&proxy);
    run_all(
        &mut client,
        &["USE test", "CREATE TABLE t1 (id INT)", "PING"],
    );
    let statistics = value(&mut client, "STATISTICS");
    assert!(statistics.starts_with("Uptime: "), "{statistics}");
    // OK or ERR, as the server has it; the client goes on.
    for text in [
        "TIME",
        "DEBUG",
        "PROCKILL",
        "SETOPT",
        "REGSLAVE",
        "REGSLAVE1",
        "PREP",
        "PREP1",
        "EXEC",
        "EXEC1",
        "RESET",
        "RESET1",
        "FETCH",
        "FETCH1",
        "DEAL",
        "DEAL1",
        "FLIST",
        "FLIST1",
        "TDUMP",
        "TDUMP1",
        "TDUMP2",
    ] {
        let answered = client.query(text);
        let is_answer = answered.is_ok() || answered.is_err_and(|error| error.code().is_some());
        assert!(is_answer, "{text}");
        assert_eq!(value(&mut client, "SELECT 42"), "42", "{text}");
    }
    client.query("PREP1").expect("an OK");
    client.query("FLIST1").expect("an OK");
    let processes = client.query("PROCINFO");
    assert!(processes.is_ok() || code(processes).is_some());
    // Texts in small letters are SQL.
    assert_eq!(code(client.query("ping")), Some(1064));
    let mut app = connect(&proxy);
    assert_eq!(code(app.query("COMMIT SUICIDE")), Some(1227));
    client.query("COMMIT SUICIDE").expect("an OK");
    wait::until("the server has stopped", DEADLINE, || {
        Client::connect(server.address(), "adm", "adm").is_err()
    });
}

/// Two scripts that watch, one that answers and one that sends something else.
#[test]
fn load_multi() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings(
        "load-multi",
        "load_multi = { operators = 'adm', scripts = 'histogram auditing' }",
        &[&server],
        &[],
    );
    let mut client = connect(&proxy);
    assert_eq!(value(&mut client, "SELECT 6 * 7"), "42");
    proxy.wait_for_log("\"event\":\"login\"", DEADLINE);
    proxy.wait_for_log("SELECT 6 * 7", DEADLINE);
    let counted = rows(&mut client, "SELECT * FROM histogram.queries");
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!(code(client.query("PLOAD xtab")), Some(1227));

    let mut admin = connect_as_admin(&proxy);
    let handlers = rows(&mut admin, "SHOW HANDLERS;");
    assert_eq!(handlers.len(), 2);
    assert!(handlers[0].starts_with("histogram /"), "{handlers:?}");
    for name in ["active-queries", "xtab"] {
        admin.query(&format!("pload {name}")).expect("an OK");
    }
    // Of all connections.
    client.query("BEGIN").expect("an OK");
    assert_eq!(
        rows(&mut connect(&proxy), "SELECT * FROM active_queries").len(),
        1
    );
    run_all(
        &mut client,
        &[
            "CREATE TABLE test.t (a INT, b INT)",
            "INSERT INTO test.t VALUES (1, 2), (1, 3)",
        ],
    );
    // Two queries for one command; watchers see the one whose result the client gets.
    assert_eq!(rows(&mut client, "XTAB test.t a b COUNT(*)"), ["1 1 1"]);
    proxy.wait_for_log(
        "\"statement\":\"XTAB test.t a b COUNT(*)\",\"status\":\"OK\",\"rows\":1",
        DEADLINE,
    );
    assert_eq!(
        code(client.query("XTAB test.nothing a b COUNT(*)")),
        Some(1146)
    );

    client.query("BEGIN").expect("an OK");
    admin.query("UNLOAD active-queries").expect("an OK");
    client.query("COMMIT").expect("an OK");
    assert_eq!(
        code(client.query("SELECT * FROM active_queries")),
        Some(1046)
    );
    for sql in ["UNLOAD nothing", "PLOAD nothing", "PLOAD ../scripts/xtab"] {
        admin.query(sql).expect_err(sql);
    }
    let handlers = rows(&mut admin, "SHOW HANDLERS");
    assert_eq!(handlers.len(), 3, "{handlers:?}");
    for fault in ["(lua-error)", "load-multi: ", "LOST"] {
        assert_eq!(proxy.count_in_log(fault), 0, "{fault}");
    }
}

#[test]
fn load_multi_goes_on_where_one_fails() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let write = |name: &str, text: &str| {
        fs::write(directory.file(name).with_extension("lua"), text).expect("the directory is ours");
    };
    write(
        "broken",
        "function read_query(packet) error('as it is') end",
    );
    write("half", "function read_query(");
    write("counter", "count = (count or 0) + 1 function read_query(packet)
        if packet:sub(2) ~= 'SELECT count' then return end
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = { { name = 'n' } }, rows = { { count } } } }
        count = count + 1
        return proxy.PROXY_SEND_RESULT
    end");
    let start = |policy: &str, more: &[&str]| {
        let settings = format!(
            "load_multi = {{ operators = 'adm', scripts = 'broken, counter', on_hook_error = '{policy}', directory = '{}' }}",
            directory.path().display()
        );
        shipped::with_settings("load-multi", &settings, &[&server], more)
    };
    let (_script, proxy): (ScriptFile, _) = start("default", &[]);
    let (mut one, mut other) = (connect_as_admin(&proxy), connect(&proxy));
    // Each connection has variables of its own.
    assert_eq!(value(&mut one, "SELECT count"), "1");
    assert_eq!(value(&mut one, "SELECT count"), "2");
    assert_eq!(value(&mut other, "SELECT count"), "1");
    let line = proxy.wait_for_log("load-multi: broken: (read_query) ", DEADLINE);
    assert!(line.ends_with("as it is"), "{line}");
    assert_eq!(code(one.query("PLOAD half")), Some(1105));
    run_all(&mut one, &["PLOAD counter"]);
    assert_eq!(value(&mut other, "SELECT count"), "1");

    let (_script, proxy) = start("error", &["--lua-on-hook-error=error"]);
    let mut client = connect(&proxy);
    assert_eq!(code(client.query("SELECT 1")), Some(1105));
}
