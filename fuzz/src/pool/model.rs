//! What must be true of a pool. Connections and waiters are numbers, in the order of their coming.

use std::collections::BTreeSet;

use protocol::Capabilities;

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) username: &'static str,
    pub(super) capabilities: Capabilities,
    /// May have another user's.
    pub(super) logs_in: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// By number: whose it is, and whether its server is there.
    connections: Vec<(Wanted, bool)>,
    /// The longest idle first.
    idle: Vec<usize>,
    /// Users who had an idle connection once, since the pool was opened.
    known: BTreeSet<&'static str>,
    /// By number.
    waiters: Vec<Waiter>,
    /// Those who have nothing yet, in the order of their turns.
    queue: Vec<usize>,
    pub(super) min_idle: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    /// What it will find when it looks next.
    delivered: Option<usize>,
}

impl Model {
    pub(super) fn connect(&mut self, wanted: Wanted) {
        self.connections.push((wanted, true));
    }

    /// One whose server is gone is not kept.
    pub(super) fn give_back(&mut self, connection: usize) {
        if self.connections[connection].1 {
            self.put(connection);
        }
    }

    /// To the first who waits for such a one; else it is idle.
    fn put(&mut self, connection: usize) {
        if self.is_closed {
            return;
        }
        let (owner, _) = self.connections[connection];
        let is_for = |waiter: &usize| {
            let wanted = self.waiters[*waiter].wanted;
            wanted.username == owner.username && wanted.capabilities == owner.capabilities
        };
        match self.queue.iter().position(is_for) {
            Some(at) => {
                let waiter = self.queue.remove(at);
                self.waiters[waiter].delivered = Some(connection);
            }
            None => {
                self.known.insert(owner.username);
                self.idle.push(connection);
            }
        }
    }

    pub(super) fn take(&mut self, wanted: Wanted) -> Option<usize> {
        loop {
            let next = *self.candidates(wanted).first()?;
            self.idle.retain(|idle| *idle != next);
            if self.connections[next].1 {
                return Some(next);
            }
        }
    }

    pub(super) fn count(&self, wanted: Wanted) -> usize {
        self.candidates(wanted).len()
    }

    /// The user's own. One who logs in, and has never had any, may have those of the first user who has more than enough.
    fn candidates(&self, wanted: Wanted) -> Vec<usize> {
        let suiting = |username: &str| -> Vec<usize> {
            let own = self.of(username).into_iter();
            own.filter(|idle| self.connections[*idle].0.capabilities == wanted.capabilities)
                .collect()
        };
        let is_known = !wanted.username.is_empty() && self.known.contains(wanted.username);
        if is_known || !wanted.logs_in {
            return suiting(wanted.username);
        }
        let lenders = self
            .known
            .iter()
            .filter(|username| self.of(username).len() > self.min_idle);
        let mut lent = lenders.map(|username| suiting(username));
        lent.find(|suiting| !suiting.is_empty()).unwrap_or_default()
    }

    fn of(&self, username: &str) -> Vec<usize> {
        let is_of = |idle: &usize| self.connections[*idle].0.username == username;
        self.idle.iter().copied().filter(is_of).collect()
    }

    pub(super) fn wait(&mut self, wanted: Wanted) -> usize {
        self.waiters.push(Waiter {
            wanted,
            delivered: None,
        });
        let waiter = self.waiters.len() - 1;
        self.queue.push(waiter);
        waiter
    }

    pub(super) fn wanted_by(&self, waiter: usize) -> Wanted {
        self.waiters[waiter].wanted
    }

    /// It looks for what it may have. Where that was dead it queues up again.
    pub(super) fn poll(&mut self, waiter: usize) -> Option<usize> {
        match self.waiters[waiter].delivered.take() {
            Some(connection) if self.connections[connection].1 => return Some(connection),
            Some(_) => self.queue.push(waiter),
            None => {}
        }
        let taken = self.take(self.waiters[waiter].wanted)?;
        self.queue.retain(|queued| *queued != waiter);
        Some(taken)
    }

    /// What had come for it goes to the next.
    pub(super) fn leave(&mut self, waiter: usize) {
        self.queue.retain(|queued| *queued != waiter);
        if let Some(connection) = self.waiters[waiter].delivered.take() {
            self.put(connection);
        }
    }

    pub(super) fn die(&mut self, connection: usize) {
        self.connections[connection].1 = false;
    }

    pub(super) fn set_open(&mut self, is_open: bool) {
        self.is_closed = !is_open;
        if !is_open {
            self.idle.clear();
            self.known.clear();
        }
    }

    /// Connections that their waiters have not seen yet.
    pub(super) fn delivered(&self) -> usize {
        let waiters = self.waiters.iter();
        waiters.filter(|waiter| waiter.delivered.is_some()).count()
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn idle_by_user(&self) -> Vec<(Vec<u8>, usize)> {
        let known = self.known.iter();
        known
            .map(|username| (username.as_bytes().to_vec(), self.of(username).len()))
            .collect()
    }
}
