//! One Lua state: the script's versions, the connections' environments, the call of a hook.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};
use thiserror::Error;
use tracing::{error, info};

use crate::answer::{self, Answer, Rule};
use crate::proxy_table::ProxyTable;
use crate::script_file::ScriptFile;
use crate::{
    Connection, Decision, Hook, callback, injection_object, interpreter, lent, modules, object,
    response, rows,
};

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

/// `pcall`, with the first value that the function returns and no other: a script may return thousands.
const PROTECTED_CALL: &str = r"
local pcall = pcall
local function first(succeeded, value) return succeeded, value end
return function(...) return first(pcall(...)) end
";

/// One Lua state. It runs one hook at a time.
///
/// What belongs to a connection lives in tables on the Lua side, by the connection's number: mlua keeps a slot on a
/// stack of 8,000 for each value that Rust holds.
pub struct State {
    lua: Lua,
    script: ScriptFile,
    on_load_error: OnLoadError,
    proxy: ProxyTable,
    globals: Table,
    /// By connection: its global variables.
    environments: Table,
    /// By connection: the table behind `proxy`.
    own: Table,
    protected_call: Function,
}

impl State {
    /// Reads no script: the first connection does.
    pub fn new(options: Options) -> Result<Self, StateError> {
        Self::create(&options).map_err(|error| StateError(callback::text(&error)))
    }

    fn create(options: &Options) -> mlua::Result<Self> {
        let lua = interpreter::create(options)?;
        lent::install(&lua);
        callback::install(&lua)?;
        object::pool::install(&lua);
        object::queries::install(&lua)?;
        modules::preload(&lua)?;
        rows::install(&lua)?;
        let globals = lua.globals();
        Ok(Self {
            script: ScriptFile::new(&options.script),
            on_load_error: options.on_load_error,
            proxy: ProxyTable::install(&lua)?,
            environments: lua.create_table()?,
            own: lua.create_table()?,
            protected_call: lua.load(PROTECTED_CALL).set_name("=mysql-proxy").eval()?,
            globals,
            lua,
        })
    }

