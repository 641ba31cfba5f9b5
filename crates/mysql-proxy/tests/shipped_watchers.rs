//! The shipped scripts that watch: auditing, active-queries, active-transactions, histogram, analyze-query.

mod scripted;
mod shipped;

use std::fs;
use std::thread;

use protocol::Command;
use testkit::{Client, MariaDb, ProxyProcess, ScratchDirectory, wait};

use scripted::{DEADLINE, code, connect, connect_as_admin, rows, run_all, value};

/// Prepares a statement without parameters; its number.
fn prepare(client: &mut Client, sql: &str) -> [u8; 4] {
    client
        .send_command(Command::STMT_PREPARE, sql.as_bytes())
        .expect("sent");
    let prepared = client.read_payload().expect("COM_STMT_PREPARE_OK");
    let columns = u16::from_le_bytes([prepared[5], prepared[6]]);
    for _ in 0..columns {
        client.read_payload().expect("a definition");
    }
    prepared[1..5].try_into().expect("four bytes")
}

fn execute(client: &mut Client, statement: [u8; 4]) {
    let arguments = [&statement[..], &[0, 1, 0, 0, 0]].concat();
    client
        .send_command(Command::STMT_EXECUTE, &arguments)
        .expect("sent");
    client.read_ok().expect("an OK");
}

/// A connection whose query runs until another one ends it.
fn sleep_on(proxy: &ProxyProcess, sql: &str) -> (Client, String) {
    let mut client = connect(proxy);
    let id = value(&mut client, "SELECT CONNECTION_ID()");
    client.send_query(sql).expect("sent");
    (client, id)
}

#[test]
fn auditing() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let log = directory.file("audit.log");
    let settings = format!("auditing = {{ file = '{}' }}", log.display());
    let (_script, proxy) = shipped::with_settings("auditing", &settings, &[&server], &[]);
    let lines = || fs::read_to_string(&log).unwrap_or_default();

    let mut client = connect_as_admin(&proxy);
    run_all(
        &mut client,
        &[
            "USE test",
            "CREATE TABLE t (a TEXT)",
            "INSERT INTO t VALUES ('one\n\"\u{1f}\u{e4}'), ('two')",
        ],
    );
    let logged = lines();
    let line = |text: &str| {
        let logged = lines();
        let found = logged.lines().find(|line| line.contains(text));
        found
            .unwrap_or_else(|| panic!("no {text} in {logged}"))
            .to_owned()
    };
    assert!(
        logged.lines().all(|line| line.starts_with("{\"time\":\"")),
        "{logged}"
    );
    assert!(line("\"event\":\"login\"").contains("\"user\":\"adm\""));
    let insert = line("INSERT");
    for part in [
        "\"db\":\"test\"",
        "\"status\":\"OK\"",
        "\"affected_rows\":2",
        "('one\\n\\\"\\u001f\u{e4}'), ('two')",
        &format!("\"server\":\"{}\"", server.address()),
    ] {
        assert!(insert.contains(part), "{insert} without {part}");
    }
    assert_eq!(code(client.query("SELECT nothing")), Some(1054));
    assert!(line("SELECT nothing").contains("\"status\":\"ERR\",\"rows\":0"));
    assert_eq!(rows(&mut client, "SELECT a FROM t").len(), 2);
    assert!(line("SELECT a FROM t").contains("\"rows\":2,\"affected_rows\":null"));
    let insert = prepare(&mut client, "INSERT INTO t VALUES ('three')");
    execute(&mut client, insert);
    let executed = line("COM_STMT_EXECUTE");
    assert!(
        executed.contains("INSERT INTO t VALUES ('three')"),
        "{executed}"
    );
    client.ping().expect("an OK");
    assert!(line("COM_PING").contains("\"event\":\"command\""));
    client.quit().expect("a goodbye");
    proxy_has_written(&lines, "\"event\":\"logout\"");

    Client::connect(proxy.address(), "app", "wrong").expect_err("a wrong password");
    proxy_has_written(&lines, "\"status\":\"ERR\"}");
    // It may be moved away.
    fs::rename(&log, directory.file("audit.log.1")).expect("both are ours");
    let mut client = connect(&proxy);
    wait::until("a new file", DEADLINE, || {
        client.query("SELECT 1").expect("a row");
        log.exists()
    });
}

fn proxy_has_written(lines: &dyn Fn() -> String, text: &str) {
    wait::until(text, DEADLINE, || lines().contains(text));
}

