//! `inj.resultset.rows`: an iterator over the first resultset's rows, which decodes each as it is asked for.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{Error, Function, IntoLua, Lua, Result, Table, UserData, Value};
use protocol::response::ErrPacket;
use protocol::resultset::TextRow;

use crate::InjectionResult;
use crate::callback;
use crate::injection_object::expired;
use crate::resultset::{is_end_of_rows, next_payload};

/// The functions of all iterators share their code and the Rust function behind it, so that the JIT compiler knows them
/// again.
const ITERATOR: &str = r"
local next = ...
return function(rows)
  return function() return next(rows) end
end
";

const ITERATOR_NAME: &str = "mysql-proxy.rows";

/// Once per interpreter, behind [`callback::install`].
///
/// # Errors
/// No memory.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let next = callback::method(lua, Rows::next)?;
    let iterator = lua.load(ITERATOR).set_name("=mysql-proxy");
    let iterator: Function = iterator.call(next)?;
    lua.set_named_registry_value(ITERATOR_NAME, iterator)
}

/// One way through the rows.
pub(crate) struct Rows {
    result: Weak<InjectionResult>,
    columns: u64,
    /// The byte of the response where the next row starts; behind all of them once the rows ended.
    at: AtomicUsize,
}

impl UserData for Rows {}

impl Rows {
    /// Starts at byte `at` of the packets.
    pub(crate) fn new(result: Weak<InjectionResult>, columns: u64, at: usize) -> Self {
        Self {
            result,
            columns,
            at: AtomicUsize::new(at),
        }
    }

    /// As a generic `for` calls it: a new table for each row, nil behind the last.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn into_iterator(self, lua: &Lua) -> Result<Function> {
        let iterator: Function = lua.named_registry_value(ITERATOR_NAME)?;
        iterator.call(self)
    }

    fn next(lua: &Lua, this: &Self, (): ()) -> Result<Option<Table>> {
        let result = this.result.upgrade().ok_or_else(expired)?;
        let Some(buffered) = &result.buffered else {
            return Ok(None);
        };
        let mut at = this.at.load(Ordering::Relaxed);
        let payload = next_payload(buffered, &mut at).filter(|payload| {
            payload.first() != Some(&ErrPacket::HEADER)
                && !is_end_of_rows(payload, buffered.capabilities)
        });
        let next = payload.as_ref().map_or(usize::MAX, |_| at);
        this.at.store(next, Ordering::Relaxed);
        payload.map(|payload| this.row(lua, &payload)).transpose()
    }

    /// NULL is a hole.
    fn row(&self, lua: &Lua, payload: &[u8]) -> Result<Table> {
        let cells = TextRow::decode(payload, self.columns as usize).map_err(|error| {
            Error::runtime(format!(".resultset.rows: row-data is invalid: {error}"))
        })?;
        lua.create_sequence_from(cells.into_iter().map(Cell))
    }
}

/// A value as text; NULL is nil.
struct Cell<'a>(Option<&'a [u8]>);

impl IntoLua for Cell<'_> {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        match self.0 {
            Some(text) => Ok(Value::String(lua.create_string(text)?)),
            None => Ok(Value::Nil),
        }
    }
}
