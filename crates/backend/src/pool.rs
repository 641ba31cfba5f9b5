//! A backend's idle connections. Each is logged in and clean: whoever gives one back has proven that.
//!
//! First in, first out, for each user. An idle connection belongs to no runtime; whoever takes it gets it with a proof of
//! silence: one on which the server has said anything, or which it closed, is dropped. On its way in or out a connection
//! is counted as its client's at least as long as it is not idle: nobody ever sees fewer than there are.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::Capabilities;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};
use transport::{IdleStream, Stream};

use crate::{Backend, ClientCount, ServerSession};

/// Users without idle connections that are still known. An account for every name has more.
pub(crate) const KNOWN_USERS_MAX: usize = 1024;

/// Between two looks at connections that nobody takes.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// The idle connections of one backend, with what scripts note down about them.
#[derive(Debug, Default)]
pub struct Pool {
    /// A user lends connections to others while it has more than this.
    pub min_idle: AtomicI64,
    /// For scripts that agree on it.
    pub max_idle: AtomicI64,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// By user. One who had a connection once stays known, unless there are too many.
    users: BTreeMap<Vec<u8>, VecDeque<IdleConnection>>,
    /// Who waits for a connection, in the order of coming.
    waiting: VecDeque<Waiting>,
    counts: PoolHistory,
    /// Nothing is kept.
    is_closed: bool,
}

/// What a pool did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolHistory {
    /// Connections that were given out at once.
    pub hits: u64,
    /// How often there was none.
    pub misses: u64,
    /// Commands that waited for one.
    pub waits: u64,
    /// Those that waited in vain.
    pub timeouts: u64,
    /// Connections that came back.
    pub returns: u64,
    /// Connections that were reset for their next client.
    pub resets: u64,
    /// Idle connections that the server closed, or said something on.
    pub dead: u64,
}

/// A connection that comes from its pool, or may go there.
#[derive(Debug)]
pub struct PooledConnection {
    /// It is a client's.
    pub count: ClientCount,
    /// The connection itself.
    pub stream: Stream,
    /// What the server holds of it.
    pub session: Box<ServerSession>,
}

#[derive(Debug)]
struct IdleConnection {
    socket: IdleStream,
    session: Box<ServerSession>,
}

#[derive(Debug)]
struct Waiting {
    username: Vec<u8>,
    capabilities: Capabilities,
    generation: u64,
    sender: oneshot::Sender<(IdleConnection, ClientCount)>,
}

/// Who asks for a connection.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// Empty before the login.
    pub username: &'a [u8],
    /// What it agreed on; `None` before that.
    pub capabilities: Option<Capabilities>,
    /// It logs in on the connection anew, so it may get another user's.
    pub logs_in: bool,
    /// A connection's has to be the same.
    pub generation: u64,
}

impl Applicant<'_> {
    fn suits(&self, connection: &IdleConnection) -> bool {
        let is_spoken = |capabilities| connection.session.suits(capabilities);
        connection.session.generation == self.generation && self.capabilities.is_none_or(is_spoken)
    }
}

impl PooledConnection {
    /// To whoever waits for such a one, else to its pool. One that is not silent is closed.
    pub fn give_back(self) {
        let socket = match self.stream.into_idle() {
            Ok(socket) if socket.is_silent() => socket,
            Ok(_) => return debug!("a connection that was given back is not silent: closed"),
            Err(error) => return debug!("a connection cannot be given back: {error}"),
        };
        let session = self.session;
        let backend = Arc::clone(self.count.backend());
        let connection = IdleConnection { socket, session };
        let counted = backend.pool().lock().put(connection, self.count);
        // What its end brings about may look at the pool.
        drop(counted);
    }
}

impl Backend {
    /// The connection that has been idle for longest among those that the applicant may have.
    pub fn take_idle(self: &Arc<Self>, applicant: &Applicant<'_>) -> Option<PooledConnection> {
        let count = self.hold();
        loop {
            let connection = self.pool().pop(applicant)?;
            if let Some((stream, session)) = connection.awaken() {
                self.pool().lock().counts.hits += 1;
                return Some(PooledConnection {
                    count,
                    stream,
                    session,
                });
            }
        }
    }

