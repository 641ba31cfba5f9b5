//! What a client can say apart from prepared statements and logins: the server's answers are the same through the
//! proxy, packet by packet, under every combination of capabilities that changes them.

mod dialogue;
mod scripted;

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use dialogue::{Dialogue, Routes};
use protocol::{Capabilities, Command, packet::put_payload};
use testkit::{Client, Login, MariaDb, Mysql97, ProxyProcess, Server, wait};

const DEADLINE: Duration = Duration::from_secs(20);
const NET_READ_ERROR: &[u8] = b"\xff\x86\x04";
const SENT: &str = "the connection is open";

/// What both servers understand.
const OBJECTS: [&str; 8] = [
    "CREATE TABLE test.numbers (n INT PRIMARY KEY)",
    "INSERT INTO test.numbers VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    "INSERT INTO test.numbers SELECT a.n + 10 * b.n FROM test.numbers a JOIN test.numbers b WHERE b.n > 0",
    "CREATE PROCEDURE test.results(n INT) BEGIN \
     SELECT n, 'first'; SELECT * FROM test.numbers WHERE n < 0; SELECT n + 1 AS `last`; END",
    "CREATE PROCEDURE test.breaks() BEGIN SELECT 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken'; SELECT 2; END",
    "CREATE PROCEDURE test.nothing() BEGIN DO 1; END",
    "CREATE PROCEDURE test.outs(IN i INT, OUT o INT, INOUT io VARCHAR(20)) BEGIN \
     SELECT i; SET o = i + 1, io = CONCAT(io, '!'); END",
    "CREATE TABLE test.columns (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, a VARCHAR(10) NOT NULL DEFAULT 'x', b BLOB)",
];

/// Flags that change how a server answers, alone and together.
fn logins() -> Vec<Login> {
    let login = Login::new("adm", "adm").database("test");
    let mariadb = Capabilities::MARIADB_EXTENDED - Capabilities::MARIADB_PROGRESS;
    vec![
        login.clone(),
        login.clone().without(Capabilities::DEPRECATE_EOF),
        login
            .clone()
            .with(Capabilities::SESSION_TRACK | Capabilities::QUERY_ATTRIBUTES),
        login
            .clone()
            .with(Capabilities::OPTIONAL_RESULTSET_METADATA),
        login
            .clone()
            .with(Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::SESSION_TRACK)
            .without(Capabilities::DEPRECATE_EOF),
        login
            .clone()
            .with(mariadb)
            .without(Capabilities::LONG_PASSWORD),
        login
            .with(mariadb | Capabilities::SESSION_TRACK | Capabilities::FOUND_ROWS)
            .without(Capabilities::LONG_PASSWORD | Capabilities::DEPRECATE_EOF),
    ]
}

#[test]
fn mariadb_says_the_same() {
    compare(MariaDb::start(&["--log-bin"]));
}

#[test]
fn mysql97_says_the_same() {
    if let Some(server) = Mysql97::start(&[]) {
        compare(server);
    }
}

#[test]
fn mariadb_ends_sessions_in_the_same_words() {
    compare_ends(&MariaDb::start(&[]));
}

#[test]
fn mysql97_ends_sessions_in_the_same_words() {
    if let Some(server) = Mysql97::start(&[]) {
        compare_ends(&server);
    }
}

/// Brings about a session's end; what the client hears.
type End = fn(&Server, Client) -> String;

fn compare_ends(server: &Server) {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    let proxy = ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &[&backend]);
    let ends: [(&str, End); 7] = [
        ("a killed query", |server, mut client| {
            kill_while_busy(server, &mut client, "KILL QUERY");
            let killed = format!("{:?}", client.read_results());
            killed + &half_close(client, &["SELECT 'goes on'"])
        }),
        ("a session killed while idle", |server, mut client| {
            server.query(&format!("KILL {}", connection_id(&mut client)));
            last_words(client)
        }),
        ("a session that was idle for too long", |_, mut client| {
            client.query("SET wait_timeout = 1").expect("it is a SET");
            last_words(client)
        }),
        ("a half-closed connection", |_, client| {
            half_close(client, &["SELECT SLEEP(0.1), 'late'"])
        }),
        ("half-closed behind commands", |_, client| {
            half_close(
                client,
                &["SELECT SLEEP(0.1)", "SELEKT", "SELECT 2; SELECT 3"],
            )
        }),
        ("a list of processes, then the end", |_, mut client| {
            client.send_command(Command::PROCESS_INFO, &[]).expect(SENT);
            // Only the rows differ from one moment to the next.
            let columns = client
                .read_results()
                .map(|results| results[0].columns.clone());
            format!("{columns:?}") + &half_close(client, &["SELECT 'goes on'"])
        }),
        ("half-closed in silence", |_, client| {
            half_close(client, &[])
        }),
    ];
    for (name, end) in ends {
        let words = |address| end(server, connect(address));
        assert_eq!(words(server.address()), words(proxy.address()), "{name}");
    }
    // Here the proxy has a word of its own: the server closes without one.
    let mut client = connect(proxy.address());
    kill_while_busy(server, &mut client, "KILL CONNECTION");
    let words = last_words(client);
    let lost = format!("lost connection to backend {}", server.address());
    assert!(words.contains(&lost), "{words}");
}

