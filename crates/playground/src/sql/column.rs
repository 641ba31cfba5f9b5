//! Resultsets: from SQLite's values, each of which has a type of its own, to MySQL's columns, which have one for all.
//!
//! A column is what its table declares, where every value fits; else what its values have in common.

use std::borrow::Cow;

use protocol::resultset::{
    BinaryRow, ColumnDefinition41, ColumnFlags, ColumnType, DateTime, TextRow, Time, Value as Wire,
    ValueMismatch, collation,
};
use rusqlite::Statement;
use rusqlite::types::Value;

use super::dialect::column_name;
use super::{Code, SqlError};
use crate::DATABASE;

/// Decimals of a number whose point floats.
const FLOATING_DECIMALS: u8 = 31;
/// Of `YYYY-MM-DD`.
const DATE_BYTES: usize = 10;
/// Bytes of a character.
const CHARACTER_BYTES: u32 = 4;

/// Rows and what they are made of.
#[derive(Debug, Default)]
pub(crate) struct ResultSet {
    pub(crate) columns: Vec<ColumnDefinition41>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl ResultSet {
    /// `statement` gave `rows`, all of its width.
    pub(crate) fn new(statement: &Statement<'_>, rows: Vec<Vec<Value>>) -> Self {
        let columns = (0..statement.column_count()).map(|index| {
            let values = rows.iter().filter_map(|row| row.get(index));
            definition(statement, index, values)
        });
        Self {
            columns: columns.collect(),
            rows,
        }
    }

    /// Appends a row's payload as COM_QUERY has it.
    pub(crate) fn encode_text_row(
        columns: &[ColumnDefinition41],
        row: &[Value],
        out: &mut Vec<u8>,
    ) {
        let texts = texts(columns, row);
        TextRow::encode(texts.iter().map(Option::as_deref), out);
    }

    /// Appends a row's payload as COM_STMT_EXECUTE has it.
    pub(crate) fn encode_binary_row(
        columns: &[ColumnDefinition41],
        row: &[Value],
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        let texts = texts(columns, row);
        let values = row.iter().zip(&texts).zip(columns);
        let row: Vec<_> = values
            .map(|((value, text), column)| {
                let column_type = column.column_type;
                (column_type, wire(column_type, value, text.as_deref()))
            })
            .collect();
        BinaryRow::encode(&row, out)
            .map_err(|error: ValueMismatch| SqlError::new(Code::UNKNOWN_ERROR, error.to_string()))
    }
}

/// A double as text rows have it.
pub(crate) fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-5..1e15).contains(&magnitude) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// `None` is NULL.
fn texts<'a>(columns: &[ColumnDefinition41], row: &'a [Value]) -> Vec<Option<Cow<'a, [u8]>>> {
    let values = row.iter().zip(columns);
    let texts = values.map(|(value, column)| match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string().into_bytes().into()),
        Value::Real(number) => Some(number_text(*number).into_bytes().into()),
        Value::Text(text) => Some(column_text(column.column_type, text)),
        Value::Blob(blob) => Some(Cow::Borrowed(blob.as_slice())),
    });
    texts.collect()
}

/// SQLite keeps dates as they were written: a DATE with a time, a DATETIME without.
fn column_text(column_type: ColumnType, text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    match column_type {
        ColumnType::DATE => Cow::Borrowed(&bytes[..bytes.len().min(DATE_BYTES)]),
        ColumnType::DATETIME | ColumnType::TIMESTAMP if bytes.len() == DATE_BYTES => {
            Cow::Owned([bytes, b" 00:00:00"].concat())
        }
        _ => Cow::Borrowed(bytes),
    }
}

fn wire<'a>(column_type: ColumnType, value: &Value, text: Option<&'a [u8]>) -> Wire<'a> {
    let Some(text) = text else {
        return Wire::Null;
    };
    let parsed = || str::from_utf8(text).unwrap_or_default();
    match (value, column_type) {
        (Value::Integer(number), kind) if integer_range(kind).is_some() => Wire::Int(*number),
        (Value::Integer(number), ColumnType::DOUBLE) => Wire::Double(*number as f64),
        (Value::Real(number), ColumnType::DOUBLE) => Wire::Double(*number),
        (_, ColumnType::DATE | ColumnType::DATETIME | ColumnType::TIMESTAMP) => {
            parsed().parse().map_or(Wire::Bytes(text), Wire::DateTime)
        }
        (_, ColumnType::TIME) => parsed().parse().map_or(Wire::Bytes(text), Wire::Time),
        _ => Wire::Bytes(text),
    }
}