    /// The next connection of this user that comes free. `None` when none does in time.
    pub async fn wait_for_idle(
        self: &Arc<Self>,
        (username, capabilities): (&[u8], Capabilities),
        generation: u64,
        patience: Duration,
    ) -> Option<PooledConnection> {
        let applicant = Applicant {
            username,
            capabilities: Some(capabilities),
            logs_in: false,
            generation,
        };
        let next = async {
            loop {
                let mut turn = self.pool().queue_up((username, capabilities), generation);
                // One may have come free before.
                if let Some(ready) = self.take_idle(&applicant) {
                    return ready;
                }
                if let Some(ready) = turn.connection().await {
                    return ready;
                }
            }
        };
        self.pool().lock().counts.waits += 1;
        let ready = timeout(patience, next).await;
        ready
            .inspect_err(|_| self.pool().lock().counts.timeouts += 1)
            .ok()
    }
}

impl Pool {
    fn pop(&self, applicant: &Applicant<'_>) -> Option<IdleConnection> {
        let min_idle = self.min_idle.load(Ordering::Relaxed);
        let mut idle = self.lock();
        let found = idle.queue_for(applicant, min_idle).and_then(|queue| {
            let at = queue.iter().position(|idle| applicant.suits(idle))?;
            queue.remove(at)
        });
        idle.counts.misses += u64::from(found.is_none());
        found
    }

    /// What it did so far.
    pub fn history(&self) -> PoolHistory {
        self.lock().counts
    }

    /// A connection of it was reset for its next client.
    pub fn has_reset(&self) {
        self.lock().counts.resets += 1;
    }

    /// How many connections there are where the applicant's next one would come from.
    pub fn count(&self, applicant: &Applicant<'_>) -> usize {
        let min_idle = self.min_idle.load(Ordering::Relaxed);
        let mut idle = self.lock();
        let queue = idle.queue_for(applicant, min_idle);
        queue.map_or(0, |queue| {
            let suiting = queue.iter().filter(|idle| applicant.suits(idle));
            suiting.count()
        })
    }

    /// How many connections each user has.
    pub fn idle_by_user(&self) -> Vec<(Vec<u8>, usize)> {
        let idle = self.lock();
        let users = idle.users.iter();
        users
            .map(|(user, queue)| (user.clone(), queue.len()))
            .collect()
    }

    /// How many clients wait for a connection.
    pub fn waiting(&self) -> usize {
        let idle = self.lock();
        let waiting = idle.waiting.iter();
        waiting
            .filter(|waiting| !waiting.sender.is_closed())
            .count()
    }

    /// While it is closed it keeps nothing: neither what it has nor what comes.
    pub(crate) fn set_open(&self, is_open: bool) {
        let mut idle = self.lock();
        idle.is_closed = !is_open;
        if !is_open {
            idle.users.clear();
        }
    }

    /// Closes idle connections of a generation that nobody belongs to any more.
    pub fn forget(&self, generation: u64) {
        for queue in self.lock().users.values_mut() {
            queue.retain(|connection| connection.session.generation != generation);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().users.values().all(VecDeque::is_empty)
    }

    fn queue_up(
        &self,
        (username, capabilities): (&[u8], Capabilities),
        generation: u64,
    ) -> Turn<'_> {
        let (sender, receiver) = oneshot::channel();
        let mut idle = self.lock();
        // Those who gave up.
        idle.waiting.retain(|waiting| !waiting.sender.is_closed());
        idle.waiting.push_back(Waiting {
            username: username.to_vec(),
            capabilities,
            generation,
            sender,
        });
        Turn {
            pool: self,
            receiver,
        }
    }

