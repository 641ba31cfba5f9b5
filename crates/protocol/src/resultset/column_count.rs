//! The packet that starts a resultset: how many columns there are, and whether their definitions follow.

use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError};

const NAME: &str = "column count";
/// `RESULTSET_METADATA_NONE`
const METADATA_NONE: u8 = 0;
/// `RESULTSET_METADATA_FULL`
const METADATA_FULL: u8 = 1;

/// A resultset's size across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCount {
    /// Values of a row.
    pub columns: u64,
    /// False where both sides agreed that definitions may be left out, and they are.
    pub has_definitions: bool,
}

impl ColumnCount {
    /// Of a resultset whose definitions follow.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: columns as u64,
            has_definitions: true,
        }
    }

    /// # Errors
    /// No integer, or bytes behind the fields.
    pub fn decode(payload: &[u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let (count, reader) = Self::read(payload, capabilities)?;
        reader.end()?;
        Ok(count)
    }

    /// From a payload that may go on behind the fields: what a relay looks at.
    ///
    /// # Errors
    /// No integer.
    pub fn decode_head(payload: &[u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        Self::read(payload, capabilities).map(|(count, _)| count)
    }

    /// Appends the payload.
    pub fn encode(self, capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.lenenc_int(self.columns);
        if capabilities.has_metadata_flag() {
            writer.u8(match self.has_definitions {
                true => METADATA_FULL,
                false => METADATA_NONE,
            });
        }
    }

    fn read(payload: &[u8], capabilities: Capabilities) -> Result<(Self, Reader<'_>), DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let columns = reader.lenenc_int("column count")?;
        let has_definitions = !capabilities.has_metadata_flag()
            || reader.is_empty()
            || reader.u8("metadata follows")? != METADATA_NONE;
        let count = Self {
            columns,
            has_definitions,
        };
        Ok((count, reader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONAL: Capabilities = Capabilities::OPTIONAL_RESULTSET_METADATA;

    #[test]
    fn the_byte_behind_the_count_is_there_where_it_was_agreed_on() {
        for (columns, has_definitions, capabilities, payload) in [
            (1, true, Capabilities::empty(), &b"\x01"[..]),
            (251, true, Capabilities::DEPRECATE_EOF, b"\xfc\xfb\x00"),
            (2, true, OPTIONAL, b"\x02\x01"),
            (2, false, OPTIONAL, b"\x02\x00"),
            (2, false, Capabilities::MARIADB_CACHE_METADATA, b"\x02\x00"),
        ] {
            let count = ColumnCount {
                columns,
                has_definitions,
            };
            let mut encoded = Vec::new();
            count.encode(capabilities, &mut encoded);
            assert_eq!(encoded, payload);
            assert_eq!(ColumnCount::decode(payload, capabilities), Ok(count));
        }
    }

    #[test]
    fn the_byte_may_be_missing_and_nothing_else_may_follow() {
        assert!(
            ColumnCount::decode(b"\x01", OPTIONAL)
                .unwrap()
                .has_definitions
        );
        assert!(ColumnCount::decode(b"\x01\x01", Capabilities::empty()).is_err());
        assert!(ColumnCount::decode(b"\x01\x01\x01", OPTIONAL).is_err());
        assert!(ColumnCount::decode_head(b"\x01\x01\x01", OPTIONAL).is_ok());
        assert!(ColumnCount::decode(b"", OPTIONAL).is_err());
        assert!(ColumnCount::decode(b"\xfbfile", OPTIONAL).is_err());
    }
}
