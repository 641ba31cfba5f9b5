//! Prepared statements, by mysql_async and byte by byte.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};
use playground::{PASSWORD, USER};
use protocol::prepared_statement::{ParameterType, StmtPrepareOk};
use protocol::response::EofPacket;
use protocol::resultset::{BinaryRow, ColumnDefinition41, ColumnType, Value as Wire};
use protocol::wire::Writer;
use protocol::{Capabilities, Command, StatusFlags};
use testkit::{Client, ClientError};

use crate::{connect_with, login, server};

/// The two ways of rows' ends.
const EOFS: [Capabilities; 2] = [Capabilities::empty(), Capabilities::DEPRECATE_EOF];

fn prepare(client: &mut Client, sql: &str) -> Result<StmtPrepareOk, ClientError> {
    client.send_command(Command::STMT_PREPARE, sql.as_bytes())?;
    let prepared = StmtPrepareOk::decode(&client.read_payload()?)?;
    for group in [prepared.parameters, prepared.columns] {
        for _ in 0..group {
            ColumnDefinition41::decode(&client.read_payload()?)?;
        }
        if group > 0 {
            read_definitions_end(client);
        }
    }
    Ok(prepared)
}

fn read_definitions_end(client: &mut Client) {
    if !client.capabilities().contains(Capabilities::DEPRECATE_EOF) {
        EofPacket::decode(&client.read_payload().expect("the server goes on as agreed"))
            .expect("the server goes on as agreed");
    }
}

