//! One Lua state: the script's versions, the connections' environments, the call of a hook.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, Value};
use protocol::Command;
use protocol::command::ResponseKind;
use protocol::response::error_code::UNKNOWN_ERROR;
use thiserror::Error;
use tracing::{error, info};

use crate::dispatch::{Dispatch, Failure, Found, Returned};
use crate::hook::{self, Answer, Rule};
use crate::injection_object::InjectionObject;
use crate::proxy_table::ProxyTable;
use crate::script_file::{LoggedFaults, ScriptFile, VersionReport};
use crate::watchdog::{Stopped, Watchdog};
use crate::{
    Connection, Decision, Hook, Response, Shared, Shutdown, callback, interpreter, lent, modules,
    response,
};

/// What a state is made with.
#[derive(Debug, Clone)]
pub struct Options {
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
    /// What happens instead of what a hook that failed would have decided.
    pub on_hook_error: OnHookError,
    /// CPU time of one hook, or of the script's body; `None` for any.
    pub hook_timeout: Option<Duration>,
    /// Bytes that the state's values may take; 0 for any.
    pub memory_limit: usize,
    /// `proxy.shared`: one for all states.
    pub shared: Arc<Shared>,
    /// What `chassis.set_shutdown()` does.
    pub shutdown: Shutdown,
    /// One for all states, too.
    pub(crate) logged_faults: Arc<LoggedFaults>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// No module's path is given, nothing is bounded but time and `proxy.shared`, and scripts cannot end the program.
    pub fn new() -> Self {
        Self {
            lua_path: None,
            lua_cpath: None,
            default_lua_path: String::new(),
            default_lua_cpath: String::new(),
            on_load_error: OnLoadError::default(),
            on_hook_error: OnHookError::default(),
            hook_timeout: Some(Duration::from_secs(1)),
            memory_limit: 0,
            shared: Arc::new(Shared::new(64 << 20)),
            shutdown: Shutdown::new(|| {}),
            logged_faults: Arc::default(),
        }
    }

    /// These, with what [`State::adopt`] takes over of others.
    pub fn adopting(&self, others: &Self) -> Self {
        Self {
            on_load_error: others.on_load_error,
            on_hook_error: others.on_hook_error,
            hook_timeout: others.hook_timeout,
            memory_limit: others.memory_limit,
            ..self.clone()
        }
    }
}

/// What happens instead of what a hook that failed would have decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHookError {
    /// What happens without the hook.
    #[default]
    Default,
    /// ERR 1105, and nothing is forwarded.
    Error,
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

/// Why a script does not load.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ScriptFault {
    /// Which part of it failed.
    pub what: LoadError,
    /// The reason: Lua's own words, with the place in front of them, or the system's for a file that cannot be read.
    pub message: String,
}

/// No interpreter could be made: memory, or a path that Lua refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot start Lua: {0}")]
pub struct StateError(String);

/// Lua's words for it.
const NO_MEMORY: &str = "not enough memory";

const WITHOUT_SCRIPT: &str = "connections go on without a script";

/// Why something of the script has no value.
struct Fault {
    message: String,
    /// It took too long.
    was_stopped: bool,
}

