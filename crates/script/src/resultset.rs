//! `inj.resultset`: what is known of a response, and the response itself where the script asked to keep it.
//!
//! Numbers and flags are of the whole response, or of its last part; `fields` and `rows` are of the first resultset.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use mlua::{Error, IntoLua, Lua, MetaMethod, Result, Table, UserData, UserDataFields, Value};
use protocol::packet;
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{ColumnCount, ColumnDefinition41};
use protocol::{Capabilities, DecodeError, StatusFlags};

use crate::callback::{self, key_text};
use crate::fields::FieldsObject;
use crate::injection_object::expired;
use crate::rows::Rows;
use crate::{Buffered, InjectionResult};

/// The first byte of a LOCAL INFILE request.
const LOCAL_INFILE_HEADER: u8 = 0xfb;
/// A text row that starts with 0xfe has at least these: the value's length alone takes nine.
const ROW_BYTES_MIN: usize = 9;

/// `inj.resultset`; every access makes a new one.
pub(crate) struct ResultsetObject {
    result: Weak<InjectionResult>,
}

impl ResultsetObject {
    pub(crate) fn new(result: Weak<InjectionResult>) -> Self {
        Self { result }
    }

    fn result(&self) -> Result<Arc<InjectionResult>> {
        self.result.upgrade().ok_or_else(expired)
    }

    /// What `field` is read from, if it is there.
    fn read<R>(&self, field: &str, read: impl FnOnce(&Buffered) -> Result<R>) -> Result<R> {
        match &self.result()?.buffered {
            Some(buffered) => read(buffered),
            None => Err(Error::runtime(format!(
                ".resultset.{field} isn't available if 'resultset_is_needed ~= true'"
            ))),
        }
    }

    fn fields(&self) -> Result<FieldsObject> {
        self.read("fields", |buffered| match FirstResultset::of(buffered) {
            Ok(None) => Ok(FieldsObject::new(0, Vec::new())),
            Ok(Some(first)) => {
                let definitions = first.definitions(buffered).map_err(malformed)?;
                Ok(FieldsObject::new(first.count.columns, definitions))
            }
            Err(error) => Err(malformed(error)),
        })
    }

    fn rows(&self, lua: &Lua) -> Result<Value> {
        self.read("rows", |buffered| {
            if buffered.is_binary {
                return Err(Error::runtime(
                    ".resultset.rows isn't available for prepared statements",
                ));
            }
            let Some(first) = FirstResultset::of(buffered).map_err(malformed)? else {
                return Ok(Value::Nil);
            };
            let at = first.rows_at(buffered).map_err(malformed)?;
            let rows = Rows::new(self.result.clone(), first.count.columns, at);
            rows.into_iterator(lua).map(Value::Function)
        })
    }

    fn raw(&self, lua: &Lua) -> Result<Value> {
        self.read("raw", |buffered| match next_payload(buffered, &mut 0) {
            Some(payload) => lua.create_string(&payload)?.into_lua(lua),
            None => Ok(Value::Nil),
        })
    }
}

impl UserData for ResultsetObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
    }
}

fn read(lua: &Lua, this: &ResultsetObject, key: Value) -> Result<Value> {
    let statistics = this.result()?.statistics;
    match key_text(&key).as_str() {
        // Rows of all resultsets of the response.
        "row_count" => statistics.row_count.into_lua(lua),
        // Bytes of their packets, headers included.
        "bytes" => statistics.bytes.into_lua(lua),
        // The session's state at the end of the response, as a table of booleans.
        "flags" => flags(lua, statistics.status)?.into_lua(lua),
        // How many warnings SHOW WARNINGS has.
        "warning_count" => statistics.warning_count.into_lua(lua),
        // nil where the response ends with a resultset.
        "affected_rows" => statistics.affected_rows.into_lua(lua),
        // As affected_rows.
        "insert_id" => statistics.insert_id.into_lua(lua),
        // proxy.MYSQLD_PACKET_OK, also for resultsets, or _ERR; nil for a LOCAL INFILE request.
        "query_status" => statistics.query_status.into_lua(lua),
        // The first resultset's columns; empty where there is none. Needs resultset_is_needed.
        "fields" => this.fields()?.into_lua(lua),
        // An iterator over the first resultset's rows; nil where there is none. Needs resultset_is_needed.
        "rows" => this.rows(lua),
        // The response's first packet without header. Needs resultset_is_needed.
        "raw" => this.raw(lua),
        _ => Ok(Value::Nil),
    }
}

