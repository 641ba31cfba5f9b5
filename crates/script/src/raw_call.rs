//! Calls a Lua function with bytes as a string: mlua makes strings only as values that Rust holds, which costs as much as
//! the call.
#![expect(
    unsafe_code,
    reason = "the interpreter's C interface, for one call: what it needs is said where it is used"
)]

use std::ffi::c_int;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Result, ffi};

/// Calls `function` with `arguments` and, behind them, `bytes`.
///
/// # Errors
/// What the function raises; no memory.
pub(crate) fn with_bytes<R: FromLuaMulti>(
    lua: &Lua,
    function: &Function,
    arguments: impl IntoLuaMulti,
    bytes: &[u8],
) -> Result<R> {
    let call = |state| {
        // SAFETY: mlua runs this in a protected call of its own, with the function and its arguments on the stack and
        // room for three values more (LUA_MINSTACK in fact), so both calls may raise: nothing here needs a drop. `bytes`
        // is valid for its length, and Lua copies it. LUA_MULTRET leaves results to mlua, which makes room for them.
        unsafe {
            let arguments: c_int = ffi::lua_gettop(state);
            ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
            ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        }
    };
    // SAFETY: `call` leaves nothing but results on the stack.
    unsafe { lua.exec_raw((function, arguments), call) }
}
