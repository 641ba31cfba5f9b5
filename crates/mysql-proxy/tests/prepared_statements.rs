//! Prepared statements: the server's answers are the same through the proxy, packet by packet, under every
//! combination of capabilities that changes them.

mod dialogue;
mod scripted;
mod statement_commands;

use dialogue::{Dialogue, Routes};
use protocol::{Capabilities, Command};
use statement_commands::{Execution, Parameter, TYPES, long_data_of, on_statement};
use testkit::{Login, MariaDb, Mysql97, Server};

/// What both servers understand.
const OBJECTS: [&str; 3] = [
    "CREATE TABLE test.numbers (n INT PRIMARY KEY, c VARCHAR(10))",
    "INSERT INTO test.numbers VALUES (1, 'one'), (2, NULL), (3, ''), (4, 'four'), (5, 'five')",
    "CREATE PROCEDURE test.outs(IN i INT, OUT o BIGINT, INOUT io VARCHAR(20)) BEGIN \
     SELECT i; SELECT * FROM test.numbers; SET o = i + 1, io = CONCAT(io, '!'); END",
];

const TINY: u8 = 0x01;
const SHORT: u8 = 0x02;
const LONG: u8 = 0x03;
const FLOAT: u8 = 0x04;
const DOUBLE: u8 = 0x05;
const NULL: u8 = 0x06;
const TIMESTAMP: u8 = 0x07;
const LONGLONG: u8 = 0x08;
const DATE: u8 = 0x0a;
const TIME: u8 = 0x0b;
const DATETIME: u8 = 0x0c;
const VARCHAR: u8 = 0x0f;
const NEWDECIMAL: u8 = 0xf6;
const TINY_BLOB: u8 = 0xf9;
const LONG_BLOB: u8 = 0xfb;
const BLOB: u8 = 0xfc;
const VAR_STRING: u8 = 0xfd;
const STRING: u8 = 0xfe;
const UNSIGNED: u8 = 0x80;

const NO_CURSOR: u8 = 0;
const READ_ONLY: u8 = 1;
/// The number that a connection's first statement gets.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

const ONE: Parameter<'static> = (LONG, 0, Some(b"\x01\0\0\0"));

const TEXT: Parameter<'static> = (BLOB, 0, Some(b"\x05short"));

