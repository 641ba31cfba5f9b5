//! The life of a session: listener, workers, session phases, relay, drain.
//!
//! Knows nothing of command lines and of files.
//!
//! * [`Proxy`]: binds; [`Service`]: runs until it is told to stop; [`Control`]: for those who watch and steer it
//! * [`listener`]: takes clients in and deals them to workers; [`admission`]: who is let in;
//!   [`inherited_sockets`]: what it may listen with
//! * [`worker`]: threads, each with a runtime of its own; a session lives and dies on one
//! * [`session`]: connect, login, commands, last words
//! * [`scripts`]: the Lua states that scripted sessions share
//! * [`counters`]: what was done so far, in numbers; [`digests`]: what statements cost,
//!   [`query_log`]: single ones on their way into logs, [`traces`]: commands on their way into traces, both through a [`queue`]
//! * [`live`]: what a running proxy can change
//! * [`register`]: what others may know of a session, [`shutdown`]: how sessions are told to end
//! * [`tls`]: where TLS is spoken; [`compression`]: where the compressed protocol is
//! * [`buffer`], [`timer`]: what sessions hold while they wait, and for how long

mod admission;
mod buffer;
mod compression;
mod control;
mod counters;
mod digests;
mod inherited_sockets;
pub mod limits;
mod listener;
mod live;
mod query_log;
mod queue;
mod register;
mod scripts;
mod session;
mod settings;
mod shutdown;
#[cfg(test)]
mod simulation;
mod timer;
mod tls;
mod traces;
mod turn;
mod worker;

use std::io;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backend::{Backends, pool, probe};
pub use compression::{CompressionSettings, ServerCompression};
pub use control::{
    Control, OperatorConnection, OperatorScript, ScriptAnswer, ScriptReport, ScriptSource, Standing,
};
pub use counters::{BackendWork, DURATION_BUCKETS, Durations, Status, Work, WorkerReport};
pub use digests::DigestReport;
pub use inherited_sockets::InheritedSockets;
pub use listener::{AsyncListener, BindError, Listener, ListenerHandle};
pub use live::ReloadError;
pub use query_log::{
    QueryLogKind, QueryLogReport, QueryLogSettings, QueryRecord, QueryRecords, Trace,
};
pub use queue::QueueReport;
pub use register::{Activities, Activity, SessionReport, Why};
pub use script::HookReport;
pub use scripts::ScriptSettings;
pub use settings::{PoolReset, Settings};
pub use shutdown::Shutdown;
pub use tls::{ClientTlsMode, ServerTlsMode, TlsSettings, server_name};
use tokio::time::timeout;
pub use traces::{
    ChildSpan, SpanWork, TraceSettings, TracedCommand, TracedCommands, TracedError, TracedQuery,
    TracedStatement,
};
use tracing::info;

use crate::live::Live;
use crate::scripts::Scripts;
use crate::session::Context;
use crate::worker::Workers;

/// What sessions get for their last words once their time is up.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Of the listener, among others.
const NAME: &str = "proxy";
/// Between two log lines that say how many sessions are left.
const PROGRESS: Duration = Duration::from_secs(10);

/// A proxy whose port is bound and that serves nobody yet.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    listener: Option<Listener>,
    shutdown: Shutdown,
}

/// A proxy that is ready to serve.
#[derive(Debug)]
pub struct Service {
    live: Arc<Live>,
    listener: Option<Listener>,
}

impl Proxy {
    /// Binds the listening address, unless its socket is inherited. No thread is started: a caller may still fork or give
    /// up privileges.
    ///
    /// # Errors
    /// The address is in use, not ours, or may not be used by us.
    pub fn bind(settings: Settings, inherited: &mut InheritedSockets) -> Result<Self, BindError> {
        let open = |address| Listener::open(NAME, address, settings.socket_mode, inherited);
        Ok(Self {
            listener: settings.listen.as_ref().map(open).transpose()?,
            settings,
            shutdown: Shutdown::new(),
        })
    }

    /// The address that clients connect to, with the port that the system chose where port 0 was asked for.
    pub fn local_address(&self) -> Option<String> {
        self.listener.as_ref().map(Listener::local_address)
    }

    /// For those who hand its listening socket on.
    pub fn listener(&self) -> Option<ListenerHandle> {
        Some(self.listener.as_ref()?.handle(NAME))
    }

