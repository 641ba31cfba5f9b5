//! `inj.resultset.rows`: an iterator over the first resultset's rows, which decodes each as it is asked for.

use std::cell::Cell;
use std::sync::Weak;

use mlua::{Error, Function, Lua, Result, Table};
use protocol::response::ErrPacket;
use protocol::resultset::TextRow;

use crate::InjectionResult;
use crate::callback;
use crate::injection_object::expired;
use crate::resultset::{is_end_of_rows, next_payload};

/// One way through the rows.
pub(crate) struct Rows {
    result: Weak<InjectionResult>,
    columns: u64,
    /// The next payload; `None` behind the last row.
    at: Cell<Option<usize>>,
}

impl Rows {
    /// Starts at payload `at`.
    pub(crate) fn new(result: Weak<InjectionResult>, columns: u64, at: usize) -> Self {
        Self {
            result,
            columns,
            at: Cell::new(Some(at)),
        }
    }

    /// As a generic `for` calls it: a new table for each row, nil behind the last.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn into_iterator(self, lua: &Lua) -> Result<Function> {
        callback::create(lua, move |lua, ()| self.next(lua))
    }

    fn next(&self, lua: &Lua) -> Result<Option<Table>> {
        let result = self.result.upgrade().ok_or_else(expired)?;
        let (Some(mut at), Some(buffered)) = (self.at.get(), &result.buffered) else {
            return Ok(None);
        };
        let payload = next_payload(&buffered.payloads, &mut at).filter(|payload| {
            payload.first() != Some(&ErrPacket::HEADER)
                && !is_end_of_rows(payload, buffered.capabilities)
        });
        self.at.set(payload.map(|_| at));
        payload.map(|payload| self.row(lua, payload)).transpose()
    }

    /// NULL is a hole.
    fn row(&self, lua: &Lua, payload: &[u8]) -> Result<Table> {
        let cells = TextRow::decode(payload, self.columns as usize).map_err(|error| {
            Error::runtime(format!(".resultset.rows: row-data is invalid: {error}"))
        })?;
        let row = lua.create_table_with_capacity(cells.len(), 0)?;
        for (index, cell) in cells.into_iter().enumerate() {
            if let Some(cell) = cell {
                row.raw_set(index + 1, lua.create_string(cell)?)?;
            }
        }
        Ok(row)
    }
}
