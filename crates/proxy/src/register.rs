//! What others may know of a session, and what they may ask of it: one entry for each, from accept to close.
//!
//! A session writes into its entry without a lock, and only where it changes what it does; whoever looks reads what it
//! finds.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use backend::Backend;
use protocol::Command;
use sql::Digest;
use tokio::time::Instant;

use crate::session::error::SessionError;
use crate::shutdown::{Phase, Shutdown};

/// A session as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// Counts sessions from 1, as the log does.
    pub id: u64,
    /// `None` for a Unix socket.
    pub client: Option<SocketAddr>,
    /// Empty before the login.
    pub username: Vec<u8>,
    /// Its index; `None` while it has none.
    pub backend: Option<usize>,
    /// Why it has that one.
    pub why: Option<Why>,
    /// What it does.
    pub activity: Activity,
    /// For how long.
    pub active_for: Duration,
    /// Since the client was accepted.
    pub age: Duration,
    /// Commands so far that have a response.
    pub commands: u64,
    /// Of the statement that runs, or ran last; `None` before the first, and where digests are off.
    pub digest: Option<Digest>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// A backend is chosen, and the client logs in.
    Login,
    /// It waits for a command.
    Idle,
    /// It waits for the end of this one.
    Command(Command),
}

/// Why a session has its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// It was next, by `--proxy-balance`, among those that take clients.
    Balance,
    /// The script named it, in `connect_server` or `read_auth`.
    Script,
    /// It was next: the script named another one, which takes no clients or could not be connected to.
    Instead,
    /// The script took an idle connection.
    Pool,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balance => "balance",
            Self::Script => "script",
            Self::Instead => "instead of the script's",
            Self::Pool => "idle connection",
        })
    }
}

/// How many sessions do what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activities {
    /// Those of [`Activity::Login`].
    pub login: u64,
    /// Those of [`Activity::Idle`].
    pub idle: u64,
    /// Those of [`Activity::Command`].
    pub command: u64,
}

/// A session's entry, as the register has it.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    client: Mutex<Option<SocketAddr>>,
    waker: Waker,
    started: Instant,
    /// What the session is asked: a [`Phase`].
    phase: AtomicU8,
    /// An [`Activity`], and since when.
    activity: AtomicU64,
    commands: AtomicU64,
    /// One more than its index; 0 for none.
    backend: AtomicUsize,
    /// A [`Why`].
    why: AtomicU8,
    /// 0 for none.
    digest: AtomicU64,
    username: Mutex<Vec<u8>>,
}

/// A session's place in the register.
#[derive(Debug)]
pub(crate) struct Registration {
    entry: Arc<Entry>,
    /// As the entry has it.
    shown: Activity,
    commands: u64,
    shutdown: Shutdown,
}

impl Activity {
    /// Behind those of commands.
    const LOGIN: u64 = 0x100;
    const IDLE: u64 = 0x101;
    /// Of a number that stands for an activity.
    const BITS: u32 = 9;

    fn number(self) -> u64 {
        match self {
            Self::Login => Self::LOGIN,
            Self::Idle => Self::IDLE,
            Self::Command(Command(byte)) => byte.into(),
        }
    }

    fn from_number(number: u64) -> Self {
        match number {
            Self::LOGIN => Self::Login,
            Self::IDLE => Self::Idle,
            byte => Self::Command(Command(byte as u8)),
        }
    }
}

impl Entry {
    pub(crate) fn new(id: u64, client: Option<SocketAddr>, waker: Waker, phase: Phase) -> Self {
        Self {
            id,
            client: Mutex::new(client),
            waker,
            started: Instant::now(),
            phase: AtomicU8::new(phase as u8),
            activity: AtomicU64::new(Activity::Login.number()),
            commands: AtomicU64::new(0),
            backend: AtomicUsize::new(0),
            why: AtomicU8::new(Why::Balance as u8),
            digest: AtomicU64::new(0),
            username: Mutex::default(),
        }
    }

    /// Asks the session to end, unless it was asked more urgently before.
    pub(crate) fn ask(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.waker.wake_by_ref();
    }

    /// Its index.
    pub(crate) fn backend(&self) -> Option<usize> {
        self.backend.load(Ordering::Relaxed).checked_sub(1)
    }

    fn why(&self) -> Why {
        let number = self.why.load(Ordering::Relaxed);
        let all = [Why::Balance, Why::Script, Why::Instead, Why::Pool];
        let why = all.into_iter().find(|why| *why as u8 == number);
        why.unwrap_or(Why::Balance)
    }

    /// Adds what the session does.
    pub(crate) fn add_to(&self, activities: &mut Activities) {
        let (activity, _) = self.activity();
        match activity {
            Activity::Login => activities.login += 1,
            Activity::Idle => activities.idle += 1,
            Activity::Command(_) => activities.command += 1,
        }
    }

    /// What the session does, and for how long it had been there when that began.
    fn activity(&self) -> (Activity, Duration) {
        let number = self.activity.load(Ordering::Relaxed);
        let activity = Activity::from_number(number & ((1 << Activity::BITS) - 1));
        (activity, Duration::from_millis(number >> Activity::BITS))
    }

