//! `chassis`: the log, the end of the program, and what Lua takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{Error, Lua, Result, Table, Value};
use tracing::{debug, error, info, trace, warn};

use crate::api::{Field, Object};
use crate::builtin_module::{self, string};
use crate::callback::{self, bad_argument};

/// `chassis`
pub(crate) const MODULE: Object = Object {
    path: "require(\"chassis\")",
    class: "mysql_proxy.Chassis",
    text: "The log, and the end of the program. Also the global `chassis` once it is required. From then on `print` is \
           `chassis.message` in all scripts of the Lua state: it logs its first argument; what it was is `os.print`.",
    fields: &[
        Field::read(
            "log",
            "fun(level: \"error\"|\"critical\"|\"warning\"|\"message\"|\"info\"|\"debug\"|nil, message?: string|number)",
            "Logs a line, `(FILE:LINE) MESSAGE`; nil for a level is `message`. No level ends the program.",
        ),
        Field::read("critical", LOG_FUNCTION, "As `log` of this level."),
        Field::read("warning", LOG_FUNCTION, "As `log` of this level."),
        Field::read("message", LOG_FUNCTION, "As `log` of this level."),
        Field::read("info", LOG_FUNCTION, "As `log` of this level."),
        Field::read("debug", LOG_FUNCTION, "As `log` of this level."),
        Field::read(
            "set_shutdown",
            "fun()",
            "Ends the program as SIGTERM does: idle sessions at once, others within `--shutdown-timeout`.",
        ),
        Field::read(
            "get_stats",
            "fun(name?: string): table|nil",
            "By name in any case, or all in one table: `chassis` has `lua_mem_bytes`, what the values of the Lua state take, \
             and `lua_mem_bytes_max`, the most of it that `get_stats` has seen. nil for other names.",
        ),
        Field::read("mem_profile", "fun()", "Logs `lua_mem_bytes`."),
    ],
};

const LOG_FUNCTION: &str = "fun(message?: string|number)";

/// Of one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Callers that are looked through for one with a file.
const LEVELS: usize = 10;

/// Ours, between a function of the module and its caller: the function, `pcall`, the wrapper.
const OWN_LEVELS: usize = 3;

/// Asks the program to end: idle sessions at once, others in time.
#[derive(Clone)]
pub struct Shutdown(Arc<dyn Fn() + Send + Sync>);

impl Shutdown {
    /// `request` is called in the middle of a hook, any number of times. It must not block.
    pub fn new(request: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(request))
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}

#[derive(Debug, Clone, Copy)]
enum Level {
    /// `error`, which once ended the program, and `critical`.
    Critical,
    Warning,
    Message,
    Info,
    Debug,
}

impl Level {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"error" | b"critical" => Self::Critical,
            b"warning" => Self::Warning,
            b"message" => Self::Message,
            b"info" => Self::Info,
            b"debug" => Self::Debug,
            _ => return None,
        })
    }

    fn log(self, line: &str) {
        match self {
            Self::Critical => error!("{line}"),
            Self::Warning => warn!("{line}"),
            Self::Message => info!("{line}"),
            Self::Info => debug!("{line}"),
            Self::Debug => trace!("{line}"),
        }
    }
}

/// The module's table. From now on `print` logs.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "the log, and the end of the program")?;
    module.raw_set("log", callback::create(lua, log)?)?;
    for (name, level) in [
        ("critical", Level::Critical),
        ("warning", Level::Warning),
        ("message", Level::Message),
        ("info", Level::Info),
        ("debug", Level::Debug),
    ] {
        let function = callback::create(lua, move |lua, message: Value| {
            write(lua, level, name, 1, &message)
        })?;
        module.raw_set(name, function)?;
    }
    module.raw_set("set_shutdown", callback::create(lua, set_shutdown)?)?;
    let most = AtomicUsize::new(0);
    let get_stats = callback::create(lua, move |lua, (name, surplus): (Value, Value)| {
        get_stats(lua, &most, &name, &surplus)
    })?;
    module.raw_set("get_stats", get_stats)?;
    module.raw_set("mem_profile", callback::create(lua, mem_profile)?)?;
    redirect_print(lua, &module)?;
    Ok(module)
}

