//! Which connections there are, and the way into their hooks. Half of it is in `dispatch.lua`.

use mlua::{Function, IntoLuaMulti, Lua, Table, Value};

use crate::injection_object::{self, InjectionObject};
use crate::proxy_table::ProxyTable;
use crate::{InjectionResult, callback, query_attributes, raw_call};

/// Connections by number.
///
/// What belongs to a connection lives in tables on the Lua side: mlua keeps a slot on a stack of 8,000 for each value
/// that Rust holds.
pub(crate) struct Dispatch {
    /// Its script's global variables.
    environments: Table,
    /// The table behind `proxy`.
    own: Table,
    globals: Table,
    has: Function,
    call: Function,
    call_read_query: Function,
    call_read_query_result: Function,
    run: Function,
}

/// What a script has by a hook's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Hook,
    /// No function but this.
    Other(String),
    Nothing,
}

/// What the call of a hook came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Returned {
    /// 0 for what is no number.
    Number(i64),
    NoHook,
    /// What the script has by that name is of this type.
    NoFunction(String),
}

/// Why a function of the script has no value, for the log.
pub(crate) struct Failure(pub(crate) String);

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Self(callback::text(&error))
    }
}

impl Dispatch {
    /// Knows no connection yet.
    pub(crate) fn new(
        lua: &Lua,
        proxy: &ProxyTable,
        injection: &InjectionObject,
    ) -> mlua::Result<Self> {
        let environments = lua.create_table()?;
        let own = lua.create_table()?;
        let chunk = lua
            .load(include_str!("dispatch.lua"))
            .set_name("=mysql-proxy");
        let (has, call, call_read_query, call_read_query_result, run) = chunk.call((
            &environments,
            &own,
            proxy.metatable(),
            &injection.begin,
            &injection.finish,
        ))?;
        Ok(Self {
            environments,
            own,
            globals: lua.globals(),
            has,
            call,
            call_read_query,
            call_read_query_result,
            run,
        })
    }

    /// What the connection's script has by this name now.
    pub(crate) fn find(&self, connection: u64, hook: &str) -> Found {
        match self.has.call((connection, hook)) {
            Ok(Value::Boolean(_)) => Found::Hook,
            Ok(Value::String(kind)) => Found::Other(kind.to_string_lossy()),
            _ => Found::Nothing,
        }
    }

    /// Calls a hook that has no function of its own here.
    pub(crate) fn call(
        &self,
        connection: u64,
        hook: &str,
        argument: impl IntoLuaMulti,
    ) -> Result<Returned, Failure> {
        Outcome::returned(self.call.call((connection, hook, argument))?)
    }

    /// Calls `read_query`, with an empty `proxy.response`. Few commands have query attributes.
    pub(crate) fn call_read_query(
        &self,
        lua: &Lua,
        connection: u64,
        packet: &[u8],
        attributes: &[u8],
    ) -> Result<Returned, Failure> {
        if !attributes.is_empty() {
            let packet = lua.create_string(packet)?;
            let attributes = query_attributes::table(lua, attributes)?;
            let arguments = (connection, packet, attributes);
            return Outcome::returned(self.call_read_query.call(arguments)?);
        }
        Outcome::returned(raw_call::with_bytes(
            lua,
            &self.call_read_query,
            connection,
            packet,
        )?)
    }

    /// Calls `read_query_result`.
    pub(crate) fn call_read_query_result(
        &self,
        connection: u64,
        result: InjectionResult,
    ) -> Result<Returned, Failure> {
        let arguments = (connection, injection_object::arguments(&result));
        let _kept = injection_object::keep(result);
        Outcome::returned(self.call_read_query_result.call(arguments)?)
    }

    /// Runs a script's body in an environment for the connection, which is known from then on if that succeeds.
    pub(crate) fn run(&self, lua: &Lua, connection: u64, main: &Function) -> Result<(), Failure> {
        let own = ProxyTable::create_own(lua, connection)?;
        let environment = create_environment(lua, &self.globals, &own)?;
        self.own.raw_set(connection, own)?;
        // Functions take the environment of the one that creates them, so one main function serves all connections.
        main.set_environment(environment.clone())?;
        let result = self.run.call((connection, main));
        main.set_environment(self.globals.clone())?;
        let result = result.map_err(Failure::from).and_then(Outcome::returned);
        if result.is_ok() {
            self.environments.raw_set(connection, environment)?;
        } else {
            self.forget(connection);
        }
        result.map(|_| ())
    }

    /// `proxy.response`
    pub(crate) fn response(&self, connection: u64) -> Option<Table> {
        let own: Table = self.own.raw_get(connection).ok()?;
        own.raw_get("response").ok()
    }

    /// Drops all that belongs to the connection.
    pub(crate) fn forget(&self, connection: u64) {
        for table in [&self.environments, &self.own] {
            // Not mlua's `raw_remove`, which moves the elements behind. What is forgotten needs no memory.
            let _ = table.raw_set(connection, Value::Nil);
        }
    }
}

/// `__proxy` and, through `_G`, everything else.
fn create_environment(lua: &Lua, globals: &Table, own: &Table) -> mlua::Result<Table> {
    let metatable = lua.create_table_with_capacity(0, 1)?;
    metatable.raw_set("__index", globals)?;
    let environment = lua.create_table_with_capacity(0, 8)?;
    environment.raw_set("__proxy", own)?;
    environment.set_metatable(Some(metatable))?;
    Ok(environment)
}

/// As the functions on the Lua side return it: an error that was caught there is still the value that was raised, and costs
/// no traceback.
struct Outcome;

impl Outcome {
    const NO_HOOK: u8 = 0;
    const NUMBER: u8 = 1;
    const NO_FUNCTION: u8 = 3;

    fn returned((kind, number, value): (u8, f64, Value)) -> Result<Returned, Failure> {
        match kind {
            Self::NO_HOOK => Ok(Returned::NoHook),
            Self::NUMBER => Ok(Returned::Number(number as i64)),
            Self::NO_FUNCTION => Ok(Returned::NoFunction(callback::error_value(&value))),
            _ => Err(Failure(callback::error_value(&value))),
        }
    }
}
