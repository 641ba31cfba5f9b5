//! `Protocol::HandshakeResponse320`: how clients without PROTOCOL_41 answer the greeting.

use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError};

const NAME: &str = "HandshakeResponse320";

/// Who logs in, in the old protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeResponse320 {
    /// The lower 16 flags; without PROTOCOL_41.
    pub capabilities: Capabilities,
    /// The longest packet that the client takes, in bytes; 24 bits.
    pub max_packet_bytes: u32,
    /// The account.
    pub username: Vec<u8>,
    /// The old scramble.
    pub auth_response: Vec<u8>,
    /// The default database; empty for none.
    pub database: Vec<u8>,
}

impl HandshakeResponse320 {
    /// # Errors
    /// A payload that ends inside a field, or a client that speaks the 4.1 protocol.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let flags = u32::from(reader.u16("client flags")?);
        let capabilities = Capabilities::from_halves(flags, 0);
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(reader.invalid("client flags", flags.into()));
        }
        let mut response = Self {
            capabilities,
            max_packet_bytes: reader.u24("max packet size")?,
            username: reader.nul_bytes("username")?.to_vec(),
            ..Self::default()
        };
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            response.auth_response = reader.nul_bytes("auth response")?.to_vec();
            response.database = reader.nul_bytes("database")?.to_vec();
            reader.end()?;
        } else {
            response.auth_response = reader.nul_bytes_or_rest().to_vec();
        }
        Ok(response)
    }

    /// Appends the payload; CONNECT_WITH_DB says whether the database is in it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u16(self.capabilities.low() as u16);
        writer.u24(self.max_packet_bytes);
        writer.nul_bytes(&self.username);
        writer.nul_bytes(&self.auth_response);
        if self.capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            writer.nul_bytes(&self.database);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_client(capabilities: Capabilities) -> HandshakeResponse320 {
        HandshakeResponse320 {
            capabilities,
            max_packet_bytes: 0x01_0000,
            username: b"root".to_vec(),
            auth_response: b"OLDHASH1".to_vec(),
            database: Vec::new(),
        }
    }

    #[test]
    fn round_trips_with_and_without_database() {
        let plain = old_client(Capabilities::LONG_PASSWORD);
        let named = HandshakeResponse320 {
            database: b"test".to_vec(),
            ..old_client(Capabilities::LONG_PASSWORD | Capabilities::CONNECT_WITH_DB)
        };
        for (response, bytes) in [
            (plain, &b"\x01\x00\x00\x00\x01root\0OLDHASH1\0"[..]),
            (named, b"\x09\x00\x00\x00\x01root\0OLDHASH1\0test\0"),
        ] {
            let mut payload = Vec::new();
            response.encode(&mut payload);
            assert_eq!(payload, bytes);
            assert_eq!(HandshakeResponse320::decode(&payload), Ok(response));
        }
    }

    #[test]
    fn the_scramble_ends_at_its_zero_or_with_the_packet() {
        let decoded = HandshakeResponse320::decode(b"\x05\x24\x00\x00\x00old\x00\x47\x44");
        assert_eq!(decoded.unwrap().auth_response, b"\x47\x44");
        let decoded = HandshakeResponse320::decode(b"\x05\x24\x00\x00\x00old\x00\x47\x44\x00more");
        assert_eq!(decoded.unwrap().auth_response, b"\x47\x44");
    }

    #[test]
    fn cuts_and_the_new_protocol_are_refused() {
        let payload = b"\x09\x00\x00\x00\x01root\0OLDHASH1\0test\0";
        for cut in 0..payload.len() {
            let error = HandshakeResponse320::decode(&payload[..cut]).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated { .. }),
                "cut at {cut}"
            );
        }
        assert!(HandshakeResponse320::decode(b"\x00\x02\x00\x00\x01root\0\0").is_err());
    }
}
