//! `Protocol::ColumnDefinition41`: one column of a resultset, or one parameter of a prepared statement.

use bitflags::bitflags;

use super::ColumnType;
use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError};

const NAME: &str = "ColumnDefinition41";
/// Always this, in the only catalog there is.
const CATALOG: &[u8] = b"def";
/// Bytes of the fixed part, which has a length of its own.
const FIXED_BYTES: u64 = 12;

/// The numbers of the collations that a server of ours says.
pub mod collation {
    /// `utf8mb4_general_ci`, which every MySQL and MariaDB knows.
    pub const UTF8MB4_GENERAL_CI: u16 = 45;
    /// `binary`: numbers, dates and blobs.
    pub const BINARY: u16 = 63;
}

bitflags! {
    /// `*_FLAG` of a column. Unknown bits are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ColumnFlags: u16 {
        /// No NULL is stored.
        const NOT_NULL = 1;
        /// Part of the primary key.
        const PRIMARY_KEY = 1 << 1;
        /// Part of a unique key.
        const UNIQUE_KEY = 1 << 2;
        /// Part of a key that may repeat.
        const MULTIPLE_KEY = 1 << 3;
        /// A blob or text.
        const BLOB = 1 << 4;
        /// An integer without sign.
        const UNSIGNED = 1 << 5;
        /// Shown with leading zeros.
        const ZEROFILL = 1 << 6;
        /// Of the binary collation.
        const BINARY = 1 << 7;
        /// An ENUM.
        const ENUM = 1 << 8;
        /// Generates its values.
        const AUTO_INCREMENT = 1 << 9;
        /// A TIMESTAMP.
        const TIMESTAMP = 1 << 10;
        /// A SET.
        const SET = 1 << 11;
        /// Has no default value.
        const NO_DEFAULT_VALUE = 1 << 12;
        /// Set to the time of an UPDATE.
        const ON_UPDATE_NOW = 1 << 13;
        /// A number.
        const NUM = 1 << 15;

        const _ = !0;
    }
}

/// Names and type of a column. Names are in the connection's character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition41 {
    /// The database; empty where the column comes from no table.
    pub schema: Vec<u8>,
    /// The table's alias.
    pub table: Vec<u8>,
    /// The table's name.
    pub org_table: Vec<u8>,
    /// The column's alias.
    pub name: Vec<u8>,
    /// The column's name.
    pub org_name: Vec<u8>,
    /// The collation of its values.
    pub character_set: u16,
    /// The longest value, in bytes.
    pub column_length: u32,
    /// How its values are laid out.
    pub column_type: ColumnType,
    /// What else is known of it.
    pub flags: ColumnFlags,
    /// Digits behind the point; 0x1f for floating ones.
    pub decimals: u8,
}