#[test]
fn auditing_writes_no_passwords() {
    let server = MariaDb::start(&[]);
    let proxy = shipped::proxy("auditing", &[&server], &[]);
    let mut client = connect_as_admin(&proxy);
    for sql in [
        "CREATE USER 'jane'@'%' IDENTIFIED BY 'hushhush'",
        "create user bob@localhost identified by 'hushhush'",
        "ALTER USER 'jane'@'%' IDENTIFIED BY \"hushhush\"",
        "SET PASSWORD FOR 'jane'@'%' = PASSWORD('hushhush')",
        "SET PASSWORD FOR jane@'%'=password ( 'hushhush' )",
        "GRANT SELECT ON test.* TO 'jane'@'%' IDENTIFIED BY 'hushhush'",
        "/*!50000 SET PASSWORD FOR 'jane'@'%' = PASSWORD('hushhush') */",
        "/* 'hushhush' */ SET PASSWORD FOR 'jane'@'%' = PASSWORD('hushhush')",
        "SET # it's\n PASSWORD FOR 'jane'@'%' = PASSWORD('hushhush')",
        "ALTER USER 'jane'@'%' IDENTIFIED BY 'a\\'hushhush'",
        "CHANGE MASTER TO MASTER_HOST = 'h', MASTER_PASSWORD = 'hushhush'",
        "SELECT PASSWORD('hushhush'), 'hushhush'",
    ] {
        client.query(sql).expect(sql);
    }
    // What fails is written, too.
    for sql in [
        "SET PASSWORD = 'hushhush'@'localhost'",
        "CREATE USER x IDENTIFIED WITH y AS 0x6875736868757368, 'hushhush",
    ] {
        client.query(sql).expect_err(sql);
    }
    let statement = prepare(
        &mut client,
        "SET PASSWORD FOR 'jane'@'%' = PASSWORD('hushhush')",
    );
    execute(&mut client, statement);
    // The value is in the log of commands, the password not.
    client
        .query("SELECT 'the last one'")
        .expect("what comes last is written last");
    proxy.wait_for_log("the last one", DEADLINE);
    let log = proxy.log().join("\n");
    assert!(
        !log.contains("hush") && !log.contains("6875736868757368"),
        "{log}"
    );
    for text in [
        "CREATE USER 'jane'@'%' IDENTIFIED BY '***'",
        "create user bob@localhost identified by '***'",
        "SET PASSWORD FOR 'jane'@'%' = PASSWORD('***')",
        "CHANGE MASTER TO MASTER_HOST = '***', MASTER_PASSWORD = '***'",
        "\"ALTER ***\"",
    ] {
        assert!(log.contains(text), "no `{text}` in {log}");
    }
}

#[test]
fn auditing_tells_of_statements_without_an_answer() {
    let mut server = MariaDb::start(&[]);
    let proxy = shipped::proxy("auditing", &[&server], &[]);
    let (_client, _) = sleep_on(&proxy, "SELECT SLEEP(600), 'lost'");
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%lost%' AND user = 'app'";
    wait::until("it runs", DEADLINE, || {
        server.query(sql)[0][0].as_deref() == Some("1")
    });
    server.kill9();
    let line = proxy.wait_for_log("'lost'", DEADLINE);
    assert!(line.contains("\"status\":\"LOST\""), "{line}");
}

#[test]
fn active_queries() {
    const LIST: &str = "select * from active_queries;";
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings(
        "active-queries",
        "active_queries = { operators = 'root, adm' }",
        &[&server],
        &[],
    );
    let (mut sleeper, id) = sleep_on(&proxy, "SELECT SLEEP(600), 'x'");
    let mut client = connect(&proxy);
    let listed = |client: &mut Client| {
        let result = client.query(LIST).expect("rows").text();
        result
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect::<Vec<Vec<String>>>()
    };
    wait::until("it is listed", DEADLINE, || listed(&mut client).len() == 1);
    let row = listed(&mut client).remove(0);
    assert_eq!((&row[0], row[1].as_str()), (&id, "app"));
    assert_eq!(row[3], server.address().to_string());
    assert_eq!(
        (row[5].as_str(), row[7].as_str()),
        ("running", "SELECT SLEEP(600), 'x'")
    );
    wait::until("seconds pass", DEADLINE, || {
        listed(&mut client)[0][6].parse::<u32>().expect("a number") >= 1
    });

    // An operator sees all, others their own; a transaction is seen while it is idle.
    let mut admin = connect_as_admin(&proxy);
    run_all(&mut admin, &["USE test", "BEGIN", "SELECT 7"]);
    assert_eq!(listed(&mut client).len(), 1);
    let mut other_admin = connect_as_admin(&proxy);
    let seen = listed(&mut other_admin);
    assert_eq!(seen.len(), 2);
    let idle = seen.iter().find(|row| row[5] == "in transaction");
    let idle = idle.expect("the transaction");
    assert_eq!((idle[4].as_str(), idle[7].as_str()), ("test", "SELECT 7"));
    admin.query("COMMIT").expect("an OK");
    server.query(&format!("KILL QUERY {id}"));
    sleeper.read_results().ok();
    assert_eq!(listed(&mut other_admin).len(), 0);

    // Whoever vanishes is not listed for ever.
    let (lost, _) = sleep_on(&proxy, "SELECT SLEEP(600), 'y'");
    wait::until("it is listed", DEADLINE, || listed(&mut client).len() == 1);
    drop(lost);
    wait::until("it is gone", DEADLINE, || listed(&mut client).is_empty());
    assert_eq!(proxy.count_in_log("read_query"), 0);
    assert_eq!(proxy.count_in_log("disconnect_client"), 0);
}