fn flags(lua: &Lua, status: StatusFlags) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    for (name, flag) in [
        ("in_trans", StatusFlags::IN_TRANS),
        ("auto_commit", StatusFlags::AUTOCOMMIT),
        ("no_good_index_used", StatusFlags::NO_GOOD_INDEX_USED),
        ("no_index_used", StatusFlags::NO_INDEX_USED),
    ] {
        table.raw_set(name, status.contains(flag))?;
    }
    Ok(table)
}

fn malformed(error: DecodeError) -> Error {
    Error::runtime(format!("the server's response cannot be read: {error}"))
}

/// Where the first resultset of a response is.
struct FirstResultset {
    count: ColumnCount,
    /// The byte behind the column count.
    definitions_at: usize,
}

impl FirstResultset {
    /// `None` for an OK, an ERR, an EOF and a LOCAL INFILE request.
    fn of(buffered: &Buffered) -> std::result::Result<Option<Self>, DecodeError> {
        let mut at = 0;
        let payload = next_payload(buffered, &mut at).unwrap_or_default();
        match payload.first() {
            None
            | Some(
                &(OkPacket::HEADER | ErrPacket::HEADER | EofPacket::HEADER | LOCAL_INFILE_HEADER),
            ) => Ok(None),
            Some(_) => Ok(Some(Self {
                count: ColumnCount::decode(&payload, buffered.capabilities)?,
                definitions_at: at,
            })),
        }
    }

    /// Empty where they are left out.
    fn definitions(
        &self,
        buffered: &Buffered,
    ) -> std::result::Result<Vec<ColumnDefinition41>, DecodeError> {
        let mut at = self.definitions_at;
        (0..self.definition_count())
            .map(|_| {
                let payload = next_payload(buffered, &mut at).unwrap_or_default();
                ColumnDefinition41::decode_negotiated(&payload, buffered.capabilities)
            })
            .collect()
    }

    /// The byte where the first row starts, or what stands in its place.
    fn rows_at(&self, buffered: &Buffered) -> std::result::Result<usize, DecodeError> {
        let mut at = self.definitions_at;
        for _ in 0..self.definition_count() {
            if next_payload(buffered, &mut at).is_none() {
                return Ok(at);
            }
        }
        if buffered.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            return Ok(at);
        }
        let behind = at;
        match next_payload(buffered, &mut at).as_deref() {
            Some(payload) if is_end_of_rows(payload, buffered.capabilities) => Ok(at),
            Some([first, ..]) if *first != ErrPacket::HEADER => Err(DecodeError::Invalid {
                packet: "response",
                field: "first byte of the EOF after definitions",
                value: (*first).into(),
            }),
            _ => Ok(behind),
        }
    }

    fn definition_count(&self) -> u64 {
        match self.count.has_definitions {
            true => self.count.columns,
            false => 0,
        }
    }
}

/// The payload that starts at byte `at` of the packets; `at` moves behind it. MariaDB's progress reports are nothing that a
/// script sees.
pub(crate) fn next_payload<'a>(buffered: &'a Buffered, at: &mut usize) -> Option<Cow<'a, [u8]>> {
    let has_progress_reports = buffered.capabilities.has_progress_reports();
    loop {
        let (payload, rest) = packet::split_payload(buffered.packets.get(*at..)?)?;
        *at = buffered.packets.len() - rest.len();
        if !(has_progress_reports && is_progress_report(&payload)) {
            return Some(payload);
        }
    }
}

fn is_progress_report(payload: &[u8]) -> bool {
    payload.first() == Some(&ErrPacket::HEADER)
        && ErrPacket::decode(payload).is_ok_and(|err| err.code == ErrPacket::PROGRESS_REPORT)
}

/// True for an EOF, of one byte too, and for the OK in its place under DEPRECATE_EOF.
pub(crate) fn is_end_of_rows(payload: &[u8], capabilities: Capabilities) -> bool {
    payload.first() == Some(&EofPacket::HEADER)
        && match capabilities.contains(Capabilities::DEPRECATE_EOF) {
            true => payload.len() < protocol::limits::PACKET_PAYLOAD_BYTES_MAX,
            false => payload.len() < ROW_BYTES_MIN,
        }
}

#[cfg(test)]
mod tests;
