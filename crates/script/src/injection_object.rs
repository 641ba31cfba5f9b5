//! `inj`: the argument of `read_query_result`.
//!
//! It is good for that one call: what a script keeps of it raises an error afterwards, and holds no response in memory.

use std::sync::Arc;
use std::time::Duration;

use mlua::{AnyUserData, Error, IntoLua, Lua, MetaMethod, Result, UserData, UserDataFields, Value};
use tracing::info;

use crate::InjectionResult;
use crate::callback::{self, key_text};
use crate::resultset::ResultsetObject;

/// Makes the object.
///
/// # Errors
/// No memory.
pub(crate) fn create(lua: &Lua, result: InjectionResult) -> Result<AnyUserData> {
    lua.create_userdata(InjectionObject {
        result: Some(Arc::new(result)),
    })
}

/// The hook is over: frees the result. The object and what was made from it raise errors from now on.
pub(crate) fn expire(object: &AnyUserData) {
    if let Ok(mut object) = object.borrow_mut::<InjectionObject>() {
        object.result = None;
    }
}

/// The error of who looks at an injection after its hook.
pub(crate) fn expired() -> Error {
    Error::runtime("inj is gone: it is only valid in the read_query_result that it was given to")
}

struct InjectionObject {
    /// The only one that keeps it alive; `None` after the hook.
    result: Option<Arc<InjectionResult>>,
}

impl UserData for InjectionObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, read);
    }
}

fn read(lua: &Lua, this: &InjectionObject, key: Value) -> Result<Value> {
    let result = this.result.as_ref().ok_or_else(expired)?;
    match key_text(&key).as_str() {
        // The number given to proxy.queries:append() or :prepend(); `type` is its old name.
        "id" | "type" => result.injection.id.into_lua(lua),
        // The query: command byte and body.
        "query" => lua.create_string(&result.injection.packet)?.into_lua(lua),
        // Microseconds from queueing the query to its response's first packet.
        "query_time" => microseconds(result.query_time).into_lua(lua),
        // Microseconds from queueing the query to its response's last packet.
        "response_time" => microseconds(result.response_time).into_lua(lua),
        // What came back: a new object at every access, never nil.
        "resultset" => ResultsetObject::new(Arc::downgrade(result)).into_lua(lua),
        other => {
            info!("inj[{other}] ... not found");
            Ok(Value::Nil)
        }
    }
}

/// Fits in 64 bits for half a million years.
fn microseconds(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
