//! `SHOW DIGESTS`: what statements of real clients cost, by what they are without their literals.

mod scripted;
mod statement_commands;

use protocol::response::OkPacket;
use protocol::{Capabilities, Command, StatusFlags};
use testkit::{
    Client, Connection, Direction, FaultLink, Faults, Login, MariaDb, ProxyProcess, Server,
};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, plugin_address};
use statement_commands::{Execution, Parameter, on_statement, query};

const ADMIN: [&str; 4] = [
    "--plugins=proxy,admin",
    "--admin-address=127.0.0.1:0",
    "--admin-username=root",
    "--admin-password=secret",
];

fn start(server: &Server, more: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[&*backend], &ADMIN[..], more].concat())
}

fn operator(proxy: &ProxyProcess) -> Client {
    Client::connect(plugin_address(proxy, "admin"), "root", "secret").expect("the operator may")
}

/// A row of `SHOW DIGESTS`, without times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    statement: String,
    whose: String,
    /// Count, errors, rows.
    counts: [u64; 3],
}

fn row(statement: &str, whose: &str, counts: [u64; 3]) -> Row {
    Row {
        statement: statement.to_owned(),
        whose: whose.to_owned(),
        counts,
    }
}

fn digests(proxy: &ProxyProcess, selection: &str) -> Vec<Row> {
    let result = operator(proxy).query(&format!("SHOW DIGESTS {selection}"));
    let result = result.expect("a result");
    let named = |row: &[Option<String>], name: &str| {
        let at = result.columns.iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("no column {name}"));
        row[at].clone().unwrap_or_else(|| "NULL".to_owned())
    };
    let rows = result.text().into_iter().map(|row| Row {
        statement: named(&row, "statement"),
        whose: format!("{}@{}", named(&row, "user"), named(&row, "database")),
        counts: ["count", "errors", "rows"].map(|name| {
            let number = named(&row, name);
            number.parse().expect("a number")
        }),
    });
    rows.collect()
}

/// What is answered is counted a moment after the client has the answer; the next command is later.
fn settle(client: &mut Client) {
    client.ping().expect("it is there");
}

fn log_in(proxy: &ProxyProcess, login: &Login) -> Client {
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    login.connect(connection).expect("the proxy serves")
}

#[test]
fn statements_that_differ_in_literals_are_one() {
    let server = MariaDb::start(&[]);
    server.query("CREATE TABLE test.t (a INT, b TEXT)");
    let proxy = start(&server, &["--event-threads=2"]);
    let mut clients = [connect(&proxy), connect(&proxy)];
    for client in &mut clients {
        for text in ["'secret'", "\"it''s secret\"", "_utf8mb4'x'"] {
            let sql = format!("INSERT INTO test.t VALUES (1, {text}), (-2, NULL)");
            client.query(&sql).expect("it is inserted");
        }
        client
            .query("SELECT a FROM test.t WHERE a IN (1,2)")
            .expect("rows");
        client
            .query("select a from test.t where a in (3) -- secret")
            .expect("no row");
        client
            .query("SELECT a FROM test.missing")
            .expect_err("there is none");
        settle(client);
    }
    let found = digests(&proxy, "ORDER BY statement");
    assert_eq!(
        found,
        [
            row("INSERT INTO test.t VALUES (?, ...), ...", "app@", [6, 0, 0]),
            row("SELECT a FROM test.missing", "app@", [2, 2, 0]),
            row(
                "SELECT a FROM test.t WHERE a IN (?, ...)",
                "app@",
                [4, 0, 9]
            ),
        ]
    );
    let mut costliest = digests(&proxy, "");
    costliest.sort();
    assert_eq!(costliest, found);
    assert_eq!(
        digests(&proxy, "LIKE '%MISSING' ORDER BY count DESC"),
        found[1..2]
    );
    assert_eq!(digests(&proxy, "ORDER BY count DESC LIMIT 1"), found[..1]);
    let mut operator = operator(&proxy);
    operator
        .query("SHOW DIGESTS ORDER BY nothing")
        .expect_err("no such column");
    operator.query("RESET DIGESTS").expect("it is done");
    assert_eq!(digests(&proxy, ""), []);
    clients[0].query("SELECT 1").expect("a row");
    settle(&mut clients[0]);
    assert_eq!(digests(&proxy, ""), [row("SELECT ?", "app@", [1, 0, 1])]);
}

