//! What a hook may see and change of its connection. Owned by the session and lent to the state for the length of one
//! hook; Lua holds nothing of it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use protocol::Capabilities;
use tracing::info;

use crate::Injection;

/// One client's connection, as its hooks see it.
#[derive(Debug, Default)]
pub struct Connection {
    /// Names the connection's environment in its state.
    pub id: u64,
    /// Which script it runs, and which version of it; written by [`State::open`](crate::State::open).
    pub script_version: (usize, u64),
    /// The script has the hook that was called last; written by [`State::call`](crate::State::call).
    pub has_hook_run: bool,
    /// `proxy.connection.client`
    pub client: Peer,
    /// `proxy.connection.server`; `None` while no backend is attached.
    pub server: Option<Peer>,
    /// `proxy.connection.backend_ndx`: 1-based, 0 for none. A hook writes what it wants; the session reads it afterwards.
    pub backend_ndx: usize,
    /// Whether the running hook may give the server up.
    pub hold: Hold,
    /// The running hook gave the attached server up.
    pub is_released: bool,
    /// The reason that the log has for the server's staying.
    pub told_pinned: Option<&'static str>,
    /// Why the server connection stayed, since somebody last took this.
    pub pinned_by: Option<&'static str>,
    /// The running hook took this idle connection.
    pub taken: Option<Taken>,
    /// `proxy.connection.connection_close`, written by a hook.
    pub connection_close: bool,
    /// Of the client's command, as they came; empty for none.
    pub query_attributes: Vec<u8>,
    /// `proxy.queries`
    pub queries: VecDeque<Injection>,
    /// `proxy.global.backends`, in option order.
    pub backends: Vec<Arc<dyn BackendView>>,
    /// What was agreed on with the client: how a response to it is framed.
    pub capabilities: Capabilities,
    /// A server has let the client in.
    pub is_logged_in: bool,
}

impl Connection {
    /// Gives up the server that is attached, if it may be; without one nothing changes.
    pub(crate) fn release(&mut self) {
        if self.server.is_none() {
            return;
        }
        if let Some(taken) = self.taken.take() {
            self.put_back(taken);
        } else if let Some(reason) = self.hold.reason_to_stay() {
            return self.tell_pinned(reason);
        } else {
            self.is_released = true;
        }
        self.server = None;
        self.backend_ndx = 0;
    }

    /// Changes to an idle connection of backend `ndx`. Where there is none, `backend_ndx` alone says what is wanted.
    pub(crate) fn change_to(&mut self, ndx: usize) {
        if let Hold::Pinned(reason) = self.hold
            && self.taken.is_none()
            && self.server.is_some()
        {
            return self.tell_pinned(reason);
        }
        let backend = ndx
            .checked_sub(1)
            .and_then(|index| self.backends.get(index));
        let taken = backend.and_then(|backend| backend.take_idle(&self.applicant()));
        if let Some(taken) = taken {
            if let Some(earlier) = self.taken.take() {
                self.put_back(earlier);
            } else if self.server.is_some() {
                self.is_released = true;
            }
            self.server = Some(taken.peer.clone());
            self.taken = Some(taken);
        }
        self.backend_ndx = ndx;
    }

    /// Once for each reason: a script may try again with every command.
    fn tell_pinned(&mut self, reason: &'static str) {
        self.pinned_by = Some(reason);
        if self.told_pinned.replace(reason) != Some(reason) {
            info!(
                client = self.client_name(),
                "the server connection stays with its client: pinned: {reason}"
            );
        }
    }

    /// What was taken is not wanted.
    pub fn give_back_taken(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.put_back(taken);
        }
    }

    /// No server is attached.
    pub fn detach(&mut self) {
        self.give_back_taken();
        self.server = None;
        self.backend_ndx = 0;
    }

    fn put_back(&self, taken: Taken) {
        if let Some(backend) = self.backends.get(taken.backend) {
            backend.put_back(taken);
        }
    }

    /// The client as one who asks for a connection.
    pub fn applicant(&self) -> Applicant<'_> {
        let login = self.client.login.as_ref();
        Applicant {
            username: login.map_or(&[], |login| &login.username),
            capabilities: login.map(|_| self.capabilities),
            logs_in: matches!(self.hold, Hold::Vacant | Hold::Choosing) && !self.is_logged_in,
        }
    }

    /// The client's address, for the log.
    pub(crate) fn client_name(&self) -> Option<String> {
        self.client.src.as_ref().map(ToString::to_string)
    }
}

/// Whether a hook may give the attached server up, and take another one's idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// There is none to give up; the login is to come.
    #[default]
    Vacant,
    /// The client has said who it is, and may still log in elsewhere.
    Choosing,
    /// Logged in, and between two commands.
    Free,
    /// It stays, for this reason.
    Pinned(&'static str),
}

/// An idle connection on its way from the pool to the session.
pub struct Taken {
    /// Of the backend, from 0.
    pub backend: usize,
    /// `proxy.connection.server` from now on.
    pub peer: Peer,
    /// The session knows what is in it.
    pub connection: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Who asks for an idle connection, or how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// Empty before the login.
    pub username: &'a [u8],
    /// What it agreed on; `None` before that, and for somebody else.
    pub capabilities: Option<Capabilities>,
    /// It will log in on the connection, so it may get another user's.
    pub logs_in: bool,
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
    /// `pool.min_idle_connections`, `pool.max_idle_connections`
    fn idle_limits(&self) -> (&AtomicI64, &AtomicI64);
    /// Idle connections that the applicant could get one of.
    fn idle_connections(&self, applicant: &Applicant<'_>) -> usize;
    /// One of them.
    fn take_idle(&self, applicant: &Applicant<'_>) -> Option<Taken>;
    /// It is idle again, behind all others.
    fn put_back(&self, taken: Taken);
}

impl Hold {
    fn reason_to_stay(self) -> Option<&'static str> {
        match self {
            Self::Free => None,
            Self::Vacant | Self::Choosing => Some("the login is not done"),
            Self::Pinned(reason) => Some(reason),
        }
    }
}