impl ColumnDefinition41 {
    /// # Errors
    /// A payload that ends inside a field, or goes on behind the last one: so do COM_FIELD_LIST's, which hold a
    /// default value, and those under MariaDB's extended metadata, for which there is [`Self::decode_negotiated`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_negotiated(payload, Capabilities::empty())
    }

    /// As the peers agreed on it: MariaDB's extended metadata is skipped.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_negotiated(
        payload: &[u8],
        capabilities: Capabilities,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        reader.lenenc_bytes("catalog")?;
        let schema = reader.lenenc_bytes("schema")?.to_vec();
        let table = reader.lenenc_bytes("table")?.to_vec();
        let org_table = reader.lenenc_bytes("org_table")?.to_vec();
        let name = reader.lenenc_bytes("name")?.to_vec();
        let org_name = reader.lenenc_bytes("org_name")?.to_vec();
        if capabilities.contains(Capabilities::MARIADB_EXTENDED_METADATA) {
            reader.lenenc_bytes("extended metadata")?;
        }
        let fixed = reader.lenenc_int("length of fixed fields")?;
        if fixed != FIXED_BYTES {
            return Err(reader.invalid("length of fixed fields", fixed));
        }
        let definition = Self {
            schema,
            table,
            org_table,
            name,
            org_name,
            character_set: reader.u16("character set")?,
            column_length: reader.u32("column length")?,
            column_type: ColumnType(reader.u8("type")?),
            flags: ColumnFlags::from_bits_retain(reader.u16("flags")?),
            decimals: reader.u8("decimals")?,
        };
        reader.bytes(2, "reserved")?;
        reader.end()?;
        Ok(definition)
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_negotiated(Capabilities::empty(), out);
    }

    /// Appends the payload as the peers agreed on it: MariaDB's extended metadata is empty.
    pub fn encode_negotiated(&self, capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.lenenc_bytes(CATALOG);
        writer.lenenc_bytes(&self.schema);
        writer.lenenc_bytes(&self.table);
        writer.lenenc_bytes(&self.org_table);
        writer.lenenc_bytes(&self.name);
        writer.lenenc_bytes(&self.org_name);
        if capabilities.contains(Capabilities::MARIADB_EXTENDED_METADATA) {
            writer.lenenc_bytes(&[]);
        }
        writer.lenenc_int(FIXED_BYTES);
        writer.u16(self.character_set);
        writer.u32(self.column_length);
        writer.u8(self.column_type.0);
        writer.u16(self.flags.bits());
        writer.u8(self.decimals);
        writer.bytes(&[0; 2]);
    }

    /// Appends the payload as COM_FIELD_LIST has it, with a default value; `None` is NULL.
    pub fn encode_with_default(&self, default: Option<&[u8]>, out: &mut Vec<u8>) {
        self.encode(out);
        let mut writer = Writer::new(out);
        match default {
            Some(default) => writer.lenenc_bytes(default),
            None => writer.u8(0xfb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title() -> ColumnDefinition41 {
        ColumnDefinition41 {
            schema: b"shop".to_vec(),
            table: b"f".to_vec(),
            org_table: b"films".to_vec(),
            name: b"name".to_vec(),
            org_name: b"title".to_vec(),
            character_set: collation::UTF8MB4_GENERAL_CI,
            column_length: 400,
            column_type: ColumnType::VAR_STRING,
            flags: ColumnFlags::NOT_NULL | ColumnFlags::NO_DEFAULT_VALUE,
            decimals: 0,
        }
    }

    #[test]
    fn the_bytes_of_a_definition() {
        let mut payload = Vec::new();
        title().encode(&mut payload);
        assert_eq!(
            payload,
            b"\x03def\x04shop\x01f\x05films\x04name\x05title\
              \x0c\x2d\x00\x90\x01\x00\x00\xfd\x01\x10\x00\x00\x00"
        );
    }

    #[test]
    fn round_trips_and_cuts() {
        let mut payload = Vec::new();
        title().encode(&mut payload);
        assert_eq!(ColumnDefinition41::decode(&payload), Ok(title()));
        for cut in 0..payload.len() {
            let error = ColumnDefinition41::decode(&payload[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{cut}");
        }
        payload.push(0);
        assert!(ColumnDefinition41::decode(&payload).is_err());
    }

    #[test]
    fn extended_metadata_stands_between_names_and_fixed_fields() {
        let extended = Capabilities::MARIADB_EXTENDED_METADATA;
        let mut payload = Vec::new();
        title().encode_negotiated(extended, &mut payload);
        assert_eq!(
            ColumnDefinition41::decode_negotiated(&payload, extended),
            Ok(title())
        );
        assert!(ColumnDefinition41::decode(&payload).is_err());
        let named = payload.len() - 1 - 1 - FIXED_BYTES as usize;
        payload.splice(named..=named, *b"\x06\x00\x04json");
        assert_eq!(
            ColumnDefinition41::decode_negotiated(&payload, extended),
            Ok(title())
        );
    }

    #[test]
    fn defaults_follow_the_definition() {
        for (default, tail) in [(None, &b"\xfb"[..]), (Some(&b"x"[..]), b"\x01x")] {
            let (mut plain, mut payload) = (Vec::new(), Vec::new());
            title().encode(&mut plain);
            title().encode_with_default(default, &mut payload);
            assert_eq!(payload.strip_prefix(plain.as_slice()), Some(tail));
        }
    }
}