/// Kills what a session does, from another session. The response is not read yet.
fn kill_while_busy(server: &Server, client: &mut Client, kill: &str) {
    let id = connection_id(client);
    client.send_query("SELECT SLEEP(3600)").expect(SENT);
    wait::until("the query runs", DEADLINE, || {
        let running = format!(
            "SELECT 1 FROM information_schema.processlist WHERE id = {id} AND info LIKE '%SLEEP%'"
        );
        !server.query(&running).is_empty()
    });
    server.query(&format!("{kill} {id}"));
}

/// Says all this at once and nothing more; the answers.
fn half_close(mut client: Client, queries: &[&str]) -> String {
    let mut bytes = Vec::new();
    for sql in queries {
        put_payload(
            &mut bytes,
            0,
            &[&[Command::QUERY.0], sql.as_bytes()].concat(),
        );
    }
    client.connection().send_bytes(&bytes).expect(SENT);
    client.connection().shutdown_write().expect(SENT);
    last_words(client)
}

/// Packets up to the end. MariaDB ends some sessions with a reset; MySQL complains of an end without COM_QUIT, which
/// the proxy has no need to wait for.
fn last_words(mut client: Client) -> String {
    let mut words = String::new();
    loop {
        match client.connection().read_packet() {
            Ok((_, payload)) if payload.starts_with(NET_READ_ERROR) => {}
            Ok((_, payload)) => words += &payload.escape_ascii().to_string(),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "behind {words}");
                return words;
            }
        }
    }
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address, "adm", "adm").expect("it lets adm in")
}

fn connection_id(client: &mut Client) -> String {
    let id = client.value("SELECT CONNECTION_ID()");
    id.expect("it has one")
}

fn compare(server: Server) {
    for sql in OBJECTS {
        server.query(sql);
    }
    let routes = Routes::to(server);
    for login in logins() {
        let capabilities = routes.capabilities(&login);
        let dialogue = |name| Dialogue::new(name, capabilities);
        routes.compare(
            &login,
            &[
                queries(dialogue("queries")),
                long_values(dialogue("long values")),
                errors(dialogue("errors")),
                multi_statements(dialogue("several statements")),
                procedures(dialogue("procedures")),
                session_state(dialogue("session state")),
                left_out_metadata(dialogue("left out metadata")),
                simple_commands(dialogue("simple commands")),
                field_lists(dialogue("field lists")),
                refused_commands(dialogue("refused commands")),
                unknown_commands(dialogue("unknown commands")),
            ],
        );
    }
    for stream in [
        Command::TABLE_DUMP,
        Command::CLONE,
        Command::BINLOG_DUMP,
        Command::BINLOG_DUMP_GTID,
    ] {
        let login = Login::new("app", "app");
        let capabilities = routes.capabilities(&login);
        let refused = Dialogue::new("a stream that is refused", capabilities)
            .command(stream, &[0; 20])
            .query("SELECT 1");
        routes.compare(&login, &[refused]);
    }
}

fn queries(dialogue: Dialogue) -> Dialogue {
    let columns: Vec<String> = (0..300).map(|n| format!("{n} AS c{n}")).collect();
    dialogue
        .queries(&[
            "SELECT 1",
            "SELECT NULL, '', 0x00, 0xfe, 0xff, 0xfb",
            "DO 1",
            "SELECT * FROM numbers WHERE n < 0",
            "SELECT * FROM numbers ORDER BY n",
            "SELECT REPEAT('a', 250), REPEAT('b', 251)",
            "CREATE TEMPORARY TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(5))",
            "INSERT INTO t (a) VALUES ('1'), ('2'), ('3')",
            "INSERT IGNORE INTO t (a) VALUES ('too long')",
            "SHOW WARNINGS",
            "UPDATE t SET a = '2'",
            "DELETE FROM t WHERE id = 1",
            "SHOW COLUMNS FROM numbers",
            "SET @a = 1, @b = NULL",
            "SELECT @a, @b",
            "",
            "# only a comment",
        ])
        .query(&format!("SELECT {}", columns.join(", ")))
}

/// Their lengths take more than one byte; the proxy's buffers end somewhere in them.
fn long_values(dialogue: Dialogue) -> Dialogue {
    dialogue.queries(&[
        "SELECT REPEAT('c', 65535), REPEAT('d', 65536)",
        "SELECT REPEAT(0xfe, 100000) UNION ALL SELECT REPEAT(0xff, 70000) UNION ALL SELECT NULL",
        "SELECT a.n, b.n, REPEAT('x', a.n) FROM numbers a JOIN numbers b ORDER BY a.n, b.n",
    ])
}

fn errors(dialogue: Dialogue) -> Dialogue {
    dialogue.queries(&[
        "SELEKT",
        "SELECT * FROM no_such_table",
        "SELECT n, EXP(n * 10) FROM numbers ORDER BY n",
        "INSERT INTO numbers VALUES (1)",
        "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning'",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '#12345 looks like a state', MYSQL_ERRNO = 4321",
        "KILL 4294967295",
        "SELECT 'goes on'",
    ])
}

