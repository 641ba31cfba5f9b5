//! `Protocol::HandshakeResponse41`: the client's answer to the greeting. MariaDB's clients hold their extended flags
//! in the last four bytes of the filler.
//!
//! As lenient as the servers are: a text at the end may lack its zero, and fields that the flags promise may be
//! missing at the end.

use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError};

const NAME: &str = "HandshakeResponse41";
/// Where MariaDB's extended flags start in the payload.
const EXTENDED_AT: usize = 4 + 4 + 1 + 19;

/// Who logs in, how, and what both sides will speak.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeResponse41 {
    /// What the client wants of what the server offered.
    pub capabilities: Capabilities,
    /// The longest packet that the client takes, in bytes.
    pub max_packet_bytes: u32,
    /// The connection's collation.
    pub character_set: u8,
    /// The account.
    pub username: Vec<u8>,
    /// What the authentication plugin says first.
    pub auth_response: Vec<u8>,
    /// The default database; empty for none.
    pub database: Vec<u8>,
    /// Empty without PLUGIN_AUTH.
    pub auth_plugin_name: Vec<u8>,
    /// Connection attributes as they came: pairs of lenenc strings, not looked at.
    pub connection_attributes: Option<Vec<u8>>,
    /// 1 to 22; with ZSTD_COMPRESSION only.
    pub zstd_level: Option<u8>,
    /// Whatever follows: fields of later protocol versions.
    pub rest: Vec<u8>,
}

impl HandshakeResponse41 {
    /// # Errors
    /// A payload that ends inside a field, or a client that does not speak the 4.1 protocol.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let capabilities = decode_capabilities(&mut reader.clone())?;
        reader.u32("client flags")?;
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(reader.invalid("client flags", capabilities.bits()));
        }
        let max_packet_bytes = reader.u32("max packet size")?;
        let character_set = reader.u8("character set")?;
        reader.bytes(23, "filler")?;
        let username = reader.nul_bytes_or_rest().to_vec();
        let auth_response = auth_response(&mut reader, capabilities)?.to_vec();
        let mut response = Self {
            capabilities,
            max_packet_bytes,
            character_set,
            username,
            auth_response,
            ..Self::default()
        };
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            response.database = reader.nul_bytes_or_rest().to_vec();
        }
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            response.auth_plugin_name = reader.nul_bytes_or_rest().to_vec();
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            let attributes = reader.lenenc_bytes("connection attributes")?;
            response.connection_attributes = Some(attributes.to_vec());
        }
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION) && !reader.is_empty() {
            response.zstd_level = Some(reader.u8("zstd level")?);
        }
        response.rest = reader.rest().to_vec();
        Ok(response)
    }

    /// Appends the payload; the flags say which fields it has.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has = |flag| self.capabilities.contains(flag);
        let mut writer = Writer::new(out);
        writer.u32(self.capabilities.low());
        writer.u32(self.max_packet_bytes);
        writer.u8(self.character_set);
        writer.bytes(&[0; 19]);
        writer.u32(self.capabilities.extended());
        writer.nul_bytes(&self.username);
        if has(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
            writer.lenenc_bytes(&self.auth_response);
        } else if has(Capabilities::SECURE_CONNECTION) {
            debug_assert!(self.auth_response.len() < 256);
            writer.u8(self.auth_response.len() as u8);
            writer.bytes(&self.auth_response);
        } else {
            writer.nul_bytes(&self.auth_response);
        }
        if has(Capabilities::CONNECT_WITH_DB) {
            writer.nul_bytes(&self.database);
        }
        if has(Capabilities::PLUGIN_AUTH) {
            writer.nul_bytes(&self.auth_plugin_name);
        }
        let zstd_level = self
            .zstd_level
            .filter(|_| has(Capabilities::ZSTD_COMPRESSION));
        if has(Capabilities::CONNECT_ATTRS) {
            match &self.connection_attributes {
                Some(attributes) => writer.lenenc_bytes(attributes),
                // What follows would be read as theirs.
                None if zstd_level.is_some() => writer.lenenc_bytes(&[]),
                None => {}
            }
        }
        if let Some(level) = zstd_level {
            writer.u8(level);
        }
        writer.bytes(&self.rest);
    }

    /// Overwrites the capability flags of an encoded response and leaves every other byte as it is. For flags that add
    /// or remove no field.
    ///
    /// # Errors
    /// A payload shorter than its fixed part.
    pub fn patch_capabilities(
        payload: &mut [u8],
        capabilities: Capabilities,
    ) -> Result<(), DecodeError> {
        if payload.len() < EXTENDED_AT + 4 {
            return Err(DecodeError::Truncated {
                packet: NAME,
                field: "filler",
            });
        }
        payload[..4].copy_from_slice(&capabilities.low().to_le_bytes());
        if !capabilities.contains(Capabilities::LONG_PASSWORD) {
            payload[EXTENDED_AT..EXTENDED_AT + 4]
                .copy_from_slice(&capabilities.extended().to_le_bytes());
        }
        Ok(())
    }
}

