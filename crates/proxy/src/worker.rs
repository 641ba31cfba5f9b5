//! Threads that serve sessions. Each has a runtime of its own: no session ever moves, no packet crosses threads.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::warn;

use crate::counters::Counters;
use crate::listener::Accepted;
use crate::session::{self, Context};
use crate::shutdown::Ticket;

/// Clients on their way to one worker.
const QUEUE: usize = 256;

/// How long the end of the workers is waited for. Theirs is at once, unless a hook of a script waits for something.
const END: Duration = Duration::from_secs(1);

/// All workers. Dropping them ends their sessions; a worker inside a hook that does not come back is left behind.
#[derive(Debug)]
pub(crate) struct Workers {
    list: Vec<Worker>,
    /// Disconnected when the last worker has ended. The lock is for the compiler: only the owner waits for it.
    ended: Mutex<Receiver<Infallible>>,
}

/// A client on its way to its worker.
#[derive(Debug)]
pub(crate) struct Dealt {
    pub(crate) accepted: Accepted,
    pub(crate) ticket: Ticket,
    /// What it was let in with.
    pub(crate) context: Arc<Context>,
}

#[derive(Debug)]
struct Worker {
    queue: Option<mpsc::Sender<Dealt>>,
    sessions: Arc<AtomicUsize>,
}

/// A session counts for its worker and for the drain until this is dropped.
struct SessionCount {
    worker: Arc<AtomicUsize>,
    context: Arc<Context>,
    _ticket: Ticket,
}

impl Workers {
    pub(crate) fn start(count: NonZeroUsize, counters: &Arc<Counters>) -> io::Result<Self> {
        let (alive, ended) = channel();
        let start = |index| Worker::start(index, Arc::clone(counters), alive.clone());
        let list = (0..count.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self {
            list,
            ended: Mutex::new(ended),
        })
    }

    /// Gives a client to the worker with the fewest sessions; gives it back while that one's queue is full.
    pub(crate) fn deal(&self, dealt: Dealt) -> Result<(), Dealt> {
        let least = self
            .list
            .iter()
            .min_by_key(|worker| worker.sessions.load(Ordering::Relaxed));
        let Some(worker) = least else { return Ok(()) };
        let Some(queue) = &worker.queue else {
            return Ok(());
        };
        worker.sessions.fetch_add(1, Ordering::Relaxed);
        let sent = queue.try_send(dealt);
        if sent.is_err() {
            worker.sessions.fetch_sub(1, Ordering::Relaxed);
        }
        match sent {
            Err(TrySendError::Full(dealt)) => return Err(dealt),
            Err(TrySendError::Closed(_)) => warn!("a worker is gone: its client was closed"),
            Ok(()) => {}
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.list {
            worker.queue = None;
        }
        // A worker that panicked has said so in the log.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(END) == Err(RecvTimeoutError::Timeout) {
            warn!("a hook of the script does not come back: its worker is left behind");
        }
    }
}

impl Worker {
    /// The thread keeps `alive` to its end.
    fn start(index: usize, counters: Arc<Counters>, alive: Sender<Infallible>) -> io::Result<Self> {
        let (queue, accepted) = mpsc::channel(QUEUE);
        let sessions = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sessions);
        let runtime = runtime()?;
        thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(index, accepted, counter) => {}
                        () = counters.beat(index) => {}
                    }
                });
                // A look-up of a name may still be blocked, for as long as the resolver likes.
                runtime.shutdown_background();
                drop(alive);
            })?;
        Ok(Self {
            queue: Some(queue),
            sessions,
        })
    }
}

/// One thread's event queue and timers.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn serve(index: usize, mut queue: mpsc::Receiver<Dealt>, sessions: Arc<AtomicUsize>) {
    while let Some(dealt) = queue.recv().await {
        let Dealt {
            accepted,
            ticket,
            context,
        } = dealt;
        let count = SessionCount {
            worker: Arc::clone(&sessions),
            context: Arc::clone(&context),
            _ticket: ticket,
        };
        let peer = accepted.peer;
        match accepted.into_stream() {
            Ok(client) => {
                let session = move || session::run(client, peer, context, index);
                tokio::spawn(counted(session, count));
            }
            Err(error) => warn!("cannot serve a client: {error}; it was closed"),
        }
    }
}

/// A panic ends this task and no other.
///
/// The session is made here: as an argument it would take its place twice in each task, once as that and once as what is
/// awaited.
async fn counted<S: Future<Output = ()>>(session: impl FnOnce() -> S, count: SessionCount) {
    session().await;
    drop(count);
}

impl Drop for SessionCount {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
        self.context.counters.ended();
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use backend::{Backends, Balance};

    use super::*;
    use crate::settings::Settings;
    use crate::shutdown::Shutdown;

    #[test]
    fn a_panic_ends_one_session_and_is_counted() {
        let settings = Settings::new(None, Vec::new());
        let backends = Backends::new([], Balance::RoundRobin);
        let context = Context::new(settings, backends, Shutdown::new(), None);
        let (context, worker) = (Arc::new(context), Arc::new(AtomicUsize::new(2)));
        let count = || SessionCount {
            worker: Arc::clone(&worker),
            context: Arc::clone(&context),
            _ticket: context.shutdown.ticket(),
        };
        runtime().unwrap().block_on(async {
            let faulty = tokio::spawn(counted(|| async { panic!("on purpose") }, count()));
            let other = tokio::spawn(counted(|| ready(()), count()));
            assert!(faulty.await.unwrap_err().is_panic());
            other.await.unwrap();
        });
        let status = context.counters.status(context.shutdown.clients());
        assert_eq!((status.clients, status.panicked), (0, 1));
        assert_eq!(worker.load(Ordering::Relaxed), 0);
    }
}
