//! The greeting ("challenge") and the client's answer to it ("response").

use mlua::{Error, Lua, Result, Table, Value};
use protocol::connection_phase::{
    HandshakeResponse41, HandshakeResponse320, HandshakeV10, version_number,
};
use protocol::wire::Reader;
use protocol::{Capabilities, DecodeError, StatusFlags};

use super::{Decoded, Given, Module, encoded, failed, integer, string};

const PROTOCOL_VERSION: u8 = 10;
/// What an encoded greeting says where the script's version is no number of a real server.
const SERVER_VERSION: &[u8] = b"5.0.99";
/// A greeting is never cut below the first part of its challenge, nor longer than its length byte says.
const CHALLENGE_BYTES: std::ops::RangeInclusive<usize> = 8..=254;
const CHALLENGE: &[u8] = b"01234567890123456789";
const CAPABILITIES: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::SECURE_CONNECTION);
/// What a server is taken to offer where the script does not say it.
const SERVER_CAPABILITIES: Capabilities = CAPABILITIES.union(Capabilities::CONNECT_WITH_DB);
/// The length of an auth response is one byte, unless it is a lenenc integer.
const AUTH_RESPONSE_BYTES_MAX: usize = 255;

pub(super) fn add_to(module: &Module<'_>) -> Result<()> {
    module.decoder("from_challenge_packet", from_challenge_packet)?;
    module.encoder("to_challenge_packet", to_challenge_packet)?;
    module.function("from_response_packet", from_response_packet)?;
    module.encoder("to_response_packet", to_response_packet)
}

fn from_challenge_packet(packet: &[u8], decoded: &Decoded<'_>) -> Result<()> {
    let failed = failed("get_auth_challenge");
    let mut greeting = HandshakeV10::decode(packet).map_err(|error| failed(&error))?;
    let version = version_number(&greeting.server_version)
        .ok_or_else(|| failed(&"the server version does not start with N.N.N"))?;
    if greeting.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        // Its terminator counts as data there.
        greeting.auth_plugin_data.push(0);
    }
    decoded.number("protocol_version", PROTOCOL_VERSION)?;
    decoded.number("server_version", version)?;
    decoded.number("thread_id", greeting.thread_id)?;
    decoded.number("capabilities", greeting.capabilities.low())?;
    decoded.number("charset", greeting.character_set)?;
    decoded.number("server_status", greeting.status.bits())?;
    decoded.text("challenge", &greeting.auth_plugin_data)?;
    decoded.text("auth_plugin_name", &greeting.auth_plugin_name)
}

fn to_challenge_packet(given: &Given<'_>) -> Result<Vec<u8>> {
    let mut challenge = given.text("challenge")?.unwrap_or(CHALLENGE.to_vec());
    if challenge.len() == CHALLENGE.len() + 1 && challenge.last() == Some(&0) {
        challenge.pop();
    }
    if !CHALLENGE_BYTES.contains(&challenge.len()) {
        return Err(Error::runtime(format!(
            ".challenge has {} bytes, it has to have 8 to 254",
            challenge.len()
        )));
    }
    let greeting = HandshakeV10 {
        server_version: version_text(given.number("server_version", 0)?),
        thread_id: given.number("thread_id", 0)? as u32,
        auth_plugin_data: challenge,
        capabilities: capabilities(given, CAPABILITIES)?,
        character_set: given.number("charset", 0)? as u8,
        status: StatusFlags::from_bits_retain(given.number("server_status", 0)? as u16),
        auth_plugin_name: given.nul_text("auth_plugin_name")?,
    };
    Ok(encoded(|out| greeting.encode(out)))
}

fn version_text(version: i64) -> Vec<u8> {
    match version {
        30_001..=99_999 => {
            let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
            format!("{major}.{minor:02}.{patch:02}").into_bytes()
        }
        _ => SERVER_VERSION.to_vec(),
    }
}

fn from_response_packet(lua: &Lua, (packet, server): (Value, Value)) -> Result<Table> {
    let packet = string(lua, 1, "from_response_packet", &packet)?;
    let server = integer(lua, 2, "from_response_packet", &server)?;
    let server = Capabilities::from_halves(server as u32, 0);
    let failed = failed("get_auth_response");
    let response = decode_response(&packet, server).map_err(|error| failed(&error))?;
    let decoded = Decoded::new(lua)?;
    decoded.number("capabilities", response.capabilities.low())?;
    decoded.number("server_capabilities", server.low())?;
    decoded.number("max_packet_size", response.max_packet_bytes)?;
    decoded.number("charset", response.character_set)?;
    decoded.text("username", &response.username)?;
    decoded.text("response", &response.auth_response)?;
    decoded.text("auth_plugin_name", &response.auth_plugin_name)?;
    decoded.text("database", &response.database)?;
    Ok(decoded.table)
}

