//! The descriptor of a file that a script opened with `io.open`.
#![expect(
    unsafe_code,
    reason = "Lua's files are C's: the interpreter's C interface leads to them. What each step needs is said where it is \
              done."
)]

use std::os::fd::BorrowedFd;

use mlua::{Lua, Value, ffi};

/// Calls `visit` with the file's descriptor. `None` for what is no open file.
pub(crate) fn with_descriptor<R>(
    lua: &Lua,
    file: &Value,
    visit: impl FnOnce(BorrowedFd<'_>) -> R,
) -> Option<R> {
    let descriptor = |state| {
        // SAFETY: mlua runs this in a protected call of its own, with `file` alone on the stack, so luaL_checkudata may
        // raise: nothing here needs a drop. What it lets pass was made by `io` and begins with a pointer to C's FILE,
        // which is null for a closed file. `file` is alive until the end of this function.
        unsafe {
            let file = ffi::luaL_checkudata(state, 1, c"FILE*".as_ptr());
            let stream = *file.cast::<*mut libc::FILE>();
            let descriptor = match stream.is_null() {
                true => -1,
                false => libc::fileno(stream),
            };
            ffi::lua_settop(state, 0);
            ffi::lua_pushinteger(state, descriptor.into());
        }
    };
    // SAFETY: `descriptor` leaves nothing but its result on the stack.
    let descriptor: i32 = unsafe { lua.exec_raw(file, descriptor) }.ok()?;
    if descriptor < 0 {
        return None;
    }
    // SAFETY: it is open for as long as `file` is: no script runs before this function returns, to close it.
    Some(visit(unsafe { BorrowedFd::borrow_raw(descriptor) }))
}
