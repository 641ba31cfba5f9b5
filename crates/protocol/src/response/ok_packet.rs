//! `OK_Packet`: header 0x00, or 0xfe where it ends rows under DEPRECATE_EOF.

use crate::wire::{Reader, Writer};
use crate::{Capabilities, DecodeError, StatusFlags};

const NAME: &str = "OK_Packet";

/// A command's success.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    /// Rows changed, or matched under FOUND_ROWS.
    pub affected_rows: u64,
    /// The first generated AUTO_INCREMENT value.
    pub last_insert_id: u64,
    /// The session's state.
    pub status: StatusFlags,
    /// How many warnings SHOW WARNINGS has.
    pub warnings: u16,
    /// What a person may read; with session state changes as they came, if there are any.
    pub info: Vec<u8>,
}

impl OkPacket {
    /// The header of an OK.
    pub const HEADER: u8 = 0x00;
    /// The header of an OK that ends rows under DEPRECATE_EOF.
    pub const HEADER_AFTER_ROWS: u8 = 0xfe;

    /// Reads either header.
    ///
    /// # Errors
    /// Another header, or a packet cut short before its info.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        let header = reader.u8("header")?;
        if header != Self::HEADER && header != Self::HEADER_AFTER_ROWS {
            return Err(reader.invalid("header", header.into()));
        }
        Ok(Self {
            affected_rows: reader.lenenc_int("affected rows")?,
            last_insert_id: reader.lenenc_int("last insert id")?,
            status: StatusFlags::from_bits_retain(reader.u16("status flags")?),
            warnings: reader.u16("warnings")?,
            info: reader.rest().to_vec(),
        })
    }

    /// Appends the payload. `info` is written as `string<EOF>`, or as `string<lenenc>` under SESSION_TRACK.
    pub fn encode(&self, header: u8, capabilities: Capabilities, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(header);
        writer.lenenc_int(self.affected_rows);
        writer.lenenc_int(self.last_insert_id);
        writer.u16(self.status.bits());
        writer.u16(self.warnings);
        if capabilities.contains(Capabilities::SESSION_TRACK) && !self.info.is_empty() {
            writer.lenenc_bytes(&self.info);
        } else {
            writer.bytes(&self.info);
        }
    }

    /// The status flags alone, from a packet that may be cut behind them: what a relay looks at.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_status(payload: &[u8]) -> Result<StatusFlags, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        reader.u8("header")?;
        reader.lenenc_int("affected rows")?;
        reader.lenenc_int("last insert id")?;
        reader
            .u16("status flags")
            .map(StatusFlags::from_bits_retain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_cuts() {
        let ok = OkPacket {
            affected_rows: 3,
            last_insert_id: 1 << 40,
            status: StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS,
            warnings: 2,
            info: Vec::new(),
        };
        let mut payload = Vec::new();
        ok.encode(OkPacket::HEADER, Capabilities::PROTOCOL_41, &mut payload);
        assert_eq!(OkPacket::decode(&payload), Ok(ok.clone()));
        assert_eq!(OkPacket::decode_status(&payload), Ok(ok.status));
        for cut in 0..payload.len() {
            assert!(OkPacket::decode(&payload[..cut]).is_err());
        }
    }
}
