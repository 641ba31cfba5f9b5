//! The commands of prepared statements, and the answer to COM_STMT_PREPARE.

use mlua::{Lua, Result, Table, Value};
use protocol::prepared_statement::{StmtExecute, StmtPrepareOk};
use protocol::resultset::ColumnType;
use protocol::wire::Reader;
use protocol::{Command, DecodeError};

use super::{Decoded, Module, failed, integer, string};
use crate::{parameter, query_attributes};

/// COM_STMT_PREPARE_OK; a byte about left-out definitions may follow.
const PREPARE_OK_BYTES: usize = 12;

pub(super) fn add_to(module: &Module<'_>) -> Result<()> {
    module.decoder("from_stmt_prepare_packet", from_stmt_prepare_packet)?;
    module.decoder("from_stmt_prepare_ok_packet", from_stmt_prepare_ok_packet)?;
    module.function("stmt_id_from_stmt_execute_packet", |lua, packet: Value| {
        let packet = string(lua, 1, "stmt_id_from_stmt_execute_packet", &packet)?;
        let failed = failed("get_stmt_execute_packet_stmt_id");
        StmtExecute::decode_statement_id(&packet).map_err(|error| failed(&error))
    })?;
    module.function("from_stmt_execute_packet", from_stmt_execute_packet)?;
    module.decoder("from_stmt_close_packet", from_stmt_close_packet)
}

fn from_stmt_prepare_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_stmt_prepare_packet");
    let mut reader = command("COM_STMT_PREPARE", Command::STMT_PREPARE, packet)
        .map_err(|error| failed(&error))?;
    decoded.text("stmt_text", reader.rest())
}

fn from_stmt_prepare_ok_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_stmt_ok_packet");
    let fixed = match packet.len() == PREPARE_OK_BYTES + 1 {
        true => &packet[..PREPARE_OK_BYTES],
        false => packet,
    };
    let ok = StmtPrepareOk::decode(fixed).map_err(|error| failed(&error))?;
    decoded.number("stmt_id", ok.statement_id)?;
    decoded.number("num_columns", ok.columns)?;
    decoded.number("num_params", ok.parameters)?;
    decoded.number("warnings", ok.warnings)
}

fn from_stmt_close_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_stmt_close_packet");
    let statement_id = command("COM_STMT_CLOSE", Command::STMT_CLOSE, packet)
        .and_then(|mut reader| reader.u32("statement id"))
        .map_err(|error| failed(&error))?;
    decoded.number("stmt_id", statement_id)
}

/// Of parameters only what this packet says: values whose types came with an earlier one cannot be told.
fn from_stmt_execute_packet(lua: &Lua, (packet, parameters): (Value, Value)) -> Result<Table> {
    let failed = failed("get_stmt_execute_packet");
    let packet = string(lua, 1, "from_stmt_execute_packet", &packet)?;
    let parameters = integer(lua, 2, "from_stmt_execute_packet", &parameters)?;
    let parameters = u16::try_from(parameters)
        .map_err(|_| failed(&format!("{parameters} parameters are none or too many")))?;
    let head = ExecuteHead::decode(&packet, parameters).map_err(|error| failed(&error))?;
    let decoded = Decoded::new(lua)?;
    decoded.number("stmt_id", head.statement_id)?;
    decoded.number("flags", head.flags)?;
    decoded.number("iteration_count", head.iteration_count)?;
    let table = decoded.table;
    table.raw_set("new_params_bound", head.new_params_bound)?;
    if head.new_params_bound {
        let execute = StmtExecute::decode(&packet, parameters, &[], |_| false)
            .map_err(|error| failed(&error))?;
        table.raw_set("params", params(lua, &execute)?)?;
        if !execute.attributes.is_empty() {
            let attributes = query_attributes::by_name(lua, &execute.attributes)?;
            table.raw_set("attributes", attributes)?;
        }
    }
    Ok(table)
}

fn params(lua: &Lua, execute: &StmtExecute<'_>) -> Result<Table> {
    let params = lua.create_table_with_capacity(execute.values.len(), 0)?;
    for (bound, value) in execute.types.iter().zip(&execute.values) {
        let column_type = bound.column_type;
        if !ColumnType::ALL.contains(&column_type) {
            let reason = format!("a parameter of unknown type {}", column_type.0);
            return Err(failed("get_stmt_execute_packet")(&reason));
        }
        let param = lua.create_table_with_capacity(0, 2)?;
        param.raw_set("type", column_type.0)?;
        param.raw_set("value", parameter::lua_value(lua, *value, column_type)?)?;
        params.raw_push(param)?;
    }
    Ok(params)
}

/// COM_STMT_EXECUTE up to where types may stand.
struct ExecuteHead {
    statement_id: u32,
    flags: u8,
    iteration_count: u32,
    new_params_bound: bool,
}

impl ExecuteHead {
    fn decode(packet: &[u8], parameters: u16) -> std::result::Result<Self, DecodeError> {
        let mut reader = command("COM_STMT_EXECUTE", Command::STMT_EXECUTE, packet)?;
        let mut head = Self {
            statement_id: reader.u32("statement id")?,
            flags: reader.u8("flags")?,
            iteration_count: reader.u32("iteration count")?,
            new_params_bound: false,
        };
        let values = match head.flags & StmtExecute::PARAMETER_COUNT_AVAILABLE {
            0 => parameters.into(),
            _ => reader.lenenc_int("parameter count")?,
        };
        if values > 0 {
            reader.bytes(values.div_ceil(8) as usize, "NULL bitmap")?;
            head.new_params_bound = reader.u8("new parameters bound flag")? != 0;
        }
        Ok(head)
    }
}

/// A reader behind the command byte.
fn command<'a>(
    name: &'static str,
    command: Command,
    packet: &'a [u8],
) -> std::result::Result<Reader<'a>, DecodeError> {
    let mut reader = Reader::new(name, packet);
    let first = reader.u8("command")?;
    match first == command.0 {
        true => Ok(reader),
        false => Err(reader.invalid("command", first.into())),
    }
}
