//! One value of the binary protocol: of a row or of a parameter. Follows MySQL's "Binary Protocol Value".

use thiserror::Error;

use super::{ColumnType, DateTime, Time};
use crate::DecodeError;
use crate::wire::{Reader, Writer};

/// A value; texts and blobs stay where they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Has no bytes: a bit says it.
    Null,
    /// TINY to LONGLONG, and YEAR
    Int(i64),
    /// The same, UNSIGNED.
    UInt(u64),
    /// FLOAT
    Float(f32),
    /// DOUBLE
    Double(f64),
    /// DATE, DATETIME, TIMESTAMP
    DateTime(DateTime),
    /// TIME
    Time(Time),
    /// Every other type: texts, blobs, decimals
    Bytes(&'a [u8]),
}

/// A value that its column's type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a value is not of its column's type {}", column_type.0)]
pub struct ValueMismatch {
    /// What the column is declared as.
    pub column_type: ColumnType,
}

impl<'a> Value<'a> {
    pub(crate) const FIELD: &'static str = "value";

    /// Reads a value that is not NULL.
    ///
    /// # Errors
    /// A value cut short, or a date of impossible length.
    pub fn decode(
        reader: &mut Reader<'a>,
        column_type: ColumnType,
        is_unsigned: bool,
    ) -> Result<Self, DecodeError> {
        Ok(match column_type {
            ColumnType::NULL => Self::Null,
            ColumnType::TINY => {
                let byte = reader.u8(Self::FIELD)?;
                integer(byte.into(), i64::from(byte as i8), is_unsigned)
            }
            ColumnType::SHORT | ColumnType::YEAR => {
                let word = reader.u16(Self::FIELD)?;
                integer(word.into(), i64::from(word as i16), is_unsigned)
            }
            ColumnType::LONG | ColumnType::INT24 => {
                let long = reader.u32(Self::FIELD)?;
                integer(long.into(), i64::from(long as i32), is_unsigned)
            }
            ColumnType::LONGLONG => {
                let longlong = reader.u64(Self::FIELD)?;
                integer(longlong, longlong as i64, is_unsigned)
            }
            ColumnType::FLOAT => Self::Float(f32::from_bits(reader.u32(Self::FIELD)?)),
            ColumnType::DOUBLE => Self::Double(f64::from_bits(reader.u64(Self::FIELD)?)),
            ColumnType::DATE | ColumnType::DATETIME | ColumnType::TIMESTAMP => {
                Self::DateTime(DateTime::decode(reader)?)
            }
            ColumnType::TIME => Self::Time(Time::decode(reader)?),
            _ => Self::Bytes(reader.lenenc_bytes(Self::FIELD)?),
        })
    }

    /// Appends the value; NULL appends nothing, its bit is the caller's business.
    ///
    /// # Errors
    /// A value of another kind, or an integer too large for the type. Nothing is appended then.
    pub fn encode(
        self,
        column_type: ColumnType,
        writer: &mut Writer<'_>,
    ) -> Result<(), ValueMismatch> {
        let mismatch = ValueMismatch { column_type };
        match (self, column_type) {
            (Self::Null, _) => {}
            (Self::Int(_) | Self::UInt(_), _) => {
                let (bytes, width) = self.integer_bytes(column_type).ok_or(mismatch)?;
                writer.bytes(&bytes[..width]);
            }
            (Self::Float(float), ColumnType::FLOAT) => writer.u32(float.to_bits()),
            (Self::Double(double), ColumnType::DOUBLE) => writer.u64(double.to_bits()),
            (
                Self::DateTime(value),
                ColumnType::DATE | ColumnType::DATETIME | ColumnType::TIMESTAMP,
            ) => value.encode(writer),
            (Self::Time(value), ColumnType::TIME) => value.encode(writer),
            (Self::Bytes(bytes), _) if is_bytes(column_type) => writer.lenenc_bytes(bytes),
            _ => return Err(mismatch),
        }
        Ok(())
    }

