//! `cargo bench -p script`: what a hook costs, in nanoseconds of CPU time: the best of several rounds.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::packet::put_payload;
use protocol::resultset::{ColumnCount, ColumnDefinition41, ColumnFlags, ColumnType, TextRow};
use protocol::{Capabilities, StatusFlags};
use script::{Buffered, Connection, Hook, Injection, InjectionResult, Options, State, Statistics};

const ROUNDS: usize = 15;
const CALLS: u32 = 5_000;
const COLUMNS: usize = 4;
const QUERY: &[u8] = b"\x03SELECT c FROM sbtest1 WHERE id=12345";

fn main() {
    println!("ns of CPU time for each call, best of {ROUNDS} rounds of {CALLS}");
    hook("no such hook", "", |state, connection, _| {
        state.call(connection, Hook::ReadQuery(QUERY));
    });
    hook(
        "read_query, empty",
        "function read_query(packet) end",
        |state, connection, _| {
            state.call(connection, Hook::ReadQuery(QUERY));
        },
    );
    hook(
        "read_query, append",
        "function read_query(packet) proxy.queries:append(1, packet) return proxy.PROXY_SEND_QUERY end",
        |state, connection, _| {
            state.call(connection, Hook::ReadQuery(QUERY));
        },
    );
    hook(
        "read_query, answer of one row",
        "function read_query(packet)
            proxy.response.type = proxy.MYSQLD_PACKET_OK
            proxy.response.resultset = { fields = { { name = 'a' } }, rows = { { 'b' } } }
            return proxy.PROXY_SEND_RESULT
         end",
        |state, connection, _| {
            state.call(connection, Hook::ReadQuery(QUERY));
        },
    );
    hook(
        "read_query_result, empty",
        "function read_query_result(inj) end",
        |state, connection, _| {
            state.call(connection, Hook::ReadQueryResult(Box::new(result(None))));
        },
    );
    hook(
        "read_query_result, query_time and row_count",
        "function read_query_result(inj) local t, n = inj.query_time, inj.resultset.row_count end",
        |state, connection, _| {
            state.call(connection, Hook::ReadQueryResult(Box::new(result(None))));
        },
    );
    for rows in [1, 100] {
        let buffered = Arc::new(buffered(rows));
        hook(
            &format!("read_query_result, all of {rows} rows of {COLUMNS} columns"),
            "function read_query_result(inj) for row in inj.resultset.rows do local cell = row[1] end end",
            |state, connection, _| {
                let result = result(Some(Arc::clone(&buffered)));
                state.call(connection, Hook::ReadQueryResult(Box::new(result)));
            },
        );
    }
    hook("a connection's environment", "function read_query() end", {
        let mut id = 1;
        move |state, _, script| {
            id += 1;
            let mut connection = Box::new(Connection {
                id,
                ..Connection::default()
            });
            let _ = state.open(script, &mut connection);
            state.close(id);
        }
    });
}

fn hook(what: &str, source: &str, mut call: impl FnMut(&mut State, &mut Box<Connection>, &Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("script.lua");
    std::fs::write(&script, source).expect("the directory is ours");
    // Not so young that each look at the file reads it.
    let old = std::time::SystemTime::now() - Duration::from_secs(10);
    let file = std::fs::File::open(&script).expect("it was just written");
    file.set_modified(old).expect("the file is ours");
    let mut state = State::new(Options::new()).expect("a state");
    let mut connection = Box::new(Connection {
        id: 1,
        ..Connection::default()
    });
    state
        .open(&script, &mut connection)
        .expect("the script is right");
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call(&mut state, &mut connection, &script));
            start.elapsed() / CALLS
        })
        .min();
    println!("{:>8}  {what}", best.unwrap_or_default().as_nanos());
}

fn result(buffered: Option<Arc<Buffered>>) -> InjectionResult {
    InjectionResult {
        injection: Injection {
            id: 1,
            packet: QUERY.to_vec(),
            attributes: None,
            resultset_is_needed: buffered.is_some(),
            queued_at: Instant::now(),
        },
        query_time: Duration::from_micros(100),
        response_time: Duration::from_micros(100),
        session_state: Vec::new(),
        statistics: Statistics {
            status: StatusFlags::AUTOCOMMIT,
            query_status: Some(0),
            ..Statistics::default()
        },
        buffered,
    }
}

fn buffered(rows: usize) -> Buffered {
    let capabilities = Capabilities::PROTOCOL_41 | Capabilities::DEPRECATE_EOF;
    let mut payloads = vec![Vec::new()];
    ColumnCount::new(COLUMNS).encode(capabilities, &mut payloads[0]);
    let definition = ColumnDefinition41 {
        schema: b"shop".to_vec(),
        table: b"films".to_vec(),
        org_table: b"films".to_vec(),
        name: b"title".to_vec(),
        org_name: b"title".to_vec(),
        character_set: 45,
        column_length: 400,
        column_type: ColumnType::VAR_STRING,
        flags: ColumnFlags::NOT_NULL,
        decimals: 0,
    };
    for _ in 0..COLUMNS {
        let mut payload = Vec::new();
        definition.encode_negotiated(capabilities, &mut payload);
        payloads.push(payload);
    }
    for row in 0..rows {
        let cells: Vec<_> = (0..COLUMNS)
            .map(|column| format!("{row} {column}"))
            .collect();
        let mut payload = Vec::new();
        TextRow::encode(cells.iter().map(|cell| Some(cell.as_bytes())), &mut payload);
        payloads.push(payload);
    }
    payloads.push(b"\xfe\x00\x00\x02\x00\x00\x00".to_vec());
    let mut packets = Vec::new();
    let mut next = 1;
    for payload in &payloads {
        next = put_payload(&mut packets, next, payload);
    }
    Buffered {
        packets,
        capabilities,
        is_binary: false,
    }
}
