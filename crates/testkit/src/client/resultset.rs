//! Results of COM_QUERY in the text protocol.

use protocol::{
    Capabilities, StatusFlags,
    response::{EofPacket, OkPacket},
    wire::Reader,
};

use super::{Client, ClientError};

/// One result: rows, or none of them and an OK.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryResult {
    /// The columns' names; empty for a statement without a resultset.
    pub columns: Vec<String>,
    /// The values as bytes; NULL is `None`.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// Rows changed.
    pub affected_rows: u64,
    /// The first generated AUTO_INCREMENT value.
    pub last_insert_id: u64,
    /// The session's state at the end of this result.
    pub status: StatusFlags,
}

impl QueryResult {
    /// The rows as text.
    pub fn text(&self) -> Vec<Vec<Option<String>>> {
        let text = |value: &Option<Vec<u8>>| {
            value
                .as_ref()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        self.rows
            .iter()
            .map(|row| row.iter().map(text).collect())
            .collect()
    }

    fn from_ok(payload: &[u8]) -> Result<Self, ClientError> {
        let ok = OkPacket::decode(payload)?;
        Ok(Self {
            affected_rows: ok.affected_rows,
            last_insert_id: ok.last_insert_id,
            status: ok.status,
            ..Self::default()
        })
    }
}

impl Client {
    /// Reads the response of a COM_QUERY: results up to the last one, or an ERR packet.
    pub fn read_results(&mut self) -> Result<Vec<QueryResult>, ClientError> {
        let mut results = Vec::new();
        loop {
            let result = self.read_result()?;
            let more = result.status.contains(StatusFlags::MORE_RESULTS_EXISTS);
            results.push(result);
            if !more {
                return Ok(results);
            }
        }
    }

    fn read_result(&mut self) -> Result<QueryResult, ClientError> {
        let first = self.read_payload()?;
        match first.first() {
            Some(&OkPacket::HEADER) => QueryResult::from_ok(&first),
            Some(&LOCAL_INFILE) => Err(ClientError::Unexpected(
                "LOCAL INFILE is left to the command-line clients".to_owned(),
            )),
            _ => self.read_resultset(&first),
        }
    }

    fn read_resultset(&mut self, first: &[u8]) -> Result<QueryResult, ClientError> {
        let mut reader = Reader::new("column count", first);
        let count = reader.lenenc_int("column count")?;
        let mut has_definitions = true;
        if self.capabilities().has_metadata_flag() {
            has_definitions = reader.u8("metadata follows")? != 0;
        }
        reader.end()?;
        let mut result = QueryResult::default();
        for _ in 0..if has_definitions { count } else { 0 } {
            let definition = self.read_payload()?;
            result.columns.push(column_name(&definition)?);
        }
        let deprecate_eof = self.capabilities().contains(Capabilities::DEPRECATE_EOF);
        if !deprecate_eof && has_definitions {
            EofPacket::decode(&self.read_payload()?)?;
        }
        loop {
            let payload = self.read_payload()?;
            if payload.first() != Some(&EofPacket::HEADER) || payload.len() >= ROW_BYTES_MIN {
                result.rows.push(row(&payload, count)?);
                continue;
            }
            result.status = if deprecate_eof {
                OkPacket::decode(&payload)?.status
            } else {
                EofPacket::decode(&payload)?.status
            };
            return Ok(result);
        }
    }
}

/// First byte of a server's request for a file.
const LOCAL_INFILE: u8 = 0xfb;
/// A row may start with 0xfe only when its first value has 16 MiB or more; an OK that ends rows is shorter.
const ROW_BYTES_MIN: usize = 0xff_ffff;

fn column_name(definition: &[u8]) -> Result<String, ClientError> {
    let mut reader = Reader::new("ColumnDefinition41", definition);
    for field in ["catalog", "schema", "table", "org_table"] {
        reader.lenenc_bytes(field)?;
    }
    let name = reader.lenenc_bytes("name")?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn row(payload: &[u8], columns: u64) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
    let mut reader = Reader::new("text resultset row", payload);
    let mut values = Vec::new();
    for _ in 0..columns {
        values.push(reader.lenenc_bytes_or_null("value")?.map(<[u8]>::to_vec));
    }
    reader.end()?;
    Ok(values)
}
