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
    /// What a person may read; a decoded one holds session state changes as they came, if there are any.
    pub info: Vec<u8>,
    /// What to say of session state under SESSION_TRACK, by [`SessionStateChange::encode`](super::SessionStateChange::encode); a decoded packet's is empty.
    pub session_state: Vec<u8>,
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
            session_state: Vec::new(),
        })
    }

    /// Appends the payload. `info` is written as `string<EOF>`, or as `string<lenenc>` under SESSION_TRACK. Without
    /// that, session state is not written.
    pub fn encode(&self, header: u8, capabilities: Capabilities, out: &mut Vec<u8>) {
        let tracks = capabilities.contains(Capabilities::SESSION_TRACK);
        let has_changes = tracks && !self.session_state.is_empty();
        let mut status = self.status;
        status.set(StatusFlags::SESSION_STATE_CHANGED, has_changes);
        let mut writer = Writer::new(out);
        writer.u8(header);
        writer.lenenc_int(self.affected_rows);
        writer.lenenc_int(self.last_insert_id);
        writer.u16(status.bits());
        writer.u16(self.warnings);
        if tracks && (has_changes || !self.info.is_empty()) {
            writer.lenenc_bytes(&self.info);
        } else {
            writer.bytes(&self.info);
        }
        if has_changes {
            writer.lenenc_bytes(&self.session_state);
        }
    }

    /// What a packet with [`StatusFlags::SESSION_STATE_CHANGED`] says of session state: for
    /// [`SessionStateChange::decode_all`](super::SessionStateChange::decode_all).
    ///
    /// # Errors
    /// As [`Self::decode`], or a length that lies.
    pub fn decode_session_state(payload: &[u8]) -> Result<&[u8], DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        reader.u8("header")?;
        reader.lenenc_int("affected rows")?;
        reader.lenenc_int("last insert id")?;
        reader.u16("status flags")?;
        reader.u16("warnings")?;
        reader.lenenc_bytes("info")?;
        reader.lenenc_bytes("session state changes")
    }

    /// The numbers alone, from a packet that may be cut behind them: what a relay looks at.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_head(payload: &[u8]) -> Result<OkHead, DecodeError> {
        let mut reader = Reader::new(NAME, payload);
        reader.u8("header")?;
        Ok(OkHead {
            affected_rows: reader.lenenc_int("affected rows")?,
            last_insert_id: reader.lenenc_int("last insert id")?,
            status: StatusFlags::from_bits_retain(reader.u16("status flags")?),
            warnings: reader.u16("warnings")?,
        })
    }
}

/// The fixed part of an OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OkHead {
    /// See [`OkPacket::affected_rows`].
    pub affected_rows: u64,
    /// See [`OkPacket::last_insert_id`].
    pub last_insert_id: u64,
    /// See [`OkPacket::status`].
    pub status: StatusFlags,
    /// See [`OkPacket::warnings`].
    pub warnings: u16,
}

impl OkHead {
    /// The most bytes that it takes: header, two lenenc integers, two `int<2>`.
    pub const BYTES_MAX: usize = 1 + 9 + 9 + 2 + 2;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::SessionStateChange;

    #[test]
    fn round_trips_and_cuts() {
        let ok = OkPacket {
            affected_rows: 3,
            last_insert_id: 1 << 40,
            status: StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS,
            warnings: 2,
            ..OkPacket::default()
        };
        let mut payload = Vec::new();
        ok.encode(OkPacket::HEADER, Capabilities::PROTOCOL_41, &mut payload);
        assert_eq!(OkPacket::decode(&payload), Ok(ok.clone()));
        assert_eq!(OkPacket::decode_head(&payload).unwrap().status, ok.status);
        for cut in 0..payload.len() {
            assert!(OkPacket::decode(&payload[..cut]).is_err());
        }
    }

    #[test]
    fn session_state_is_written_where_it_is_tracked() {
        let mut session_state = Vec::new();
        SessionStateChange::Schema(b"shop").encode(&mut session_state);
        SessionStateChange::SystemVariable(b"autocommit", b"ON").encode(&mut session_state);
        let ok = OkPacket {
            session_state,
            ..OkPacket::default()
        };
        let (mut plain, mut tracked) = (Vec::new(), Vec::new());
        ok.encode(OkPacket::HEADER, Capabilities::empty(), &mut plain);
        ok.encode(OkPacket::HEADER, Capabilities::SESSION_TRACK, &mut tracked);
        assert_eq!(plain, b"\0\0\0\0\0\0\0");
        assert_eq!(
            tracked,
            b"\0\0\0\0\x40\0\0\0\x17\x01\x05\x04shop\x00\x0e\x0aautocommit\x02ON"
        );
        let decoded = OkPacket::decode_session_state(&tracked);
        assert_eq!(decoded, Ok(ok.session_state.as_slice()));
        for cut in 0..tracked.len() {
            assert!(OkPacket::decode_session_state(&tracked[..cut]).is_err());
        }
    }
}
