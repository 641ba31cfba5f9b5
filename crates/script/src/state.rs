//! One Lua state: the script's versions, the connections' environments, the call of a hook.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use mlua::{Function, Lua};
use thiserror::Error;
use tracing::{error, info};

use crate::answer::{self, Answer, Rule};
use crate::dispatch::{Dispatch, Failure, Found, Returned};
use crate::injection_object::InjectionObject;
use crate::proxy_table::ProxyTable;
use crate::script_file::ScriptFile;
use crate::{Connection, Decision, Hook, callback, interpreter, lent, modules, object, response};

/// What a state is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The script; absolute.
    pub script: PathBuf,
    /// `package.path`, exactly; `None`: the environment's `LUA_PATH`, else `default_lua_path`.
    pub lua_path: Option<String>,
    /// `package.cpath`, likewise.
    pub lua_cpath: Option<String>,
    /// `BASEDIR/lib/mysql-proxy/lua/?.lua`
    pub default_lua_path: String,
    /// `BASEDIR/lib/mysql-proxy/lua/?.so`
    pub default_lua_cpath: String,
    /// What a connection gets when the script cannot be loaded.
    pub on_load_error: OnLoadError,
}

/// What a connection gets when the script cannot be read, does not compile, or its body fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLoadError {
    /// The last version that loaded; no script when none ever did.
    #[default]
    KeepLast,
    /// No script.
    PassThrough,
    /// ERR 1105.
    Error,
}

/// A connection has an environment, or goes on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// Hooks are called.
    Scripted,
    /// The script is faulty, and connections do without.
    PassThrough,
}

/// `OnLoadError::Error`: the text for the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Missing file or syntax error.
    #[error("MySQL Proxy Lua script failed to load. Check the error log.")]
    Load,
    /// The script's body failed.
    #[error("MySQL Proxy Lua script failed to execute. Check the error log.")]
    Execute,
}

/// No interpreter could be made: memory, or a path that Lua refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot start Lua: {0}")]
pub struct StateError(String);

const WITHOUT_SCRIPT: &str = "connections go on without a script";

/// One Lua state. It runs one hook at a time.
pub struct State {
    lua: Lua,
    script: ScriptFile,
    on_load_error: OnLoadError,
    proxy: ProxyTable,
    dispatch: Dispatch,
    /// Connections that had no `read_query` when it was last called: theirs is looked for before a command is made a Lua
    /// string.
    without_read_query: HashSet<u64>,
}

impl State {
    /// Reads no script: the first connection does.
    pub fn new(options: Options) -> Result<Self, StateError> {
        Self::create(&options).map_err(|error| StateError(callback::text(&error)))
    }

    fn create(options: &Options) -> mlua::Result<Self> {
        let lua = interpreter::create(options)?;
        callback::install(&lua)?;
        object::pool::install(&lua);
        modules::preload(&lua)?;
        let injection = InjectionObject::install(&lua)?;
        let proxy = ProxyTable::install(&lua)?;
        Ok(Self {
            script: ScriptFile::new(&options.script),
            on_load_error: options.on_load_error,
            dispatch: Dispatch::new(&lua, &proxy, &injection)?,
            proxy,
            without_read_query: HashSet::new(),
            lua,
        })
    }

    /// Gives the connection an environment and runs the script's body in it. What a connection gets of a faulty script
    /// is for [`OnLoadError`] to say; each fault is logged once.
    pub fn open(&mut self, connection: &mut Box<Connection>) -> Result<Loaded, LoadError> {
        let attempt = match self.script.main(&self.lua) {
            Ok(main) => self
                .run_body(connection, &main)
                .map_err(|message| (LoadError::Execute, message)),
            Err(message) => Err((LoadError::Load, message)),
        };
        let (failure, message) = match attempt {
            Ok(()) => {
                self.script.worked();
                return Ok(Loaded::Scripted);
            }
            Err(failure) => failure,
        };
        let last_good = self.script.last_good();
        match (self.on_load_error, last_good) {
            (OnLoadError::Error, _) => {
                self.script
                    .failed(&failure, &message, "clients get ERR 1105");
                Err(failure)
            }
            (OnLoadError::KeepLast, Some(main)) => {
                self.script
                    .failed(&failure, &message, "connections get the version before");
                Ok(self.open_last_good(connection, &main))
            }
            (OnLoadError::KeepLast, None) | (OnLoadError::PassThrough, _) => {
                self.script.failed(&failure, &message, WITHOUT_SCRIPT);
                Ok(Loaded::PassThrough)
            }
        }
    }

    fn open_last_good(&mut self, connection: &mut Box<Connection>, main: &Function) -> Loaded {
        match self.run_body(connection, main) {
            Ok(()) => Loaded::Scripted,
            Err(message) => {
                self.script.last_good_failed(&message, WITHOUT_SCRIPT);
                Loaded::PassThrough
            }
        }
    }

