//! What everybody in a simulation shares: the plan that comes from the seed, the trace, the proxy, the servers.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backend::Balance;
use testkit::Random;
use tokio::time::Instant;

use super::script::Script;
use super::server::Server;
use super::trace::Trace;
use crate::live::Live;
use crate::session::Context;
use crate::settings::PoolReset;

pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(45);

/// What may go wrong in a run; each one has some of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A server closes somewhere in what it says.
    Cut,
    /// It pauses there, shorter or longer than it is waited for.
    Pause,
    /// It says no more.
    Stuck,
    /// It neither says nor reads any more.
    Deaf,
    /// It says ERR instead of a result, or in the middle of one.
    Error,
    /// It refuses a connection in place of a greeting.
    TooMany,
    /// It refuses a login.
    Denied,
    /// It says something that nobody asked for, and closes.
    Unasked,
    /// It says what is no packet of the protocol.
    Malformed,
    /// Servers go down, come back, restart, or are silent.
    Weather,
    /// The operator takes servers and sessions away.
    Operator,
    /// Settings change, and which servers there are.
    Reload,
    /// Clients vanish, are silent, do not read, say nonsense.
    Clients,
    /// The proxy is told to stop while clients are at work.
    EarlyDrain,
}

impl Fault {
    const ALL: [Self; 14] = [
        Self::Cut,
        Self::Pause,
        Self::Stuck,
        Self::Deaf,
        Self::Error,
        Self::TooMany,
        Self::Denied,
        Self::Unasked,
        Self::Malformed,
        Self::Weather,
        Self::Operator,
        Self::Reload,
        Self::Clients,
        Self::EarlyDrain,
    ];
}

/// Everything that is decided before a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) servers: usize,
    pub(super) clients: usize,
    /// Of each client, at most.
    pub(super) commands: usize,
    pub(super) script: Script,
    pub(super) is_mariadb: bool,
    pub(super) balance: Balance,
    pub(super) pool_reset: PoolReset,
    /// One in so many responses has a fault.
    pub(super) rarity: usize,
    faults: Vec<Fault>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let is_calm = random.one_in(5);
        let mut faults = Fault::ALL.to_vec();
        faults.retain(|_| random.one_in(2) && !is_calm);
        let of =
            |random: &mut Random, first: usize, last: usize| first + random.below(last + 1 - first);
        Self {
            seed,
            servers: of(&mut random, 1, 3),
            clients: of(&mut random, 2, 7),
            commands: of(&mut random, 2, 20),
            script: Script::ALL[random.below(Script::ALL.len())],
            is_mariadb: random.one_in(2),
            balance: match random.one_in(2) {
                true => Balance::RoundRobin,
                false => Balance::LeastConnections,
            },
            pool_reset: match random.one_in(3) {
                true => PoolReset::Always,
                false => PoolReset::Auto,
            },
            rarity: of(&mut random, 3, 60),
            faults,
        }
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) trace: Trace,
    pub(super) live: Arc<Live>,
    pub(super) servers: Vec<Arc<Server>>,
    harms: AtomicU64,
    harmed_at: Mutex<Option<Instant>>,
    is_draining: AtomicBool,
    numbers: AtomicU64,
    /// Of servers.
    pub(super) connections: AtomicUsize,
}

impl World {
    pub(super) fn new(
        plan: Plan,
        trace: Trace,
        context: Arc<Context>,
        servers: Vec<Arc<Server>>,
    ) -> Self {
        Self {
            plan,
            trace,
            live: Arc::new(Live::new(context)),
            servers,
            harms: AtomicU64::new(0),
            harmed_at: Mutex::default(),
            is_draining: AtomicBool::new(false),
            numbers: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
        }
    }

    /// Everybody has a sequence of their own, whatever the others do.
    pub(super) fn random(&self, number: usize) -> Random {
        Random::new(self.plan.seed, 1 + number)
    }

    /// Something that others may notice was done to them.
    pub(super) fn harm(&self, what: &str) {
        self.trace.note(format_args!("harm: {what}"));
        self.harms.fetch_add(1, Ordering::Relaxed);
        *self.harmed_at.lock().unwrap() = Some(Instant::now());
    }

    /// So far.
    pub(super) fn harms(&self) -> u64 {
        self.harms.load(Ordering::Relaxed)
    }

    /// Nothing happens at this moment: what was harmed shows it.
    pub(super) fn is_quiet(&self) -> bool {
        *self.harmed_at.lock().unwrap() != Some(Instant::now())
    }

    /// The proxy was told to stop.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.harm("the proxy is told to stop");
        self.is_draining.store(true, Ordering::Relaxed);
        self.live.shutdown.drain();
    }

    /// Another one each time.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}
