//! `ProtocolBinary::ResultsetRow`: a NULL bitmap, then the values that are not NULL in their types' own forms.

use super::{ColumnType, NullBitmap, Value, ValueMismatch};
use crate::DecodeError;
use crate::wire::{Reader, Writer};

const NAME: &str = "binary row";
const HEADER: u8 = 0x00;

/// A row after COM_STMT_EXECUTE or COM_STMT_FETCH.
#[derive(Debug, Clone, Copy)]
pub struct BinaryRow;

impl BinaryRow {
    /// Appends the payload.
    ///
    /// # Errors
    /// A value that is not of its type; `out` holds half a row then.
    pub fn encode(row: &[(ColumnType, Value<'_>)], out: &mut Vec<u8>) -> Result<(), ValueMismatch> {
        out.push(HEADER);
        let bitmap = out.len();
        let bytes = NullBitmap::bytes_for(row.len(), NullBitmap::ROW_OFFSET);
        out.resize(bitmap + bytes, 0);
        for (index, (column_type, value)) in row.iter().enumerate() {
            match value {
                Value::Null => NullBitmap::set(&mut out[bitmap..], index, NullBitmap::ROW_OFFSET),
                value => value.encode(*column_type, &mut Writer::new(out))?,
            }
        }
        Ok(())
    }

    /// The values of a row whose columns have these types; `true` stands for UNSIGNED.
    ///
    /// # Errors
    /// Another header, a value cut short, or bytes behind the last one.
    pub fn decode<'a>(
        payload: &'a [u8],
        columns: &[(ColumnType, bool)],
    ) -> Result<Vec<Value<'a>>, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let header = reader.u8("header")?;
        if header != HEADER {
            return Err(reader.invalid("header", header.into()));
        }
        let nulls = NullBitmap::read(&mut reader, columns.len(), NullBitmap::ROW_OFFSET)?;
        let mut values = Vec::with_capacity(columns.len());
        for (index, &(column_type, is_unsigned)) in columns.iter().enumerate() {
            values.push(match nulls.is_null(index) {
                true => Value::Null,
                false => Value::decode(&mut reader, column_type, is_unsigned)?,
            });
        }
        reader.end()?;
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_row() {
        let row = [
            (ColumnType::VAR_STRING, Value::Bytes(b"foobar")),
            (ColumnType::LONG, Value::Null),
            (ColumnType::TINY, Value::Int(-1)),
        ];
        let mut payload = Vec::new();
        BinaryRow::encode(&row, &mut payload).unwrap();
        assert_eq!(payload, b"\x00\x08\x06foobar\xff");
    }

    #[test]
    fn round_trips_and_cuts_with_nulls_anywhere() {
        for columns in [1, 6, 7, 14, 15, 70] {
            let row: Vec<_> = (0..columns)
                .map(|index| match index % 3 {
                    0 => (ColumnType::LONGLONG, Value::Null),
                    1 => (ColumnType::LONGLONG, Value::UInt(index)),
                    _ => (ColumnType::BLOB, Value::Bytes(b"\0\xff")),
                })
                .collect();
            let mut payload = Vec::new();
            BinaryRow::encode(&row, &mut payload).unwrap();
            let types: Vec<_> = row.iter().map(|(column, _)| (*column, true)).collect();
            let values: Vec<_> = row.iter().map(|(_, value)| *value).collect();
            assert_eq!(BinaryRow::decode(&payload, &types), Ok(values));
            for cut in 0..payload.len() {
                assert!(BinaryRow::decode(&payload[..cut], &types).is_err());
            }
        }
    }

    #[test]
    fn what_is_no_row() {
        assert!(BinaryRow::decode(b"\xfe\0\0\0\0", &[]).is_err());
        assert!(BinaryRow::decode(b"\0\0trailing", &[]).is_err());
        let wrong = [(ColumnType::LONG, Value::Bytes(b"x"))];
        assert!(BinaryRow::encode(&wrong, &mut Vec::new()).is_err());
    }
}
