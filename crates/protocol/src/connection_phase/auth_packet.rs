//! What a server says between the HandshakeResponse41 and the end of the login, and in the exchange that follows
//! COM_CHANGE_USER.

use crate::DecodeError;
use crate::wire::{Reader, Writer};

/// A server's packet, told apart by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPacket<'a> {
    /// The login is done.
    Ok,
    /// The login failed.
    Err,
    /// `Protocol::AuthSwitchRequest`: another plugin, another nonce.
    SwitchRequest(AuthSwitchRequest<'a>),
    /// `Protocol::OldAuthSwitchRequest`: the 4.0 method.
    OldSwitchRequest,
    /// `Protocol::AuthMoreData`: the plugin's own bytes.
    MoreData(&'a [u8]),
    /// `Protocol::AuthNextFactor`: one factor is done, another is wanted.
    NextFactor(AuthSwitchRequest<'a>),
    /// Bytes of a plugin that uses no prefix (MariaDB's dialog).
    Other,
}

/// `Protocol::AuthSwitchRequest`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthSwitchRequest<'a> {
    /// The plugin to go on with.
    pub plugin_name: &'a [u8],
    /// Its nonce, without the closing zero.
    pub plugin_data: &'a [u8],
}

impl<'a> AuthPacket<'a> {
    const OK: u8 = 0x00;
    const MORE_DATA: u8 = 0x01;
    const NEXT_FACTOR: u8 = 0x02;
    const SWITCH_REQUEST: u8 = 0xfe;
    const ERR: u8 = 0xff;

    /// # Errors
    /// A switch whose plugin name has no end.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match payload.split_first() {
            Some((&Self::OK, _)) => Self::Ok,
            Some((&Self::ERR, _)) => Self::Err,
            Some((&Self::SWITCH_REQUEST, [])) => Self::OldSwitchRequest,
            Some((&Self::SWITCH_REQUEST, rest)) => {
                Self::SwitchRequest(AuthSwitchRequest::decode("AuthSwitchRequest", rest)?)
            }
            Some((&Self::MORE_DATA, data)) => Self::MoreData(data),
            Some((&Self::NEXT_FACTOR, rest)) if rest.contains(&0) => {
                Self::NextFactor(AuthSwitchRequest::decode("AuthNextFactor", rest)?)
            }
            Some(_) | None => Self::Other,
        })
    }

    /// True for the last packet of a login.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ok | Self::Err)
    }
}

impl<'a> AuthSwitchRequest<'a> {
    fn decode(packet: &'static str, rest: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(packet, rest);
        let plugin_name = reader.nul_bytes("plugin name")?;
        let data = reader.rest();
        Ok(Self {
            plugin_name,
            plugin_data: data.strip_suffix(&[0]).unwrap_or(data),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(AuthPacket::SWITCH_REQUEST);
        writer.nul_bytes(self.plugin_name);
        writer.bytes(self.plugin_data);
        writer.u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_round_trips() {
        let request = AuthSwitchRequest {
            plugin_name: b"caching_sha2_password",
            plugin_data: &[9; 20],
        };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        assert_eq!(
            AuthPacket::decode(&payload),
            Ok(AuthPacket::SwitchRequest(request))
        );
        for cut in 2..=b"caching_sha2_password".len() {
            assert!(AuthPacket::decode(&payload[..cut]).is_err());
        }
    }

    #[test]
    fn first_bytes_decide() {
        assert_eq!(AuthPacket::decode(&[0, 0, 0]), Ok(AuthPacket::Ok));
        assert_eq!(AuthPacket::decode(&[0xff]), Ok(AuthPacket::Err));
        assert_eq!(
            AuthPacket::decode(&[0xfe]),
            Ok(AuthPacket::OldSwitchRequest)
        );
        assert_eq!(AuthPacket::decode(&[1, 4]), Ok(AuthPacket::MoreData(&[4])));
        // MariaDB's dialog plugin asks with 2 and a text that has no zero.
        assert_eq!(AuthPacket::decode(b"\x02Password: "), Ok(AuthPacket::Other));
        assert_eq!(AuthPacket::decode(&[]), Ok(AuthPacket::Other));
    }
}