fn redirect_print(lua: &Lua, module: &Table) -> Result<()> {
    let globals = lua.globals();
    let os: Table = globals.raw_get("os")?;
    os.raw_set("print", globals.raw_get::<Value>("print")?)?;
    globals.raw_set("print", module.raw_get::<Value>("message")?)
}

/// `log(level, message)`
fn log(lua: &Lua, (level, message): (Value, Value)) -> Result<()> {
    let name = match &level {
        Value::Nil => b"message".to_vec(),
        level => string(lua, 1, "log", level)?,
    };
    let level = Level::of(&name).ok_or_else(|| {
        let name = String::from_utf8_lossy(&name);
        Error::runtime(format!(
            "bad argument #1 to 'log' (there is no level '{name}')"
        ))
    })?;
    write(lua, level, "log", 2, &message)
}

fn write(lua: &Lua, level: Level, function: &str, position: usize, message: &Value) -> Result<()> {
    let text = match message {
        Value::Nil => b"nil".to_vec(),
        message => callback::bytes(lua, message)
            .ok_or_else(|| bad_argument(position, function, "string", message))?,
    };
    let shown = String::from_utf8_lossy(&text[..text.len().min(MESSAGE_BYTES_MAX)]);
    let rest = match text.len() > MESSAGE_BYTES_MAX {
        true => format!(" ... ({} bytes)", text.len()),
        false => String::new(),
    };
    level.log(&format!("{}{shown}{rest}", caller(lua)));
    Ok(())
}

/// `(FILE:LINE) ` of the nearest caller that is from a file; empty if there is none.
fn caller(lua: &Lua) -> String {
    let at_level = |level| {
        lua.inspect_stack(level, |debug| {
            let source = debug.source().source?;
            let file = source
                .strip_prefix('@')
                .or(source.starts_with('/').then_some(source.as_ref()))?;
            Some(format!("({file}:{}) ", debug.current_line()?))
        })
        .flatten()
    };
    let mut levels = OWN_LEVELS..OWN_LEVELS + LEVELS;
    levels.find_map(at_level).unwrap_or_default()
}

/// `set_shutdown()`
fn set_shutdown(lua: &Lua, (): ()) -> Result<()> {
    let shutdown = lua.app_data_ref::<Shutdown>();
    let shutdown = shutdown.ok_or_else(|| Error::runtime("there is nothing to shut down"))?;
    info!("{}the script shuts the proxy down", caller(lua));
    (shutdown.0)();
    Ok(())
}

/// `get_stats([name])`
fn get_stats(
    lua: &Lua,
    most: &AtomicUsize,
    name: &Value,
    surplus: &Value,
) -> Result<Option<Table>> {
    if !surplus.is_nil() {
        return Err(Error::runtime("get_stats takes no more than a name"));
    }
    let used = lua.used_memory();
    let chassis = lua.create_table()?;
    chassis.raw_set("lua_mem_bytes", used)?;
    let before = most.fetch_max(used, Ordering::Relaxed);
    chassis.raw_set("lua_mem_bytes_max", before.max(used))?;
    if !name.is_nil() {
        let name = string(lua, 1, "get_stats", name)?;
        return Ok(name.eq_ignore_ascii_case(b"chassis").then_some(chassis));
    }
    let all = lua.create_table()?;
    all.raw_set("chassis", chassis)?;
    Ok(Some(all))
}

/// `mem_profile()`
fn mem_profile(lua: &Lua, (): ()) -> Result<()> {
    let used = lua.used_memory();
    info!("{}Lua's values take {used} bytes", caller(lua));
    Ok(())
}