fn send_execute(client: &mut Client, id: u32, cursor: u8, parameters: &[(ColumnType, Wire<'_>)]) {
    let mut arguments = Vec::new();
    let mut writer = Writer::new(&mut arguments);
    writer.u32(id);
    writer.u8(cursor);
    writer.u32(1);
    if !parameters.is_empty() {
        writer.bytes(&vec![0; parameters.len().div_ceil(8)]);
        writer.u8(1);
        for &(column_type, value) in parameters {
            let is_unsigned = matches!(value, Wire::UInt(_));
            let bound = ParameterType {
                column_type,
                is_unsigned,
            };
            bound.encode(&mut writer);
        }
        for (column_type, value) in parameters {
            value
                .encode(*column_type, &mut writer)
                .expect("the server goes on as agreed");
        }
    }
    client
        .send_command(Command::STMT_EXECUTE, &arguments)
        .expect("the server goes on as agreed");
}

/// Column types of a resultset's start.
fn read_columns(client: &mut Client) -> Vec<(ColumnType, bool)> {
    let count = client.read_payload().expect("the server goes on as agreed");
    let columns = (0..count[0])
        .map(|_| {
            let definition = client.read_payload().expect("the server goes on as agreed");
            let definition =
                ColumnDefinition41::decode(&definition).expect("the server goes on as agreed");
            (definition.column_type, false)
        })
        .collect();
    read_definitions_end(client);
    columns
}

/// Rows as text, and the status at their end.
fn read_rows(client: &mut Client, columns: &[(ColumnType, bool)]) -> (Vec<String>, StatusFlags) {
    let mut rows = Vec::new();
    loop {
        let payload = client.read_payload().expect("the server goes on as agreed");
        if payload.first() == Some(&0xfe) {
            return (rows, end_status(client, &payload));
        }
        let values = BinaryRow::decode(&payload, columns).expect("the server goes on as agreed");
        rows.push(format!("{values:?}"));
    }
}

fn end_status(client: &Client, payload: &[u8]) -> StatusFlags {
    match client.capabilities().contains(Capabilities::DEPRECATE_EOF) {
        true => {
            protocol::response::OkPacket::decode_head(payload)
                .expect("the server goes on as agreed")
                .status
        }
        false => {
            EofPacket::decode(payload)
                .expect("the server goes on as agreed")
                .status
        }
    }
}

#[tokio::test]
async fn every_type_of_parameter_comes_back() {
    let server = server();
    let opts = OptsBuilder::default()
        .ip_or_hostname(server.address().ip().to_string())
        .tcp_port(server.address().port())
        .prefer_socket(false)
        .user(Some(USER))
        .pass(Some(PASSWORD));
    let mut connection = Conn::new(opts).await.unwrap();
    connection
        .query_drop(
            "CREATE TABLE t (i BIGINT, d DOUBLE, s VARCHAR(99), b BLOB, day DATE, at DATETIME, t TIME)",
        )
        .await
        .unwrap();
    let blob: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let rows = [
        vec![
            Value::Int(i64::MIN),
            Value::Double(-1.5),
            Value::Bytes("Häxan".into()),
            Value::Bytes(blob),
            Value::Date(2024, 2, 29, 0, 0, 0, 0),
            Value::Date(2024, 2, 29, 23, 59, 58, 123_456),
            Value::Time(true, 1, 2, 3, 4, 5),
        ],
        vec![Value::NULL; 7],
        vec![
            Value::Int(0),
            Value::Double(1e300),
            Value::Bytes(Vec::new()),
            Value::Bytes(vec![0]),
            Value::Date(1999, 12, 31, 0, 0, 0, 0),
            Value::Date(1999, 12, 31, 0, 0, 1, 0),
            Value::Time(false, 0, 0, 0, 0, 1),
        ],
    ];
    for row in &rows {
        connection
            .exec_drop(
                "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)",
                Params::Positional(row.clone()),
            )
            .await
            .unwrap();
    }
    // One row at a time: a column of values alike keeps its declared type.
    for (index, expected) in rows.iter().enumerate() {
        let row: Option<Row> = connection
            .exec_first("SELECT * FROM t LIMIT ?, 1", (index,))
            .await
            .unwrap();
        assert_eq!(&row.unwrap().unwrap(), expected, "row {index}");
    }
    let count: Option<u64> = connection
        .exec_first(
            "SELECT count(*) FROM t WHERE s IS NULL AND ? IS NULL",
            (Value::NULL,),
        )
        .await
        .unwrap();
    assert_eq!(count, Some(1));
}

#[test]
fn integers_of_every_width_and_floats() {
    let server = server();
    for eof in EOFS {
        let mut client = connect_with(&server, &login().without(eof)).unwrap();
        let prepared = prepare(&mut client, "SELECT ?, ?, ?, ?, ?, ?").unwrap();
        assert_eq!((prepared.parameters, prepared.columns), (6, 6));
        let parameters = [
            (ColumnType::TINY, Wire::Int(-128)),
            (ColumnType::SHORT, Wire::UInt(65_535)),
            (ColumnType::LONG, Wire::Int(-1)),
            (ColumnType::LONGLONG, Wire::UInt(u64::MAX)),
            (ColumnType::FLOAT, Wire::Float(0.5)),
            (ColumnType::NULL, Wire::Null),
        ];
        send_execute(&mut client, prepared.statement_id, 0, &parameters);
        let columns = read_columns(&mut client);
        let (rows, _) = read_rows(&mut client, &columns);
        let expected = [
            Wire::Int(-128),
            Wire::Int(65_535),
            Wire::Int(-1),
            Wire::Bytes(b"18446744073709551615"),
            Wire::Double(0.5),
            Wire::Null,
        ];
        assert_eq!(rows, [format!("{expected:?}")]);
    }
}

#[test]
fn long_data_in_pieces() {
    let server = server();
    let mut client = connect_with(&server, &login()).unwrap();
    let prepared = prepare(&mut client, "SELECT length(?), ?").unwrap();
    let id = prepared.statement_id.to_le_bytes();
    for piece in [&[b'x'; 70_000][..], b"yz"] {
        let arguments = [&id[..], &[0, 0], piece].concat();
        client
            .send_command(Command::STMT_SEND_LONG_DATA, &arguments)
            .unwrap();
    }
    let mut arguments = [&id[..], b"\0\x01\0\0\0\0\x01"].concat();
    arguments.extend_from_slice(&[252, 0, 8, 0]);
    arguments.extend_from_slice(&7_u64.to_le_bytes());
    client
        .send_command(Command::STMT_EXECUTE, &arguments)
        .unwrap();
    let columns = read_columns(&mut client);
    let (rows, _) = read_rows(&mut client, &columns);
    assert_eq!(rows, ["[Int(70002), Int(7)]"]);

    // Long data for no parameter has no response of its own.
    client
        .send_command(
            Command::STMT_SEND_LONG_DATA,
            &[&id[..], &[9, 0, 1]].concat(),
        )
        .unwrap();
    client
        .send_command(Command::STMT_EXECUTE, &arguments)
        .unwrap();
    assert_eq!(client.read_payload().unwrap_err().code(), Some(1210));
    client.ping().unwrap();
}

#[test]
fn cursors_give_rows_as_they_are_fetched() {
    let server = server();
    for eof in EOFS {
        let mut client = connect_with(&server, &login().without(eof)).unwrap();
        let prepared = prepare(&mut client, "SELECT id FROM films ORDER BY id").unwrap();
        let id = prepared.statement_id;
        send_execute(&mut client, id, 1, &[]);
        let count = client.read_payload().unwrap();
        assert_eq!(count, [1]);
        let definition = client.read_payload().unwrap();
        let column_type = ColumnDefinition41::decode(&definition).unwrap().column_type;
        let end = client.read_payload().unwrap();
        let status = end_status(&client, &end);
        assert!(status.contains(StatusFlags::CURSOR_EXISTS));
        let mut fetch = |rows: u8| {
            let arguments = [&id.to_le_bytes()[..], &[rows, 0, 0, 0]].concat();
            client
                .send_command(Command::STMT_FETCH, &arguments)
                .unwrap();
            let (rows, status) = read_rows(&mut client, &[(column_type, false)]);
            (rows.len(), status.contains(StatusFlags::LAST_ROW_SENT))
        };
        assert_eq!(fetch(3), (3, false));
        assert_eq!(fetch(3), (2, true));
        let arguments = [&id.to_le_bytes()[..], &[1, 0, 0, 0]].concat();
        client
            .send_command(Command::STMT_FETCH, &arguments)
            .unwrap();
        assert_eq!(client.read_payload().unwrap_err().code(), Some(1421));
    }
}

#[test]
fn statements_of_other_kinds_closed_ones_and_errors() {
    let server = server();
    let mut client = connect_with(&server, &login()).unwrap();
    let shown = prepare(&mut client, "SHOW TABLES").unwrap();
    assert_eq!((shown.parameters, shown.columns), (0, 1));
    send_execute(&mut client, shown.statement_id, 0, &[]);
    let columns = read_columns(&mut client);
    assert_eq!(read_rows(&mut client, &columns).0.len(), 1);
    let begin = prepare(&mut client, "BEGIN").unwrap();
    send_execute(&mut client, begin.statement_id, 0, &[]);
    assert!(
        client
            .read_ok()
            .unwrap()
            .status
            .contains(StatusFlags::IN_TRANS)
    );
    for (sql, code) in [
        ("SELCT ?", 1064),
        ("SELECT 1; SELECT 2", 1064),
        ("SELECT * FROM missing", 1146),
        ("", 1065),
    ] {
        assert_eq!(
            prepare(&mut client, sql).unwrap_err().code(),
            Some(code),
            "{sql}"
        );
    }
    let id = shown.statement_id.to_le_bytes();
    client.send_command(Command::STMT_RESET, &id).unwrap();
    client.read_ok().unwrap();
    client.send_command(Command::STMT_CLOSE, &id).unwrap();
    send_execute(&mut client, shown.statement_id, 0, &[]);
    assert_eq!(client.read_payload().unwrap_err().code(), Some(1243));
}

#[test]
fn a_session_has_a_bound_of_statements() {
    let server = server();
    let mut client = connect_with(&server, &login()).unwrap();
    for _ in 0..playground::limits::PREPARED_STATEMENTS_MAX {
        prepare(&mut client, "SELECT 1").unwrap();
    }
    assert_eq!(
        prepare(&mut client, "SELECT 1").unwrap_err().code(),
        Some(1461)
    );
    client.reset_connection().unwrap();
    prepare(&mut client, "SELECT 1").unwrap();
}
