//! What those who watch and steer a running proxy may see and do. Nothing here waits for a session.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend::{AddError, Address, Availability, Backend, Backends, Role, SocketAddress};
use protocol::Capabilities;
use script::{Connection, Decision, Hold, Hook, LoadError, Loaded, Login, Peer, VersionReport};
use tracing::{info, warn};

use crate::counters::{Status, Work, WorkerReport};
use crate::digests::DigestReport;
use crate::live::{Live, ReloadError};
use crate::query_log::QueryLogReport;
use crate::queue::QueueReport;
use crate::register::{Activities, SessionReport};
use crate::scripts::SharedState;
use crate::session::script::{endpoint, views};
use crate::settings::Settings;
use crate::shutdown::{Phase, Shutdown};

/// A handle to a running proxy.
#[derive(Debug, Clone)]
pub struct Control(Arc<Live>);

/// One version of a script in one Lua state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptReport {
    /// Counts states from 1.
    pub state: usize,
    /// The script's file.
    pub script: PathBuf,
    /// What there is to tell of the version.
    pub version: VersionReport,
}

impl Control {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self(live)
    }

    /// All backends, those that were removed included.
    pub fn backends(&self) -> &Backends {
        &self.0.backends
    }

    /// What was done so far.
    pub fn status(&self) -> Status {
        self.0.counters.status(self.0.shutdown.clients())
    }

    /// What was done for clients so far.
    pub fn work(&self) -> Work {
        self.0.counters.work()
    }

    /// How each worker does.
    pub fn workers(&self) -> Vec<WorkerReport> {
        self.0.counters.workers()
    }

    /// Every worker got to its other tasks within that time.
    pub fn beats_within(&self, time: Duration) -> bool {
        self.workers().iter().all(|worker| worker.lag < time)
    }

    /// What statements cost so far, the latest seen first; last, those that are summed up without a digest of their own. `None`
    /// where digests are off.
    pub fn digests(&self) -> Option<Vec<DigestReport>> {
        let digests = &self.0.digests;
        digests.are_on().then(|| digests.reports())
    }

    /// What became of the query logs' statements; one for each log that there is.
    pub fn query_logs(&self) -> Vec<QueryLogReport> {
        self.0.query_log.reports()
    }

    /// What became of traced commands, in spans; `None` where nothing is traced.
    pub fn traces(&self) -> Option<QueueReport> {
        self.0.traces.report()
    }

    /// Forgets what statements cost so far.
    pub fn reset_digests(&self) {
        self.0.digests.reset();
    }

    /// All sessions, the oldest first.
    pub fn sessions(&self) -> Vec<SessionReport> {
        self.0.shutdown.sessions()
    }

    /// How many sessions do what.
    pub fn activities(&self) -> Activities {
        self.0.shutdown.activities()
    }

    /// Ends a session. False when there is none of this id.
    pub fn kill(&self, id: u64) -> bool {
        self.0.shutdown.kill(id)
    }

    /// Connections from now on have these settings; where the proxy listens and its threads stay what they are. What became
    /// of each backend whose place in the settings changed, in words.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn reload(&self, settings: Settings) -> Result<Vec<String>, ReloadError> {
        self.0.reload(settings)
    }

    /// What the settings say of a backend.
    pub fn standing(&self, backend: &Backend) -> Standing {
        let context = self.0.context();
        let name = backend.address().to_string();
        let mut configured = context.settings.backends.iter();
        match configured.find(|(address, _)| address.to_string() == name) {
            None => Standing::Unnamed,
            Some((_, role))
                if backend.role() == *role && backend.availability() == Availability::InService =>
            {
                Standing::AsNamed
            }
            Some(_) => Standing::Otherwise,
        }
    }

    /// Backends that the settings name and that were removed since.
    pub fn missing_backends(&self) -> Vec<String> {
        let (context, all) = (self.0.context(), self.0.backends.all());
        let is_there = |name: &str| {
            all.iter().any(|backend| {
                backend.availability() != Availability::Removed
                    && backend.address().to_string() == name
            })
        };
        let names = context.settings.backends.iter();
        let names = names.map(|(address, _)| address.to_string());
        names.filter(|name| !is_there(name)).collect()
    }

    /// The process was told to end.
    pub fn is_draining(&self) -> bool {
        self.0.shutdown.phase() >= Phase::Draining
    }

    /// Ends the process gracefully.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// Adds a server, or puts one back that was removed. Its index.
    ///
    /// # Errors
    /// It is there, or there are too many.
    pub fn add_backend(&self, address: Address, role: Role) -> Result<usize, AddError> {
        let name = address.to_string();
        let index = self.0.backends.add(address, role)?;
        info!("the operator added backend {} ({name})", index + 1);
        Ok(index)
    }

    /// Says whether clients may have the backend. How many sessions end for it: those of one that is out of service.
    pub fn set_availability(&self, backend: &Backend, availability: Availability) -> usize {
        backend.set_availability(availability);
        let ended = match availability.ends_sessions() {
            false => 0,
            true => self.0.shutdown.end_those_at(backend.index()),
        };
        let (number, address) = (backend.index() + 1, backend.address());
        let sessions = match ended {
            0 => String::new(),
            n => format!("; {n} session(s) on it are closed"),
        };
        warn!("the operator says that backend {number} ({address}) is {availability}{sessions}");
        ended
    }

    /// The latest versions of all scripts, in each state.
    pub async fn scripts(&self) -> Vec<ScriptReport> {
        let mut reports = Vec::new();
        let context = self.0.context();
        let states = context.scripts.iter().flat_map(|scripts| scripts.states());
        for (index, state) in states.enumerate() {
            let versions = state.with(|state| state.reports()).await;
            let report = |(script, version)| ScriptReport {
                state: index + 1,
                script,
                version,
            };
            reports.extend(versions.into_iter().map(report));
        }
        reports
    }

    /// A script for one operator's connection, in the first Lua state. `None` where it is faulty, and connections do without
    /// such a one.
    ///
    /// # Errors
    /// It is faulty, and that is an error.
    pub async fn open_script(
        &self,
        source: ScriptSource<'_>,
        client: OperatorConnection,
    ) -> Result<Option<OperatorScript>, LoadError> {
        let context = self.0.context();
        let Some(scripts) = &context.scripts else {
            return Ok(None);
        };
        let id = scripts.connection_id();
        let Some(state) = scripts.states().next() else {
            return Ok(None);
        };
        let mut connection =
            Box::new(client.into_connection(id, &context.backends, context.generation.number));
        let loaded = match source {
            ScriptSource::File(path) => {
                let open = state.with(|state| state.open(path, &mut connection));
                open.await?
            }
            ScriptSource::BuiltIn { name, text } => {
                let open = state.with(|state| state.open_built_in(name, text, &mut connection));
                open.await?;
                Loaded::Scripted
            }
        };
        Ok((loaded == Loaded::Scripted).then(|| OperatorScript {
            live: Arc::clone(&self.0),
            state,
            connection,
        }))
    }
}

