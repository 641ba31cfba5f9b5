//! `inj`: the argument of `read_query_result`.
//!
//! It is good for that one call: what a script keeps of it raises an error afterwards, and holds no response in memory.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mlua::{
    AnyUserData, Error, Lua, MetaMethod, Result, UserData, UserDataFields, UserDataMethods, Value,
};
use tracing::info;

use crate::InjectionResult;
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

impl InjectionObject {
    fn result(&self) -> Result<&Arc<InjectionResult>> {
        self.result.as_ref().ok_or_else(expired)
    }

    fn resultset(&self) -> Result<ResultsetObject> {
        let result: Weak<InjectionResult> = Arc::downgrade(self.result()?);
        Ok(ResultsetObject::new(result))
    }
}

impl UserData for InjectionObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("id", |_, this| Ok(this.result()?.injection.id));
        fields.add_field_method_get("type", |_, this| Ok(this.result()?.injection.id));
        fields.add_field_method_get("query", |lua, this| {
            lua.create_string(&this.result()?.injection.packet)
        });
        fields.add_field_method_get("query_time", |_, this| {
            Ok(microseconds(this.result()?.query_time))
        });
        fields.add_field_method_get("response_time", |_, this| {
            Ok(microseconds(this.result()?.response_time))
        });
        fields.add_field_method_get("resultset", |_, this| this.resultset());
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            this.result()?;
            let key_type = key.type_name();
            let text = lua.coerce_string(key)?.map(|key| key.to_string_lossy());
            let key = text.as_deref().unwrap_or(key_type);
            info!("inj[{key}] ... not found");
            Ok(Value::Nil)
        });
    }
}

/// Fits in 64 bits for half a million years.
fn microseconds(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