/// One of each layout.
const PARAMETERS: [Parameter<'static>; 24] = [
    (TINY, 0, Some(b"\x80")),
    (TINY, UNSIGNED, Some(b"\xff")),
    (SHORT, 0, Some(b"\0\x80")),
    (SHORT, UNSIGNED, Some(b"\xff\xff")),
    (LONG, 0, Some(b"\0\0\0\x80")),
    (LONG, UNSIGNED, Some(b"\xff\xff\xff\xff")),
    (LONGLONG, 0, Some(b"\0\0\0\0\0\0\0\x80")),
    (
        LONGLONG,
        UNSIGNED,
        Some(b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    ),
    (FLOAT, 0, Some(b"\0\0\xc0\x3f")),
    (DOUBLE, 0, Some(b"\0\0\0\0\0\0\x02\xc0")),
    (NULL, 0, None),
    (NEWDECIMAL, 0, Some(b"\x06-12.34")),
    (DATE, 0, Some(b"\x04\xe8\x07\x02\x1d")),
    (TIME, 0, Some(b"\0")),
    (TIME, 0, Some(b"\x08\x01\x02\0\0\0\x03\x04\x05")),
    (TIME, 0, Some(b"\x0c\0\x01\0\0\0\x17\x3b\x3b\x3f\x42\x0f\0")),
    (DATETIME, 0, Some(b"\x07\xe8\x07\x02\x1d\x17\x3b\x3b")),
    (
        TIMESTAMP,
        0,
        Some(b"\x0b\xe8\x07\x02\x1d\x17\x3b\x3b\x3f\x42\x0f\0"),
    ),
    (VARCHAR, 0, Some(b"\x03abc")),
    (VAR_STRING, 0, Some(b"\0")),
    (STRING, 0, None),
    (TINY_BLOB, 0, Some(b"\x02\xfe\xff")),
    (BLOB, 0, Some(b"\x01\0")),
    (LONG_BLOB, 0, Some(b"\xfc\x03\0\xfb\xfb\xfb")),
];

/// Flags that change how a server answers, alone and together.
fn logins() -> Vec<Login> {
    let login = Login::new("app", "app").database("test");
    let mariadb = Capabilities::MARIADB_EXTENDED - Capabilities::MARIADB_PROGRESS;
    vec![
        login.clone().with(Capabilities::SESSION_TRACK),
        login
            .clone()
            .with(Capabilities::QUERY_ATTRIBUTES)
            .without(Capabilities::DEPRECATE_EOF),
        login
            .clone()
            .with(Capabilities::OPTIONAL_RESULTSET_METADATA),
        login
            .clone()
            .with(Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::QUERY_ATTRIBUTES)
            .without(Capabilities::DEPRECATE_EOF | Capabilities::PS_MULTI_RESULTS),
        login
            .clone()
            .with(mariadb)
            .without(Capabilities::LONG_PASSWORD),
        login
            .with(mariadb | Capabilities::SESSION_TRACK)
            .without(Capabilities::LONG_PASSWORD | Capabilities::DEPRECATE_EOF),
    ]
}

#[test]
fn mariadb_says_the_same() {
    // Without cached threads every connection counts its statements from 1.
    compare(MariaDb::start(&["--thread-cache-size=0"]), mariadbs_own);
}

#[test]
fn mysql97_says_the_same() {
    if let Some(server) = Mysql97::start(&[]) {
        compare(server, left_out_metadata);
    }
}

fn compare(server: Server, its_own: fn(Said) -> Said) {
    for sql in OBJECTS.into_iter().chain(TYPES) {
        server.query(sql);
    }
    let routes = Routes::to(server);
    for login in logins() {
        let capabilities = routes.capabilities(&login);
        let dialogue = |name, say: fn(Said) -> Said| {
            let nothing = Dialogue::new(name, capabilities);
            say(Said(nothing, capabilities)).0
        };
        routes.compare(
            &login,
            &[
                dialogue("definitions", definitions),
                dialogue("parameters", parameters),
                dialogue("rows of every type", rows_of_every_type),
                dialogue("long data", long_data),
                dialogue("cursors", cursors),
                dialogue("out parameters", out_parameters),
                dialogue("closed statements", closed_statements),
                dialogue("the server's own", its_own),
            ],
        );
    }
}

/// What was said so far, and the capabilities under which.
struct Said(Dialogue, Capabilities);

impl Said {
    fn query(self, sql: &str) -> Self {
        Self(self.0.queries(&[sql]), self.1)
    }

    fn prepare(self, sql: &str) -> Self {
        Self(
            self.0.command(Command::STMT_PREPARE, sql.as_bytes()),
            self.1,
        )
    }

    fn execute(self, statement_id: u32, cursor: u8, parameters: &[Parameter<'_>]) -> Self {
        let payload = execute(self.1, statement_id, cursor, parameters);
        self.step(vec![payload])
    }

    /// The statement's number and, for COM_STMT_FETCH, how many rows.
    fn on_statement(self, command: Command, statement_id: u32, rows: Option<u32>) -> Self {
        self.step(vec![on_statement(command, statement_id, rows)])
    }

    fn step(self, payloads: Vec<Vec<u8>>) -> Self {
        Self(self.0.step(payloads), self.1)
    }
}

fn execute(
    capabilities: Capabilities,
    statement_id: u32,
    flags: u8,
    parameters: &[Parameter<'_>],
) -> Vec<u8> {
    let execution = Execution {
        statement_id,
        flags,
        parameters,
        ..Execution::default()
    };
    execution.payload(capabilities)
}

fn definitions(said: Said) -> Said {
    said.prepare("DO 1")
        .prepare("SELECT 1, 2")
        .prepare("DO ?")
        .prepare("SELECT n, c, ? FROM numbers WHERE n > ?")
        .prepare("SELECT * FROM types")
        .prepare("SELECT * FROM no_such_table")
        .prepare("SELEKT")
        .prepare("SELECT 1; SELECT 2")
        .prepare("SET GLOBAL sql_select_limit = 1")
        .prepare("")
        .execute(77, NO_CURSOR, &[])
}

fn parameters(said: Said) -> Said {
    let marks = vec!["?"; PARAMETERS.len()].join(", ");
    let said = said
        .prepare(&format!("SELECT {marks}"))
        .execute(FIRST, NO_CURSOR, &PARAMETERS)
        .prepare("UPDATE numbers SET c = 'never' WHERE n = ? AND c = ?")
        .execute(SECOND, NO_CURSOR, &[ONE, (STRING, 0, Some(b"\x05other"))])
        .execute(SECOND, NO_CURSOR, &[ONE, (NULL, 0, None)])
        .execute(SECOND, NO_CURSOR, &[]);
    PARAMETERS
        .iter()
        .enumerate()
        .fold(said, |said, (n, parameter)| {
            // Each statement has its own number, counted from 1.
            said.prepare("SELECT ?")
                .execute(3 + n as u32, NO_CURSOR, &[*parameter])
        })
}

fn rows_of_every_type(said: Said) -> Said {
    said.prepare("SELECT * FROM types")
        .execute(FIRST, NO_CURSOR, &[])
        .execute(FIRST, NO_CURSOR, &[])
        .execute(FIRST, READ_ONLY, &[])
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
}

fn long_data(said: Said) -> Said {
    let capabilities = said.1;
    let many = execute(capabilities, FIRST, NO_CURSOR, &[(BLOB, 0, Some(b"")), ONE]);
    said.prepare("SELECT LENGTH(?), ?")
        .step(vec![
            long_data_of(FIRST, 0, b"one"),
            long_data_of(FIRST, 0, &[b'x'; 70_000]),
            long_data_of(FIRST, 0, b""),
            many.clone(),
        ])
        .step(vec![long_data_of(FIRST, 0, b"kept for the next one")])
        .step(vec![many])
        .step(vec![
            long_data_of(FIRST, 0, b"dropped"),
            on_statement(Command::STMT_RESET, FIRST, None),
        ])
        .execute(FIRST, NO_CURSOR, &[TEXT, ONE])
        .step(vec![long_data_of(99, 0, b"for nobody")])
        .step(vec![
            long_data_of(FIRST, 9, b"for no parameter"),
            execute(capabilities, FIRST, NO_CURSOR, &[TEXT, ONE]),
        ])
}

fn cursors(said: Said) -> Said {
    said.prepare("SELECT n, c FROM numbers WHERE n >= ? ORDER BY n")
        .execute(FIRST, READ_ONLY, &[ONE])
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .query("SELECT 'between'")
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .execute(FIRST, READ_ONLY, &[ONE])
        .on_statement(Command::STMT_FETCH, FIRST, Some(0))
        .on_statement(Command::STMT_FETCH, FIRST, Some(1000))
        .execute(FIRST, READ_ONLY, &[ONE])
        .on_statement(Command::STMT_RESET, FIRST, None)
        .on_statement(Command::STMT_FETCH, FIRST, Some(1))
        .on_statement(Command::STMT_FETCH, 77, Some(1))
        .prepare("SELECT n FROM numbers WHERE n < 0")
        .execute(SECOND, READ_ONLY, &[])
        .on_statement(Command::STMT_FETCH, SECOND, Some(1))
        .prepare("DO 1")
        .execute(3, READ_ONLY, &[])
        .on_statement(Command::STMT_FETCH, 3, Some(1))
        .on_statement(Command::STMT_RESET, 77, None)
}

fn out_parameters(said: Said) -> Said {
    let call = [ONE, ONE, (STRING, 0, Some(b"\x05inout".as_slice()))];
    said.prepare("CALL outs(?, ?, ?)")
        .execute(FIRST, NO_CURSOR, &call)
        .execute(FIRST, READ_ONLY, &call)
        .query("SELECT 'behind'")
}

fn closed_statements(said: Said) -> Said {
    let close = |id| on_statement(Command::STMT_CLOSE, id, None);
    let prepare = [&[Command::STMT_PREPARE.0], b"SELECT 2".as_slice()].concat();
    said.prepare("SELECT 1")
        .step(vec![close(FIRST), prepare])
        .execute(FIRST, NO_CURSOR, &[])
        .execute(SECOND, NO_CURSOR, &[])
        .step(vec![close(SECOND)])
        .execute(SECOND, NO_CURSOR, &[])
        .step(vec![close(77), vec![Command::PING.0]])
        .prepare("SELECT 3")
        .step(vec![vec![Command::RESET_CONNECTION.0]])
        .execute(3, NO_CURSOR, &[])
}

/// MariaDB: many rows of parameters in one command, and the number that stands for the statement prepared last.
fn mariadbs_own(said: Said) -> Said {
    let mut bulk = on_statement(Command::STMT_BULK_EXECUTE, FIRST, None);
    // Types are sent.
    bulk.extend_from_slice(&128_u16.to_le_bytes());
    bulk.extend_from_slice(&[LONG, 0, STRING, 0]);
    bulk.extend_from_slice(b"\0\x01\0\0\0\0\x03one");
    bulk.extend_from_slice(b"\0\x02\0\0\0\x01");
    let rows = bulk.len();
    bulk.extend_from_slice(b"\0\x01\0\0\0\0\x09duplicate");
    said.query("CREATE TEMPORARY TABLE t (n INT PRIMARY KEY, c VARCHAR(20))")
        .prepare("INSERT INTO t VALUES (?, ?)")
        .step(vec![bulk[..rows].to_vec()])
        .step(vec![bulk])
        .step(vec![on_statement(Command::STMT_BULK_EXECUTE, 77, None)])
        .query("SELECT * FROM t ORDER BY n")
        .prepare("SELECT 7")
        .execute(u32::MAX, NO_CURSOR, &[])
        .prepare("SELEKT")
        .execute(u32::MAX, NO_CURSOR, &[])
}

/// MySQL: only where the session speaks it; elsewhere the variable cannot be set.
fn left_out_metadata(said: Said) -> Said {
    said.prepare("SELECT n, c FROM numbers WHERE n >= ?")
        .prepare("CALL outs(1, ?, ?)")
        .query("SET resultset_metadata = NONE")
        .execute(FIRST, NO_CURSOR, &[ONE])
        .execute(FIRST, READ_ONLY, &[ONE])
        .on_statement(Command::STMT_FETCH, FIRST, Some(2))
        .on_statement(Command::STMT_FETCH, FIRST, Some(9))
        .execute(SECOND, NO_CURSOR, &[ONE, (STRING, 0, Some(b"\x02io"))])
        .prepare("SELECT ?, ?, 5")
        .prepare("DO ?")
        .prepare("SELECT 1")
        .prepare("DO 1")
        .query("SET resultset_metadata = FULL")
        .execute(FIRST, NO_CURSOR, &[ONE])
}
