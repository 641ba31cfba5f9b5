//! A session's script: its connection as hooks see it, and the calls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use backend::{Backend, Stream};
use protocol::Capabilities;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use script::{
    BackendState, BackendView, Connection, Decision, Endpoint, Greeting, Hook, LoadError, Loaded,
    Login, Peer,
};
use tokio::time::Instant;
use tracing::info;

use super::Context;
use crate::scripts::{Scripts, SharedState};

/// The script of one session.
pub(super) struct Script {
    context: Arc<Context>,
    state: SharedState,
    pub(super) connection: Box<Connection>,
}

impl Script {
    /// Loads the script for a new client of `worker`. `None` where there is none, or where connections do without a faulty one.
    pub(super) async fn open(
        context: &Arc<Context>,
        client: &Stream,
        peer: Option<SocketAddr>,
        worker: usize,
    ) -> Result<Option<Box<Self>>, LoadError> {
        let Some(scripts) = &context.scripts else {
            return Ok(None);
        };
        let backends = context.backends.iter().map(|backend| {
            let view: Arc<dyn BackendView> = Arc::new(View(Arc::clone(backend)));
            view
        });
        let id = scripts.connection_id();
        let mut connection = Box::new(Connection {
            id,
            client: Peer {
                src: Some(peer.map_or_else(|| Endpoint::Unix(PathBuf::new()), Endpoint::Ip)),
                dst: client.local_address().map(endpoint),
                ..Peer::default()
            },
            backends: backends.collect(),
            ..Connection::default()
        });
        let state = scripts
            .state_for(id, worker, context.settings.workers)
            .await;
        match state.with(|state| state.open(&mut connection)).await? {
            Loaded::PassThrough => Ok(None),
            Loaded::Scripted => Ok(Some(Box::new(Self {
                context: Arc::clone(context),
                state,
                connection,
            }))),
        }
    }

    /// Calls a hook, if the script has it.
    pub(super) async fn call(&mut self, hook: Hook<'_>) -> Decision {
        let connection = &mut self.connection;
        self.state.with(|state| state.call(connection, hook)).await
    }

    /// The last hook; then the connection's environment is gone.
    pub(super) async fn disconnect(mut self: Box<Self>) {
        self.call(Hook::DisconnectClient).await;
        let id = self.connection.id;
        self.state.with(|state| state.close(id)).await;
    }

    /// The bounds that the operator set.
    pub(super) fn scripts(&self) -> Option<&Scripts> {
        self.context.scripts.as_ref()
    }

    /// A backend has greeted: both sides' socket objects know, the client's by its first greeting.
    pub(super) fn greeted(&mut self, backend: &Backend, stream: &Stream, handshake: &HandshakeV10) {
        let greeting = greeting(handshake);
        self.connection.backend_ndx = backend.index() + 1;
        let client = &mut self.connection.client;
        client.greeting.get_or_insert_with(|| greeting.clone());
        self.connection.server = Some(Peer {
            src: stream.local_address().map(endpoint),
            dst: stream.peer_address().map(endpoint),
            greeting: Some(greeting),
            ..Peer::default()
        });
    }

    /// `read_auth` may have written `backend_ndx`: the index of another backend than the one `attached`.
    pub(super) fn chosen_backend(&mut self, attached: usize) -> Option<usize> {
        let chosen = self.connection.backend_ndx;
        if chosen == attached {
            return None;
        }
        self.connection.backend_ndx = attached;
        let backends = self.connection.backends.len();
        if chosen == 0 || chosen > backends {
            info!(
                "(read_auth) chose backend {chosen} of {backends}: there is none, the client stays where it is"
            );
            return None;
        }
        Some(chosen - 1)
    }

    /// The script itself has greeted.
    pub(super) fn greeted_itself(&mut self, handshake: &HandshakeV10) {
        self.connection.backend_ndx = 0;
        self.connection.client.greeting = Some(greeting(handshake));
    }

    /// The client has said who it is.
    pub(super) fn logged_in(&mut self, response: &HandshakeResponse41, capabilities: Capabilities) {
        self.connection.capabilities = capabilities;
        let client = &mut self.connection.client;
        client.default_db.clone_from(&response.database);
        client.login = Some(Login {
            username: response.username.clone(),
            auth_response: response.auth_response.clone(),
            auth_plugin_name: response.auth_plugin_name.clone(),
        });
    }

    /// The backend is asked with the client's login: from now on it has that.
    pub(super) fn share_login(&mut self) {
        if let Some(server) = &mut self.connection.server {
            server.login.clone_from(&self.connection.client.login);
            server
                .default_db
                .clone_from(&self.connection.client.default_db);
        }
    }

    /// The client has become another one, at the backend too.
    pub(super) fn changed_user(&mut self, login: Login, database: Vec<u8>) {
        self.connection.client.login = Some(login);
        self.connection.client.default_db = database;
        self.share_login();
    }

    /// The default database of both sides, after the backend has changed it.
    pub(super) fn use_db(&mut self, database: &[u8]) {
        self.connection.client.default_db = database.to_vec();
        if let Some(server) = &mut self.connection.server {
            server.default_db = database.to_vec();
        }
    }

    /// A hook may have written `backend_ndx`. Without idle connections to take there is none to change to, and none to
    /// give this one back to: it stays.
    pub(super) fn keep_backend(&mut self, index: usize) {
        if self.connection.backend_ndx != index {
            info!(
                "a script asked for backend {} where {index} is attached: it is pinned, this version keeps no idle connections",
                self.connection.backend_ndx
            );
            self.connection.backend_ndx = index;
        }
    }
}

fn greeting(handshake: &HandshakeV10) -> Greeting {
    Greeting {
        server_version: handshake.server_version.clone(),
        thread_id: handshake.thread_id,
        auth_plugin_data: handshake.auth_plugin_data.clone(),
        auth_plugin_name: handshake.auth_plugin_name.clone(),
    }
}

fn endpoint(address: backend::SocketAddress) -> Endpoint {
    match address {
        backend::SocketAddress::Ip(address) => Endpoint::Ip(address),
        backend::SocketAddress::Unix(path) => Endpoint::Unix(path),
    }
}

/// A backend as scripts see it.
#[derive(Debug)]
struct View(Arc<Backend>);

impl BackendView for View {
    fn connected_clients(&self) -> usize {
        self.0.clients()
    }

    fn dst(&self) -> Option<Endpoint> {
        self.0.last_address().map(endpoint)
    }

    fn configured_address(&self) -> String {
        self.0.address().to_string()
    }

    fn state(&self) -> BackendState {
        match (self.0.is_up(), self.0.last_address()) {
            (false, _) => BackendState::Down,
            (true, None) => BackendState::Unknown,
            (true, Some(_)) => BackendState::Up,
        }
    }

    fn set_state(&self, state: BackendState) {
        match state {
            BackendState::Down => self.0.mark_down(Instant::now(), "a script says so"),
            BackendState::Unknown | BackendState::Up => self.0.mark_up(Instant::now()),
        }
    }

    fn is_read_only(&self) -> bool {
        self.0.role() == backend::Role::ReadOnly
    }

    fn uuid(&self) -> Option<Vec<u8>> {
        self.0.uuid()
    }

    fn set_uuid(&self, uuid: Option<Vec<u8>>) {
        self.0.set_uuid(uuid);
    }
}