/// A client that claims to speak as MySQL does has no extended flags.
fn decode_capabilities(reader: &mut Reader<'_>) -> Result<Capabilities, DecodeError> {
    let low = reader.u32("client flags")?;
    let plain = Capabilities::from_halves(low, 0);
    if plain.contains(Capabilities::LONG_PASSWORD) || !plain.contains(Capabilities::PROTOCOL_41) {
        return Ok(plain);
    }
    reader.bytes(EXTENDED_AT - 4, "filler")?;
    let extended = reader.u32("extended client flags")?;
    Ok(Capabilities::from_halves(low, extended))
}

fn auth_response<'a>(
    reader: &mut Reader<'a>,
    capabilities: Capabilities,
) -> Result<&'a [u8], DecodeError> {
    if reader.is_empty() {
        return Ok(&[]);
    }
    if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
        reader.lenenc_bytes("auth response")
    } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
        let length = reader.u8("auth response length")?;
        reader.bytes(length.into(), "auth response")
    } else {
        Ok(reader.nul_bytes_or_rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mariadb_client() -> HandshakeResponse41 {
        HandshakeResponse41 {
            capabilities: Capabilities::from_halves(0x20bf_a68e, 0x1c),
            max_packet_bytes: 1 << 24,
            character_set: 45,
            username: b"app".to_vec(),
            auth_response: vec![7; 20],
            database: b"test".to_vec(),
            auth_plugin_name: b"mysql_native_password".to_vec(),
            connection_attributes: Some(b"\x03_os\x05Linux".to_vec()),
            zstd_level: None,
            rest: Vec::new(),
        }
    }

    fn encoded(response: &HandshakeResponse41) -> Vec<u8> {
        let mut payload = Vec::new();
        response.encode(&mut payload);
        payload
    }

    #[test]
    fn round_trips_with_and_without_each_field() {
        for flag in [
            Capabilities::empty(),
            Capabilities::PLUGIN_AUTH_LENENC_DATA,
            Capabilities::PLUGIN_AUTH_LENENC_DATA | Capabilities::SECURE_CONNECTION,
            Capabilities::MARIADB_EXTENDED,
        ] {
            let response = HandshakeResponse41 {
                capabilities: (mariadb_client().capabilities - flag)
                    | Capabilities::CONNECT_WITH_DB,
                ..mariadb_client()
            };
            let decoded = HandshakeResponse41::decode(&encoded(&response));
            assert_eq!(decoded, Ok(response));
        }
    }

    /// `mysql --compression-algorithms=zstd --zstd-compression-level=7`, but for its attributes.
    #[test]
    fn the_level_of_zstd_stands_behind_the_attributes() {
        let with = HandshakeResponse41 {
            capabilities: mariadb_client().capabilities | Capabilities::ZSTD_COMPRESSION,
            zstd_level: Some(7),
            ..mariadb_client()
        };
        let payload = encoded(&with);
        assert_eq!(payload.last(), Some(&7));
        assert_eq!(payload.len(), encoded(&mariadb_client()).len() + 1);
        assert_eq!(HandshakeResponse41::decode(&payload), Ok(with.clone()));
        let without_attributes = HandshakeResponse41 {
            connection_attributes: None,
            ..with.clone()
        };
        let decoded = HandshakeResponse41::decode(&encoded(&without_attributes)).unwrap();
        assert_eq!(decoded.zstd_level, Some(7));
        let without_flag = HandshakeResponse41 {
            capabilities: mariadb_client().capabilities,
            ..with
        };
        assert_eq!(encoded(&without_flag), encoded(&mariadb_client()));
    }

    #[test]
    fn no_cut_panics_and_the_fixed_part_is_required() {
        let payload = encoded(&mariadb_client());
        for cut in 0..payload.len() {
            let decoded = HandshakeResponse41::decode(&payload[..cut]);
            assert!(cut >= 32 || decoded.is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_claim_of_four_gigabytes_is_cut_short() {
        let mut response = mariadb_client();
        response.capabilities |= Capabilities::PLUGIN_AUTH_LENENC_DATA;
        let mut payload = encoded(&response);
        payload.truncate(36);
        payload.extend_from_slice(&[0xfe, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            HandshakeResponse41::decode(&payload),
            Err(DecodeError::Truncated {
                packet: NAME,
                field: "auth response"
            })
        );
    }

    #[test]
    fn the_old_protocol_is_refused() {
        assert!(matches!(
            HandshakeResponse41::decode(&[0x05, 0x84, 0, 0, 1, b'r', 0, 0]),
            Err(DecodeError::Invalid { .. })
        ));
    }

    #[test]
    fn patching_changes_the_flags_alone() {
        let mut payload = encoded(&mariadb_client());
        let wanted = mariadb_client().capabilities - Capabilities::COMPRESS;
        HandshakeResponse41::patch_capabilities(&mut payload, wanted).unwrap();
        let patched = HandshakeResponse41::decode(&payload).unwrap();
        assert_eq!(
            patched,
            HandshakeResponse41 {
                capabilities: wanted,
                ..mariadb_client()
            }
        );
    }
}