    /// Eight bytes, of which the first `width` are the value in the type's width.
    fn integer_bytes(self, column_type: ColumnType) -> Option<([u8; 8], usize)> {
        let width: u32 = match column_type {
            ColumnType::TINY => 1,
            ColumnType::SHORT | ColumnType::YEAR => 2,
            ColumnType::LONG | ColumnType::INT24 => 4,
            ColumnType::LONGLONG => 8,
            _ => return None,
        };
        let unused_bits = 64 - 8 * width;
        let (bytes, fits) = match self {
            Self::Int(value) => {
                let fits = value << unused_bits >> unused_bits == value;
                (value.to_le_bytes(), fits)
            }
            Self::UInt(value) => {
                let fits = value << unused_bits >> unused_bits == value;
                (value.to_le_bytes(), fits)
            }
            _ => return None,
        };
        fits.then_some((bytes, width as usize))
    }
}

fn integer<'a>(unsigned: u64, signed: i64, is_unsigned: bool) -> Value<'a> {
    match is_unsigned {
        true => Value::UInt(unsigned),
        false => Value::Int(signed),
    }
}

/// True where a value is a `string<lenenc>`.
fn is_bytes(column_type: ColumnType) -> bool {
    !matches!(
        column_type,
        ColumnType::NULL
            | ColumnType::TINY
            | ColumnType::SHORT
            | ColumnType::YEAR
            | ColumnType::LONG
            | ColumnType::INT24
            | ColumnType::LONGLONG
            | ColumnType::FLOAT
            | ColumnType::DOUBLE
            | ColumnType::DATE
            | ColumnType::DATETIME
            | ColumnType::TIMESTAMP
            | ColumnType::TIME
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: Value<'_>, column_type: ColumnType) -> Result<Vec<u8>, ValueMismatch> {
        let mut bytes = Vec::new();
        value.encode(column_type, &mut Writer::new(&mut bytes))?;
        Ok(bytes)
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error_and_values_round_trip(
            bytes in proptest::collection::vec(any::<u8>(), 0..24),
            column_type: u8,
            is_unsigned: bool,
        ) {
            let column_type = ColumnType(column_type);
            let mut reader = Reader::new("test", &bytes);
            let Ok(value) = Value::decode(&mut reader, column_type, is_unsigned) else {
                return Ok(());
            };
            let again = encoded(value, column_type).unwrap();
            let same = Value::decode(&mut Reader::new("test", &again), column_type, is_unsigned);
            // Compared as text, because NaN is not equal to itself.
            prop_assert_eq!(format!("{same:?}"), format!("{:?}", Ok::<_, DecodeError>(value)));
            for cut in 0..again.len() {
                let short = Value::decode(&mut Reader::new("test", &again[..cut]), column_type, is_unsigned);
                let truncated = matches!(short, Err(DecodeError::Truncated { .. }));
                prop_assert!(truncated);
            }
        }
    }

    #[test]
    fn the_documented_examples() {
        for (column_type, bytes) in [
            (ColumnType::LONGLONG, &b"\x01\0\0\0\0\0\0\0"[..]),
            (ColumnType::LONG, b"\x01\0\0\0"),
            (ColumnType::SHORT, b"\x01\0"),
            (ColumnType::TINY, b"\x01"),
        ] {
            assert_eq!(encoded(Value::Int(1), column_type).unwrap(), bytes);
        }
        let double = encoded(Value::Double(10.2), ColumnType::DOUBLE).unwrap();
        assert_eq!(double, b"\x66\x66\x66\x66\x66\x66\x24\x40");
        let float = encoded(Value::Float(10.2), ColumnType::FLOAT).unwrap();
        assert_eq!(float, b"\x33\x33\x23\x41");
        let text = encoded(Value::Bytes(b"foo"), ColumnType::VAR_STRING).unwrap();
        assert_eq!(text, b"\x03foo");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (value, column_type) in [
            (Value::Int(128), ColumnType::TINY),
            (Value::Int(-129), ColumnType::TINY),
            (Value::UInt(256), ColumnType::TINY),
            (Value::Int(1 << 31), ColumnType::LONG),
            (Value::Int(1), ColumnType::VAR_STRING),
            (Value::Bytes(b"1"), ColumnType::LONG),
            (Value::Double(1.0), ColumnType::FLOAT),
            (Value::Time(Time::default()), ColumnType::DATE),
        ] {
            assert_eq!(
                encoded(value, column_type),
                Err(ValueMismatch { column_type })
            );
        }
        assert_eq!(encoded(Value::UInt(255), ColumnType::TINY).unwrap(), [0xff]);
        assert_eq!(encoded(Value::Int(-128), ColumnType::TINY).unwrap(), [0x80]);
    }
}