    /// Calls the hook, if the script has it. The connection comes back as the hook left it.
    pub fn call(&mut self, connection: &mut Box<Connection>, hook: Hook<'_>) -> Decision {
        let is_query = matches!(hook, Hook::ReadQuery(_));
        if is_query {
            connection.queries.clear();
            if self.has_no_read_query(connection.id) {
                return Decision::Default;
            }
        }
        let name = hook.name();
        let decision = self.run_hook(connection, hook).unwrap_or_else(|message| {
            error!(client = connection.client_name(), "({name}) {message}");
            Decision::Default
        });
        if is_query && decision == Decision::Default {
            connection.queries.clear();
        }
        decision
    }

    /// True when the connection's script has a function of this name now.
    pub fn has_hook(&self, id: u64, name: &'static str) -> bool {
        self.dispatch.find(id, name) == Found::Hook
    }

    /// Drops the connection's environment.
    pub fn close(&mut self, id: u64) {
        self.dispatch.forget(id);
        self.without_read_query.remove(&id);
    }

    fn run_body(&self, connection: &mut Box<Connection>, main: &Function) -> Result<(), String> {
        let id = connection.id;
        let result = caught(|| {
            lent::lend(connection, || {
                self.proxy.restore_backends()?;
                self.dispatch.run(&self.lua, id, main)
            })
        });
        if result.is_err() {
            connection.queries.clear();
            connection.backend_ndx = 0;
            connection.connection_close = false;
        }
        result
    }

    fn has_no_read_query(&self, id: u64) -> bool {
        self.without_read_query.contains(&id)
            && self.dispatch.find(id, "read_query") == Found::Nothing
    }

    fn run_hook(
        &mut self,
        connection: &mut Box<Connection>,
        hook: Hook<'_>,
    ) -> Result<Decision, String> {
        let (id, name, rule) = (connection.id, hook.name(), rule(&hook));
        let returned = caught(|| lent::lend(connection, || self.run_function(id, hook)))?;
        let number = match returned {
            Returned::Number(number) => number,
            Returned::NoHook => {
                if rule == Rule::ReadQuery {
                    self.without_read_query.insert(id);
                }
                return Ok(Decision::Default);
            }
            Returned::NoFunction(kind) => {
                // Some scripts switch this hook off by another value.
                if rule != Rule::ReadQuery {
                    let client = connection.client_name();
                    info!(
                        client,
                        "{name} is a {kind}, not a function; it is not called"
                    );
                }
                return Ok(Decision::Default);
            }
        };
        Ok(match answer::read(rule, number, connection) {
            Answer::Default => Decision::Default,
            Answer::SendQuery => Decision::SendQuery,
            Answer::IgnoreResult => Decision::IgnoreResult,
            Answer::SendResult => {
                let table = self.dispatch.response(id);
                let build = || Ok(response::build(&self.lua, table, connection.capabilities));
                Decision::SendResult(caught(build)?)
            }
        })
    }

    fn run_function(&self, id: u64, hook: Hook<'_>) -> Result<Returned, Failure> {
        let name = hook.name();
        match hook {
            Hook::ConnectServer | Hook::ReadHandshake | Hook::ReadAuth | Hook::DisconnectClient => {
                self.dispatch.call(id, name, ())
            }
            Hook::ReadAuthResult(packet) => {
                if self.dispatch.find(id, name) == Found::Nothing {
                    return Ok(Returned::NoHook);
                }
                let auth = self.lua.create_table_with_capacity(0, 1)?;
                auth.raw_set("packet", self.lua.create_string(packet)?)?;
                self.dispatch.call(id, name, auth)
            }
            Hook::ReadQuery(packet) => self.dispatch.call_read_query(&self.lua, id, packet),
            Hook::ReadQueryResult(result) => self.dispatch.call_read_query_result(id, *result),
        }
    }
}

fn rule(hook: &Hook<'_>) -> Rule {
    match hook {
        Hook::ConnectServer => Rule::ConnectServer,
        Hook::ReadHandshake => Rule::ReadHandshake,
        Hook::ReadAuth => Rule::ReadAuth,
        Hook::ReadAuthResult(_) => Rule::ReadAuthResult,
        Hook::ReadQuery(_) => Rule::ReadQuery,
        Hook::ReadQueryResult(result) => Rule::ReadQueryResult {
            is_buffered: result.buffered.is_some(),
        },
        Hook::DisconnectClient => Rule::DisconnectClient,
    }
}

/// A panic of our own code counts as an error of the hook; Lua unwinds as for any error.
fn caught<R>(run: impl FnOnce() -> Result<R, Failure>) -> Result<R, String> {
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|Failure(message)| message),
        Err(panic) => Err(format!(
            "fault of the proxy itself: {}",
            panic_text(&*panic)
        )),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn any_worker_may_have_it() {
        fn assert_send<T: Send>() {}
        assert_send::<State>();
    }
}
