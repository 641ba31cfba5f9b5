//! `Protocol::HandshakeV10`: the server speaks first. MariaDB's variant holds its extended flags in the filler.

use crate::limits::HANDSHAKE_V10_BYTES_MAX;
use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError, StatusFlags};

const NAME: &str = "HandshakeV10";
const VERSION: u8 = 10;
/// Auth plugin data comes in two parts; the first has eight bytes.
const AUTH_DATA_PART_1_BYTES: usize = 8;
/// The second part has at least these, the last of them a zero.
const AUTH_DATA_PART_2_BYTES_MIN: usize = 13;

/// A server's greeting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeV10 {
    /// `8.4.0`, `5.5.5-10.11.6-MariaDB`
    pub server_version: Vec<u8>,
    /// The connection's id, as KILL takes it.
    pub thread_id: u32,
    /// The nonce, 20 bytes on every current server.
    pub auth_plugin_data: Vec<u8>,
    /// What the server offers.
    pub capabilities: Capabilities,
    /// The server's default collation.
    pub character_set: u8,
    /// Usually autocommit alone.
    pub status: StatusFlags,
    /// Empty without PLUGIN_AUTH.
    pub auth_plugin_name: Vec<u8>,
}

impl HandshakeV10 {
    /// The server says that it is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        const NAME: &[u8] = b"MariaDB";
        self.server_version
            .windows(NAME.len())
            .any(|part| part == NAME)
    }

    /// # Errors
    /// Anything that is no greeting of protocol version 10 with the 4.1 fields. An ERR packet is not one: look at the
    /// first byte before.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() > HANDSHAKE_V10_BYTES_MAX {
            return Err(DecodeError::TooLong {
                packet: NAME,
                bytes: payload.len(),
                limit: HANDSHAKE_V10_BYTES_MAX,
            });
        }
        let mut reader = Reader::new(NAME, payload);
        let version = reader.u8("protocol version")?;
        if version != VERSION {
            return Err(reader.invalid("protocol version", version.into()));
        }
        let server_version = reader.nul_bytes("server version")?.to_vec();
        let thread_id = reader.u32("thread id")?;
        let mut auth_plugin_data = reader
            .bytes(AUTH_DATA_PART_1_BYTES, "auth plugin data, part 1")?
            .to_vec();
        reader.u8("filler")?;
        let lower = reader.u16("capability flags, lower")?;
        let character_set = reader.u8("character set")?;
        let status = StatusFlags::from_bits_retain(reader.u16("status flags")?);
        let upper = reader.u16("capability flags, upper")?;
        let auth_data_length = usize::from(reader.u8("auth plugin data length")?);
        reader.bytes(6, "filler")?;
        let extended = reader.u32("extended capability flags")?;
        let capabilities = combine(lower, upper, extended);
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = AUTH_DATA_PART_2_BYTES_MIN
                .max(auth_data_length.saturating_sub(AUTH_DATA_PART_1_BYTES));
            let part_2 = reader.bytes(length, "auth plugin data, part 2")?;
            auth_plugin_data.extend_from_slice(part_2.strip_suffix(&[0]).unwrap_or(part_2));
        }
        let auth_plugin_name = match capabilities.contains(Capabilities::PLUGIN_AUTH) {
            true => reader.nul_bytes_or_rest().to_vec(),
            false => Vec::new(),
        };
        Ok(Self {
            server_version,
            thread_id,
            auth_plugin_data,
            capabilities,
            character_set,
            status,
            auth_plugin_name,
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let low = self.capabilities.low();
        let extended = self.capabilities.extended();
        let mut writer = Writer::new(out);
        let split = self.auth_plugin_data.len().min(AUTH_DATA_PART_1_BYTES);
        let (part_1, part_2) = self.auth_plugin_data.split_at(split);
        writer.u8(VERSION);
        writer.nul_bytes(&self.server_version);
        writer.u32(self.thread_id);
        writer.bytes(part_1);
        writer.u8(0);
        writer.u16(low as u16);
        writer.u8(self.character_set);
        writer.u16(self.status.bits());
        writer.u16((low >> 16) as u16);
        let data_length = self.auth_plugin_data.len() + 1;
        let named = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        writer.u8(if named { data_length as u8 } else { 0 });
        writer.bytes(&[0; 6]);
        writer.u32(extended);
        if self.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            writer.bytes(part_2);
            writer.u8(0);
        }
        if named {
            writer.nul_bytes(&self.auth_plugin_name);
        }
    }

    /// Overwrites the capability flags of an encoded greeting and leaves every other byte as it is.
    ///
    /// # Errors
    /// A payload that [`Self::decode`] refuses for being cut short.
    pub fn patch_capabilities(
        payload: &mut [u8],
        capabilities: Capabilities,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        reader.u8("protocol version")?;
        reader.nul_bytes("server version")?;
        reader.bytes(4 + AUTH_DATA_PART_1_BYTES + 1, "auth plugin data")?;
        let lower_at = payload.len() - reader.remaining();
        // lower int<2>, character set int<1>, status int<2>, upper int<2>, length int<1>, filler 6, extended int<4>
        reader.bytes(18, "capability flags")?;
        let low = capabilities.low().to_le_bytes();
        let (upper_at, extended_at) = (lower_at + 5, lower_at + 14);
        payload[lower_at..lower_at + 2].copy_from_slice(&low[..2]);
        payload[upper_at..upper_at + 2].copy_from_slice(&low[2..]);
        if !capabilities.contains(Capabilities::LONG_PASSWORD) {
            payload[extended_at..extended_at + 4]
                .copy_from_slice(&capabilities.extended().to_le_bytes());
        }
        Ok(())
    }
}

