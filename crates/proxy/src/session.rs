//! One client from accept to close, on one worker, as straight-line code:
//!
//! * [`connect`]: a backend is chosen and greets
//! * [`login`]: the client logs in there
//! * [`command_phase`]: command by command, until one side ends it
//! * [`last_words`]: what the client is told when it was not its own goodbye
//!
//! The connections' reads, writes and deadlines are [`link`]'s.

mod authentication;
mod change_user;
mod command_phase;
mod connect;
mod error;
mod last_words;
mod link;
mod local_infile;
mod login;
mod response;
mod stream;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use backend::{Backends, Stream};
use tracing::{debug, info, warn};

use crate::settings::Settings;
use crate::shutdown::{Phase, Registration, Shutdown};
use error::{Party, SessionError};
use link::Link;
use login::LoggedIn;

/// What all sessions of a proxy share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) backends: Backends,
    pub(crate) shutdown: Shutdown,
}

/// Serves one client until it is gone.
pub(crate) async fn run(client: Stream, peer: Option<SocketAddr>, context: Arc<Context>) {
    let waker = poll_fn(|task| Poll::Ready(task.waker().clone())).await;
    let registration = context.shutdown.register(waker);
    let id = registration.id();
    // The login is the largest part of a session and the shortest: boxed, it is no burden afterwards.
    let established = Box::pin(establish(client, &context, &registration)).await;
    let mut login = match established {
        Ok(login) => login,
        Err(error) => return log_end(id, peer, None, &error),
    };
    let rest = std::mem::take(&mut login.rest);
    let mut link = Link::new(login, registration, context);
    if let Err(error) = command_phase::run(&mut link, rest).await {
        log_end(id, peer, Some(&link.backend_name()), &error);
        Box::pin(last_words::say(link, &error)).await;
    }
}

/// From the accepted client to one that is logged in.
async fn establish(
    mut client: Stream,
    context: &Context,
    registration: &Registration,
) -> Result<LoggedIn, SessionError> {
    match unless_expired(registration, connect::connect(context)).await {
        None => Err(SessionError::Shutdown),
        Some(Err(error)) => {
            last_words::before_greeting(&mut client, &error).await;
            Err(error.into())
        }
        Some(Ok(connected)) => login::log_in(client, connected, context, registration).await,
    }
}

/// `None` when the session's time is up before `future` is done.
async fn unless_expired<F: Future>(registration: &Registration, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|task| {
        if registration.phase() >= Phase::Expired {
            return Poll::Ready(None);
        }
        future.as_mut().poll(task).map(Some)
    })
    .await
}

/// One line that says who, what and what now.
fn log_end(id: u64, peer: Option<SocketAddr>, backend: Option<&str>, error: &SessionError) {
    let client = peer.map_or_else(|| "unix socket".to_owned(), |peer| peer.to_string());
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
        _ => warn!("session {id} (client {client}{with}): {error}; closing the client"),
    }
}

#[cfg(test)]
mod tests;
