//! Rust functions as Lua functions that refuse as C functions do: with an error that is a string and begins with the
//! position of the caller, so that scripts can catch, compare and concatenate it.

use mlua::{
    AnyUserData, Error, FromLuaMulti, Function, IntoLuaMulti, Lua, MetaMethod, MultiValue, Result,
    UserDataFields, Value,
};

/// Errors that Rust code raises itself are objects to Lua, so a Rust function returns its failure as the first value
/// instead, and this wrapper raises it. The call of `check` takes the wrapper's place on the stack, hence level 2 is
/// the script. No function of ours takes more than four arguments; passing on any number would let a script exhaust
/// the interpreter's slots for values that Rust holds.
const WRAPPER: &str = r"
local error = error
local function check(failure, ...)
  if failure then error(failure, 2) end
  return ...
end
return function(rust)
  return function(a, b, c, d) return check(rust(a, b, c, d)) end
end
";

const WRAPPER_NAME: &str = "mysql-proxy.callback";

/// Once per interpreter, before [`create`].
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let wrapper: Function = lua.load(WRAPPER).set_name("=mysql-proxy").eval()?;
    lua.set_named_registry_value(WRAPPER_NAME, wrapper)
}

/// A Lua function of at most four arguments; those left out are nil.
pub(crate) fn create<A: FromLuaMulti, R: IntoLuaMulti>(
    lua: &Lua,
    function: impl Fn(&Lua, A) -> Result<R> + Send + 'static,
) -> Result<Function> {
    let rust = lua.create_function(move |lua, arguments: MultiValue| {
        let result = A::from_lua_multi(arguments, lua)
            .and_then(|arguments| function(lua, arguments))
            .and_then(|values| values.into_lua_multi(lua));
        match result {
            Ok(mut values) => {
                values.push_front(Value::Nil);
                Ok(values)
            }
            Err(error) => text(&error).into_lua_multi(lua),
        }
    })?;
    let wrapper: Function = lua.named_registry_value(WRAPPER_NAME)?;
    wrapper.call(rust)
}

/// As [`create`], for a method of the userdata `T`.
pub(crate) fn method<T: 'static, A: FromLuaMulti, R: IntoLuaMulti>(
    lua: &Lua,
    method: impl Fn(&Lua, &T, A) -> Result<R> + Send + 'static,
) -> Result<Function> {
    create(lua, move |lua, (this, arguments): (AnyUserData, A)| {
        method(lua, &*this.borrow::<T>()?, arguments)
    })
}

/// Declares a metamethod of the userdata `T`.
pub(crate) fn metamethod<T: 'static, A: FromLuaMulti, R: IntoLuaMulti>(
    fields: &mut impl UserDataFields<T>,
    event: MetaMethod,
    function: impl Fn(&Lua, &T, A) -> Result<R> + Send + 'static,
) {
    fields.add_meta_field_with(event.name(), |lua| method(lua, function));
}

/// `proxy.global.backends[...].STATE is not writable` and the like.
pub(crate) fn not_writable(object: &str, key: &Value) -> Error {
    Error::RuntimeError(format!("{object}{} is not writable", key_text(key)))
}

/// Lua's words for an argument of the wrong type.
pub(crate) fn bad_argument(
    position: usize,
    function: &str,
    expected: &str,
    found: &Value,
) -> Error {
    let found = match found {
        Value::Nil => "no value",
        value => value.type_name(),
    };
    Error::RuntimeError(format!(
        "bad argument #{position} to '{function}' ({expected} expected, got {found})"
    ))
}

/// A number, or a string that reads as one; cut to an integer. `None` for everything else.
pub(crate) fn integer(lua: &Lua, value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Number(_) | Value::String(_) => {
            let number = lua.coerce_number(value.clone()).ok().flatten()?;
            Some(number as i64)
        }
        _ => None,
    }
}

/// A string, or a number as text. `None` for everything else.
pub(crate) fn bytes(lua: &Lua, value: &Value) -> Option<Vec<u8>> {
    let text = lua.coerce_string(value.clone()).ok().flatten()?;
    Some(text.as_bytes().to_vec())
}

/// A key of an object, for comparison and for messages; not a name where it is no string.
pub(crate) fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.to_string_lossy(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        other => format!("({})", other.type_name()),
    }
}

/// What a Lua error says.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::RuntimeError(text) => text.clone(),
        Error::CallbackError { cause, .. } => text(cause),
        other => other.to_string(),
    }
}

/// The value behind `error(...)` as one line of a log: strings and numbers as they are, objects that know their text
/// by it, others by their type.
pub(crate) fn error_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        Value::Integer(_) | Value::Number(_) => key_text(value),
        Value::Error(error) => text(error),
        Value::Table(_) | Value::UserData(_) => {
            let described = value.to_string().unwrap_or_default();
            let plain = format!("{}: ", value.type_name());
            if described.is_empty() || described.starts_with(&plain) {
                return format!("(error object is a {} value)", value.type_name());
            }
            described
        }
        other => format!("(error object is a {} value)", other.type_name()),
    }
}
