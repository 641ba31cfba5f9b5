//! `proxy.response`: what a script answers, made into packets for the client.
//!
//! A script's mistakes end in an ERR that says so and in one log line; there is no table that fails the session. The
//! table is only read: scripts keep one and answer with it many times. Packets of 16 MiB and more are split by who
//! sends them.

use std::borrow::Cow;

use mlua::{Lua, Table, Value};
use protocol::response::error_code::UNKNOWN_ERROR;
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::resultset::{ColumnCount, ColumnDefinition41, ColumnFlags, ColumnType, TextRow};
use protocol::{Capabilities, StatusFlags};
use thiserror::Error;
use tracing::{info, warn};

use crate::Response;
use crate::api::{Field, Object};

/// `proxy.response`
pub(crate) const OBJECT: Object = Object {
    path: "proxy.response",
    class: "mysql_proxy.Response",
    text: "What the client gets when a hook returns `proxy.PROXY_SEND_RESULT`: a table of the script's own, empty at the start \
           of each `read_query`. One that cannot be sent is ERR 1105, and the log says what is wrong with it.",
    fields: &[
        Field::read_write(
            "type",
            "integer",
            "`proxy.MYSQLD_PACKET_OK` (an OK, or a resultset), `_ERR` or `_RAW`.",
        ),
        Field::read_write("affected_rows", "integer|nil", "Of an OK; 0 unless set."),
        Field::read_write("insert_id", "integer|nil", "Of an OK; 0 unless set."),
        Field::read_write(
            "resultset",
            "mysql_proxy.ResponseResultset|nil",
            "Makes an OK a result with rows.",
        ),
        Field::read_write(
            "errmsg",
            "string|nil",
            "The text of an ERR, which needs it; cut to 512 bytes.",
        ),
        Field::read_write("errcode", "integer|nil", "Of an ERR; 1105 unless set."),
        Field::read_write(
            "sqlstate",
            "string|nil",
            "Five characters, of an ERR; `07000` unless set.",
        ),
        Field::read_write(
            "packets",
            "string[]|nil",
            "Of `_RAW`: the packets themselves, without headers.",
        ),
    ],
};

/// `proxy.response.resultset`
pub(crate) const RESULTSET: Object = Object {
    path: "proxy.response.resultset",
    class: "mysql_proxy.ResponseResultset",
    text: "A result with rows.",
    fields: &[
        Field::read_write(
            "fields",
            "mysql_proxy.ResponseField[]",
            "The columns; at least one.",
        ),
        Field::read_write(
            "rows",
            "any[][]",
            "The rows. Cells are strings or numbers; nil, booleans and tables become NULL.",
        ),
    ],
};

/// `proxy.response.resultset.fields[i]`
pub(crate) const COLUMN: Object = Object {
    path: "proxy.response.resultset.fields[i]",
    class: "mysql_proxy.ResponseField",
    text: "A column.",
    fields: &[
        Field::read_write("name", "string", "Its name."),
        Field::read_write(
            "type",
            "integer|nil",
            "`proxy.MYSQL_TYPE_*`; `proxy.MYSQL_TYPE_STRING` unless set.",
        ),
    ],
};

/// `proxy.MYSQLD_PACKET_OK`
const TYPE_OK: f64 = 0.0;
/// `proxy.MYSQLD_PACKET_RAW`
const TYPE_RAW: f64 = 250.0;
/// `proxy.MYSQLD_PACKET_ERR`
const TYPE_ERR: f64 = 255.0;

/// The SQLSTATE of an ERR that names none, and of our own.
const SQL_STATE: &[u8] = b"07000";
/// Clients keep no longer text (MYSQL_ERRMSG_SIZE).
pub(crate) const ERRMSG_BYTES_MAX: usize = 512;

const STATUS: StatusFlags = StatusFlags::AUTOCOMMIT;
/// `latin1_swedish_ci`, which scripts' definitions always had.
const CHARACTER_SET: u16 = 8;
const COLUMN_LENGTH: u32 = 32;
const NO_FIELD_NAME: &[u8] = b"no-field-name";

