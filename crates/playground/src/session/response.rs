//! Responses: OK, ERR, and resultsets as the client agreed to have them.

use protocol::response::{EofPacket, OkPacket};
use protocol::resultset::{ColumnCount, ColumnDefinition41};
use protocol::{Capabilities, StatusFlags};
use rusqlite::types::Value;

use super::Session;
use crate::failure::Failure;
use crate::packet_stream::{PacketStream, StreamError};
use crate::sql::{ResultSet, SqlError};

/// What a statement gave.
#[derive(Debug)]
pub(super) enum Outcome {
    Ok(OkPacket),
    Rows(ResultSet),
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Ok(OkPacket::default())
    }
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFormat {
    Text,
    Binary,
}

pub(super) fn write_error(stream: &mut PacketStream, error: &SqlError) -> Result<(), StreamError> {
    let mut payload = Vec::new();
    error.packet().encode(&mut payload);
    stream.write_payload(&payload)
}

impl Session<'_> {
    pub(super) fn status(&self) -> StatusFlags {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::AUTOCOMMIT, self.is_autocommit());
        status.set(StatusFlags::IN_TRANS, self.sql.is_in_transaction());
        status
    }

    pub(super) fn write_ok(&mut self) -> Result<(), Failure> {
        self.write_outcome(Outcome::default())
    }

    pub(super) fn write_outcome(&mut self, outcome: Outcome) -> Result<(), Failure> {
        self.write_result(outcome, RowFormat::Text, StatusFlags::empty())
    }

    /// `more` is MORE_RESULTS_EXISTS where another result follows.
    pub(super) fn write_result(
        &mut self,
        outcome: Outcome,
        format: RowFormat,
        more: StatusFlags,
    ) -> Result<(), Failure> {
        let status = self.status() | more;
        match outcome {
            Outcome::Ok(ok) => {
                let ok = OkPacket { status, ..ok };
                let mut payload = Vec::new();
                ok.encode(OkPacket::HEADER, self.capabilities, &mut payload);
                Ok(self.stream.write_payload(&payload)?)
            }
            Outcome::Rows(result) => {
                let mut payload = Vec::new();
                ColumnCount::new(result.columns.len()).encode(self.capabilities, &mut payload);
                self.stream.write_payload(&payload)?;
                self.write_definitions(&result.columns, status)?;
                self.write_rows(&result.columns, &result.rows, format)?;
                self.write_end(status)
            }
        }
    }

    /// Definitions, and their EOF unless that is deprecated.
    pub(super) fn write_definitions(
        &mut self,
        columns: &[ColumnDefinition41],
        status: StatusFlags,
    ) -> Result<(), Failure> {
        let mut payload = Vec::new();
        for column in columns {
            payload.clear();
            column.encode(&mut payload);
            self.stream.write_payload(&payload)?;
        }
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            return Ok(());
        }
        self.write_end(status)
    }

    pub(super) fn write_rows(
        &mut self,
        columns: &[ColumnDefinition41],
        rows: &[Vec<Value>],
        format: RowFormat,
    ) -> Result<(), Failure> {
        let mut payload = Vec::new();
        for row in rows {
            payload.clear();
            match format {
                RowFormat::Text => ResultSet::encode_text_row(columns, row, &mut payload),
                RowFormat::Binary => ResultSet::encode_binary_row(columns, row, &mut payload)?,
            }
            self.stream.write_payload(&payload)?;
        }
        Ok(())
    }

    /// EOF, or the OK that stands for it under DEPRECATE_EOF.
    pub(super) fn write_end(&mut self, status: StatusFlags) -> Result<(), Failure> {
        let mut payload = Vec::new();
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let ok = OkPacket {
                status,
                ..OkPacket::default()
            };
            let header = OkPacket::HEADER_AFTER_ROWS;
            ok.encode(header, self.capabilities, &mut payload);
        } else {
            let eof = EofPacket {
                warnings: 0,
                status,
            };
            eof.encode(&mut payload);
        }
        Ok(self.stream.write_payload(&payload)?)
    }
}
