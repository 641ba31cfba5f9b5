//! `inj`: the argument of `read_query_result`. Half of it is in `injection_object.lua`.
//!
//! It is good for that one call: what a script keeps of it raises an error afterwards, and holds no response in memory.

use std::cell::RefCell;
use std::time::Duration;

use mlua::{BString, Error, Function, IntoLuaMulti, Lua, Result, Table};
use protocol::DecodeError;
use protocol::response::SessionStateChange;
use tracing::info;

use crate::api::{Field, Object};
use crate::rows::Chunk;
use crate::{Buffered, InjectionResult, resultset};

/// `inj`
pub(crate) const OBJECT: Object = Object {
    path: "inj",
    class: "mysql_proxy.Injection",
    text: "What `read_query_result` is called with: a query and what came of it. Good for that one call.",
    fields: FIELDS,
};

const FIELDS: &[Field] = &[
    Field::read(
        "id",
        "integer",
        "The number given to `proxy.queries:append()`.",
    ),
    Field::read("type", "integer", "The old name of `id`."),
    Field::read("query", "string", "The query: command byte and body."),
    Field::read(
        "query_time",
        "integer",
        "Microseconds from queueing the query to its response's first packet.",
    ),
    Field::read(
        "response_time",
        "integer",
        "Microseconds from queueing the query to its response's last packet.",
    ),
    Field::read(
        "resultset",
        "mysql_proxy.Resultset",
        "What came back; never nil.",
    ),
];

/// `inj.resultset`
pub(crate) const RESULTSET: Object = Object {
    path: "inj.resultset",
    class: "mysql_proxy.Resultset",
    text: "The response to a query: numbers of all of it; `fields` and `rows` of its first resultset. `fields`, `rows` and \
           `raw` raise an error unless the query was queued with `resultset_is_needed`.",
    fields: RESULTSET_FIELDS,
};

const RESULTSET_FIELDS: &[Field] = &[
    Field::read("row_count", "integer", "Rows of all resultsets."),
    Field::read(
        "bytes",
        "integer",
        "Bytes of their packets, headers included.",
    ),
    Field::read(
        "flags",
        "mysql_proxy.Flags",
        "The server's state at the end of the response.",
    ),
    Field::read("warning_count", "integer", "How many SHOW WARNINGS has."),
    Field::read(
        "affected_rows",
        "integer|nil",
        "nil where the response ends with a resultset.",
    ),
    Field::read(
        "insert_id",
        "integer|nil",
        "nil where the response ends with a resultset.",
    ),
    Field::read(
        "query_status",
        "integer|nil",
        "`proxy.MYSQLD_PACKET_OK`, also for resultsets, or `_ERR`; nil where the server asks for a file (LOAD DATA LOCAL).",
    ),
    Field::read(
        "fields",
        "mysql_proxy.ResultsetField[]",
        "The columns; empty where there is no resultset.",
    ),
    Field::read(
        "rows",
        "(fun(): string[]|nil)|nil",
        "An iterator: `for row in inj.resultset.rows do`. A row is a table of strings, NULL is nil. nil where there is no \
         resultset. Rows of prepared statements raise an error.",
    ),
    Field::read(
        "raw",
        "string|nil",
        "The response's first packet, without header.",
    ),
    Field::read(
        "session_state",
        "mysql_proxy.SessionState|nil",
        "What the server says that changed in its session; nil where it says nothing, or where client and server did not agree \
         on SESSION_TRACK. It needs no `resultset_is_needed`.",
    ),
];

/// `inj.resultset.flags`
pub(crate) const FLAGS: Object = Object {
    path: "inj.resultset.flags",
    class: "mysql_proxy.Flags",
    text: "A new table at each access.",
    fields: &[
        Field::read("in_trans", "boolean", "A transaction is open."),
        Field::read("auto_commit", "boolean", "`autocommit` is on."),
        Field::read("no_good_index_used", "boolean", "The server says so."),
        Field::read("no_index_used", "boolean", "The server says so."),
    ],
};

/// `inj.resultset.session_state`
pub(crate) const SESSION_STATE: Object = Object {
    path: "inj.resultset.session_state",
    class: "mysql_proxy.SessionState",
    text: "A new table at each access. What the server tells is for its `session_track_*` variables to say.",
    fields: &[
        Field::read(
            "schema",
            "string|nil",
            "The default database, if it was set.",
        ),
        Field::read(
            "system_variables",
            "table<string, string>",
            "Those that were set, and their values; empty for none.",
        ),
        Field::read(
            "state_change",
            "boolean|nil",
            "Anything of the session changed (`session_track_state_change`).",
        ),
        Field::read(
            "gtids",
            "string|nil",
            "What was committed (`session_track_gtids`).",
        ),
        Field::read(
            "transaction_characteristics",
            "string|nil",
            "Statements that start the open transaction again; empty for none (`session_track_transaction_info`).",
        ),
        Field::read(
            "transaction_state",
            "string|nil",
            "Eight letters or underscores: `T_R_____` is a transaction that has read (`session_track_transaction_info`).",
        ),
    ],
};

thread_local! {
    /// What the hook that runs on this thread was called with.
    static CURRENT: RefCell<Option<InjectionResult>> = const { RefCell::new(None) };
}

/// The functions on the Lua side.
#[derive(Debug)]
pub(crate) struct InjectionObject {
    /// Takes what [`arguments`] makes, and returns `inj`.
    pub(crate) begin: Function,
    /// Lets go of `inj`.
    pub(crate) finish: Function,
    /// The functions behind the fields of `inj` and `inj.resultset`, by name.
    #[cfg(test)]
    pub(crate) fields: (Table, Table),
}

