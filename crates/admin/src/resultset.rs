//! Answers as packets: OK, ERR, and resultsets of text.

use std::borrow::Cow;

use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{
    ColumnCount, ColumnDefinition41, ColumnFlags, ColumnType, TextRow, collation,
};
use protocol::{Capabilities, StatusFlags};

const STATUS: StatusFlags = StatusFlags::AUTOCOMMIT;
/// The longest value that clients make room for when they draw a table.
const COLUMN_LENGTH: u32 = 255;

/// How a column's values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    /// To the microsecond.
    Seconds,
    Text,
}

/// A column: its name, and how its values are to be read.
pub(crate) type Column = (&'static str, Kind);

/// A value; NULL is `None`.
pub(crate) type Value = Option<Cow<'static, str>>;

/// What a statement gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// So many things were changed.
    Ok(u64),
    /// Code, SQLSTATE, and what is wrong.
    Err(u16, [u8; 5], String),
    Rows(&'static [Column], Vec<Vec<Value>>),
}

/// A number, or a text, as a value.
pub(crate) fn value(value: impl ToString) -> Value {
    Some(Cow::Owned(value.to_string()))
}

impl Answer {
    /// The payloads of its packets.
    pub(crate) fn payloads(&self, capabilities: Capabilities) -> Vec<Vec<u8>> {
        match self {
            Self::Ok(affected_rows) => {
                let ok = OkPacket {
                    affected_rows: *affected_rows,
                    status: STATUS,
                    ..OkPacket::default()
                };
                vec![encoded(|out| {
                    ok.encode(OkPacket::HEADER, capabilities, out);
                })]
            }
            Self::Err(code, sql_state, message) => {
                let err = ErrPacket::new(*code, *sql_state, message);
                vec![encoded(|out| err.encode(out))]
            }
            Self::Rows(columns, rows) => {
                let eof = EofPacket {
                    warnings: 0,
                    status: STATUS,
                };
                let eof = encoded(|out| eof.encode(out));
                let count =
                    encoded(|out| ColumnCount::new(columns.len()).encode(capabilities, out));
                let definitions = columns
                    .iter()
                    .map(|column| encoded(|out| definition(*column).encode(out)));
                let rows = rows.iter().map(|row| {
                    let values = row.iter().map(|value| value.as_deref().map(str::as_bytes));
                    encoded(|out| TextRow::encode(values, out))
                });
                let definitions = [count].into_iter().chain(definitions).chain([eof.clone()]);
                definitions.chain(rows).chain([eof]).collect()
            }
        }
    }
}

fn definition((name, kind): Column) -> ColumnDefinition41 {
    let (column_type, character_set, flags) = match kind {
        Kind::Integer => (ColumnType::LONGLONG, collation::BINARY, ColumnFlags::NUM),
        Kind::Seconds => (ColumnType::NEWDECIMAL, collation::BINARY, ColumnFlags::NUM),
        Kind::Text => (
            ColumnType::VAR_STRING,
            collation::UTF8MB4_GENERAL_CI,
            ColumnFlags::empty(),
        ),
    };
    ColumnDefinition41 {
        schema: Vec::new(),
        table: Vec::new(),
        org_table: Vec::new(),
        name: name.into(),
        org_name: Vec::new(),
        character_set,
        column_length: COLUMN_LENGTH,
        column_type,
        flags,
        decimals: if kind == Kind::Seconds { 6 } else { 0 },
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    encode(&mut payload);
    payload
}