    /// Drops connections that the server has closed, or said something on. How many.
    fn reap(&self) -> usize {
        let mut idle = self.lock();
        if idle.users.values().all(VecDeque::is_empty) {
            return 0;
        }
        let spoken = match idle.spoken() {
            Ok(spoken) => spoken,
            Err(error) => {
                debug!("cannot look at idle connections: {error}");
                return 0;
            }
        };
        let dead = spoken.iter().filter(|spoken| **spoken).count();
        idle.counts.dead += dead as u64;
        let mut spoken = spoken.into_iter();
        for queue in idle.users.values_mut() {
            queue.retain(|_| !spoken.next().unwrap_or_default());
        }
        dead
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the backend's pool free of dead connections, for ever.
pub async fn watch(backend: Arc<Backend>) {
    loop {
        sleep(REAP_INTERVAL).await;
        match backend.pool().reap() {
            0 => {}
            dead => {
                let address = backend.address();
                info!(
                    "backend ({address}) closed {dead} idle connections: they are gone from the pool"
                );
                backend.remove_if_left();
            }
        }
    }
}

impl Idle {
    /// What is not needed any more, for whoever holds no lock.
    fn put(
        &mut self,
        mut connection: IdleConnection,
        mut count: ClientCount,
    ) -> Option<ClientCount> {
        if self.is_closed {
            return Some(count);
        }
        self.counts.returns += 1;
        while let Some(at) = self.waiting.iter().position(|waiting| {
            waiting.username == connection.session.username
                && waiting.generation == connection.session.generation
                && connection.session.suits(waiting.capabilities)
        }) {
            let Some(waiting) = self.waiting.remove(at) else {
                break;
            };
            match waiting.sender.send((connection, count)) {
                Ok(()) => return None,
                // It has given up.
                Err(unwanted) => (connection, count) = unwanted,
            }
        }
        let username = &connection.session.username;
        if self.users.len() >= KNOWN_USERS_MAX && !self.users.contains_key(username) {
            self.users.retain(|_, queue| !queue.is_empty());
        }
        let queue = self.users.entry(username.clone()).or_default();
        queue.push_back(connection);
        Some(count)
    }

    /// The user's own, even if it is empty; else, for one who logs in on it, that of any user who has more than enough.
    fn queue_for(
        &mut self,
        applicant: &Applicant<'_>,
        min_idle: i64,
    ) -> Option<&mut VecDeque<IdleConnection>> {
        let is_known =
            !applicant.username.is_empty() && self.users.contains_key(applicant.username);
        if is_known || !applicant.logs_in {
            return self.users.get_mut(applicant.username);
        }
        let more_than_enough = |queue: &&mut VecDeque<_>| queue.len() as i64 > min_idle;
        let mut queues = self.users.values_mut();
        queues
            .find(|queue| more_than_enough(queue) && queue.iter().any(|idle| applicant.suits(idle)))
    }

    /// Of each connection, in order, whether there is anything to read.
    fn spoken(&self) -> io::Result<Vec<bool>> {
        let connections = self.users.values().flatten();
        let mut fds: Vec<_> = connections
            .map(|connection| PollFd::from_borrowed_fd(connection.socket.as_fd(), PollFlags::IN))
            .collect();
        poll(&mut fds, Some(&Timespec::default()))?;
        Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect())
    }
}

/// A place in the queue of those who wait. What comes for one who has left goes to the next.
struct Turn<'a> {
    pool: &'a Pool,
    receiver: oneshot::Receiver<(IdleConnection, ClientCount)>,
}