#[test]
fn times_are_those_of_the_answers() {
    let server = MariaDb::start(&[]);
    let proxy = start(&server, &[]);
    let mut client = connect(&proxy);
    for seconds in ["0.2", "0.1", "0"] {
        client
            .query(&format!("SELECT SLEEP({seconds})"))
            .expect("it slept");
    }
    settle(&mut client);
    let result = operator(&proxy).query("SHOW DIGESTS").expect("a result");
    let rows = result.text();
    let seconds = |name: &str| -> f64 {
        let at = result.columns.iter().position(|column| column == name);
        let value = rows[0][at.expect("the column")].as_deref();
        value.expect("a value").parse().expect("a number")
    };
    assert!(seconds("total_seconds") >= 0.3);
    assert!(seconds("max_seconds") >= 0.2);
    assert!(seconds("min_seconds") <= seconds("average_seconds"));
    assert!(seconds("average_seconds") <= seconds("max_seconds"));
    assert!((seconds("average_seconds") * 3.0 - seconds("total_seconds")).abs() < 0.001);
    let digest = rows[0][0].as_deref().expect("a digest");
    assert!(digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn the_default_database_and_the_user_are_those_of_the_moment() {
    let server = MariaDb::start(&[]);
    server.query("CREATE DATABASE other");
    server.query("GRANT ALL ON *.* TO 'app'@'%'");
    server.query("GRANT ALL ON *.* TO 'second'@'%' IDENTIFIED BY 'second'");
    let proxy = start(&server, &[]);
    let mut client = log_in(&proxy, &Login::new("app", "app").database("test"));
    client.query("SELECT 1").expect("a row");
    client.query("use other").expect("it is used");
    client.query("SELECT 2").expect("a row");
    client.query("USE missing").expect_err("there is none");
    client.query("SELECT 3").expect("a row");
    client
        .send_command(Command::INIT_DB, b"mysql")
        .expect("it is sent");
    client.read_ok().expect("it is used");
    client.query("SELECT 4").expect("a row");
    let second = Login::new("second", "second");
    second.change_user(&mut client).expect("it is another one");
    client.query("SELECT 5").expect("a row");
    settle(&mut client);
    assert_eq!(
        digests(&proxy, "LIKE 'SELECT%' ORDER BY database"),
        [
            row("SELECT ?", "second@", [1, 0, 1]),
            row("SELECT ?", "app@mysql", [1, 0, 1]),
            row("SELECT ?", "app@other", [2, 0, 2]),
            row("SELECT ?", "app@test", [1, 0, 1]),
        ]
    );
    let sessions = operator(&proxy)
        .query("SHOW SESSIONS")
        .expect("a result")
        .text();
    assert_eq!(sessions[0][1].as_deref(), Some("second"));
}

/// The id of a statement, once it is prepared.
fn prepare(client: &mut Client, sql: &str) -> u32 {
    client
        .send_command(Command::STMT_PREPARE, sql.as_bytes())
        .expect("it is sent");
    let ok = client.read_payload().expect("it can be prepared");
    let counts = ok[5..9]
        .chunks(2)
        .map(|count| u16::from_le_bytes([count[0], count[1]]));
    for packets in counts.filter(|count| *count > 0) {
        let has_eof = !client.capabilities().contains(Capabilities::DEPRECATE_EOF);
        for _ in 0..packets + u16::from(has_eof) {
            client.read_payload().expect("a definition");
        }
    }
    u32::from_le_bytes([ok[1], ok[2], ok[3], ok[4]])
}

fn execute(client: &mut Client, statement_id: u32, parameters: &[Parameter<'_>]) -> OkPacket {
    let execution = Execution {
        statement_id,
        parameters,
        ..Execution::default()
    };
    let payload = execution.payload(client.capabilities());
    let command = Command(payload[0]);
    client
        .send_command(command, &payload[1..])
        .expect("it is sent");
    client.read_ok().expect("it is done")
}

const ONE: Parameter<'static> = (0x03, 0, Some(b"\x01\0\0\0"));

#[test]
fn executions_count_as_what_was_prepared() {
    let server = MariaDb::start(&[]);
    let proxy = start(&server, &[]);
    let mut client = connect(&proxy);
    let first = prepare(&mut client, "SET @a = ?");
    let second = prepare(&mut client, "SET @b = ?, @c = 5");
    for _ in 0..3 {
        execute(&mut client, first, &[ONE]);
    }
    execute(&mut client, second, &[ONE]);
    client.query("SET @a = 17").expect("it is set");
    settle(&mut client);
    let expected = [
        row("SET @a = ?", "app@", [4, 0, 0]),
        row("SET @b = ?, @c = ?", "app@", [1, 0, 0]),
    ];
    assert_eq!(digests(&proxy, "ORDER BY statement"), expected);
    // The close goes with the next command; what is closed is not known any more.
    let close = on_statement(Command::STMT_CLOSE, first, None);
    client
        .send_command(Command::STMT_CLOSE, &close[1..])
        .expect("it is sent");
    execute(&mut client, second, &[ONE]);
    client.reset_connection().expect("it is reset");
    let again = prepare(&mut client, "SET @d = ?");
    execute(&mut client, u32::MAX, &[ONE]);
    execute(&mut client, again, &[ONE]);
    settle(&mut client);
    assert_eq!(
        digests(&proxy, "ORDER BY statement"),
        [
            expected[0].clone(),
            row("SET @b = ?, @c = ?", "app@", [2, 0, 0]),
            row("SET @d = ?", "app@", [2, 0, 0]),
        ]
    );
}

#[test]
fn a_statement_is_the_same_however_it_is_cut() {
    let server = MariaDb::start(&[]);
    server.query("CREATE TABLE test.t (a INT, b TEXT)");
    let proxy = start(&server, &[]);
    let slow = FaultLink::to(proxy.address());
    let single_bytes = Faults {
        single_bytes: true,
        ..Faults::default()
    };
    slow.set(Direction::ToServer, single_bytes);
    let attributes = Login::new("app", "app").with(Capabilities::QUERY_ATTRIBUTES);
    let mut clients = [
        connect(&proxy),
        Client::connect(slow.address(), "app", "app").expect("the proxy serves"),
        log_in(&proxy, &attributes),
    ];
    let rows = vec!["(1, 'a value of some length'), (2, NULL)"; 400].join(", ");
    for client in &mut clients {
        for sql in [
            "SELECT a FROM test.t WHERE b = 'short'".to_owned(),
            format!("INSERT INTO test.t (a, b) VALUES {rows}"),
            format!("INSERT INTO test.t (a, b) VALUES {rows}, {rows}"),
            format!("SELECT '{}' FROM test.t", "x".repeat(100_000)),
        ] {
            client.query(&sql).expect("a result");
        }
        settle(client);
    }
    let statements: Vec<_> = digests(&proxy, "ORDER BY statement")
        .into_iter()
        .map(|row| (row.statement, row.counts[0]))
        .collect();
    let expected = [
        ("INSERT INTO test.t (a, b) VALUES (?, ...), ... ...", 6),
        ("SELECT ...", 3),
        ("SELECT a FROM test.t WHERE b = ?", 3),
    ];
    assert_eq!(
        statements,
        expected.map(|(text, count)| (text.to_owned(), count))
    );
}

#[test]
fn query_attributes_are_no_part_of_a_statement() {
    let Some(server) = testkit::Mysql97::start(&[]) else {
        return;
    };
    let proxy = start(&server, &[]);
    let login = Login::new("app", "app").with(Capabilities::QUERY_ATTRIBUTES);
    let mut client = log_in(&proxy, &login);
    assert!(
        client
            .capabilities()
            .contains(Capabilities::QUERY_ATTRIBUTES)
    );
    let attribute = ("traceparent", (0xfe, 0, Some(&b"\x02ab"[..])));
    for attributes in [&[][..], &[attribute]] {
        let payload = query(client.capabilities(), b"SELECT 'x'", attributes);
        client
            .send_command(Command::QUERY, &payload[1..])
            .expect("it is sent");
        client.read_results().expect("a row");
    }
    settle(&mut client);
    assert_eq!(digests(&proxy, ""), [row("SELECT ?", "app@", [2, 0, 2])]);
}

/// With another meaning of backslashes what stands behind them is another text: no literal may be shown for it.
#[test]
fn the_sessions_sql_mode_counts() {
    let server = MariaDb::start(&[]);
    let proxy = start(&server, &[]);
    let mut client = connect(&proxy);
    client
        .query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
        .expect("it is set");
    let result = client.query(r"SELECT 'a\', 'secret'").expect("a row");
    assert_eq!(result.columns.len(), 2);
    assert!(client_status(&mut client).contains(StatusFlags::NO_BACKSLASH_ESCAPES));
    settle(&mut client);
    assert_eq!(
        digests(&proxy, "LIKE 'SELECT%'"),
        [row("SELECT ?, ?", "app@", [1, 0, 1])]
    );
}

fn client_status(client: &mut Client) -> StatusFlags {
    client.send_command(Command::PING, &[]).expect("it is sent");
    client.read_ok().expect("it is there").status
}

#[test]
fn a_scripts_queries_count_at_their_own_text() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_query(packet)
            local sql = packet:sub(2)
            if sql == 'SELECT 1' then
                proxy.queries:append(1, string.char(proxy.COM_QUERY) .. 'SELECT 2 + 2', { resultset_is_needed = true })
                proxy.queries:append(2, string.char(proxy.COM_QUERY) .. 'SELECT NOW()')
                return proxy.PROXY_SEND_QUERY
            elseif sql == 'SELECT 5' then
                proxy.response = { type = proxy.MYSQLD_PACKET_OK }
                return proxy.PROXY_SEND_RESULT
            end
        end
        function read_query_result(inj)
            if inj.id == 1 then return proxy.PROXY_IGNORE_RESULT end
        end",
    );
    let proxy = script.proxy(&[&server], &ADMIN);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    client.query("SELECT 5").expect("the script's answer");
    client.query("SELECT 'it passes'").expect("a row");
    settle(&mut client);
    assert_eq!(
        digests(&proxy, "ORDER BY statement"),
        [
            row("SELECT ?", "app@", [1, 0, 1]),
            row("SELECT ? + ?", "app@", [1, 0, 1]),
            row("SELECT NOW()", "app@", [1, 0, 1]),
        ]
    );
}

#[test]
fn memory_is_bounded_and_nothing_is_lost() {
    let server = MariaDb::start(&[]);
    let proxy = start(&server, &["--digest-limit=20000", "--event-threads=1"]);
    let mut client = connect(&proxy);
    for number in 0..300 {
        client
            .query(&format!("SELECT 1 AS column_{number}"))
            .expect("a row");
    }
    settle(&mut client);
    let found = digests(&proxy, "");
    assert!(found.len() < 100, "{}", found.len());
    let count: u64 = found.iter().map(|row| row.counts[0]).sum();
    assert_eq!(count, 300);
    let has = |text: &str| found.iter().any(|row| row.statement.starts_with(text));
    assert!(has("(others: "), "{found:?}");
    assert!(has("SELECT ? AS column_299"), "{found:?}");
    let log = proxy.log().join("\n");
    assert!(!log.contains("column_"), "{log}");
    let off = start(&server, &["--digest-limit=0"]);
    connect(&off).query("SELECT 1").expect("a row");
    let error = operator(&off)
        .query("SHOW DIGESTS")
        .expect_err("they are off");
    assert!(error.to_string().contains("--digest-limit"), "{error}");
    off.wait_for_log("proxy listening", DEADLINE);
}
