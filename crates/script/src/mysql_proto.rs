//! `mysql.proto`: packets to tables and back, for scripts that speak the protocol themselves.
//!
//! Payloads come and go without headers. In decoded tables an empty string is absent, numbers are always there.
//! Encoders take one table, ignore keys that they do not know, and take what is no number for 0. A packet that cannot
//! be decoded, and a table that makes none, raise an error.

mod generic_response;
mod login;
mod master_info;
mod prepared_statement;

use std::fmt;

use mlua::{Error, FromLuaMulti, IntoLuaMulti, Lua, Result, Table, Value};

use crate::api::{Field, Object};
use crate::builtin_module::{self, integer, string};
use crate::callback::{self, bad_argument};

/// `mysql.proto`
pub(crate) const MODULE: Object = Object {
    path: "require(\"mysql.proto\")",
    class: "mysql_proxy.Proto",
    text: "Packets to tables and back, without headers. Also the global `proto` once it is required. In decoded tables an \
           empty string is absent; encoders ignore keys that they do not know. What cannot be decoded raises an error.",
    fields: &[
        Field::read(
            "from_err_packet",
            DECODER,
            "`errmsg`, `sqlstate`, `errcode`",
        ),
        Field::read("to_err_packet", ENCODER, "The same."),
        Field::read(
            "from_ok_packet",
            DECODER,
            "`server_status`, `insert_id`, `warnings`, `affected_rows`",
        ),
        Field::read("to_ok_packet", ENCODER, "The same."),
        Field::read("from_eof_packet", DECODER, "`server_status`, `warnings`"),
        Field::read("to_eof_packet", ENCODER, "The same."),
        Field::read(
            "from_challenge_packet",
            DECODER,
            "A greeting: `protocol_version`, `server_version`, `thread_id`, `capabilities`, `charset`, `server_status`, \
             `challenge`, `auth_plugin_name`",
        ),
        Field::read(
            "to_challenge_packet",
            ENCODER,
            "The same; `{}` makes a greeting that clients understand.",
        ),
        Field::read(
            "from_response_packet",
            "fun(packet: string, server_capabilities: integer): table",
            "A login: `username`, `response`, `database`, `capabilities`, `charset`, `max_packet_size`, `auth_plugin_name`",
        ),
        Field::read("to_response_packet", ENCODER, "The same."),
        Field::read(
            "from_masterinfo_string",
            DECODER,
            "The contents of a master.info file.",
        ),
        Field::read("to_masterinfo_string", ENCODER, "The same."),
        Field::read("from_stmt_prepare_packet", DECODER, "`stmt_text`"),
        Field::read(
            "from_stmt_prepare_ok_packet",
            DECODER,
            "`stmt_id`, `num_columns`, `num_params`, `warnings`",
        ),
        Field::read(
            "from_stmt_execute_packet",
            "fun(packet: string, parameters: integer): table",
            "`stmt_id`, `flags`, `iteration_count`, `new_params_bound`, and `params` of `type` and `value`",
        ),
        Field::read(
            "stmt_id_from_stmt_execute_packet",
            "fun(packet: string): integer",
            "The statement that is executed.",
        ),
        Field::read("from_stmt_close_packet", DECODER, "`stmt_id`"),
    ],
};

const DECODER: &str = "fun(packet: string): table";
const ENCODER: &str = "fun(fields: table): string";

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let table = builtin_module::new(lua, "encodes and decodes MySQL's packets")?;
    let module = Module { lua, table };
    generic_response::add_to(&module)?;
    login::add_to(&module)?;
    master_info::add_to(&module)?;
    prepared_statement::add_to(&module)?;
    Ok(module.table)
}

/// The module while it is filled.
struct Module<'lua> {
    lua: &'lua Lua,
    table: Table,
}

impl Module<'_> {
    fn function<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Lua, A) -> Result<R> + Send + 'static,
    ) -> Result<()> {
        let function = callback::create(self.lua, function)?;
        self.table.raw_set(name, function)
    }

    fn decoder(
        &self,
        name: &'static str,
        decode: fn(&[u8], &Decoded<'_>) -> Result<()>,
    ) -> Result<()> {
        self.function(name, move |lua, packet: Value| {
            let packet = string(lua, 1, name, &packet)?;
            let decoded = Decoded::new(lua)?;
            decode(&packet, &decoded)?;
            Ok(decoded.table)
        })
    }

    fn encoder(&self, name: &'static str, encode: fn(&Given<'_>) -> Result<Vec<u8>>) -> Result<()> {
        self.function(name, move |lua, table: Value| match table {
            Value::Table(table) => lua.create_string(encode(&Given { lua, table })?),
            other => Err(bad_argument(1, name, "table", &other)),
        })
    }
}

/// A table on its way to the script.
struct Decoded<'lua> {
    lua: &'lua Lua,
    table: Table,
}

impl<'lua> Decoded<'lua> {
    fn new(lua: &'lua Lua) -> Result<Self> {
        let table = lua.create_table()?;
        Ok(Self { lua, table })
    }

    fn number(&self, key: &str, number: impl Into<u64>) -> Result<()> {
        self.table.raw_set(key, number.into())
    }

    fn text(&self, key: &str, text: &[u8]) -> Result<()> {
        match text.is_empty() {
            true => Ok(()),
            false => self.table.raw_set(key, self.lua.create_string(text)?),
        }
    }
}

/// A script's table.
struct Given<'lua> {
    lua: &'lua Lua,
    table: Table,
}

impl Given<'_> {
    /// Cut to an integer; wider than the field that it is for, its upper bits get lost there.
    fn number(&self, key: &str, default: u32) -> Result<i64> {
        let value: Value = self.table.get(key)?;
        if value.is_nil() {
            return Ok(default.into());
        }
        let number = self.lua.coerce_number(value)?;
        Ok(number.map_or(0, |number| number as i64))
    }

    fn text(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let value: Value = self.table.get(key)?;
        if value.is_nil() {
            return Ok(None);
        }
        let got = value.type_name();
        match self.lua.coerce_string(value)? {
            Some(text) => Ok(Some(text.as_bytes().to_vec())),
            None => Err(Error::runtime(format!(
                ".{key} has to be a string, got {got}"
            ))),
        }
    }

    /// A text that ends with the first zero on the wire, and so may hold none.
    fn nul_text(&self, key: &str) -> Result<Vec<u8>> {
        let text = self.text(key)?.unwrap_or_default();
        match text.contains(&0) {
            true => Err(Error::runtime(format!(".{key} must not hold a NUL byte"))),
            false => Ok(text),
        }
    }
}

/// `function` is the name by which error texts have always said what failed.
fn failed(function: &str) -> impl Fn(&dyn fmt::Display) -> Error {
    move |reason| {
        Error::runtime(format!(
            "network_mysqld_proto_{function}() failed: {reason}"
        ))
    }
}

/// An encoder's output.
fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    encode(&mut payload);
    payload
}

#[cfg(test)]
mod tests;
