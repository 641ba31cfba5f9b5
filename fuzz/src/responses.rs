//! A server's generic responses, column definitions, rows and values: what is read and written again reads the same.

use std::str::FromStr;

use protocol::response::{EofPacket, ErrPacket, OkPacket, SessionStateChange};
use protocol::resultset::{
    BinaryRow, ColumnCount, ColumnDefinition41, ColumnType, DateTime, TextRow, Time, Value,
};
use protocol::{Capabilities, StatusFlags};

use crate::input::Input;
use crate::memory::bounded;

/// Input: capabilities, the number of columns, a type for each, a payload.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let capabilities = input.capabilities();
    let columns = usize::from(input.byte());
    let types = input.bytes(columns);
    let payload = input.rest();
    generic(payload, capabilities);
    definitions(payload, capabilities);
    session_state(payload);
    if let Ok(changes) = OkPacket::decode_session_state(payload) {
        session_state(changes);
    }
    text_row(payload, columns);
    binary_row(payload, types);
    if let Ok(text) = str::from_utf8(payload) {
        temporal::<DateTime>(text);
        temporal::<Time>(text);
    }
}

fn generic(payload: &[u8], capabilities: Capabilities) {
    let mut again = Vec::new();
    if let Ok(ok) = bounded(payload, || OkPacket::decode(payload)) {
        let head = OkPacket::decode_head(payload).expect("the whole was read");
        assert_eq!(
            (head.affected_rows, head.last_insert_id),
            (ok.affected_rows, ok.last_insert_id)
        );
        assert_eq!((head.status, head.warnings), (ok.status, ok.warnings));
        let untracked = capabilities - Capabilities::SESSION_TRACK;
        ok.encode(payload[0], untracked, &mut again);
        let status = ok.status - StatusFlags::SESSION_STATE_CHANGED;
        assert_eq!(OkPacket::decode(&again), Ok(OkPacket { status, ..ok }));
    }
    if let Ok(eof) = EofPacket::decode(payload) {
        again.clear();
        eof.encode(&mut again);
        assert_eq!(again, payload);
    }
    if let Ok(error) = bounded(payload, || ErrPacket::decode(payload)) {
        again.clear();
        error.encode(&mut again);
        assert_eq!(again, payload);
    }
}

fn session_state(bytes: &[u8]) {
    let Ok(changes) = bounded(bytes, || SessionStateChange::decode_all(bytes)) else {
        return;
    };
    let mut again = Vec::new();
    for change in &changes {
        change.encode(&mut again);
    }
    assert_eq!(SessionStateChange::decode_all(&again), Ok(changes));
}

fn definitions(payload: &[u8], capabilities: Capabilities) {
    let mut again = Vec::new();
    if let Ok(count) = ColumnCount::decode(payload, capabilities) {
        assert_eq!(ColumnCount::decode_head(payload, capabilities), Ok(count));
        count.encode(capabilities, &mut again);
        assert_eq!(ColumnCount::decode(&again, capabilities), Ok(count));
    }
    let decode = |payload: &[u8]| ColumnDefinition41::decode_negotiated(payload, capabilities);
    if let Ok(definition) = bounded(payload, || decode(payload)) {
        again.clear();
        definition.encode_negotiated(capabilities, &mut again);
        assert_eq!(decode(&again), Ok(definition));
    }
}

fn text_row(payload: &[u8], columns: usize) {
    let Ok(row) = bounded(payload, || TextRow::decode(payload, columns)) else {
        return;
    };
    assert_eq!(row.len(), columns);
    let mut again = Vec::new();
    TextRow::encode(row.iter().copied(), &mut again);
    assert_eq!(TextRow::decode(&again, columns), Ok(row));
}

fn binary_row(payload: &[u8], types: &[u8]) {
    // Bits that a type's byte does not need say whether it is unsigned.
    let columns: Vec<_> = types
        .iter()
        .map(|&byte| (ColumnType(byte), byte % 2 == 0))
        .collect();
    let with_types = payload.len() + types.len();
    let Ok(row) = bounded(&vec![0; with_types], || {
        BinaryRow::decode(payload, &columns)
    }) else {
        return;
    };
    let typed: Vec<_> = columns
        .iter()
        .zip(&row)
        .map(|((column_type, _), value)| (*column_type, *value))
        .collect();
    let mut again = Vec::new();
    BinaryRow::encode(&typed, &mut again).expect("each value is of its column's type");
    let reread = BinaryRow::decode(&again, &columns).expect("it was just written");
    // Floats that are no numbers are not equal to themselves.
    assert!(
        row.iter()
            .zip(&reread)
            .all(|(before, after)| before == after || is_nan(before))
    );
    for value in &row {
        match value {
            Value::DateTime(value) => drop(value.to_string()),
            Value::Time(value) => drop(value.to_string()),
            _ => {}
        }
    }
}

fn is_nan(value: &Value<'_>) -> bool {
    match value {
        Value::Float(float) => float.is_nan(),
        Value::Double(double) => double.is_nan(),
        _ => false,
    }
}

/// What is read of a text and written reads the same.
fn temporal<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert!(
            value
                .to_string()
                .parse()
                .is_ok_and(|again: T| again == value)
        );
    }
}