fn multi_statements(dialogue: Dialogue) -> Dialogue {
    dialogue
        .queries(&[
            "SELECT 1; SELECT 2",
            "DO 1; DO 2; DO 3",
            "SELECT 1; DO 2; SELECT n FROM numbers WHERE n < 3; SET @x = 1; SELECT * FROM numbers WHERE 0",
            "SELECT 1; SELECT * FROM no_such_table; SELECT 2",
            "SELECT 1; SELECT EXP(n * 10) FROM numbers; SELECT 2",
            "DO 1; SELEKT",
            "SELECT 1;",
        ])
        .command(Command::SET_OPTION, &[1, 0])
        .query("SELECT 1; SELECT 2")
        .command(Command::SET_OPTION, &[0, 0])
        .query("SELECT 1; SELECT 2")
        .command(Command::SET_OPTION, &[7, 0])
        .command(Command::SET_OPTION, &[])
}

fn procedures(dialogue: Dialogue) -> Dialogue {
    dialogue.queries(&[
        "CALL results(7)",
        "CALL nothing()",
        "CALL breaks()",
        "CALL results(7); SELECT 'behind'; CALL results(8)",
        "CALL breaks(); SELECT 'never'",
        "SET @io = 'inout'; CALL outs(1, @o, @io); SELECT @o, @io",
        "CALL no_such_procedure()",
    ])
}

fn session_state(dialogue: Dialogue) -> Dialogue {
    dialogue
        .queries(&[
            "SET SESSION session_track_schema = ON",
            "SET SESSION session_track_system_variables = 'autocommit,character_set_client'",
            "SET SESSION session_track_transaction_info = 'CHARACTERISTICS'",
            "SET SESSION session_track_state_change = ON",
            "USE test",
            "SET NAMES latin1",
            "SET autocommit = 0",
            "START TRANSACTION READ ONLY",
            "SELECT COUNT(*) FROM numbers",
            "COMMIT; SET autocommit = 1",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT; CALL results(1); SELECT n FROM numbers LIMIT 2",
            "ROLLBACK",
        ])
        .command(Command::INIT_DB, b"mysql")
        .command(Command::RESET_CONNECTION, &[])
        .query("SELECT DATABASE(), @@autocommit, @@character_set_client")
}

/// Only where the session speaks it; elsewhere the variable changes nothing or is unknown.
fn left_out_metadata(dialogue: Dialogue) -> Dialogue {
    dialogue.queries(&[
        "SET resultset_metadata = NONE",
        "SELECT 1, 2, 3",
        "SELECT n FROM numbers WHERE n < 3",
        "SELECT n FROM numbers WHERE 0",
        "SELECT 1; SELECT * FROM no_such_table",
        "CALL results(1)",
        "SET resultset_metadata = FULL",
        "SELECT 1, 2, 3",
    ])
}

fn simple_commands(dialogue: Dialogue) -> Dialogue {
    dialogue
        .command(Command::PING, &[])
        .command(Command::INIT_DB, b"test")
        .command(Command::INIT_DB, b"no_such_database")
        .command(Command::INIT_DB, b"")
        .command(Command::DEBUG, &[])
        .command(Command::REFRESH, &[1])
        .command(Command::PROCESS_KILL, &[0xff, 0xff, 0xff, 0x7f])
        .query("SET @user_variable = 1")
        .command(Command::RESET_CONNECTION, &[])
        .query("SELECT @user_variable, DATABASE()")
        .command(Command::PING, b"and more bytes")
}

fn field_lists(dialogue: Dialogue) -> Dialogue {
    dialogue
        .command(Command::FIELD_LIST, b"columns\0")
        .command(Command::FIELD_LIST, b"columns\0%a%")
        .command(Command::FIELD_LIST, b"columns\0no such")
        .command(Command::FIELD_LIST, b"no_such_table\0")
        .command(Command::FIELD_LIST, b"")
}

/// Known by name, but no client's business any more, or cut short.
fn refused_commands(dialogue: Dialogue) -> Dialogue {
    [
        Command::SLEEP,
        Command::CREATE_DB,
        Command::DROP_DB,
        Command::CONNECT,
        Command::TIME,
        Command::DELAYED_INSERT,
        Command::CONNECT_OUT,
        Command::DAEMON,
        Command::REGISTER_SLAVE,
        Command::STMT_PREPARE,
        Command::STMT_EXECUTE,
        Command::STMT_RESET,
        Command::STMT_FETCH,
        Command::STMT_BULK_EXECUTE,
        Command::PROCESS_KILL,
    ]
    .into_iter()
    .fold(dialogue, |said, command| said.command(command, &[]))
}

/// An empty packet is one of them.
fn unknown_commands(dialogue: Dialogue) -> Dialogue {
    let said = dialogue.step(vec![Vec::new()]);
    [0x22, 0x26, 0x7f, 0x80, 0xf9, 0xfb, 0xfc, 0xfd, 0xfe, 0xff]
        .into_iter()
        .fold(said, |said, byte| said.command(Command(byte), b"?"))
}
