//! `COM_STMT_PREPARE_OK`: parameter definitions follow it, then column definitions, each group with its EOF unless
//! DEPRECATE_EOF was agreed on.

use crate::DecodeError;
use crate::response::OkPacket;
use crate::wire::{Reader, Writer};

/// A statement is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StmtPrepareOk {
    /// The connection's own number for it.
    pub statement_id: u32,
    /// Columns of its resultset; 0 where it gives none.
    pub columns: u16,
    /// Its `?`.
    pub parameters: u16,
    /// How many warnings SHOW WARNINGS has.
    pub warnings: u16,
}

impl StmtPrepareOk {
    /// # Errors
    /// Another header, or a payload of another length.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("COM_STMT_PREPARE_OK", payload);
        let header = reader.u8("header")?;
        if header != OkPacket::HEADER {
            return Err(reader.invalid("header", header.into()));
        }
        let statement_id = reader.u32("statement id")?;
        let columns = reader.u16("column count")?;
        let parameters = reader.u16("parameter count")?;
        reader.u8("reserved")?;
        let warnings = reader.u16("warnings")?;
        reader.end()?;
        Ok(Self {
            statement_id,
            columns,
            parameters,
            warnings,
        })
    }

    /// Appends the payload.
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.u8(OkPacket::HEADER);
        writer.u32(self.statement_id);
        writer.u16(self.columns);
        writer.u16(self.parameters);
        writer.u8(0);
        writer.u16(self.warnings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_round_trips_and_cuts() {
        let ok = StmtPrepareOk {
            statement_id: 1,
            columns: 1,
            parameters: 2,
            warnings: 0,
        };
        let mut payload = Vec::new();
        ok.encode(&mut payload);
        assert_eq!(payload, b"\x00\x01\0\0\0\x01\0\x02\0\0\0\0");
        assert_eq!(StmtPrepareOk::decode(&payload), Ok(ok));
        for cut in 0..payload.len() {
            assert!(StmtPrepareOk::decode(&payload[..cut]).is_err());
        }
    }
}