fn decode_response(
    packet: &[u8],
    server: Capabilities,
) -> std::result::Result<HandshakeResponse41, DecodeError> {
    let mut reader = Reader::new("HandshakeResponse", packet);
    let low = u32::from(reader.u16("client flags")?);
    if !Capabilities::from_halves(low, 0).contains(Capabilities::PROTOCOL_41) {
        return HandshakeResponse320::decode(packet).map(in_the_new_form);
    }
    let high = u32::from(reader.u16("client flags")?);
    let capabilities = Capabilities::from_halves(low | high << 16, 0);
    // Clients set flags of fields that they leave out where the server does not offer them. What comes behind the
    // fields that scripts see is not looked at.
    let fields = Capabilities::CONNECT_WITH_DB | Capabilities::PLUGIN_AUTH;
    let present = capabilities & (server | !fields) & !Capabilities::CONNECT_ATTRS;
    let mut patched = packet.to_vec();
    HandshakeResponse41::patch_capabilities(&mut patched, present)?;
    Ok(HandshakeResponse41 {
        capabilities,
        ..HandshakeResponse41::decode(&patched)?
    })
}

fn in_the_new_form(old: HandshakeResponse320) -> HandshakeResponse41 {
    HandshakeResponse41 {
        capabilities: old.capabilities,
        max_packet_bytes: old.max_packet_bytes,
        username: old.username,
        auth_response: old.auth_response,
        database: old.database,
        ..HandshakeResponse41::default()
    }
}

fn to_response_packet(given: &Given<'_>) -> Result<Vec<u8>> {
    let server = server_capabilities(given)?;
    let mut capabilities = capabilities(given, CAPABILITIES)?;
    let username = given.nul_text("username")?;
    let database = given.nul_text("database")?;
    let max_packet_bytes = given.number("max_packet_size", 0)? as u32;
    // A field that the flags promise has to be there, and only then: what follows would be taken for it.
    if !server.contains(Capabilities::CONNECT_WITH_DB) {
        capabilities -= Capabilities::CONNECT_WITH_DB;
    } else if !database.is_empty() {
        capabilities |= Capabilities::CONNECT_WITH_DB;
    }
    if !server.contains(Capabilities::PLUGIN_AUTH) {
        capabilities -= Capabilities::PLUGIN_AUTH;
    }
    let auth_response = auth_response(given, capabilities)?;
    if !capabilities.contains(Capabilities::PROTOCOL_41) {
        let response = HandshakeResponse320 {
            capabilities,
            max_packet_bytes,
            username,
            auth_response,
            database,
        };
        return Ok(encoded(|out| response.encode(out)));
    }
    let response = HandshakeResponse41 {
        capabilities,
        max_packet_bytes,
        character_set: given.number("charset", 0)? as u8,
        username,
        auth_response,
        database,
        auth_plugin_name: given.nul_text("auth_plugin_name")?,
        connection_attributes: Some(Vec::new()),
        zstd_level: None,
        rest: Vec::new(),
    };
    Ok(encoded(|out| response.encode(out)))
}

fn server_capabilities(given: &Given<'_>) -> Result<Capabilities> {
    match given.table.get("server_capabilities")? {
        Value::Nil => Ok(SERVER_CAPABILITIES),
        value => match given.lua.coerce_number(value)? {
            Some(number) => Ok(Capabilities::from_halves(number as i64 as u32, 0)),
            None => Err(Error::runtime(".server_capabilities has to be a number")),
        },
    }
}

fn auth_response(given: &Given<'_>, capabilities: Capabilities) -> Result<Vec<u8>> {
    let has = |flag| capabilities.contains(flag);
    if !has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION)
        && !has(Capabilities::PROTOCOL_41 | Capabilities::PLUGIN_AUTH_LENENC_DATA)
    {
        return given.nul_text("response");
    }
    let response = given.text("response")?.unwrap_or_default();
    if response.len() > AUTH_RESPONSE_BYTES_MAX && !has(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
        return Err(Error::runtime(format!(
            ".response has {} bytes: without PLUGIN_AUTH_LENENC_CLIENT_DATA 255 are the most",
            response.len()
        )));
    }
    Ok(response)
}

fn capabilities(given: &Given<'_>, default: Capabilities) -> Result<Capabilities> {
    let bits = given.number("capabilities", default.low())?;
    Ok(Capabilities::from_halves(bits as u32, 0))
}