/// One Lua state. It runs one hook at a time.
pub struct State {
    lua: Lua,
    /// Those that connections were opened with, in the order of coming.
    scripts: Vec<ScriptFile>,
    logged_faults: Arc<LoggedFaults>,
    on_load_error: OnLoadError,
    on_hook_error: OnHookError,
    hook_timeout: Duration,
    memory_limit: usize,
    /// What is left of the memory is too little to go on with.
    is_worn_out: bool,
    watchdog: Watchdog,
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
        modules::preload(&lua, &options.shutdown)?;
        let injection = InjectionObject::install(&lua)?;
        let proxy = ProxyTable::install(&lua, &options.shared)?;
        lua.set_memory_limit(options.memory_limit)?;
        Ok(Self {
            scripts: Vec::new(),
            logged_faults: Arc::clone(&options.logged_faults),
            on_load_error: options.on_load_error,
            on_hook_error: options.on_hook_error,
            hook_timeout: options.hook_timeout.unwrap_or_default(),
            memory_limit: options.memory_limit,
            is_worn_out: false,
            watchdog: Watchdog::new(&lua, options.hook_timeout)?,
            dispatch: Dispatch::new(&lua, &proxy, &injection)?,
            proxy,
            without_read_query: HashSet::new(),
            lua,
        })
    }

    /// From now on these options count, as far as they can: what the state was made with stays.
    pub fn adopt(&mut self, options: &Options) {
        self.on_load_error = options.on_load_error;
        self.on_hook_error = options.on_hook_error;
        let hook_timeout = options.hook_timeout.unwrap_or_default();
        if self.hook_timeout != hook_timeout {
            self.hook_timeout = hook_timeout;
            self.watchdog.set_limit(options.hook_timeout);
        }
        if self.memory_limit != options.memory_limit {
            match self.lua.set_memory_limit(options.memory_limit) {
                Ok(_) => self.memory_limit = options.memory_limit,
                Err(error) => error!("--lua-memory-limit stays: {}", callback::text(&error)),
            }
        }
    }

    /// Gives the connection an environment and runs the body of `script`, an absolute path, in it. What a connection gets
    /// of a faulty script is for [`OnLoadError`] to say; each fault is logged once.
    pub fn open(
        &mut self,
        script: &Path,
        connection: &mut Box<Connection>,
    ) -> Result<Loaded, LoadError> {
        let Err(fault) = self.try_open(script, connection) else {
            return Ok(Loaded::Scripted);
        };
        let ScriptFault {
            what: failure,
            message,
        } = fault;
        let index = self.script_index(script);
        let script = &mut self.scripts[index];
        match (self.on_load_error, script.last_good()) {
            (OnLoadError::Error, _) => {
                script.failed(&failure, &message, "clients get ERR 1105");
                Err(failure)
            }
            (OnLoadError::KeepLast, Some(main)) => {
                script.failed(&failure, &message, "connections get the version before");
                Ok(self.open_last_good(connection, index, &main))
            }
            (OnLoadError::KeepLast, None) | (OnLoadError::PassThrough, _) => {
                script.failed(&failure, &message, WITHOUT_SCRIPT);
                Ok(Loaded::PassThrough)
            }
        }
    }

    /// As [`Self::open`], where a faulty script is the caller's business. Nothing is logged.
    pub fn try_open(
        &mut self,
        script: &Path,
        connection: &mut Box<Connection>,
    ) -> Result<(), ScriptFault> {
        let index = self.script_index(script);
        let main = self.scripts[index].main(&self.lua);
        let main = main.map_err(|message| ScriptFault {
            what: LoadError::Load,
            message,
        })?;
        let result = self.run_body(connection, &main);
        let script = &mut self.scripts[index];
        match result {
            Ok(()) => {
                connection.script_version = (index, script.worked());
                Ok(())
            }
            Err(fault) => {
                if fault.was_stopped {
                    script.never_run_again(&fault.message);
                }
                Err(ScriptFault {
                    what: LoadError::Execute,
                    message: fault.message,
                })
            }
        }
    }

    fn open_last_good(
        &mut self,
        connection: &mut Box<Connection>,
        index: usize,
        main: &Function,
    ) -> Loaded {
        let result = self.run_body(connection, main);
        let script = &mut self.scripts[index];
        match result {
            Ok(()) => {
                connection.script_version = (index, script.last_good_worked());
                Loaded::Scripted
            }
            Err(fault) => {
                script.last_good_failed(&fault.message, WITHOUT_SCRIPT);
                Loaded::PassThrough
            }
        }
    }

    /// The same for a script that is a part of the program; `name` stands for its file in messages.
    pub fn open_built_in(
        &mut self,
        name: &str,
        source: &str,
        connection: &mut Box<Connection>,
    ) -> Result<(), LoadError> {
        let chunk = self.lua.load(source).set_name(format!("={name}"));
        let main = chunk.into_function().map_err(|error| {
            error!("{name}: {}", callback::text(&error));
            LoadError::Load
        })?;
        self.run_body(connection, &main).map_err(|fault| {
            error!("{name}: {}", fault.message);
            LoadError::Execute
        })
    }

    /// Each script's latest versions, the oldest first.
    pub fn reports(&self) -> Vec<(PathBuf, VersionReport)> {
        let reports = self.scripts.iter().flat_map(|script| {
            let path = script.path();
            script
                .reports()
                .map(|report| (path.to_owned(), report.clone()))
        });
        reports.collect()
    }

    fn script_index(&mut self, path: &Path) -> usize {
        let known = self.scripts.iter().position(|known| known.path() == path);
        known.unwrap_or_else(|| {
            self.scripts
                .push(ScriptFile::new(path, &self.logged_faults));
            self.scripts.len() - 1
        })
    }

    /// Calls the hook, if the script has it. The connection comes back as the hook left it.
    pub fn call(&mut self, connection: &mut Box<Connection>, hook: Hook<'_>) -> Decision {
        connection.has_hook_run = false;
        let is_query = matches!(hook, Hook::ReadQuery(_));
        if is_query {
            connection.queries.clear();
            if self.has_no_read_query(connection.id) {
                return Decision::Default;
            }
        }
        let (name, rule) = (hook.name(), rule(&hook));
        let expects_response = expects_response(&hook);
        let begun = Instant::now();
        let result = self.watched(name, |state| state.run_hook(connection, hook));
        if !matches!(result, Ok(None)) {
            connection.has_hook_run = true;
            let (version, has_failed) = (connection.script_version, result.is_err());
            self.count(version, name, begun.elapsed(), has_failed);
        }
        let result = result.map(Option::unwrap_or_default);
        let decision = result.unwrap_or_else(|fault| {
            error!(
                client = connection.client_name(),
                "({name}) {}", fault.message
            );
            self.failed(connection, rule, name, expects_response, &fault)
        });
        if is_query && decision == Decision::Default {
            connection.queries.clear();
        }
        decision
    }

    fn count(
        &mut self,
        (script, version): (usize, u64),
        hook: &'static str,
        time: Duration,
        has_failed: bool,
    ) {
        let script = self.scripts.get_mut(script);
        if let Some(report) = script.and_then(|script| script.report(version)) {
            let report = report.hooks.entry(hook).or_default();
            report.calls += 1;
            report.errors += u64::from(has_failed);
            report.time += time;
        }
    }

    /// Runs something of the script, for as long as it may.
    fn watched<R>(
        &mut self,
        what: &'static str,
        run: impl FnOnce(&mut Self) -> Result<R, String>,
    ) -> Result<R, Fault> {
        self.watchdog.begin(what);
        let result = run(self);
        let stopped = self.watchdog.end();
        let message = match (result, stopped) {
            // It ended by itself in the last moment.
            (Ok(value), None | Some(Stopped { position: None })) => return Ok(value),
            (_, Some(Stopped { position })) => return Err(self.stopped_at(position)),
            (Err(message), None) => message,
        };
        if message.contains(NO_MEMORY) {
            self.see_to_memory();
        }
        Err(Fault {
            message,
            was_stopped: false,
        })
    }

    fn stopped_at(&self, position: Option<String>) -> Fault {
        let position = position.map_or_else(String::new, |position| format!("{position}: "));
        Fault {
            message: format!(
                "{position}stopped: it used more than --lua-hook-timeout={} s of CPU time",
                self.hook_timeout.as_secs_f64()
            ),
            was_stopped: true,
        }
    }

    /// What a hook that failed decides.
    fn failed(
        &self,
        connection: &mut Connection,
        rule: Rule,
        name: &str,
        expects_response: bool,
        fault: &Fault,
    ) -> Decision {
        let is_guarding = self.on_hook_error == OnHookError::Error;
        if rule == Rule::DisconnectClient || !(fault.was_stopped || is_guarding) {
            return Decision::Default;
        }
        connection.queries.clear();
        if !expects_response {
            // There is no place for an ERR: whatever the client says next must not be taken for what it is not.
            connection.connection_close = true;
            return match rule {
                Rule::ReadQuery => Decision::SendResult(Response::default()),
                _ => Decision::Default,
            };
        }
        let text = match fault.was_stopped {
            true => {
                format!("(lua) {name} was stopped: it took longer than --lua-hook-timeout allows")
            }
            false => format!("(lua) {name} failed, check error-log"),
        };
        let err = response::err_payload(UNKNOWN_ERROR, None, text.as_bytes());
        Decision::SendResult(Response {
            payloads: vec![err],
        })
    }

    /// The memory is used up: what nobody needs is given back, and if that is too little, the state is at its end.
    fn see_to_memory(&mut self) {
        // The second time frees what the first one finalised.
        let collected = self.lua.gc_collect().and_then(|()| self.lua.gc_collect());
        let used = self.lua.used_memory();
        self.is_worn_out |= collected.is_err() || used > self.memory_limit / 10 * 9;
    }

    /// True when too little is left of its memory to open more connections in it.
    pub fn is_worn_out(&self) -> bool {
        self.is_worn_out
    }

    /// True when the connection's script has a function of this name now.
    pub fn has_hook(&self, id: u64, name: &'static str) -> bool {
        self.dispatch.find(id, name) == Found::Hook
    }

    /// True when there is a variable of this name: of the connection's script, or of the state.
    pub fn has_global(&self, id: u64, name: &str) -> bool {
        self.dispatch.find(id, name) != Found::Nothing
            || (self.lua.globals().raw_get(name)).is_ok_and(|value: Value| !value.is_nil())
    }

    /// Whether `require` finds a module; the error is the files that it would look for. Runs nothing.
    pub fn find_module(&self, name: &str) -> Result<(), Vec<String>> {
        modules::find(&self.lua, name)
    }

    /// Drops the connection's environment.
    pub fn close(&mut self, id: u64) {
        self.dispatch.forget(id);
        self.without_read_query.remove(&id);
    }

    fn run_body(&mut self, connection: &mut Box<Connection>, main: &Function) -> Result<(), Fault> {
        let id = connection.id;
        let result = self.watched("script", |state| {
            caught(|| {
                lent::lend(connection, || {
                    state.proxy.restore_backends()?;
                    state.dispatch.run(&state.lua, id, main)
                })
            })
        });
        if result.is_err() {
            connection.queries.clear();
            connection.detach();
            connection.connection_close = false;
        }
        result
    }

    fn has_no_read_query(&self, id: u64) -> bool {
        self.without_read_query.contains(&id)
            && self.dispatch.find(id, "read_query") == Found::Nothing
    }

    /// `None` where the script has no such hook.
    fn run_hook(
        &mut self,
        connection: &mut Box<Connection>,
        hook: Hook<'_>,
    ) -> Result<Option<Decision>, String> {
        let (id, name, rule) = (connection.id, hook.name(), rule(&hook));
        let attributes = match rule {
            Rule::ReadQuery => connection.query_attributes.clone(),
            _ => Vec::new(),
        };
        let returned =
            caught(|| lent::lend(connection, || self.run_function(id, hook, &attributes)))?;
        let number = match returned {
            Returned::Number(number) => number,
            Returned::NoHook => {
                if rule == Rule::ReadQuery {
                    self.without_read_query.insert(id);
                }
                return Ok(None);
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
                return Ok(None);
            }
        };
        Ok(Some(match hook::answer(rule, number, connection) {
            Answer::Default => Decision::Default,
            Answer::SendQuery => Decision::SendQuery,
            Answer::IgnoreResult => Decision::IgnoreResult,
            Answer::SendResult => {
                let table = self.dispatch.response(id);
                let build = || Ok(response::build(&self.lua, table, connection.capabilities));
                Decision::SendResult(caught(build)?)
            }
        }))
    }

    /// `attributes` are a query's.
    fn run_function(
        &self,
        id: u64,
        hook: Hook<'_>,
        attributes: &[u8],
    ) -> Result<Returned, Failure> {
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
            Hook::ReadQuery(packet) => {
                (self.dispatch).call_read_query(&self.lua, id, packet, attributes)
            }
            Hook::ReadQueryResult(result) => self.dispatch.call_read_query_result(id, *result),
        }
    }
}

/// A packet of ours may stand where the hook's answer goes.
fn expects_response(hook: &Hook<'_>) -> bool {
    match hook {
        Hook::ReadQuery(packet) => {
            let command = packet.first().copied().map_or(Command::SLEEP, Command);
            command.response_kind() != ResponseKind::None
        }
        Hook::ReadQueryResult(result) => result.buffered.is_some(),
        _ => true,
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
