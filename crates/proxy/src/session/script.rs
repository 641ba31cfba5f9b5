//! A session's script: its connection as hooks see it, and the calls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use backend::{Backend, Backends, PooledConnection, Settings, Stream, Target};
use protocol::Capabilities;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use script::{
    Applicant, BackendState, BackendView, Connection, Decision, Endpoint, Greeting, Hold, Hook,
    LoadError, Loaded, Login, Peer, Taken,
};
use tokio::time::Instant;
use tracing::info;

use super::Context;
use super::link::Link;
use super::past::Past;
use crate::scripts::{Scripts, SharedState};

/// The script of one session.
pub(super) struct Script {
    context: Arc<Context>,
    state: SharedState,
    pub(super) connection: Box<Connection>,
    /// What the client has set in its session, wherever that is.
    pub(super) settings: Settings,
    /// The collation's number in its login.
    pub(super) character_set: u16,
    /// What its statements have left for later ones to ask about.
    pub(super) past: Past,
}

impl Script {
    /// Loads the script for a new client of `worker`. `None` where there is none, or where connections do without a faulty one.
    pub(super) async fn open(
        context: &Arc<Context>,
        client: &Stream,
        peer: Option<SocketAddr>,
        worker: usize,
    ) -> Result<Option<Box<Self>>, LoadError> {
        let scripts = context.scripts.as_ref();
        let Some((scripts, path)) = scripts.and_then(|scripts| {
            let path = scripts.settings.script.as_deref()?;
            Some((scripts, path))
        }) else {
            return Ok(None);
        };
        let id = scripts.connection_id();
        let mut connection = Box::new(Connection {
            id,
            client: Peer {
                src: Some(peer.map_or_else(|| Endpoint::Unix(PathBuf::new()), Endpoint::Ip)),
                dst: client.local_address().map(endpoint),
                ..Peer::default()
            },
            backends: views(&context.backends, context.generation.number),
            ..Connection::default()
        });
        let state = scripts
            .state_for(id, worker, context.settings.workers)
            .await;
        match state
            .with(|state| state.open(path, &mut connection))
            .await?
        {
            Loaded::PassThrough => Ok(None),
            Loaded::Scripted => Ok(Some(Box::new(Self {
                context: Arc::clone(context),
                state,
                connection,
                settings: Settings::default(),
                character_set: 0,
                past: Past::default(),
            }))),
        }
    }

    /// Calls a hook, if the script has it.
    pub(super) async fn call(&mut self, hook: Hook<'_>) -> Decision {
        let connection = &mut self.connection;
        // Some may have been added.
        if connection.backends.len() != self.context.backends.len() {
            connection.backends = views(&self.context.backends, self.context.generation.number);
        }
        self.state.with(|state| state.call(connection, hook)).await
    }

