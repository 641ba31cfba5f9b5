//! ERR, OK and EOF.

use mlua::Result;
use protocol::response::{EofPacket, ErrPacket, OkPacket};
use protocol::{Capabilities, StatusFlags};

use super::{Decoded, Given, Module, encoded, failed};
use crate::response::err_payload;

pub(super) fn add_to(module: &Module<'_>) -> Result<()> {
    module.decoder("from_err_packet", from_err_packet)?;
    module.encoder("to_err_packet", to_err_packet)?;
    module.decoder("from_ok_packet", from_ok_packet)?;
    module.encoder("to_ok_packet", to_ok_packet)?;
    module.decoder("from_eof_packet", from_eof_packet)?;
    module.encoder("to_eof_packet", to_eof_packet)
}

fn from_err_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_err_packet");
    let err = ErrPacket::decode(packet).map_err(|error| failed(&error))?;
    let sql_state = err.sql_state.ok_or_else(|| failed(&"no SQLSTATE"))?;
    decoded.number("errcode", err.code)?;
    decoded.text("sqlstate", &sql_state)?;
    decoded.text("errmsg", &err.message)
}

fn to_err_packet(given: &Given<'_>) -> Result<Vec<u8>> {
    Ok(err_payload(
        given.number("errcode", 0)? as u16,
        given.text("sqlstate")?.as_deref(),
        &given.text("errmsg")?.unwrap_or_default(),
    ))
}

fn from_ok_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_ok_packet");
    if packet.first() != Some(&OkPacket::HEADER) {
        return Err(failed(&"the first byte is not 0"));
    }
    let ok = OkPacket::decode_head(packet).map_err(|error| failed(&error))?;
    decoded.number("affected_rows", ok.affected_rows)?;
    decoded.number("insert_id", ok.last_insert_id)?;
    decoded.number("server_status", ok.status.bits())?;
    decoded.number("warnings", ok.warnings)
}

fn to_ok_packet(given: &Given<'_>) -> Result<Vec<u8>> {
    let ok = OkPacket {
        affected_rows: given.number("affected_rows", 0)? as u64,
        last_insert_id: given.number("insert_id", 0)? as u64,
        status: StatusFlags::from_bits_retain(given.number("server_status", 0)? as u16),
        warnings: given.number("warnings", 0)? as u16,
        ..OkPacket::default()
    };
    Ok(encoded(|out| {
        ok.encode(OkPacket::HEADER, Capabilities::empty(), out);
    }))
}

fn from_eof_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_eof_packet");
    let eof = EofPacket::decode(packet).map_err(|error| failed(&error))?;
    decoded.number("server_status", eof.status.bits())?;
    decoded.number("warnings", eof.warnings)
}

fn to_eof_packet(given: &Given<'_>) -> Result<Vec<u8>> {
    let eof = EofPacket {
        warnings: given.number("warnings", 0)? as u16,
        status: StatusFlags::from_bits_retain(given.number("server_status", 0)? as u16),
    };
    Ok(encoded(|out| eof.encode(out)))
}
