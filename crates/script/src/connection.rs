//! What a hook may see and change of its connection. Owned by the session and lent to the state for the length of one
//! hook; Lua holds nothing of it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::Capabilities;

use crate::Injection;

/// One client's connection, as its hooks see it.
#[derive(Debug, Default)]
pub struct Connection {
    /// Names the connection's environment in its state.
    pub id: u64,
    /// `proxy.connection.client`
    pub client: Peer,
    /// `proxy.connection.server`; `None` while no backend is attached.
    pub server: Option<Peer>,
    /// `proxy.connection.backend_ndx`: 1-based, 0 for none. A hook writes what it wants; the session reads it afterwards.
    pub backend_ndx: usize,
    /// `proxy.connection.connection_close`, written by a hook.
    pub connection_close: bool,
    /// `proxy.queries`
    pub queries: VecDeque<Injection>,
    /// `proxy.global.backends`, in option order.
    pub backends: Vec<Arc<dyn BackendView>>,
    /// What was agreed on with the client: how a response to it is framed.
    pub capabilities: Capabilities,
}

impl Connection {
    /// The client's address, for the log.
    pub(crate) fn client_name(&self) -> Option<String> {
        self.client.src.as_ref().map(ToString::to_string)
    }
}

/// One side's socket object.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// `src`
    pub src: Option<Endpoint>,
    /// `dst`
    pub dst: Option<Endpoint>,
    /// `default_db`; empty when unset.
    pub default_db: Vec<u8>,
    /// From the greeting that this side got.
    pub greeting: Option<Greeting>,
    /// From the client's login.
    pub login: Option<Login>,
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP
    Ip(SocketAddr),
    /// A Unix socket; empty for an unnamed one.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// What a greeting tells.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// `5.5.5-10.11.6-MariaDB`; `mysqld_version` is made of it.
    pub server_version: Vec<u8>,
    /// `thread_id`
    pub thread_id: u32,
    /// `scramble_buffer`
    pub auth_plugin_data: Vec<u8>,
    /// `auth_plugin_name`; empty for none.
    pub auth_plugin_name: Vec<u8>,
}

/// What a login tells.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// `username`
    pub username: Vec<u8>,
    /// `scrambled_password`
    pub auth_response: Vec<u8>,
    /// `auth_plugin_name`; empty for none.
    pub auth_plugin_name: Vec<u8>,
}

/// A backend's state, with the numbers that scripts know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BackendState {
    /// `proxy.BACKEND_STATE_UNKNOWN`
    Unknown = 0,
    /// `proxy.BACKEND_STATE_UP`
    Up = 1,
    /// `proxy.BACKEND_STATE_DOWN`
    Down = 2,
}

/// A backend as scripts see it: `proxy.global.backends[i]`.
pub trait BackendView: fmt::Debug + Send + Sync {
    /// `connected_clients`
    fn connected_clients(&self) -> usize;
    /// `dst`: the numeric address last used; `None` while the name was never resolved.
    fn dst(&self) -> Option<Endpoint>;
    /// As configured, for `dst.name` while there is no numeric address.
    fn configured_address(&self) -> String;
    /// `state`
    fn state(&self) -> BackendState;
    /// `state = ...`
    fn set_state(&self, state: BackendState);
    /// `type`: true for `proxy.BACKEND_TYPE_RO`
    fn is_read_only(&self) -> bool;
    /// `uuid`
    fn uuid(&self) -> Option<Vec<u8>>;
    /// `uuid = ...`
    fn set_uuid(&self, uuid: Option<Vec<u8>>);
}
