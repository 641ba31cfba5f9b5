//! `ProtocolText::ResultsetRow`: each value as text, NULL as 0xfb.

use crate::DecodeError;
use crate::wire::{Reader, Writer};

const NAME: &str = "text row";
const NULL: u8 = 0xfb;

/// A row after COM_QUERY.
#[derive(Debug, Clone, Copy)]
pub struct TextRow;

impl TextRow {
    /// Appends the payload; NULL is `None`.
    pub fn encode<'v>(values: impl IntoIterator<Item = Option<&'v [u8]>>, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        for value in values {
            match value {
                Some(text) => writer.lenenc_bytes(text),
                None => writer.u8(NULL),
            }
        }
    }

    /// The values of a row of `columns`.
    ///
    /// # Errors
    /// Fewer values, or more.
    pub fn decode(payload: &[u8], columns: usize) -> Result<Vec<Option<&[u8]>>, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let mut values = Vec::new();
        for _ in 0..columns {
            values.push(reader.lenenc_bytes_or_null("value")?);
        }
        reader.end()?;
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips_and_cuts(row: Vec<Option<Vec<u8>>>) {
            let values: Vec<_> = row.iter().map(Option::as_deref).collect();
            let mut payload = Vec::new();
            TextRow::encode(values.iter().copied(), &mut payload);
            prop_assert_eq!(TextRow::decode(&payload, row.len()), Ok(values));
            for cut in 0..payload.len() {
                prop_assert!(TextRow::decode(&payload[..cut], row.len()).is_err());
            }
        }
    }

    #[test]
    fn the_bytes_of_a_row() {
        let mut payload = Vec::new();
        TextRow::encode([Some(&b"ab"[..]), None, Some(b"")], &mut payload);
        assert_eq!(payload, b"\x02ab\xfb\x00");
        assert!(TextRow::decode(&payload, 2).is_err());
        assert!(TextRow::decode(&payload, 4).is_err());
    }
}