fn definition<'a>(
    statement: &Statement<'_>,
    index: usize,
    values: impl Iterator<Item = &'a Value> + Clone,
) -> ColumnDefinition41 {
    let columns = statement.columns();
    let declared = columns.into_iter().nth(index);
    let declared = declared.as_ref().and_then(|column| column.decl_type());
    let declared = declared.map(Declared::new);
    let kind = match declared {
        Some(declared) if values.clone().all(|value| declared.fits(value)) => declared,
        _ => Declared::common(values),
    };
    let metadata = statement.columns_with_metadata();
    let metadata = metadata.into_iter().nth(index);
    let metadata = metadata.as_ref();
    let bytes = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
    let table = bytes(metadata.and_then(|column| column.table_name()));
    let name = metadata.map(|column| column_name(column.name()));
    let is_text = kind.is_text();
    ColumnDefinition41 {
        schema: bytes((!table.is_empty()).then_some(DATABASE)),
        org_table: table.clone(),
        table,
        name: name.unwrap_or_default().into_bytes(),
        org_name: bytes(metadata.and_then(|column| column.origin_name())),
        character_set: match is_text {
            true => collation::UTF8MB4_GENERAL_CI,
            false => collation::BINARY,
        },
        column_length: kind.length,
        column_type: kind.column_type,
        flags: kind.flags() | table_flags(statement, index),
        decimals: kind.decimals,
    }
}

/// What the table says of the column.
fn table_flags(statement: &Statement<'_>, index: usize) -> ColumnFlags {
    let mut flags = ColumnFlags::empty();
    if let Ok(Some((.., not_null, primary_key, _))) = statement.column_metadata(index) {
        flags.set(ColumnFlags::NOT_NULL, not_null);
        flags.set(ColumnFlags::PRIMARY_KEY, primary_key);
    }
    flags
}

/// A column's type with its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Declared {
    column_type: ColumnType,
    is_unsigned: bool,
    is_binary: bool,
    /// Bytes of the longest value.
    length: u32,
    decimals: u8,
}

impl Declared {
    /// From `VARCHAR(20)` and the like.
    fn new(declaration: &str) -> Self {
        let declaration = declaration.to_ascii_uppercase();
        let (word, sizes) = declaration.split_once('(').unwrap_or((&declaration, ""));
        let mut sizes = sizes.split([',', ')']).map(|size| size.trim().parse().ok());
        let size: Option<u32> = sizes.next().flatten();
        let decimals = sizes.next().flatten().unwrap_or(0).min(30) as u8;
        let (column_type, length) = match word.split_whitespace().next().unwrap_or_default() {
            "TINYINT" | "BOOL" | "BOOLEAN" => (ColumnType::TINY, 4),
            "SMALLINT" => (ColumnType::SHORT, 6),
            "YEAR" => (ColumnType::YEAR, 4),
            "MEDIUMINT" | "INT" | "INTEGER" => (ColumnType::LONG, 11),
            "BIGINT" => (ColumnType::LONGLONG, 20),
            "FLOAT" | "DOUBLE" | "REAL" => (ColumnType::DOUBLE, 22),
            "DECIMAL" | "NUMERIC" => (ColumnType::NEWDECIMAL, size.unwrap_or(10).saturating_add(2)),
            "DATE" => (ColumnType::DATE, 10),
            "DATETIME" => (ColumnType::DATETIME, 26),
            "TIMESTAMP" => (ColumnType::TIMESTAMP, 26),
            "TIME" => (ColumnType::TIME, 17),
            "CHAR" => (ColumnType::STRING, characters(size.unwrap_or(1))),
            "VARCHAR" => (ColumnType::VAR_STRING, characters(size.unwrap_or(255))),
            "BINARY" | "VARBINARY" => (ColumnType::VAR_STRING, size.unwrap_or(1)),
            "JSON" => (ColumnType::JSON, u32::MAX),
            _ => (ColumnType::BLOB, u32::MAX),
        };
        let is_double = column_type == ColumnType::DOUBLE;
        Self {
            column_type,
            is_unsigned: declaration.contains("UNSIGNED"),
            is_binary: word.contains("BLOB") || word.contains("BINARY"),
            length,
            decimals: if is_double {
                FLOATING_DECIMALS
            } else {
                decimals
            },
        }
    }

    /// The narrowest type that holds all of the values.
    fn common<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Self {
        let all = |fits: fn(&Value) -> bool| {
            let mut values = values.clone();
            values.all(|value| *value == Value::Null || fits(value))
        };
        let is_empty = values.clone().all(|value| *value == Value::Null);
        Self::new(match () {
            () if is_empty => "VARCHAR",
            () if all(|value| matches!(value, Value::Integer(_))) => "BIGINT",
            () if all(|value| matches!(value, Value::Integer(_) | Value::Real(_))) => "DOUBLE",
            () if all(|value| !matches!(value, Value::Blob(_))) => "VARCHAR(16383)",
            () => "BLOB",
        })
    }