    pub(crate) fn report(&self, now: Instant) -> SessionReport {
        let (activity, since) = self.activity();
        let age = now.saturating_duration_since(self.started);
        let digest = self.digest.load(Ordering::Relaxed);
        let username = self.username.lock().unwrap_or_else(PoisonError::into_inner);
        SessionReport {
            id: self.id,
            client: *self.client.lock().unwrap_or_else(PoisonError::into_inner),
            username: username.clone(),
            backend: self.backend(),
            why: self.backend().map(|_| self.why()),
            activity,
            active_for: age.saturating_sub(since),
            age,
            commands: self.commands.load(Ordering::Relaxed),
            digest: (digest != 0).then_some(Digest(digest)),
        }
    }
}

impl Registration {
    pub(crate) fn new(entry: Arc<Entry>, shutdown: Shutdown) -> Self {
        Self {
            entry,
            shown: Activity::Login,
            commands: 0,
            shutdown,
        }
    }

    /// Counts sessions from 1, for the log.
    pub(crate) fn id(&self) -> u64 {
        self.entry.id
    }

    /// Whether the session is to end.
    pub(crate) fn phase(&self) -> Phase {
        Phase::from_u8(self.entry.phase.load(Ordering::Acquire))
    }

    /// The end of a session that was asked to end.
    pub(crate) fn end(&self) -> SessionError {
        match self.phase() {
            Phase::Killed => SessionError::Killed,
            Phase::BackendTaken => SessionError::BackendTaken,
            Phase::Running | Phase::Draining | Phase::Expired => SessionError::Shutdown,
        }
    }

    /// The index of the backend that the session has.
    pub(crate) fn backend(&self) -> Option<usize> {
        self.entry.backend()
    }

    /// The backend that the session has from now on. One that was taken away meanwhile ends it.
    pub(crate) fn has_backend(&self, backend: &Backend) {
        self.at_backend(Some(backend.index()));
        // Either it is seen here, or the session is seen by whoever takes the backend away.
        fence(Ordering::SeqCst);
        if backend.availability().ends_sessions() {
            self.entry.ask(Phase::BackendTaken);
        }
    }

    /// Why its backend is the one that it is.
    pub(crate) fn why(&self) -> Why {
        self.entry.why()
    }

    /// Why the session gets its backend, from now on.
    pub(crate) fn gets_it_by(&self, why: Why) {
        self.entry.why.store(why as u8, Ordering::Relaxed);
    }

    /// The backend that the session has from now on, by its index.
    pub(crate) fn at_backend(&self, index: Option<usize>) {
        let number = index.map_or(0, |index| index + 1);
        self.entry.backend.store(number, Ordering::Relaxed);
    }

    /// Where the client is, now that it is known; `None` for a Unix socket.
    pub(crate) fn comes_from(&self, client: Option<SocketAddr>) {
        let entry = &self.entry.client;
        *entry.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Where the client is; `None` for a Unix socket.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        let entry = &self.entry.client;
        *entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who the client is from now on.
    pub(crate) fn known_as(&self, username: &[u8]) {
        let entry = &self.entry.username;
        *entry.lock().unwrap_or_else(PoisonError::into_inner) = username.to_vec();
    }

    /// What is said now.
    pub(crate) fn says(&self, digest: Digest) {
        self.entry.digest.store(digest.0, Ordering::Relaxed);
    }

    /// What the session does; `now` is read where that is new.
    pub(crate) fn show(&mut self, activity: Activity, now: Instant) {
        if self.shown == activity {
            return;
        }
        self.shown = activity;
        let since = now.saturating_duration_since(self.entry.started);
        let number = (since.as_millis() as u64) << Activity::BITS | activity.number();
        self.entry.activity.store(number, Ordering::Relaxed);
        if let Activity::Command(_) = activity {
            self.commands += 1;
            self.entry.commands.store(self.commands, Ordering::Relaxed);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shutdown.forget(self.entry.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_entry_shows_what_the_session_does_and_for_how_long() {
        let shutdown = Shutdown::new();
        let mut session = shutdown.register(None, Waker::noop().clone());
        let report = || shutdown.sessions().remove(0);
        assert_eq!(report().activity, Activity::Login);
        let pause = Duration::from_secs(3);
        tokio::time::advance(pause).await;
        let client = Some(SocketAddr::from(([192, 0, 2, 1], 56324)));
        session.comes_from(client);
        session.known_as(b"sakila");
        session.gets_it_by(Why::Script);
        session.says(Digest(7));
        session.at_backend(Some(1));
        session.show(Activity::Command(Command::QUERY), Instant::now());
        tokio::time::advance(pause).await;
        session.show(Activity::Command(Command::QUERY), Instant::now());
        let expected = SessionReport {
            id: 1,
            client,
            username: b"sakila".to_vec(),
            backend: Some(1),
            why: Some(Why::Script),
            activity: Activity::Command(Command::QUERY),
            active_for: pause,
            age: 2 * pause,
            commands: 1,
            digest: Some(Digest(7)),
        };
        assert_eq!(report(), expected);
        session.show(Activity::Idle, Instant::now());
        session.at_backend(None);
        let report = report();
        assert_eq!(
            (report.activity, report.backend, report.why),
            (Activity::Idle, None, None)
        );
        drop(session);
        assert_eq!(shutdown.sessions(), []);
    }

    #[test]
    fn every_activity_has_a_number() {
        let commands = (0..=u8::MAX).map(|byte| Activity::Command(Command(byte)));
        for activity in commands.chain([Activity::Login, Activity::Idle]) {
            assert_eq!(Activity::from_number(activity.number()), activity);
            assert!(activity.number() < 1 << Activity::BITS);
        }
    }
}