impl InjectionObject {
    /// Once per interpreter.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn install(lua: &Lua) -> Result<Self> {
        let query = lua.create_function(|_, ()| {
            with_result(|result| Ok(BString::from(result.injection.packet.as_slice())))
        })?;
        let raw = lua.create_function(|_, ()| {
            with_buffered(|buffered| {
                Ok(resultset::raw(buffered).map(|payload| BString::from(payload.into_owned())))
            })
        })?;
        let fields = lua.create_function(|_, ()| {
            with_buffered(|buffered| match resultset::fields(buffered) {
                Ok(fields) => Ok((Some(fields), None)),
                Err(error) => Ok((None, Some(malformed(&error)))),
            })
        })?;
        let rows = lua.create_function(|_, ()| {
            with_buffered(|buffered| match resultset::first_row(buffered) {
                Ok(None) => Ok((None, None, None)),
                Ok(Some((columns, at))) => Ok((Some(columns), Some(at), None)),
                Err(error) => Ok((None, None, Some(malformed(&error)))),
            })
        })?;
        let chunk = lua.create_function(|_, at: usize| {
            with_buffered(|buffered| {
                let Some(chunk) = Chunk::at(buffered, at) else {
                    return Ok((None, None, false));
                };
                let bytes = BString::from(chunk.bytes.as_ref());
                Ok((Some(bytes), chunk.next, chunk.is_payload))
            })
        })?;
        let session_state = lua.create_function(|lua, ()| {
            with_result(|result| session_state(lua, &result.session_state))
        })?;
        let not_found = lua.create_function(|_, key: BString| {
            info!("inj[{key}] ... not found");
            Ok(())
        })?;
        let source = lua.load(include_str!("injection_object.lua"));
        let source = source.set_name("=mysql-proxy");
        let functions = source.call((query, raw, fields, rows, chunk, session_state, not_found))?;
        let (begin, finish, _fields, _resultset_fields): (_, _, Table, Table) = functions;
        Ok(Self {
            begin,
            finish,
            #[cfg(test)]
            fields: (_fields, _resultset_fields),
        })
    }
}

/// What the Lua side makes `inj` of, in its order.
pub(crate) fn arguments(result: &InjectionResult) -> impl IntoLuaMulti + use<> {
    let statistics = &result.statistics;
    (
        result.injection.id,
        microseconds(result.query_time),
        microseconds(result.response_time),
        statistics.row_count,
        statistics.bytes,
        statistics.status.bits(),
        statistics.warning_count,
        statistics.affected_rows,
        statistics.insert_id,
        statistics.query_status,
        result.buffered.is_some(),
        result
            .buffered
            .as_ref()
            .is_some_and(|buffered| buffered.is_binary),
    )
}

/// Keeps `result` for what scripts ask of it, until what this returns is dropped.
pub(crate) fn keep(result: InjectionResult) -> Kept {
    CURRENT.set(Some(result));
    Kept
}

/// A hook that runs.
#[must_use]
pub(crate) struct Kept;

impl Drop for Kept {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

/// Of a change that comes several times, the last one counts. Some server's own that is not known here is left out.
fn session_state(lua: &Lua, bytes: &[u8]) -> Result<Option<Table>> {
    let Ok(changes) = SessionStateChange::decode_all(bytes) else {
        return Ok(None);
    };
    if changes.is_empty() {
        return Ok(None);
    }
    let variables = lua.create_table()?;
    let table = lua.create_table()?;
    table.raw_set("system_variables", &variables)?;
    for change in changes {
        let (name, text) = match change {
            SessionStateChange::SystemVariable(name, value) => {
                variables.raw_set(BString::from(name), BString::from(value))?;
                continue;
            }
            SessionStateChange::StateChange(has_changed) => {
                table.raw_set("state_change", has_changed)?;
                continue;
            }
            SessionStateChange::Unknown(..) => continue,
            SessionStateChange::Schema(text) => ("schema", text),
            SessionStateChange::Gtids(text) => ("gtids", text),
            SessionStateChange::TransactionCharacteristics(text) => {
                ("transaction_characteristics", text)
            }
            SessionStateChange::TransactionState(text) => ("transaction_state", text),
        };
        table.raw_set(name, BString::from(text))?;
    }
    Ok(Some(table))
}

fn with_result<R>(visit: impl FnOnce(&InjectionResult) -> Result<R>) -> Result<R> {
    CURRENT.with_borrow(|result| visit(result.as_ref().ok_or_else(gone)?))
}

fn with_buffered<R>(visit: impl FnOnce(&Buffered) -> Result<R>) -> Result<R> {
    with_result(|result| visit(result.buffered.as_ref().ok_or_else(gone)?))
}

/// The Lua side sees to it that nobody meets this.
fn gone() -> Error {
    Error::runtime("no read_query_result runs")
}

fn malformed(error: &DecodeError) -> String {
    format!("the server's response cannot be read: {error}")
}

/// Fits in 64 bits for half a million years.
fn microseconds(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_lua_side_has_what_is_declared() {
        let lua = Lua::new();
        let object = InjectionObject::install(&lua).unwrap();
        let sides = [
            (&object.fields.0, FIELDS),
            (&object.fields.1, RESULTSET_FIELDS),
        ];
        for (table, declared) in sides {
            let keys = table
                .pairs::<String, Function>()
                .map(|pair| pair.unwrap().0);
            let declared = declared.iter().map(|field| field.name.to_owned());
            assert_eq!(keys.collect::<BTreeSet<_>>(), declared.collect());
        }
    }
}
