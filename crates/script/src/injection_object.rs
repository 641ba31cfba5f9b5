//! `inj`: the argument of `read_query_result`. Half of it is in `injection_object.lua`.
//!
//! It is good for that one call: what a script keeps of it raises an error afterwards, and holds no response in memory.

use std::cell::RefCell;
use std::time::Duration;

use mlua::{BString, Error, Function, IntoLuaMulti, Lua, Result};
use protocol::DecodeError;
use tracing::info;

use crate::rows::Chunk;
use crate::{Buffered, InjectionResult, resultset};

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
        let not_found = lua.create_function(|_, key: BString| {
            info!("inj[{key}] ... not found");
            Ok(())
        })?;
        let source = lua.load(include_str!("injection_object.lua"));
        let source = source.set_name("=mysql-proxy");
        let (begin, finish) = source.call((query, raw, fields, rows, chunk, not_found))?;
        Ok(Self { begin, finish })
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