/// What the settings say of a backend that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They name it, and it is as they say.
    AsNamed,
    /// They name it, and the operator has changed it since.
    Otherwise,
    /// They do not name it.
    Unnamed,
}

/// Where a script is.
#[derive(Debug, Clone, Copy)]
pub enum ScriptSource<'a> {
    /// An absolute path. Read when it has changed.
    File(&'a Path),
    /// A part of the program.
    BuiltIn {
        /// For messages.
        name: &'a str,
        /// Lua.
        text: &'a str,
    },
}

/// An operator's connection, as scripts see it.
#[derive(Debug, Clone)]
pub struct OperatorConnection {
    /// `proxy.connection.client.username`
    pub username: Vec<u8>,
    /// How answers are framed.
    pub capabilities: Capabilities,
    /// The operator's end.
    pub src: Option<SocketAddress>,
    /// Ours.
    pub dst: Option<SocketAddress>,
}

impl OperatorConnection {
    fn into_connection(self, id: u64, backends: &Backends, generation: u64) -> Connection {
        Connection {
            id,
            client: Peer {
                src: self.src.map(endpoint),
                dst: self.dst.map(endpoint),
                login: Some(Login {
                    username: self.username,
                    ..Login::default()
                }),
                ..Peer::default()
            },
            backends: views(backends, generation),
            capabilities: self.capabilities,
            hold: Hold::Pinned("the connection is an operator's"),
            ..Connection::default()
        }
    }
}

/// The script of one operator's connection.
pub struct OperatorScript {
    live: Arc<Live>,
    state: SharedState,
    connection: Box<Connection>,
}

/// What a script says to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptAnswer {
    /// Nothing.
    Nothing,
    /// These packets.
    Packets(Vec<Vec<u8>>),
    /// Something that makes no sense where there is no server.
    Nonsense,
}

impl OperatorScript {
    /// Asks `read_query`. `packet` is the command byte and the body.
    pub async fn read_query(&mut self, packet: &[u8]) -> ScriptAnswer {
        let connection = &mut self.connection;
        let generation = self.live.context().generation.number;
        connection.backends = views(&self.live.backends, generation);
        let hook = Hook::ReadQuery(packet);
        match self.state.with(|state| state.call(connection, hook)).await {
            Decision::Default => ScriptAnswer::Nothing,
            Decision::SendResult(response) => ScriptAnswer::Packets(response.payloads),
            Decision::SendQuery | Decision::IgnoreResult => ScriptAnswer::Nonsense,
        }
    }

    /// The script wants the connection closed.
    pub fn wants_to_close(&self) -> bool {
        self.connection.connection_close
    }

    /// Gives back what belongs to the connection.
    pub async fn close(self) {
        let id = self.connection.id;
        self.state.with(|state| state.close(id)).await;
    }
}

impl fmt::Debug for OperatorScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorScript")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
