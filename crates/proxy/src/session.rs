//! One client from accept to close, on one worker, as straight-line code:
//!
//! * [`origin`]: where the client comes from
//! * [`connect`]: a backend is chosen and greets
//! * [`login`]: the client logs in there
//! * [`command_phase`]: command by command, until one side ends it; [`scripted`] where a script is asked about each,
//!   [`pooling`] where it gives the backend's connection to others, [`past`] what its statements may still ask then
//! * [`last_words`]: what the client is told when it was not its own goodbye
//!
//! [`statements`] is what is known of what it says, for those who sum up.
//!
//! [`command_trace`] is what is recorded of a command that is traced.
//!
//! The connections' reads, writes and deadlines are [`link`]'s.

pub(crate) mod authentication;
mod backend_login;
mod change_user;
mod client_login;
mod command_phase;
mod command_trace;
mod connect;
mod effect;
pub(crate) mod error;
mod injection;
pub(crate) mod last_words;
mod link;
mod local_infile;
mod login;
mod origin;
mod past;
mod pooling;
mod response;
pub(crate) mod script;
mod script_login;
mod scripted;
mod statements;
mod stream;
mod synchronise;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use backend::{Backends, Stream};
use protocol::auth::{PasswordKey, RsaPasswordError};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use crate::counters::Counters;
use crate::digests::Digests;
use crate::live::Generation;
use crate::query_log::QueryLog;
use crate::register::Registration;
use crate::scripts::Scripts;
use crate::settings::Settings;
use crate::shutdown::{Phase, Shutdown};
use crate::traces::Traces;
use connect::NoBackend;
use error::{Party, Refusal, SessionError};
use link::Link;
use login::LoggedIn;
use origin::Origin;
use protocol::response::error_code;
use script::Script;

/// What sessions share that began with the same settings. All but these and the script's are the whole proxy's.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) generation: Arc<Generation>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) shutdown: Shutdown,
    pub(crate) counters: Arc<Counters>,
    pub(crate) digests: Arc<Digests>,
    pub(crate) query_log: Arc<QueryLog>,
    pub(crate) traces: Arc<Traces>,
    /// `None` where nobody has a script.
    pub(crate) scripts: Option<Scripts>,
    /// For clients in plain whose password a backend wants to see. Made when the first one comes.
    password_key: Arc<OnceCell<Arc<PasswordKey>>>,
}

impl Context {
    pub(crate) fn new(
        settings: Settings,
        backends: Backends,
        shutdown: Shutdown,
        scripts: Option<Scripts>,
    ) -> Self {
        let backends = Arc::new(backends);
        Self {
            counters: Arc::new(Counters::new(settings.workers.get())),
            digests: Arc::new(Digests::new(
                settings.workers.get(),
                settings.digest_bytes_max,
            )),
            query_log: Arc::new(QueryLog::new(settings.query_log)),
            traces: Arc::new(Traces::new(settings.traces)),
            settings,
            generation: Generation::first(&backends),
            backends,
            shutdown,
            scripts,
            password_key: Arc::default(),
        }
    }

    /// The same proxy with other settings.
    pub(crate) fn with(&self, settings: Settings, scripts: Option<Scripts>) -> Self {
        let is_another = settings.are_connections_others(&self.settings);
        Self {
            settings,
            generation: match is_another {
                true => self.generation.next(),
                false => Arc::clone(&self.generation),
            },
            backends: Arc::clone(&self.backends),
            shutdown: self.shutdown.clone(),
            counters: Arc::clone(&self.counters),
            digests: Arc::clone(&self.digests),
            query_log: Arc::clone(&self.query_log),
            traces: Arc::clone(&self.traces),
            scripts,
            password_key: Arc::clone(&self.password_key),
        }
    }

    async fn password_key(&self) -> Result<Arc<PasswordKey>, RsaPasswordError> {
        let make = || async {
            let made = spawn_blocking(PasswordKey::generate).await;
            made.unwrap_or(Err(RsaPasswordError::NoKey)).map(Arc::new)
        };
        self.password_key.get_or_try_init(make).await.cloned()
    }
}

