//! Rust functions as Lua functions that refuse as C functions do: with an error that is a string and begins with the
//! position of the caller, so that scripts can catch, compare and concatenate it.

use mlua::{
    AnyUserData, Error, FromLuaMulti, Function, IntoLuaMulti, Lua, MetaMethod, Result,
    UserDataFields, Value,
};

/// What Rust code raises is an object to Lua, so this wrapper catches it and raises its text. The call of `check` takes
/// the wrapper's place on the stack, hence level 2 is the script. No function of ours takes more than four arguments;
/// passing on any number would let a script exhaust the interpreter's slots for values that Rust holds.
const WRAPPER: &str = r"
local text = ...
local pcall, error = pcall, error
local function check(succeeded, ...)
  if succeeded then return ... end
  error(text((...)), 2)
end
return function(rust)
  return function(a, b, c, d) return check(pcall(rust, a, b, c, d)) end
end
";

const WRAPPER_NAME: &str = "mysql-proxy.callback";

/// Once per interpreter, before [`create`].
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let text = lua.create_function(|_, error: Value| Ok(error_value(&error)))?;
    let wrapper = lua.load(WRAPPER).set_name("=mysql-proxy");
    let wrapper: Function = wrapper.call(text)?;
    lua.set_named_registry_value(WRAPPER_NAME, wrapper)
}

/// A Lua function of at most four arguments; those left out are nil.
pub(crate) fn create<A: FromLuaMulti, R: IntoLuaMulti>(
    lua: &Lua,
    function: impl Fn(&Lua, A) -> Result<R> + Send + 'static,
) -> Result<Function> {
    let wrapper: Function = lua.named_registry_value(WRAPPER_NAME)?;
    wrapper.call(lua.create_function(function)?)
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
    let found = type_name(found);
    Error::RuntimeError(format!(
        "bad argument #{position} to '{function}' ({expected} expected, got {found})"
    ))
}

/// As Lua's `type`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) | Value::Other(_) => "userdata",
        other => other.type_name(),
    }
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
        other => format!("({})", type_name(other)),
    }
}

/// What a Lua error says.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
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
            let plain = format!("{}: ", type_name(value));
            if described.is_empty() || described.starts_with(&plain) {
                return format!("(error object is a {} value)", type_name(value));
            }
            described
        }
        other => format!("(error object is a {} value)", type_name(other)),
    }
}