#[test]
fn active_transactions() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings("active-transactions", "x = {}", &[&server], &[]);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    run_all(
        &mut one,
        &[
            "CREATE TABLE test.t (id INT PRIMARY KEY, a INT) ENGINE = InnoDB",
            "INSERT INTO test.t VALUES (1, 0), (2, 0)",
            "BEGIN",
            "UPDATE test.t SET a = 1 WHERE id = 1",
        ],
    );
    run_all(
        &mut other,
        &["BEGIN", "UPDATE test.t SET a = 2 WHERE id = 2"],
    );
    let mut third = connect(&proxy);
    let listed = |client: &mut Client| {
        let result = client
            .query("SELECT * FROM active_transactions")
            .expect("rows")
            .text();
        let statement = |row: Vec<Option<String>>| format!("{:?} {:?}", row[6], row[7]);
        result.into_iter().map(statement).collect::<Vec<_>>()
    };
    let seen = listed(&mut third);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(
        seen[1].contains("\"2\"") && seen[1].contains("UPDATE"),
        "{seen:?}"
    );
    assert_eq!(listed(&mut connect_as_admin(&proxy)).len(), 0);

    // Another error is no deadlock.
    assert_eq!(code(one.query("SELECT nothing")), Some(1054));
    let failed = thread::scope(|scope| {
        let waiting = scope.spawn(|| one.query("UPDATE test.t SET a = 1 WHERE id = 2"));
        let second = other.query("UPDATE test.t SET a = 2 WHERE id = 1");
        let first = waiting.join().expect("no panic");
        [first, second]
            .into_iter()
            .filter_map(Result::err)
            .collect::<Vec<_>>()
    });
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].code(), Some(1213));
    let line = proxy.wait_for_log("deadlock at", DEADLINE);
    assert!(line.ends_with(&server.address().to_string()), "{line}");
    proxy.wait_for_log("rolled back: connection", DEADLINE);
    proxy.wait_for_log("open: connection", DEADLINE);
    for sql in [
        "2: UPDATE test.t SET a = 1 WHERE id = 1",
        "2: UPDATE test.t SET a = 2 WHERE id = 2",
    ] {
        proxy.wait_for_log(sql, DEADLINE);
    }
    // Whichever it was.
    let last = [
        "4: UPDATE test.t SET a = 1 WHERE id = 2",
        "3: UPDATE test.t SET a = 2 WHERE id = 1",
    ];
    assert!(last.iter().any(|sql| proxy.count_in_log(sql) == 1));
    assert_eq!(proxy.count_in_log("deadlock at"), 1);
    run_all(&mut one, &["ROLLBACK"]);
    run_all(&mut other, &["ROLLBACK"]);
    assert_eq!(listed(&mut third).len(), 0);
    // Only the last statements of a long transaction are kept.
    run_all(&mut one, &["BEGIN"]);
    for _ in 0..150 {
        one.query("DO 1").expect("an OK");
    }
    let seen = listed(&mut third);
    assert_eq!(seen.len(), 100);
    assert!(seen[99].contains("\"151\""), "{seen:?}");
}