/// Why a response could not be built.
#[derive(Debug, Error)]
enum Fault {
    #[error("proxy.response is no table")]
    NoTable,
    #[error("proxy.response.type has to be a number, got {0}")]
    NoType(&'static str),
    #[error("proxy.response.type is unknown: {0}")]
    UnknownType(f64),
    #[error("proxy.response.errmsg is nil or no string")]
    NoErrmsg,
    #[error("proxy.response.{0} has to be a table, got {1}")]
    NotATable(&'static str, &'static str),
    #[error("proxy.response.{0} is empty")]
    Empty(&'static str),
    #[error("proxy.response.{0}[{1}] has to be a table, got {2}")]
    EntryNotATable(&'static str, usize, &'static str),
    #[error("proxy.response.packets[{0}] has to be a string, got {1}")]
    PacketNotAString(usize, &'static str),
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

/// `table` is `proxy.response`, `None` when that is no table; the packets are framed as `capabilities` say.
pub(crate) fn build(lua: &Lua, table: Option<Table>, capabilities: Capabilities) -> Response {
    let payloads = table
        .ok_or(Fault::NoTable)
        .and_then(|table| payloads(lua, &table, capabilities));
    Response {
        payloads: payloads.unwrap_or_else(|fault| {
            info!("a script's answer cannot be sent, the client gets ERR 1105: {fault}");
            vec![err_payload(UNKNOWN_ERROR, None, fault.text_for_client())]
        }),
    }
}

/// An ERR as scripts say it: the SQLSTATE is cut or filled to five characters, the text cut.
pub(crate) fn err_payload(code: u16, sql_state: Option<&[u8]>, message: &[u8]) -> Vec<u8> {
    let mut five = *b"00000";
    let given = sql_state.unwrap_or(SQL_STATE);
    let kept = given.len().min(five.len());
    five[..kept].copy_from_slice(&given[..kept]);
    let err = ErrPacket {
        code,
        sql_state: Some(five),
        message: Cow::Borrowed(&message[..message.len().min(ERRMSG_BYTES_MAX)]),
    };
    let mut payload = Vec::new();
    err.encode(&mut payload);
    payload
}

fn payloads(
    lua: &Lua,
    response: &Table,
    capabilities: Capabilities,
) -> Result<Vec<Vec<u8>>, Fault> {
    let value: Value = response.get("type")?;
    let got = value.type_name();
    let response_type = lua.coerce_number(value)?.ok_or(Fault::NoType(got))?;
    match response_type.trunc() {
        TYPE_OK => match response.get("resultset")? {
            Value::Table(resultset) => resultset_payloads(lua, &resultset, capabilities),
            _ => ok(lua, response, capabilities),
        },
        TYPE_ERR => err(lua, response),
        TYPE_RAW => raw(lua, response),
        unknown => Err(Fault::UnknownType(unknown)),
    }
}

fn ok(lua: &Lua, response: &Table, capabilities: Capabilities) -> Result<Vec<Vec<u8>>, Fault> {
    let number = |key| -> Result<u64, Fault> {
        Ok(lua.coerce_number(response.get(key)?)?.unwrap_or(0.0) as u64)
    };
    let ok = OkPacket {
        affected_rows: number("affected_rows")?,
        last_insert_id: number("insert_id")?,
        status: STATUS,
        ..OkPacket::default()
    };
    Ok(vec![encoded(|out| {
        ok.encode(OkPacket::HEADER, capabilities, out);
    })])
}

fn err(lua: &Lua, response: &Table) -> Result<Vec<Vec<u8>>, Fault> {
    let message = lua
        .coerce_string(response.get("errmsg")?)?
        .ok_or(Fault::NoErrmsg)?;
    let sql_state = lua.coerce_string(response.get("sqlstate")?)?;
    let code = lua.coerce_number(response.get("errcode")?)?;
    Ok(vec![err_payload(
        code.map_or(UNKNOWN_ERROR, |code| code as i64 as u16),
        sql_state.as_ref().map(|state| state.as_bytes()).as_deref(),
        &message.as_bytes(),
    )])
}

fn raw(lua: &Lua, response: &Table) -> Result<Vec<Vec<u8>>, Fault> {
    let packets = table_of(response, "packets", "packets")?;
    let mut payloads = Vec::new();
    for index in 1.. {
        let value: Value = packets.raw_get(index)?;
        if value.is_nil() {
            break;
        }
        let got = value.type_name();
        let packet = lua
            .coerce_string(value)?
            .ok_or(Fault::PacketNotAString(index, got))?;
        payloads.push(packet.as_bytes().to_vec());
    }
    match payloads.is_empty() {
        true => Err(Fault::Empty("packets")),
        false => Ok(payloads),
    }
}

fn resultset_payloads(
    lua: &Lua,
    resultset: &Table,
    capabilities: Capabilities,
) -> Result<Vec<Vec<u8>>, Fault> {
    let fields = table_of(resultset, "fields", "resultset.fields")?;
    let rows = table_of(resultset, "rows", "resultset.rows")?;
    let mut payloads = vec![Vec::new()];
    definition_payloads(lua, &fields, capabilities, &mut payloads)?;
    let columns = payloads.len() - 1;
    if columns == 0 {
        return Err(Fault::Empty("resultset.fields"));
    }
    ColumnCount::new(columns).encode(capabilities, &mut payloads[0]);
    let eof = EofPacket {
        warnings: 0,
        status: STATUS,
    };
    let deprecates_eof = capabilities.contains(Capabilities::DEPRECATE_EOF);
    if !deprecates_eof {
        payloads.push(encoded(|out| eof.encode(out)));
    }
    row_payloads(lua, &rows, columns, &mut payloads)?;
    payloads.push(encoded(|out| match deprecates_eof {
        true => OkPacket {
            status: STATUS,
            ..OkPacket::default()
        }
        .encode(OkPacket::HEADER_AFTER_ROWS, capabilities, out),
        false => eof.encode(out),
    }));
    Ok(payloads)
}

fn definition_payloads(
    lua: &Lua,
    fields: &Table,
    capabilities: Capabilities,
    payloads: &mut Vec<Vec<u8>>,
) -> Result<(), Fault> {
    for index in 1.. {
        let field = match fields.raw_get(index)? {
            Value::Nil => break,
            Value::Table(field) => field,
            other => {
                let got = other.type_name();
                return Err(Fault::EntryNotATable("resultset.fields", index, got));
            }
        };
        let definition = definition(lua, &field, index)?;
        payloads.push(encoded(|out| {
            definition.encode_negotiated(capabilities, out);
        }));
    }
    Ok(())
}

fn definition(lua: &Lua, field: &Table, index: usize) -> Result<ColumnDefinition41, Fault> {
    let name = lua.coerce_string(field.get("name")?)?;
    if name.is_none() {
        warn!(
            "proxy.response.resultset.fields[{index}].name is no string, it is sent as no-field-name"
        );
    }
    let column_type = lua.coerce_number(field.get("type")?)?;
    if column_type.is_none() {
        warn!(
            "proxy.response.resultset.fields[{index}].type is no number, it is sent as MYSQL_TYPE_STRING"
        );
    }
    Ok(ColumnDefinition41 {
        schema: Vec::new(),
        table: Vec::new(),
        org_table: Vec::new(),
        name: name.map_or(NO_FIELD_NAME.to_vec(), |name| name.as_bytes().to_vec()),
        org_name: Vec::new(),
        character_set: CHARACTER_SET,
        column_length: COLUMN_LENGTH,
        column_type: column_type
            .map_or(ColumnType::STRING, |number| ColumnType(number as i64 as u8)),
        flags: ColumnFlags::PRIMARY_KEY,
        decimals: 0,
    })
}

fn row_payloads(
    lua: &Lua,
    rows: &Table,
    columns: usize,
    payloads: &mut Vec<Vec<u8>>,
) -> Result<(), Fault> {
    for index in 1.. {
        let row = match rows.raw_get(index)? {
            Value::Nil => break,
            Value::Table(row) => row,
            other => {
                let got = other.type_name();
                return Err(Fault::EntryNotATable("resultset.rows", index, got));
            }
        };
        let mut payload = Vec::new();
        for column in 1..=columns {
            // What is neither text nor number has no text, and goes out as NULL.
            let cell = lua.coerce_string(row.raw_get(column)?)?;
            let cell = cell.as_ref().map(|cell| cell.as_bytes());
            TextRow::encode([cell.as_deref()], &mut payload);
        }
        payloads.push(payload);
    }
    Ok(())
}

/// `path` is the key as a script's author knows it.
fn table_of(table: &Table, key: &str, path: &'static str) -> Result<Table, Fault> {
    match table.get(key)? {
        Value::Table(table) => Ok(table),
        other => Err(Fault::NotATable(path, other.type_name())),
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    encode(&mut payload);
    payload
}

impl Fault {
    fn text_for_client(&self) -> &'static [u8] {
        match self {
            Self::NoErrmsg => b"(lua) proxy.response.errmsg is nil",
            _ => b"(lua) handling proxy.response failed, check error-log",
        }
    }
}

#[cfg(test)]
mod tests;