impl Turn<'_> {
    /// `None` when what came was dead.
    async fn connection(&mut self) -> Option<PooledConnection> {
        let (connection, count) = (&mut self.receiver).await.ok()?;
        let (stream, session) = connection.awaken()?;
        Some(PooledConnection {
            count,
            stream,
            session,
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok((connection, count)) = self.receiver.try_recv() {
            let counted = self.pool.lock().put(connection, count);
            drop(counted);
        }
    }
}

impl IdleConnection {
    /// For a runtime again; `None` for a dead one.
    fn awaken(self) -> Option<(Stream, Box<ServerSession>)> {
        if !self.socket.is_silent() {
            info!("an idle connection was closed by its server: passed over");
            return None;
        }
        match self.socket.awaken() {
            Ok(stream) => Some((stream, self.session)),
            Err(error) => {
                info!("an idle connection cannot be used: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use protocol::StatusFlags;
    use protocol::connection_phase::HandshakeV10;

    use super::*;
    use crate::traces::Traces;
    use crate::{Backends, Balance, Role, Settings};

    /// With the server's end.
    fn connection(
        backend: &Arc<Backend>,
        user: &str,
    ) -> (PooledConnection, tokio::net::UnixStream) {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let session = Box::new(ServerSession {
            handshake: Arc::new(HandshakeV10::default()),
            username: user.into(),
            character_set: 45,
            capabilities: Capabilities::empty(),
            default_db: Vec::new(),
            settings: Settings::of_login(45),
            statements: HashSet::new(),
            pin: None,
            status: StatusFlags::AUTOCOMMIT,
            nonce: Vec::new(),
            traces: Traces::default(),
            is_shared: false,
            generation: 1,
        });
        let connection = PooledConnection {
            count: backend.hold(),
            stream: Stream::Unix(near),
            session,
        };
        (connection, far)
    }

    fn backend() -> Arc<Backend> {
        let servers = [("a:1".parse().unwrap(), Role::ReadWrite)];
        Backends::new(servers, Balance::RoundRobin).get(0).unwrap()
    }

    fn of(user: &str) -> Applicant<'_> {
        Applicant {
            username: user.as_bytes(),
            capabilities: Some(Capabilities::empty()),
            logs_in: false,
            generation: 1,
        }
    }

    #[tokio::test]
    async fn a_connection_is_counted_while_it_is_not_idle() {
        let backend = backend();
        let (held, _far) = connection(&backend, "app");
        assert_eq!(backend.clients(), 1);
        held.give_back();
        assert_eq!(
            (backend.clients(), backend.pool().count(&of("app"))),
            (0, 1)
        );
        let held = backend.take_idle(&of("app")).unwrap();
        assert_eq!(
            (backend.clients(), backend.pool().count(&of("app"))),
            (1, 0)
        );
        assert!(backend.take_idle(&of("app")).is_none());
        assert_eq!(backend.clients(), 1);
        // Whoever waits gets it at once, and it is never idle.
        let waiting = tokio::spawn({
            let backend = Arc::clone(&backend);
            async move {
                backend
                    .wait_for_idle((b"app", Capabilities::empty()), 1, REAP_INTERVAL)
                    .await
            }
        });
        tokio::task::yield_now().await;
        held.give_back();
        assert_eq!(
            (backend.clients(), backend.pool().count(&of("app"))),
            (1, 0)
        );
        drop(waiting.await.unwrap().unwrap());
        assert_eq!(backend.clients(), 0);
    }

    #[tokio::test]
    async fn what_comes_for_one_who_has_left_is_idle() {
        let backend = backend();
        let (held, _far) = connection(&backend, "app");
        let mut waiting =
            Box::pin(backend.wait_for_idle((b"app", Capabilities::empty()), 1, REAP_INTERVAL));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there is none"),
            () = tokio::task::yield_now() => {}
        }
        held.give_back();
        assert_eq!(
            (backend.clients(), backend.pool().count(&of("app"))),
            (1, 0)
        );
        drop(waiting);
        assert_eq!(
            (backend.clients(), backend.pool().count(&of("app"))),
            (0, 1)
        );
    }

    #[tokio::test]
    async fn generations_do_not_share_and_are_forgotten_one_by_one() {
        let backend = backend();
        let ((first, _far), (mut second, _far2)) =
            (connection(&backend, "app"), connection(&backend, "app"));
        second.session.generation = 2;
        first.give_back();
        second.give_back();
        let of_second = Applicant {
            generation: 2,
            ..of("app")
        };
        assert_eq!(backend.pool().count(&of("app")), 1);
        let taken = backend.take_idle(&of_second).unwrap();
        assert!(backend.take_idle(&of_second).is_none());
        taken.give_back();
        backend.pool().forget(1);
        assert!(backend.take_idle(&of("app")).is_none());
        assert!(backend.take_idle(&of_second).is_some());
    }

    #[tokio::test]
    async fn not_everybody_stays_known() {
        let backend = backend();
        let (kept, _far) = connection(&backend, "kept");
        kept.give_back();
        for number in 0..KNOWN_USERS_MAX + 10 {
            let user = number.to_string();
            let (held, _far) = connection(&backend, &user);
            held.give_back();
            drop(backend.take_idle(&of(&user)));
        }
        assert!(backend.pool().lock().users.len() <= KNOWN_USERS_MAX);
        assert_eq!(backend.pool().count(&of("kept")), 1);
    }
}
