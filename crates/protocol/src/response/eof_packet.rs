//! `EOF_Packet`: ends column definitions and rows where DEPRECATE_EOF was not agreed on.

use crate::wire::{Reader, Writer};
use crate::{DecodeError, StatusFlags};

/// Header 0xfe and four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EofPacket {
    /// How many warnings SHOW WARNINGS has.
    pub warnings: u16,
    /// The session's state.
    pub status: StatusFlags,
}

impl EofPacket {
    /// The first byte; a row's first value may start with it too, in a packet of at least nine bytes.
    pub const HEADER: u8 = 0xfe;
    /// Bytes of its payload.
    pub const BYTES: usize = 5;

    /// # Errors
    /// Anything but a 4.1 EOF.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("EOF_Packet", payload);
        let header = reader.u8("header")?;
        if header != Self::HEADER {
            return Err(reader.invalid("header", header.into()));
        }
        let eof = Self {
            warnings: reader.u16("warnings")?,
            status: StatusFlags::from_bits_retain(reader.u16("status flags")?),
        };
        reader.end()?;
        Ok(eof)
    }

    /// Appends the payload.
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(Self::HEADER);
        writer.u16(self.warnings);
        writer.u16(self.status.bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_cuts() {
        let eof = EofPacket {
            warnings: 1,
            status: StatusFlags::CURSOR_EXISTS,
        };
        let mut payload = Vec::new();
        eof.encode(&mut payload);
        assert_eq!(payload.len(), EofPacket::BYTES);
        assert_eq!(EofPacket::decode(&payload), Ok(eof));
        for cut in 0..payload.len() {
            assert!(EofPacket::decode(&payload[..cut]).is_err());
        }
    }
}