    /// The last hook; then the connection's environment is gone. `link` is there where the session ended between two
    /// commands: its server may be given back.
    pub(super) async fn disconnect(mut self: Box<Self>, link: Option<Box<Link>>) {
        match link {
            Some(mut link) => {
                link.call(&mut self, Hook::DisconnectClient).await;
            }
            None => {
                self.connection.hold = Hold::Pinned("the session did not end between two commands");
                self.call(Hook::DisconnectClient).await;
            }
        }
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

    /// An idle connection is the client's from now on.
    pub(super) fn attached(&mut self, idle: &PooledConnection) {
        self.connection.backend_ndx = idle.count.backend().index() + 1;
        self.connection.server = Some(peer(idle));
    }

    /// What a hook took from a pool, if it did.
    pub(super) fn take_idle(&mut self) -> Option<PooledConnection> {
        let taken = self.connection.taken.take()?;
        taken.connection.downcast().ok().map(|idle| *idle)
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
        self.character_set = response.character_set.into();
        self.settings = Settings::of_login(self.character_set);
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
    pub(super) fn changed_user(&mut self, login: Login, database: Vec<u8>, character_set: u16) {
        self.character_set = character_set;
        self.settings = Settings::of_login(character_set);
        self.past = Past::default();
        self.connection.client.login = Some(login);
        self.connection.client.default_db = database;
        self.share_login();
    }

    /// The default database of both sides, after the backend has changed it.
    pub(super) fn use_db(&mut self, database: &[u8]) {
        self.connection.client.default_db = database.to_vec();
        self.server_uses_db(database);
    }

    /// That of the backend's side alone.
    pub(super) fn server_uses_db(&mut self, database: &[u8]) {
        if let Some(server) = &mut self.connection.server {
            server.default_db = database.to_vec();
        }
    }
}

fn peer(
    PooledConnection {
        stream, session, ..
    }: &PooledConnection,
) -> Peer {
    Peer {
        src: stream.local_address().map(endpoint),
        dst: stream.peer_address().map(endpoint),
        default_db: session.default_db.clone(),
        greeting: Some(greeting(&session.handshake)),
        login: Some(Login {
            username: session.username.clone(),
            ..Login::default()
        }),
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

pub(crate) fn endpoint(address: backend::SocketAddress) -> Endpoint {
    match address {
        backend::SocketAddress::Ip(address) => Endpoint::Ip(address),
        backend::SocketAddress::Unix(path) => Endpoint::Unix(path),
    }
}

/// For a session of this generation.
pub(crate) fn views(backends: &Backends, generation: u64) -> Vec<Arc<dyn BackendView>> {
    let all = backends.all();
    let views = all.iter().map(|backend| {
        let view: Arc<dyn BackendView> = Arc::new(View(Arc::clone(backend), generation));
        view
    });
    views.collect()
}

/// A backend as scripts of a generation see it.
#[derive(Debug)]
struct View(Arc<Backend>, u64);

impl BackendView for View {
    fn connected_clients(&self) -> usize {
        self.0.clients()
    }

    fn dst(&self) -> Option<Endpoint> {
        let answered = self.0.last_address().map(endpoint);
        // What is written as a number needs no answer.
        answered.or_else(|| match self.0.address().target() {
            Target::Ip(ip, port) => Some(Endpoint::Ip(SocketAddr::new(*ip, *port))),
            Target::Unix(path) => Some(Endpoint::Unix(path.clone())),
            Target::Name(..) => None,
        })
    }

    fn configured_address(&self) -> String {
        self.0.address().to_string()
    }

    fn state(&self) -> BackendState {
        match (self.0.takes_clients(), self.0.last_address()) {
            (false, _) => BackendState::Down,
            (true, None) => BackendState::Unknown,
            (true, Some(_)) => BackendState::Up,
        }
    }

    fn set_state(&self, state: BackendState) {
        match state {
            BackendState::Down => self.0.hold_down(Instant::now()),
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

    fn idle_limits(&self) -> (&AtomicI64, &AtomicI64) {
        let pool = self.0.pool();
        (&pool.min_idle, &pool.max_idle)
    }

    fn idle_connections(&self, applicant: &Applicant<'_>) -> usize {
        self.0.pool().count(&asking(applicant, self.1))
    }

    fn take_idle(&self, applicant: &Applicant<'_>) -> Option<Taken> {
        let idle = self.0.take_idle(&asking(applicant, self.1))?;
        Some(Taken {
            backend: self.0.index(),
            peer: peer(&idle),
            connection: Box::new(idle),
        })
    }

    fn put_back(&self, taken: Taken) {
        if let Ok(idle) = taken.connection.downcast::<PooledConnection>() {
            idle.give_back();
        }
    }
}

fn asking<'a>(applicant: &Applicant<'a>, generation: u64) -> backend::Applicant<'a> {
    backend::Applicant {
        username: applicant.username,
        capabilities: applicant.capabilities,
        logs_in: applicant.logs_in,
        generation,
    }
}