/// The extended flags count only where the server does not claim to speak as MySQL does.
fn combine(lower: u16, upper: u16, extended: u32) -> Capabilities {
    let low = u32::from(lower) | u32::from(upper) << 16;
    let plain = Capabilities::from_halves(low, 0);
    if plain.contains(Capabilities::LONG_PASSWORD) {
        return plain;
    }
    Capabilities::from_halves(low, extended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mariadb() -> HandshakeV10 {
        HandshakeV10 {
            server_version: b"5.5.5-10.11.6-MariaDB".to_vec(),
            thread_id: 42,
            auth_plugin_data: (1..=20).collect(),
            capabilities: Capabilities::from_bits_retain(0x1d_81ff_f7fe),
            character_set: 45,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin_name: b"mysql_native_password".to_vec(),
        }
    }

    fn encoded(handshake: &HandshakeV10) -> Vec<u8> {
        let mut payload = Vec::new();
        handshake.encode(&mut payload);
        payload
    }

    #[test]
    fn round_trips() {
        assert_eq!(HandshakeV10::decode(&encoded(&mariadb())), Ok(mariadb()));
    }

    #[test]
    fn mysql_ignores_the_filler() {
        let mysql = HandshakeV10 {
            capabilities: Capabilities::from_bits_retain(0xdfff_ffff),
            ..mariadb()
        };
        let mut payload = encoded(&mysql);
        let filler = payload.len() - b"mysql_native_password\0".len() - 13 - 4;
        payload[filler] = 0xff;
        assert_eq!(HandshakeV10::decode(&payload), Ok(mysql));
    }

    #[test]
    fn every_cut_before_the_plugin_name_is_an_error() {
        let payload = encoded(&mariadb());
        let name_at = payload.len() - b"mysql_native_password\0".len();
        for cut in 0..name_at {
            let error = HandshakeV10::decode(&payload[..cut]).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated { .. }),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_plugin_name_ends_at_its_zero() {
        let payload = [encoded(&mariadb()).as_slice(), b"more\0"].concat();
        assert_eq!(HandshakeV10::decode(&payload), Ok(mariadb()));
    }

    #[test]
    fn no_plugin_is_named_without_plugin_auth() {
        let old = HandshakeV10 {
            capabilities: mariadb().capabilities - Capabilities::PLUGIN_AUTH,
            auth_plugin_name: Vec::new(),
            ..mariadb()
        };
        let payload = [encoded(&old).as_slice(), b"mysql_native_password\0"].concat();
        assert_eq!(HandshakeV10::decode(&payload), Ok(old));
    }

    #[test]
    fn other_protocol_versions_are_refused() {
        let error = HandshakeV10::decode(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed HandshakeV10: protocol version is 72"
        );
    }

    #[test]
    fn patching_changes_the_flags_alone() {
        for bits in [0x1d_81ff_f7fe_u64, 0xdfff_ffff] {
            let original = HandshakeV10 {
                capabilities: Capabilities::from_bits_retain(bits),
                ..mariadb()
            };
            let wanted = original.capabilities - Capabilities::SSL - Capabilities::COMPRESS;
            let mut payload = encoded(&original);
            HandshakeV10::patch_capabilities(&mut payload, wanted).unwrap();
            let patched = HandshakeV10::decode(&payload).unwrap();
            assert_eq!(patched.capabilities, wanted);
            assert_eq!(
                HandshakeV10 {
                    capabilities: original.capabilities,
                    ..patched
                },
                original
            );
        }
    }
}