    /// A handle for signal handlers and tests.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Makes what sessions share. Threads may be started, clients are not served yet.
    ///
    /// # Errors
    /// No Lua state could be made.
    pub fn into_service(self) -> io::Result<Service> {
        let Self {
            settings,
            listener,
            shutdown,
        } = self;
        let backends = Backends::new(settings.backends.iter().cloned(), settings.balance);
        let scripts = settings.script.as_ref();
        let scripts = scripts.map(|script| Scripts::start(script, &shutdown));
        let context = Context::new(settings, backends, shutdown, scripts.transpose()?);
        let live = Arc::new(Live::new(Arc::new(context)));
        Ok(Service { live, listener })
    }
}

impl Service {
    /// For those who watch and steer it.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.live))
    }

    /// What goes into the query logs, for whoever writes them. Once; none where there are no such logs.
    pub fn query_records(&self) -> Vec<QueryRecords> {
        self.live.query_log.take_readers()
    }

    /// What is traced, for whoever exports it. Once; `None` where nothing is.
    pub fn traced_commands(&self) -> Option<TracedCommands> {
        self.live.traces.take_reader()
    }

    /// Serves until [`Shutdown::drain`] was called and the last session ended, at the latest when `shutdown_timeout` and
    /// a few seconds for last words have passed. After [`Shutdown::hand_over`] clients to come are left to another
    /// process, and `handover_timeout` later it drains.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn run(self) -> io::Result<()> {
        let Self { live, listener } = self;
        let workers = Workers::start(live.context().settings.workers, &live.counters)?;
        let runtime = worker::runtime()?;
        let (stop, stopped) = UnixStream::pair()?;
        thread::scope(|scope| {
            let acceptor = thread::Builder::new().name("acceptor".to_owned());
            let acceptor = acceptor.spawn_scoped(scope, || {
                if let Some(listener) = &listener {
                    listener.accept_into(&workers, &live, &stopped);
                }
                // Whoever comes from now on is refused by the system, or another process's client.
                drop(listener);
            })?;
            runtime.block_on(async {
                tokio::spawn(watch_backends(Arc::clone(&live)));
                tokio::select! {
                    () = live.shutdown.draining() => {}
                    () = live.shutdown.handed_over() => {}
                }
            });
            drop(stop);
            // The last client that it accepted is on its way to a worker. A panic of it is in the log.
            let _ = acceptor.join();
            runtime.block_on(async {
                see_off(&live.context()).await;
                drain(&live.context()).await;
            });
            // A look-up of a name may still be blocked, for as long as the resolver likes.
            runtime.shutdown_background();
            Ok(())
        })
    }
}

/// Those that are added later, too.
async fn watch_backends(live: Arc<Live>) {
    let mut watched = 0;
    loop {
        for backend in &live.backends.all()[watched..] {
            let live = Arc::clone(&live);
            let settings = move || {
                let context = live.context();
                let settings = &context.settings;
                (settings.backend_timeouts(), settings.own_header())
            };
            tokio::spawn(probe::watch(Arc::clone(backend), settings));
            tokio::spawn(pool::watch(Arc::clone(backend)));
            watched += 1;
        }
        live.backends.added().await;
    }
}

/// Sessions that another process cannot take end when their clients like, or when the time is up.
async fn see_off(context: &Context) {
    let Context {
        settings, shutdown, ..
    } = context;
    let patience = settings.handover_timeout;
    let ended = async {
        tokio::select! {
            () = shutdown.drained() => {}
            () = shutdown.draining() => {}
        }
    };
    if timeout(patience, with_progress(shutdown, ended))
        .await
        .is_err()
    {
        let n = shutdown.clients();
        info!("{n} sessions are left after {patience:?}: they are told to stop");
    }
    shutdown.drain();
}

async fn drain(context: &Context) {
    let Context {
        settings, shutdown, ..
    } = context;
    let patience = settings.shutdown_timeout;
    match shutdown.clients() {
        0 => return,
        n => info!("draining {n} sessions: busy ones have {patience:?} to finish"),
    }
    let drained = with_progress(shutdown, shutdown.drained());
    if timeout(patience, drained).await.is_ok() {
        return;
    }
    let n = shutdown.clients();
    info!("{n} sessions are still busy after {patience:?}, ending them");
    shutdown.expire();
    // Those who do not even take their last words are cut off with their worker.
    let _ = timeout(LAST_WORDS, shutdown.drained()).await;
}

/// Says now and then how many sessions `end` still waits for.
async fn with_progress(shutdown: &Shutdown, end: impl Future<Output = ()>) {
    let mut end = pin!(end);
    let first = shutdown.clients();
    while timeout(PROGRESS, &mut end).await.is_err() {
        let n = shutdown.clients();
        info!("{n} of {first} sessions are left");
    }
}
