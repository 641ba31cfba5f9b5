//! Values in the binary protocol: of every type, with each of its layouts.

use fastrand::Rng;
use protocol::resultset::ColumnType;

use crate::session::Parameter;
use crate::statements::around;

const UNSIGNED: u8 = 0x80;

/// Types with their values' lengths.
const INTEGERS: [(ColumnType, usize); 4] = [
    (ColumnType::TINY, 1),
    (ColumnType::SHORT, 2),
    (ColumnType::LONG, 4),
    (ColumnType::LONGLONG, 8),
];
const TEXTS: [ColumnType; 15] = [
    ColumnType::DECIMAL,
    ColumnType::NEWDECIMAL,
    ColumnType::VARCHAR,
    ColumnType::VAR_STRING,
    ColumnType::STRING,
    ColumnType::ENUM,
    ColumnType::SET,
    ColumnType::BIT,
    // Servers have no parameters of these two, and read them as text.
    ColumnType::YEAR,
    ColumnType::INT24,
    ColumnType::TINY_BLOB,
    ColumnType::MEDIUM_BLOB,
    ColumnType::LONG_BLOB,
    ColumnType::BLOB,
    ColumnType::GEOMETRY,
];
const DATES: [ColumnType; 3] = [
    ColumnType::DATE,
    ColumnType::DATETIME,
    ColumnType::TIMESTAMP,
];
/// Length, year, month, day, hour, minute, second, microseconds
const DATETIMES: [&[u8]; 4] = [
    b"\0",
    b"\x04\xe8\x07\x02\x1d",
    b"\x07\xe8\x07\x02\x1d\x17\x3b\x3b",
    b"\x0b\xe8\x07\x02\x1d\x17\x3b\x3b\x3f\x42\x0f\0",
];
/// Length, sign, days, hours, minutes, seconds, microseconds
const TIMES: [&[u8]; 3] = [
    b"\0",
    b"\x08\x01\x02\0\0\0\x03\x04\x05",
    b"\x0c\0\x01\0\0\0\x17\x3b\x3b\x3f\x42\x0f\0",
];

/// A parameter of any type.
pub(crate) fn parameter(random: &mut Rng) -> Parameter {
    let (column_type, value) = match random.usize(..10) {
        0..=3 => {
            let (column_type, bytes) = INTEGERS[random.usize(..INTEGERS.len())];
            let small = [random.u8(..6), 0, 0, 0, 0, 0, 0, 0];
            let any = random.u64(..).to_le_bytes();
            let value = if random.bool() { small } else { any };
            (column_type, value[..bytes].to_vec())
        }
        4 => (
            ColumnType::FLOAT,
            (random.f32() * 100.0).to_le_bytes().to_vec(),
        ),
        5 => (
            ColumnType::DOUBLE,
            (random.f64() * 1e9).to_le_bytes().to_vec(),
        ),
        6 => {
            let column_type = DATES[random.usize(..DATES.len())];
            (
                column_type,
                DATETIMES[random.usize(..DATETIMES.len())].to_vec(),
            )
        }
        // Of a type that no client binds.
        7 if random.bool() => (ColumnType(random.u8(13..)), text(random)),
        7 => (
            ColumnType::TIME,
            TIMES[random.usize(..TIMES.len())].to_vec(),
        ),
        _ => (TEXTS[random.usize(..TEXTS.len())], text(random)),
    };
    let is_null = random.usize(..8) == 0;
    Parameter {
        column_type: match is_null && random.bool() {
            true => ColumnType::NULL.0,
            false => column_type.0,
        },
        flag: if random.bool() { UNSIGNED } else { 0 },
        value: (!is_null).then(|| value.into()),
    }
}

/// `string<lenenc>` with each length of its length.
fn text(random: &mut Rng) -> Vec<u8> {
    let bytes = match random.usize(..40) {
        0 => around(random, 65_536),
        1..=4 => around(random, 251),
        _ => random.usize(..12),
    };
    let digits = random.bool();
    let mut value = Vec::new();
    let content: Vec<u8> = (0..bytes)
        .map(|_| {
            if digits {
                random.u8(b'0'..=b'9')
            } else {
                random.u8(b' '..=b'z')
            }
        })
        .collect();
    protocol::wire::Writer::new(&mut value).lenenc_bytes(&content);
    value
}

/// What follows the number of a statement in a COM_STMT_BULK_EXECUTE of two parameters: flags, types, rows.
pub(crate) fn bulk(random: &mut Rng) -> Vec<u8> {
    const SEND_TYPES: u16 = 128;
    const SEND_UNIT_RESULTS: u16 = 64;
    /// Before a value.
    const NOT_NULL: u8 = 0;
    const NULL: u8 = 1;
    const DEFAULT: u8 = 2;
    let flags = SEND_TYPES | if random.bool() { SEND_UNIT_RESULTS } else { 0 };
    let mut bytes = flags.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[ColumnType::LONG.0, 0, ColumnType::STRING.0, 0]);
    for n in 0..1 + random.u32(..5) {
        bytes.push(NOT_NULL);
        bytes.extend_from_slice(&(10 + n - n / 4).to_le_bytes());
        match random.usize(..6) {
            0 => bytes.push(NULL),
            1 => bytes.push(DEFAULT),
            _ => {
                bytes.push(NOT_NULL);
                bytes.extend(text(random));
            }
        }
    }
    bytes
}