    fn fits(self, value: &Value) -> bool {
        let is = |text: &str, parses: bool| parses && text.len() >= 8;
        match (value, self.column_type) {
            (Value::Null, _) => true,
            (Value::Integer(number), kind) if integer_range(kind).is_some() => {
                let sign_fits = !self.is_unsigned || *number >= 0;
                integer_range(kind).is_some_and(|range| range.contains(number)) && sign_fits
            }
            (Value::Integer(_) | Value::Real(_), ColumnType::DOUBLE | ColumnType::NEWDECIMAL) => {
                true
            }
            (Value::Text(text), ColumnType::DATE) => {
                is(text, text.parse().is_ok_and(DateTime::is_date))
            }
            (Value::Text(text), ColumnType::DATETIME | ColumnType::TIMESTAMP) => {
                is(text, text.parse::<DateTime>().is_ok())
            }
            (Value::Text(text), ColumnType::TIME) => is(text, text.parse::<Time>().is_ok()),
            (Value::Text(_), _) => self.is_text() || self.is_binary,
            (Value::Blob(_), _) => self.is_binary,
            _ => false,
        }
    }

    fn is_text(self) -> bool {
        let texts = [
            ColumnType::STRING,
            ColumnType::VAR_STRING,
            ColumnType::BLOB,
            ColumnType::JSON,
        ];
        texts.contains(&self.column_type) && !self.is_binary
    }

    fn flags(self) -> ColumnFlags {
        let number = integer_range(self.column_type).is_some()
            || [ColumnType::DOUBLE, ColumnType::NEWDECIMAL].contains(&self.column_type);
        let mut flags = ColumnFlags::empty();
        flags.set(ColumnFlags::NUM, number);
        flags.set(ColumnFlags::BINARY, !self.is_text());
        flags.set(ColumnFlags::BLOB, self.column_type == ColumnType::BLOB);
        flags.set(ColumnFlags::UNSIGNED, self.is_unsigned && number);
        flags
    }
}

fn characters(size: u32) -> u32 {
    size.saturating_mul(CHARACTER_BYTES)
}

/// What an integer type holds with its sign; `None` for other types.
fn integer_range(column_type: ColumnType) -> Option<std::ops::RangeInclusive<i64>> {
    Some(match column_type {
        ColumnType::TINY => i64::from(i8::MIN)..=i64::from(i8::MAX),
        ColumnType::SHORT | ColumnType::YEAR => i64::from(i16::MIN)..=i64::from(i16::MAX),
        ColumnType::LONG => i64::from(i32::MIN)..=i64::from(i32::MAX),
        ColumnType::LONGLONG => i64::MIN..=i64::MAX,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations() {
        let kind = |declaration: &str| Declared::new(declaration).column_type;
        assert_eq!(kind("int(11) unsigned"), ColumnType::LONG);
        assert_eq!(kind("VARCHAR(20)"), ColumnType::VAR_STRING);
        assert_eq!(kind("Mediumtext"), ColumnType::BLOB);
        assert_eq!(kind(""), ColumnType::BLOB);
        assert_eq!(Declared::new("DECIMAL(10, 2)").decimals, 2);
        assert_eq!(Declared::new("VARCHAR(4294967295)").length, u32::MAX);
        assert!(Declared::new("INT UNSIGNED").is_unsigned);
    }

    #[test]
    fn values_decide_where_the_declaration_does_not_hold() {
        let common = |values: &[Value]| Declared::common(values.iter()).column_type;
        let (one, half) = (Value::Integer(1), Value::Real(0.5));
        let (text, blob) = (Value::Text("x".into()), Value::Blob(vec![0xff]));
        assert_eq!(common(&[one.clone(), Value::Null]), ColumnType::LONGLONG);
        assert_eq!(common(&[one.clone(), half]), ColumnType::DOUBLE);
        assert_eq!(common(&[one, text.clone()]), ColumnType::VAR_STRING);
        assert_eq!(common(&[text.clone(), blob.clone()]), ColumnType::BLOB);
        assert!(!Declared::new("TINYINT").fits(&Value::Integer(128)));
        assert!(!Declared::new("INT UNSIGNED").fits(&Value::Integer(-1)));
        assert!(!Declared::new("DATE").fits(&text));
        assert!(!Declared::new("TEXT").fits(&blob));
        assert!(Declared::new("BLOB").fits(&text));
    }

    #[test]
    fn numbers_as_text() {
        for (number, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (-2.0, "-2"),
            (1e300, "1e300"),
            (1e-9, "1e-9"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }
}
