//! Telling sessions to stop, and knowing when the last one has.
//!
//! Each session registers once, with its task's waker; what it is asked is one atomic that it looks at whenever it
//! wakes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;

/// How urgently a session is to end. Later ones include earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Nobody is to end.
    Running,
    /// Those who are idle outside a transaction end at once, others when they get there.
    Draining,
    /// Everybody ends.
    Expired,
}

/// Tells a running proxy to stop: no new connections, idle sessions at once, busy ones get `shutdown_timeout`.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    next_id: AtomicU64,
    sessions: Mutex<HashMap<u64, (Waker, Arc<AtomicU8>)>>,
    /// How many tickets there are, for those who wait for none.
    count: watch::Sender<usize>,
}

/// A client that was accepted and whose session has not ended.
#[derive(Debug)]
pub(crate) struct Ticket(Shutdown);

/// A session's place in the register.
#[derive(Debug)]
pub(crate) struct Registration {
    id: u64,
    phase: Arc<AtomicU8>,
    shutdown: Shutdown,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Running),
            next_id: AtomicU64::new(1),
            sessions: Mutex::default(),
            count: watch::Sender::new(0),
        }))
    }

    /// Starts the drain. A second call changes nothing.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    pub(crate) fn expire(&self) {
        self.advance(Phase::Expired);
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
    pub(crate) fn register(&self, waker: Waker) -> Registration {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.lock();
        // Read under the lock: a phase that comes later finds the session in the register.
        let phase = Arc::new(AtomicU8::new(*self.0.phase.borrow() as u8));
        sessions.insert(id, (waker, Arc::clone(&phase)));
        drop(sessions);
        Registration {
            id,
            phase,
            shutdown: self.clone(),
        }
    }

    fn advance(&self, phase: Phase) {
        let sessions = self.lock();
        let is_new = self.0.phase.send_if_modified(|current| {
            let is_new = phase > *current;
            *current = phase.max(*current);
            is_new
        });
        if !is_new {
            return;
        }
        for (waker, asked) in sessions.values() {
            asked.store(phase as u8, Ordering::Release);
            waker.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Waker, Arc<AtomicU8>)>> {
        self.0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Counts sessions from 1, for the log.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the session is to end.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Expired,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shutdown.lock().remove(&self.id);
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
        let early = shutdown.register(Waker::noop().clone());
        assert_eq!(early.phase(), Phase::Running);
        shutdown.drain();
        let late = shutdown.register(Waker::noop().clone());
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
}