    /// Gives the connection an environment and runs the script's body in it. What a connection gets of a faulty script
    /// is for [`OnLoadError`] to say; each fault is logged once.
    pub fn open(&mut self, connection: &mut Connection) -> Result<Loaded, LoadError> {
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

    fn open_last_good(&mut self, connection: &mut Connection, main: &Function) -> Loaded {
        match self.run_body(connection, main) {
            Ok(()) => Loaded::Scripted,
            Err(message) => {
                self.script.last_good_failed(&message, WITHOUT_SCRIPT);
                Loaded::PassThrough
            }
        }
    }

    /// Calls the hook, if the script has it. The connection comes back as the hook left it.
    pub fn call(&mut self, connection: &mut Connection, hook: Hook<'_>) -> Decision {
        let is_query = matches!(hook, Hook::ReadQuery(_));
        if is_query {
            connection.queries.clear();
        }
        let name = hook.name();
        let Some((own, function)) = self.find(connection, name) else {
            return Decision::Default;
        };
        let decision = self.guard(connection, || self.run_hook(&own, &function, hook));
        let decision = decision.unwrap_or_else(|message| {
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
        matches!(self.lookup(id, name), Some(Value::Function(_)))
    }

    /// Drops the connection's environment.
    pub fn close(&mut self, id: u64) {
        for table in [&self.environments, &self.own] {
            // Not mlua's `raw_remove`, which moves the elements behind. What is forgotten needs no memory.
            let _ = table.raw_set(id, Value::Nil);
        }
    }

    /// A global of the connection's script; what it does not have is looked for in `_G`.
    fn lookup(&self, id: u64, name: &str) -> Option<Value> {
        let environment: Table = self.environments.raw_get::<Option<Table>>(id).ok()??;
        // A script may forbid undeclared globals; a hook that it does not declare is no fault.
        environment.get(name).ok()
    }

    fn find(&self, connection: &Connection, name: &str) -> Option<(Table, Function)> {
        let id = connection.id;
        match self.lookup(id, name)? {
            Value::Function(function) => {
                let own = self.own.raw_get::<Option<Table>>(id).ok()??;
                Some((own, function))
            }
            Value::Nil => None,
            // Some scripts switch this hook off by another value.
            _ if name == "read_query" => None,
            other => {
                info!(
                    client = connection.client_name(),
                    "{name} is a {}, not a function; it is not called",
                    callback::type_name(&other)
                );
                None
            }
        }
    }

    fn run_body(&self, connection: &mut Connection, main: &Function) -> Result<(), String> {
        let id = connection.id;
        let result = self.guard(connection, || {
            let own = ProxyTable::create_own(&self.lua, id)?;
            let environment = self.create_environment(&own)?;
            self.proxy.restore_backends()?;
            self.proxy.show(&own)?;
            // Functions take the environment of the one that creates them, so one main function serves all.
            main.set_environment(environment.clone())?;
            let result = self.protected(main, ());
            main.set_environment(self.globals.clone())?;
            result?;
            self.environments.raw_set(id, environment)?;
            self.own.raw_set(id, own)?;
            Ok(())
        });
        if result.is_err() {
            connection.queries.clear();
            connection.backend_ndx = 0;
            connection.connection_close = false;
        }
        result
    }

    /// `__proxy` and, through `_G`, everything else.
    fn create_environment(&self, own: &Table) -> mlua::Result<Table> {
        let metatable = self.lua.create_table_with_capacity(0, 1)?;
        metatable.raw_set("__index", &self.globals)?;
        let environment = self.lua.create_table_with_capacity(0, 8)?;
        environment.raw_set("__proxy", own)?;
        environment.set_metatable(Some(metatable))?;
        Ok(environment)
    }

    fn run_hook(
        &self,
        own: &Table,
        function: &Function,
        hook: Hook<'_>,
    ) -> Result<Decision, Failure> {
        self.proxy.show(own)?;
        if let Hook::ReadQuery(_) = hook {
            own.raw_set("response", self.lua.create_table()?)?;
        }
        let (rule, value) = self.run_function(function, hook)?;
        let number = callback::integer(&self.lua, &value);
        let (answer, capabilities) = lent::any(&self.lua, |lent| {
            let answer = answer::read(rule, number, &lent.connection);
            Ok((answer, lent.connection.capabilities))
        })?;
        Ok(match answer {
            Answer::Default => Decision::Default,
            Answer::SendQuery => Decision::SendQuery,
            Answer::IgnoreResult => Decision::IgnoreResult,
            Answer::SendResult => {
                let table = own.raw_get::<Value>("response")?.as_table().cloned();
                Decision::SendResult(response::build(&self.lua, table, capabilities))
            }
        })
    }

    fn run_function(&self, function: &Function, hook: Hook<'_>) -> Result<(Rule, Value), Failure> {
        let none = MultiValue::new();
        Ok(match hook {
            Hook::ConnectServer => (Rule::ConnectServer, self.protected(function, none)?),
            Hook::ReadHandshake => (Rule::ReadHandshake, self.protected(function, none)?),
            Hook::ReadAuth => (Rule::ReadAuth, self.protected(function, none)?),
            Hook::DisconnectClient => (Rule::DisconnectClient, self.protected(function, none)?),
            Hook::ReadAuthResult(packet) => {
                let auth = self.lua.create_table_with_capacity(0, 1)?;
                auth.raw_set("packet", self.lua.create_string(packet)?)?;
                (Rule::ReadAuthResult, self.protected(function, auth)?)
            }
            Hook::ReadQuery(packet) => {
                let packet = self.lua.create_string(packet)?;
                (Rule::ReadQuery, self.protected(function, packet)?)
            }
            Hook::ReadQueryResult(result) => {
                let is_buffered = result.buffered.is_some();
                let injection = injection_object::create(&self.lua, *result)?;
                let value = self.protected(function, &injection);
                injection_object::expire(&injection);
                (Rule::ReadQueryResult { is_buffered }, value?)
            }
        })
    }

    /// What the function returns first. The error is caught on the Lua side: there it is still the value that was
    /// raised, and costs no traceback.
    fn protected(
        &self,
        function: &Function,
        arguments: impl IntoLuaMulti,
    ) -> Result<Value, Failure> {
        let mut call = arguments.into_lua_multi(&self.lua)?;
        call.push_front(Value::Function(function.clone()));
        let (succeeded, value): (bool, Value) = self.protected_call.call(call)?;
        if succeeded {
            Ok(value)
        } else {
            Err(Failure(callback::error_value(&value)))
        }
    }

    /// Lends the connection. A panic of our own code counts as an error of the hook; Lua unwinds as for any error.
    fn guard<R>(
        &self,
        connection: &mut Connection,
        run: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, String> {
        lent::lend(&self.lua, connection, || {
            match panic::catch_unwind(AssertUnwindSafe(run)) {
                Ok(result) => result.map_err(|Failure(message)| message),
                Err(panic) => Err(format!(
                    "fault of the proxy itself: {}",
                    panic_text(&*panic)
                )),
            }
        })
    }
}

/// An error's text.
struct Failure(String);

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Self(callback::text(&error))
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
