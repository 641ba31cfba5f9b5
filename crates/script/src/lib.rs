//! What the operator's Lua says: states, environments, hooks, the `proxy.*` table.
//!
//! Knows neither sockets nor a runtime: a session lends a hook what it may see and change ([`Connection`]) and gets a
//! [`Decision`] back. Whoever owns a [`State`] calls one hook at a time.
//!
//! * [`State`]: one Lua state; loads the script, opens and closes connections' environments, calls hooks
//! * [`Connection`]: what `proxy.connection`, `proxy.queries` and `proxy.global.backends` show, lent for one hook
//! * [`api`]: what scripts see, as data
//! * [`Hook`], [`Decision`], [`Response`]: what a hook is called for and what it answers

pub mod api;
mod builtin_module;
mod callback;
mod chassis;
mod connection;
mod constants;
mod decision;
mod dispatch;
mod fields;
mod glib2;
mod hook;
mod injection;
mod injection_object;
mod interpreter;
mod lent;
mod lfs;
pub mod limits;
mod lpeg;
mod lua_file;
mod modules;
mod mysql_password;
mod mysql_proto;
mod mysql_tokenizer;
mod object;
mod parameter;
mod posix;
mod proxy_modules;
mod proxy_table;
mod query_attributes;
mod raw_call;
mod response;
mod resultset;
mod retired;
mod rows;
mod script_file;
mod shared;
mod state;
mod watchdog;

pub use chassis::Shutdown;
pub use connection::{
    Applicant, BackendState, BackendView, Connection, Endpoint, Greeting, Hold, Login, Peer, Taken,
};
pub use decision::{Decision, Hook, Response};
pub use injection::{Buffered, Injection, InjectionResult, Statistics};
pub use script_file::{HookReport, VersionReport};
pub use shared::Shared;
pub use state::{
    LoadError, Loaded, OnHookError, OnLoadError, Options, ScriptFault, State, StateError,
};