/// Serves one client until it is gone, on the `worker` of that index.
pub(crate) async fn run(
    mut client: Stream,
    peer: Option<SocketAddr>,
    context: Arc<Context>,
    worker: usize,
) {
    let waker = poll_fn(|task| Poll::Ready(task.waker().clone())).await;
    let registration = context.shutdown.register(peer, waker);
    let id = registration.id();
    let origin = Origin::read(&mut client, peer, &context.settings);
    let origin = unless_expired(&registration, origin);
    let origin = match Box::pin(origin).await.flatten() {
        Ok(origin) => origin,
        Err(error) => {
            Box::pin(refuse(&mut client, &error)).await;
            context.counters.failed(error.reason());
            return log_end(id, peer, None, &error);
        }
    };
    let peer = origin.client;
    registration.comes_from(peer);
    let opened = Box::pin(Script::open(&context, &client, peer, worker)).await;
    let mut script = match opened {
        Ok(script) => script,
        Err(error) => {
            let refusal = Refusal::new(error_code::UNKNOWN_ERROR, *b"07000", error.to_string());
            Box::pin(last_words::before_greeting(
                &mut client,
                &[refusal.payload()],
            ))
            .await;
            let error = SessionError::Refused(refusal);
            context.counters.failed(error.reason());
            return log_end(id, peer, None, &error);
        }
    };
    // The login is the largest part of a session and the shortest: boxed, and gone with its statement, it is no burden
    // afterwards.
    let established = Box::pin(establish(
        client,
        (&context, &origin),
        &registration,
        script.as_deref_mut(),
    ))
    .await;
    let mut ended = None;
    match established {
        Ok((login, rest)) => {
            let is_tunnel = login.is_tunnel;
            let mut link = Box::new(Link::new(*login, registration, context, worker));
            if let Some(script) = &mut script {
                link.settle(script);
            }
            let served = match is_tunnel {
                true => None,
                false => script.as_deref_mut(),
            };
            ended = serve(link, rest, (served, is_tunnel), peer).await;
        }
        Err(error) => {
            let backends = context.backends.all();
            let backend = registration.backend().and_then(|index| backends.get(index));
            let name = backend.map(|backend| backend.address().to_string());
            context.counters.failed(error.reason());
            log_end(id, peer, name.as_deref(), &error);
        }
    }
    if let Some(script) = script {
        Box::pin(script.disconnect(ended)).await;
    }
}

/// Before anybody has greeted.
async fn refuse(client: &mut Stream, error: &SessionError) {
    if let SessionError::Refused(refusal) = error {
        last_words::before_greeting(client, &[refusal.payload_before_greeting()]).await;
    }
}

/// From the first command to the last words. What is left of a session that ended between two commands.
async fn serve(
    mut link: Box<Link>,
    rest: Vec<u8>,
    (script, is_tunnel): (Option<&mut Script>, bool),
    peer: Option<SocketAddr>,
) -> Option<Box<Link>> {
    let outcome = match script {
        None if is_tunnel => Box::pin(stream::tunnel(&mut link)).await,
        None => command_phase::run(&mut link, rest).await,
        Some(script) => Box::pin(scripted::run(&mut link, script, rest)).await,
    };
    let Err(error) = outcome else {
        return Some(link);
    };
    link.context().counters.failed(error.reason());
    link.abandon(error.reason());
    match link.has_client_left() && !error.is_clients() {
        true => log_left(&link, peer, &error),
        false => log_end(link.id(), peer, Some(&link.backend_name()), &error),
    }
    Box::pin(last_words::say(link, &error)).await;
    None
}

/// From the accepted client to one that is logged in, with what it sent behind its login.
async fn establish(
    mut client: Stream,
    (context, origin): (&Context, &Origin),
    registration: &Registration,
    mut script: Option<&mut Script>,
) -> Result<(Box<LoggedIn>, Vec<u8>), SessionError> {
    let connect = connect::connect((context, origin), script.as_deref_mut());
    let login = match (unless_expired(registration, connect).await?, script) {
        (Err(NoBackend::Answered(greeting)), Some(script)) => {
            script_login::log_in(client, greeting, context, script).await
        }
        (Err(error), _) => {
            last_words::before_greeting(&mut client, &error.payloads()).await;
            Err(error.into())
        }
        (Ok(connected), script) => {
            login::log_in(client, connected, (context, origin), (registration, script)).await
        }
    };
    let mut login = Box::new(login?);
    let rest = std::mem::take(&mut login.rest);
    Ok((login, rest))
}

/// An error when the session's time is up before `future` is done.
async fn unless_expired<F: Future>(
    registration: &Registration,
    future: F,
) -> Result<F::Output, SessionError> {
    let mut future = std::pin::pin!(future);
    poll_fn(|task| {
        if registration.phase() >= Phase::Expired {
            return Poll::Ready(Err(registration.end()));
        }
        future.as_mut().poll(task).map(Ok)
    })
    .await
}

/// The end of a session whose client had gone amid a command, or had no more to say than that: servers break off then.
fn log_left(link: &Link, peer: Option<SocketAddr>, error: &SessionError) {
    let (id, client, backend) = (link.id(), name(peer), link.backend_name());
    info!("session {id} (client {client}, backend {backend}): client left amid a command: {error}");
}

fn name(client: Option<SocketAddr>) -> String {
    client.map_or_else(|| "unix socket".to_owned(), |client| client.to_string())
}

/// One line that says who, what and what now.
fn log_end(id: u64, peer: Option<SocketAddr>, backend: Option<&str>, error: &SessionError) {
    let client = name(peer);
    let with = backend.map_or_else(String::new, |backend| format!(", backend {backend}"));
    match error {
        // A client that leaves is no news; and that there is no backend has been logged where it was found.
        SessionError::Closed(Party::Client) | SessionError::NoBackend(_) => {
            debug!("session {id} (client {client}{with}): {error}");
        }
        _ if error.is_clients() => {
            info!("session {id} (client {client}{with}): {error}; closing it");
        }
        SessionError::Shutdown => debug!("session {id} (client {client}{with}): {error}"),
        SessionError::Killed | SessionError::BackendTaken => {
            info!("session {id} (client {client}{with}): {error}; closing it");
        }
        _ => warn!("session {id} (client {client}{with}): {error}; closing the client"),
    }
}

#[cfg(test)]
mod tests;
