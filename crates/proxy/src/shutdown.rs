//! Telling sessions to end, and knowing when the last one has.
//!
//! Each session registers once, with its task's waker; what it is asked is one atomic that it looks at whenever it
//! wakes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::register::{Activities, Entry, Registration, SessionReport};

/// How urgently a session is to end. Later ones include earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Nobody is to end.
    Running,
    /// Those who are idle outside a transaction end at once, others when they get there.
    Draining,
    /// Everybody ends.
    Expired,
    /// This session ends: the operator says so.
    Killed,
    /// This session ends: its backend is taken out of service.
    BackendTaken,
}

/// Tells a running proxy to stop: no new connections, idle sessions at once, busy ones get `shutdown_timeout`. Or to make
/// way for another process: no new connections, sessions get `handover_timeout` to end by themselves before that.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    /// Another process takes the clients to come.
    handed_over: watch::Sender<bool>,
    next_id: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Arc<Entry>>>,
    /// How many tickets there are, for those who wait for none.
    count: watch::Sender<usize>,
}

/// A client that was accepted and whose session has not ended.
#[derive(Debug)]
pub(crate) struct Ticket(Shutdown);

impl Phase {
    pub(crate) fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Running,
            1 => Self::Draining,
            2 => Self::Expired,
            3 => Self::Killed,
            _ => Self::BackendTaken,
        }
    }
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Running),
            handed_over: watch::Sender::new(false),
            next_id: AtomicU64::new(1),
            sessions: Mutex::default(),
            count: watch::Sender::new(0),
        }))
    }

    /// Starts the drain. A second call changes nothing.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Another process has the listening sockets: clients to come are its. Sessions go on.
    pub fn hand_over(&self) {
        self.0.handed_over.send_replace(true);
    }

    /// Resolves when another process has the listening sockets.
    pub async fn handed_over(&self) {
        let mut handed_over = self.0.handed_over.subscribe();
        // The sender lives as long as `self`.
        let _ = handed_over.wait_for(|is| *is).await;
    }

    pub(crate) fn expire(&self) {
        self.advance(Phase::Expired);
    }

    /// How far the end is.
    pub(crate) fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Resolves when the drain has started.
    pub(crate) async fn draining(&self) {
        let mut phase = self.0.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    }

    /// One more client.
    pub(crate) fn ticket(&self) -> Ticket {
        self.0.count.send_modify(|count| *count += 1);
        Ticket(self.clone())
    }

    /// Resolves when no ticket is left.
    pub(crate) async fn drained(&self) {
        let mut count = self.0.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// How many tickets there are.
    pub(crate) fn clients(&self) -> usize {
        *self.0.count.borrow()
    }

    /// Adds the session whose task `waker` wakes.
    pub(crate) fn register(&self, client: Option<SocketAddr>, waker: Waker) -> Registration {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.lock();
        // Read under the lock: a phase that comes later finds the session in the register.
        let phase = *self.0.phase.borrow();
        let entry = Arc::new(Entry::new(id, client, waker, phase));
        sessions.insert(id, Arc::clone(&entry));
        drop(sessions);
        Registration::new(entry, self.clone())
    }

    pub(crate) fn forget(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// All sessions, the oldest first.
    pub(crate) fn sessions(&self) -> Vec<SessionReport> {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let now = Instant::now();
        entries.iter().map(|entry| entry.report(now)).collect()
    }

    /// How many sessions do what.
    pub(crate) fn activities(&self) -> Activities {
        let mut activities = Activities::default();
        let sessions = self.lock();
        sessions
            .values()
            .for_each(|entry| entry.add_to(&mut activities));
        activities
    }

    /// Asks one session to end. False when there is none of this id.
    pub(crate) fn kill(&self, id: u64) -> bool {
        let entry = self.lock().get(&id).cloned();
        entry.inspect(|entry| entry.ask(Phase::Killed)).is_some()
    }

    /// Asks all sessions of a backend to end. How many there are.
    pub(crate) fn end_those_at(&self, backend: usize) -> usize {
        // Behind the word that the backend is taken away: see `Registration::has_backend`.
        fence(Ordering::SeqCst);
        let sessions = self.lock();
        let there = sessions
            .values()
            .filter(|entry| entry.backend() == Some(backend));
        there
            .inspect(|entry| entry.ask(Phase::BackendTaken))
            .count()
    }

    fn advance(&self, phase: Phase) {
        let sessions = self.lock();
        let is_new = self.0.phase.send_if_modified(|current| {
            let is_new = phase > *current;
            *current = phase.max(*current);
            is_new
        });
        if is_new {
            sessions.values().for_each(|entry| entry.ask(phase));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.0.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_are_told_and_the_last_one_ends_the_drain() {
        let shutdown = Shutdown::new();
        let tickets = (shutdown.ticket(), shutdown.ticket());
        let early = shutdown.register(None, Waker::noop().clone());
        assert_eq!(early.phase(), Phase::Running);
        shutdown.drain();
        let late = shutdown.register(None, Waker::noop().clone());
        assert_eq!(early.phase(), Phase::Draining);
        assert_eq!(late.phase(), Phase::Draining);
        shutdown.draining().await;
        shutdown.expire();
        shutdown.drain();
        assert_eq!(early.phase(), Phase::Expired);
        assert_eq!(shutdown.clients(), 2);
        drop(tickets);
        shutdown.drained().await;
    }

    #[test]
    fn one_session_or_those_of_a_backend_are_ended() {
        let shutdown = Shutdown::new();
        let [a, b, c] = [(); 3].map(|()| shutdown.register(None, Waker::noop().clone()));
        b.at_backend(Some(0));
        c.at_backend(Some(1));
        assert_eq!(shutdown.end_those_at(1), 1);
        assert!(shutdown.kill(a.id()));
        let phases = || [&a, &b, &c].map(|session| session.phase());
        let asked = [Phase::Killed, Phase::Running, Phase::BackendTaken];
        assert_eq!(phases(), asked);
        // What was asked more urgently counts.
        shutdown.drain();
        let asked = [Phase::Killed, Phase::Draining, Phase::BackendTaken];
        assert_eq!(phases(), asked);
        assert!(!shutdown.kill(4));
    }
}