#[test]
fn histogram() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings(
        "histogram",
        "histogram = { queries_max = 6 }",
        &[&server],
        &[],
    );
    let mut client = connect(&proxy);
    run_all(
        &mut client,
        &[
            "USE test",
            "CREATE TABLE t (id INT)",
            "INSERT INTO t VALUES (1), (2)",
            "INSERT INTO t VALUES (3)",
            "SELECT * FROM t WHERE id = 1",
            "select * from t where id = 2 /* again */",
            "SELECT * FROM t WHERE id IN (1, 2, 3)",
            "SELECT * FROM test.t WHERE id IN (1)",
        ],
    );
    let delete = prepare(&mut client, "DELETE FROM t WHERE id = 7");
    execute(&mut client, delete);
    execute(&mut client, delete);
    let mut counts = rows(&mut connect(&proxy), "SELECT * FROM histogram.tables");
    assert_eq!(counts, ["test.t 4 5"]);
    let result = client
        .query("SELECT * FROM histogram.queries")
        .expect("rows")
        .text();
    let find = |text: &str| {
        let row = result
            .iter()
            .find(|row| row[0].as_deref().is_some_and(|query| query.trim() == text));
        let row = row.unwrap_or_else(|| panic!("no {text} in {result:?}"));
        let number = |column: usize| {
            let text = row[column].as_deref().expect("a number");
            text.parse::<u64>().expect("a number")
        };
        assert!(
            number(2) > 0 && number(2) <= number(3) && number(3) <= number(4),
            "{row:?}"
        );
        number(1)
    };
    assert_eq!(find("SELECT * FROM `t` WHERE `id` = ?"), 2);
    assert_eq!(find("SELECT * FROM `t` WHERE `id` IN ( ? )"), 1);
    assert_eq!(find("INSERT INTO `t` VALUES ( ? )"), 2);
    // There is room for six kinds.
    assert_eq!(find("(others)"), 2);
    assert_eq!(result.len(), 7);
    client
        .query("delete from histogram.queries")
        .expect("an OK");
    assert_eq!(
        rows(&mut client, "SELECT * FROM histogram.queries").len(),
        0
    );
    client
        .query("DELETE FROM histogram.tables;")
        .expect("an OK");
    counts = rows(&mut client, "SELECT * FROM histogram.tables");
    assert_eq!(counts.len(), 0);
    assert_eq!(value(&mut client, "SELECT COUNT(*) FROM t"), "3");
}

#[test]
fn analyze_query() {
    let server = MariaDb::start(&[]);
    let (_script, proxy) = shipped::with_settings(
        "analyze-query",
        "analyze_query = { slow_ms = 300, operators = 'adm' }",
        &[&server],
        &[],
    );
    let mut client = connect(&proxy);
    run_all(
        &mut client,
        &[
            "CREATE TABLE test.t (id INT)",
            "INSERT INTO test.t VALUES (1), (2), (3)",
        ],
    );
    assert_eq!(rows(&mut client, "SELECT id FROM test.t"), ["1", "2", "3"]);
    assert_eq!(code(client.query("SELECT nothing")), Some(1054));
    assert_eq!(proxy.count_in_log("slow: "), 0);
    assert_eq!(
        rows(
            &mut client,
            "SELECT MAX(id), SLEEP(0.5), 'x' + 1 FROM test.t;"
        ),
        ["3 0 1"]
    );
    let line = proxy.wait_for_log("slow: ", DEADLINE);
    assert!(
        line.contains("1 rows") && line.contains("client app at"),
        "{line}"
    );
    proxy.wait_for_log("query: SELECT MAX(id), SLEEP(0.5)", DEADLINE);
    proxy.wait_for_log("kind: 1 times, min ", DEADLINE);
    let status = proxy.wait_for_log("status: ", DEADLINE);
    assert!(status.contains("Handler_read_rnd_next +"), "{status}");
    proxy.wait_for_log("warning: Level=Warning, Code=1292", DEADLINE);
    proxy.wait_for_log(
        "plan: id=1, select_type=SIMPLE, table=t, type=ALL",
        DEADLINE,
    );

    // What asks for the statement before is left alone.
    client
        .query("SELECT SQL_CALC_FOUND_ROWS id FROM test.t LIMIT 1")
        .expect("rows");
    assert_eq!(value(&mut client, "SELECT FOUND_ROWS()"), "3");

    // Operators switch it.
    let set = "PROXY SET GLOBAL analyze_query.slow_ms = 0";
    assert_eq!(code(client.query(set)), Some(1227));
    let mut admin = connect_as_admin(&proxy);
    admin.query(set).expect("an OK");
    let seen = rows(&mut admin, "PROXY SHOW CONFIG");
    assert!(
        seen.contains(&"analyze_query slow_ms 0 number".to_owned()),
        "{seen:?}"
    );
    client.query("SELECT 'quick'").expect("a row");
    proxy.wait_for_log("query: SELECT 'quick'", DEADLINE);
    run_all(
        &mut admin,
        &["PROXY SET GLOBAL analyze_query.is_enabled = false"],
    );
    client.query("SELECT 'unseen'").expect("a row");
    let kinds = rows(&mut client, "SELECT * FROM analyze_query.queries");
    assert!(
        kinds[0].starts_with("SELECT MAX( `id` ) , SLEEP( ? ) , ? + ? FROM"),
        "{kinds:?}"
    );
    assert_eq!(proxy.count_in_log("unseen"), 0);
}
