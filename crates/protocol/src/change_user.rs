//! `COM_CHANGE_USER`: a login on a connection that has one. The server goes on as in the connection phase.

use crate::wire::{Reader, Writer};
use crate::{Capabilities, Command, DecodeError};

const NAME: &str = "COM_CHANGE_USER";

/// Who logs in now, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    /// The account.
    pub username: &'a [u8],
    /// What the authentication plugin says first.
    pub auth_response: &'a [u8],
    /// The default database; empty for none.
    pub database: &'a [u8],
    /// The connection's collation; `None` where the client leaves it as it is.
    pub character_set: Option<u16>,
    /// Empty without PLUGIN_AUTH.
    pub auth_plugin_name: &'a [u8],
    /// Connection attributes as they came, with their length.
    pub rest: &'a [u8],
}

impl<'a> ChangeUser<'a> {
    /// `payload` starts with the command.
    ///
    /// # Errors
    /// Another command, or a payload cut short before its database; what follows that may be missing.
    pub fn decode(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let command = reader.u8("command")?;
        if command != Command::CHANGE_USER.0 {
            return Err(reader.invalid("command", command.into()));
        }
        let username = reader.nul_bytes("username")?;
        let auth_response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = reader.u8("auth response length")?;
            reader.bytes(length.into(), "auth response")?
        } else {
            reader.nul_bytes("auth response")?
        };
        let mut change = Self {
            username,
            auth_response,
            database: reader.nul_bytes("database")?,
            character_set: None,
            auth_plugin_name: &[],
            rest: &[],
        };
        if reader.is_empty() {
            return Ok(change);
        }
        change.character_set = Some(reader.u16("character set")?);
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty() {
            change.auth_plugin_name = reader.nul_bytes("auth plugin name")?;
        }
        change.rest = reader.rest();
        Ok(change)
    }

    /// Appends connection attributes, pairs of lenenc strings, as [`Self::rest`] has them.
    pub fn encode_attributes(attributes: &[u8], out: &mut Vec<u8>) {
        Writer::new(out).lenenc_bytes(attributes);
    }

    /// Appends the payload. The auth response has at most 255 bytes.
    pub fn encode(&self, capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(Command::CHANGE_USER.0);
        writer.nul_bytes(self.username);
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            debug_assert!(self.auth_response.len() < 256);
            writer.u8(self.auth_response.len() as u8);
            writer.bytes(self.auth_response);
        } else {
            writer.nul_bytes(self.auth_response);
        }
        writer.nul_bytes(self.database);
        let Some(character_set) = self.character_set else {
            return;
        };
        writer.u16(character_set);
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            writer.nul_bytes(self.auth_plugin_name);
        }
        writer.bytes(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: Capabilities = Capabilities::SECURE_CONNECTION.union(Capabilities::PLUGIN_AUTH);
    const PAYLOAD: &[u8] = b"\x11app\0\x02xysales\0\x2d\0mysql_native_password\0";

    #[test]
    fn every_field() {
        let change = ChangeUser::decode(PAYLOAD, FLAGS).unwrap();
        assert_eq!(
            change,
            ChangeUser {
                username: b"app",
                auth_response: b"xy",
                database: b"sales",
                character_set: Some(45),
                auth_plugin_name: b"mysql_native_password",
                rest: &[],
            }
        );
    }

    #[test]
    fn round_trips_with_attributes() {
        let payload = [PAYLOAD, b"\x03\x01a\0"].concat();
        let change = ChangeUser::decode(&payload, FLAGS).unwrap();
        let mut encoded = Vec::new();
        change.encode(FLAGS, &mut encoded);
        assert_eq!(encoded, payload);
    }

    #[test]
    fn the_end_may_be_missing_between_fields_only() {
        let database_end = PAYLOAD.len() - 2 - b"mysql_native_password\0".len();
        for cut in 0..PAYLOAD.len() {
            let complete = cut == database_end || cut == database_end + 2;
            let decoded = ChangeUser::decode(&PAYLOAD[..cut], FLAGS);
            assert_eq!(decoded.is_ok(), complete, "cut at {cut}");
        }
    }

    #[test]
    fn other_commands_are_refused() {
        assert!(ChangeUser::decode(b"\x03app\0\0\0", FLAGS).is_err());
    }
}
