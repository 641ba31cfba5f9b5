//! All servers, each with its state, and the choice among them.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::availability::Availability;
use crate::choice::{Balance, least_connections, round_robin};
use crate::counters::{BackendHistory, Counters};
use crate::probe::PROBE_INTERVAL;
use crate::resolver::Resolver;
use crate::{Address, Health, Pool, Role, SocketAddress, Stream};

/// One server.
#[derive(Debug)]
pub struct Backend {
    index: usize,
    address: Address,
    role: Role,
    pub(crate) resolver: Resolver,
    health: Mutex<Health>,
    /// `health` in short, for those who choose.
    is_up: AtomicBool,
    /// What the operator says: an [`Availability`].
    availability: AtomicU8,
    /// Wakes the probe when the server may want it.
    pub(crate) went_down: Notify,
    pub(crate) counters: Counters,
    /// Until when a script wants it left alone.
    held_down_until: Mutex<Option<Instant>>,
    clients: AtomicUsize,
    /// The numeric address that answered last.
    last_address: Mutex<Option<SocketAddress>>,
    /// A name that scripts give it.
    uuid: Mutex<Option<Vec<u8>>>,
    pool: Pool,
}

/// All servers, in option order: read/write first, then read-only, then those that were added while running.
///
/// An index names the same server for ever: one that is removed leaves its place empty, and comes back to it.
#[derive(Debug)]
pub struct Backends {
    list: RwLock<Arc<[Arc<Backend>]>>,
    /// Of `list`, for those who ask often.
    len: AtomicUsize,
    balance: Balance,
    /// One more than the index chosen last; 0 before the first choice.
    cursor: AtomicUsize,
    added: Notify,
}

/// How long a script's word counts, as it did in MySQL Proxy 0.8.5.
const SCRIPTS_HOLD: Duration = Duration::from_secs(4);

/// Servers at once, those that were removed included. Far beyond any use; a script that adds for ever stops here.
pub const BACKENDS_MAX: usize = 1024;

/// Why a server cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddError {
    /// The address is in the list.
    #[error("backend {0} is already known")]
    AlreadyKnown(String),
    /// The list is full.
    #[error("there are {BACKENDS_MAX} backends already, those that were removed included")]
    TooMany,
}

/// A client's hold on a backend: it counts as connected until this is dropped.
#[derive(Debug)]
pub struct ClientCount(Arc<Backend>);

impl Backends {
    /// All servers start as up: the first client finds out.
    pub fn new(servers: impl IntoIterator<Item = (Address, Role)>, balance: Balance) -> Self {
        let backend = |(index, (address, role))| Arc::new(Backend::new(index, address, role));
        let list: Arc<[_]> = servers.into_iter().enumerate().map(backend).collect();
        Self {
            len: AtomicUsize::new(list.len()),
            list: RwLock::new(list),
            balance,
            cursor: AtomicUsize::new(0),
            added: Notify::new(),
        }
    }

    /// By index, those that were removed included: [`Backend::availability`] tells.
    pub fn all(&self) -> Arc<[Arc<Backend>]> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many there are, those that were removed included.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a server behind the others, or puts one that was removed back into its place. Its index.
    ///
    /// # Errors
    /// The address is there already, or there is no place left.
    pub fn add(&self, address: Address, role: Role) -> Result<usize, AddError> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let name = address.to_string();
        let known = |backend: &&Arc<Backend>| backend.address.to_string() == name;
        let index = match list.iter().find(known) {
            Some(known) if known.availability() != Availability::Removed => {
                return Err(AddError::AlreadyKnown(name));
            }
            Some(known) if known.role == role => {
                known.set_availability(Availability::InService);
                known.index
            }
            // In another role it is another server: the place of the removed one stays empty.
            _ if list.len() >= BACKENDS_MAX => return Err(AddError::TooMany),
            _ => {
                let index = list.len();
                let backend = Arc::new(Backend::new(index, address, role));
                *list = list.iter().cloned().chain([backend]).collect();
                self.len.store(list.len(), Ordering::Relaxed);
                index
            }
        };
        drop(list);
        self.added.notify_one();
        Ok(index)
    }

    /// Resolves when a server was added since the last time. For one who waits.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    /// A read/write backend that takes clients and is not in `tried` (indexes); it counts the client from now on.
    pub fn choose(&self, tried: &[usize]) -> Option<ClientCount> {
        let list = self.all();
        let count = list.len();
        let eligible = |index: usize| {
            let backend = &list[index];
            backend.role == Role::ReadWrite && backend.takes_clients() && !tried.contains(&index)
        };
        let chosen = match self.balance {
            Balance::LeastConnections => {
                least_connections(count, |index| list[index].clients(), eligible)
            }
            Balance::RoundRobin => {
                let mut chosen = None;
                let advance = |cursor: usize| {
                    chosen = round_robin(count, cursor.checked_sub(1), eligible);
                    chosen.map(|index| index + 1)
                };
                let _unchanged_when_none =
                    self.cursor
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
                chosen
            }
        };
        chosen.map(|index| ClientCount::new(&list[index]))
    }

    /// The backend at `index`, whatever its state, unless it was removed.
    pub fn get(&self, index: usize) -> Option<Arc<Backend>> {
        let backend = Arc::clone(self.all().get(index)?);
        (backend.availability() != Availability::Removed).then_some(backend)
    }

    /// The backend at `index` if it takes clients, whatever its role; it counts the client from now on.
    pub fn take(&self, index: usize) -> Option<ClientCount> {
        let backend = self.get(index)?;
        backend.takes_clients().then(|| ClientCount::new(&backend))
    }

    /// Why each read/write backend takes no clients, for a log line: `a:3306 (Connection refused), b:3306 (...)`.
    pub fn down_reasons(&self) -> String {
        let list = self.all();
        let reasons = list.iter().filter_map(|backend| {
            let reason = match (backend.availability(), backend.health()) {
                _ if backend.role != Role::ReadWrite => return None,
                (Availability::Removed, _) => return None,
                (Availability::InService, Health::Up) => return None,
                (Availability::InService, Health::Down { reason, .. }) => reason,
                (availability, _) => availability.to_string(),
            };
            Some(format!("{} ({reason})", backend.address))
        });
        reasons.collect::<Vec<_>>().join(", ")
    }
}

impl Backend {
    fn new(index: usize, address: Address, role: Role) -> Self {
        Self {
            index,
            resolver: Resolver::new(&address),
            address,
            role,
            health: Mutex::default(),
            is_up: AtomicBool::new(true),
            availability: AtomicU8::new(Availability::InService as u8),
            went_down: Notify::new(),
            counters: Counters::default(),
            held_down_until: Mutex::default(),
            clients: AtomicUsize::new(0),
            last_address: Mutex::default(),
            uuid: Mutex::default(),
            pool: Pool::default(),
        }
    }

    /// Its place in option order, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// As configured.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Up or down, with the reason.
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Clients that have it or are being connected to it.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// The numeric address, or the path, that answered last; `None` before any has.
    pub fn last_address(&self) -> Option<SocketAddress> {
        lock(&self.last_address).clone()
    }

    pub(crate) fn answered(&self, stream: &Stream) {
        *lock(&self.last_address) = stream.peer_address();
    }

    /// The name that a script gave it.
    pub fn uuid(&self) -> Option<Vec<u8>> {
        lock(&self.uuid).clone()
    }

    /// Names it.
    pub fn set_uuid(&self, uuid: Option<Vec<u8>>) {
        *lock(&self.uuid) = uuid;
    }

    /// What became of it so far.
    pub fn history(&self) -> BackendHistory {
        self.counters.history()
    }

    /// Its idle connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Counts a client that has a connection already.
    pub(crate) fn hold(self: &Arc<Self>) -> ClientCount {
        ClientCount::new(self)
    }

    /// True when it can be connected to, as far as anyone knows.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// What the operator says of it.
    pub fn availability(&self) -> Availability {
        Availability::from_u8(self.availability.load(Ordering::Relaxed))
    }

    /// Says whether clients may have it. Only in service are idle connections kept.
    pub fn set_availability(&self, availability: Availability) {
        self.availability
            .store(availability as u8, Ordering::Relaxed);
        self.pool.set_open(availability == Availability::InService);
        self.went_down.notify_one();
    }

    /// It is down, and somebody minds.
    pub(crate) fn is_wanted_up(&self) -> bool {
        !self.is_up() && self.availability() != Availability::Removed
    }

    /// True when it takes new clients.
    pub fn takes_clients(&self) -> bool {
        self.is_up() && self.availability() == Availability::InService
    }

    /// Takes it out of the choice until a probe succeeds. Logs when this is news.
    pub fn mark_down(&self, now: Instant, reason: &str) {
        let mut health = lock(&self.health);
        let is_news = health.mark_down(now, reason.to_owned());
        self.is_up.store(false, Ordering::Relaxed);
        drop(health);
        if is_news {
            self.counters.went_down(reason);
            let address = &self.address;
            let seconds = PROBE_INTERVAL.as_secs();
            warn!("connect({address}) failed: {reason}");
            warn!(
                "connecting to backend ({address}) failed, marking it as down for {seconds} s, \
                 then it is tried again every {seconds} s until it answers"
            );
            self.went_down.notify_one();
        }
    }

    /// [`Self::mark_down`] because a script says so: it is tried again no sooner than in 4 s.
    pub fn hold_down(&self, now: Instant) {
        *lock(&self.held_down_until) = Some(now + SCRIPTS_HOLD);
        let reason = "a script says so";
        let is_news = lock(&self.health).mark_down(now, reason.to_owned());
        self.is_up.store(false, Ordering::Relaxed);
        if is_news {
            self.counters.went_down(reason);
            let (address, seconds) = (&self.address, SCRIPTS_HOLD.as_secs());
            warn!("a script marked backend ({address}) as down: it is tried again in {seconds} s");
            self.went_down.notify_one();
        }
    }

    /// Until when a script wants it left alone.
    pub(crate) fn held_down_until(&self) -> Option<Instant> {
        *lock(&self.held_down_until)
    }

    /// Puts it back into the choice. Logs when this is news.
    pub fn mark_up(&self, now: Instant) {
        *lock(&self.held_down_until) = None;
        let mut health = lock(&self.health);
        let down_for = health.mark_up(now);
        self.is_up.store(true, Ordering::Relaxed);
        drop(health);
        if let Some(down_for) = down_for {
            self.counters.came_up();
            let seconds = down_for.as_secs();
            info!("backend ({}) is up again after {seconds} s", self.address);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientCount {
    fn new(backend: &Arc<Backend>) -> Self {
        backend.clients.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }

    /// The backend held.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for ClientCount {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(balance: Balance) -> Backends {
        let servers = [
            ("a:1", Role::ReadWrite),
            ("b:1", Role::ReadWrite),
            ("r:1", Role::ReadOnly),
        ];
        Backends::new(
            servers.map(|(address, role)| (address.parse().unwrap(), role)),
            balance,
        )
    }

    fn chosen(backends: &Backends, tried: &[usize]) -> Option<String> {
        let client = backends.choose(tried)?;
        Some(client.backend().address().to_string())
    }

    #[test]
    fn clients_go_round_in_option_order_and_never_to_read_only_ones() {
        let backends = backends(Balance::RoundRobin);
        let order: Vec<_> = (0..3).filter_map(|_| chosen(&backends, &[])).collect();
        assert_eq!(order, ["a:1", "b:1", "a:1"]);
        assert_eq!(chosen(&backends, &[0, 1]), None);
    }

    #[test]
    fn one_that_is_down_is_passed_over_until_it_is_up() {
        let backends = backends(Balance::RoundRobin);
        let b = backends.get(1).unwrap();
        b.mark_down(Instant::now(), "Connection refused");
        assert_eq!(backends.down_reasons(), "b:1 (Connection refused)");
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert_eq!(chosen(&backends, &[0]), None);
        b.mark_up(Instant::now());
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("b:1"));
    }

    #[test]
    fn only_one_in_service_takes_clients() {
        let backends = backends(Balance::RoundRobin);
        let b = backends.get(1).unwrap();
        b.set_availability(Availability::Draining);
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert!(backends.take(1).is_none());
        assert_eq!(backends.down_reasons(), "b:1 (draining)");
        b.set_availability(Availability::InService);
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("b:1"));
    }

    #[test]
    fn an_index_names_the_same_server_for_ever() {
        let backends = backends(Balance::RoundRobin);
        let address = || "c:1".parse().unwrap();
        assert_eq!(backends.add(address(), Role::ReadWrite), Ok(3));
        let error = backends.add(address(), Role::ReadOnly).unwrap_err();
        assert_eq!(error.to_string(), "backend c:1 is already known");
        let order: Vec<_> = (0..3).filter_map(|_| chosen(&backends, &[])).collect();
        assert_eq!(order, ["a:1", "b:1", "c:1"]);

        let a = backends.get(0).unwrap();
        a.set_availability(Availability::Removed);
        assert!(backends.get(0).is_none());
        assert!(backends.take(0).is_none());
        assert_eq!(backends.get(1).unwrap().address().to_string(), "b:1");
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("b:1"));
        assert_eq!(backends.down_reasons(), "");
        assert_eq!(backends.add("a:1".parse().unwrap(), Role::ReadWrite), Ok(0));
        assert_eq!(backends.all().len(), 4);
    }

    #[test]
    fn there_is_an_end_to_adding() {
        let backends = backends(Balance::RoundRobin);
        let add = |port: usize| backends.add(format!("x:{port}").parse().unwrap(), Role::ReadOnly);
        assert!((3..BACKENDS_MAX).all(|port| add(port).is_ok()));
        assert_eq!(add(2), Err(AddError::TooMany));
    }

    #[test]
    fn least_connections_counts_held_clients() {
        let backends = backends(Balance::LeastConnections);
        let first = backends.choose(&[]).unwrap();
        let second = backends.choose(&[]).unwrap();
        assert_eq!(first.backend().index(), 0);
        assert_eq!(second.backend().index(), 1);
        drop(second);
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("b:1"));
    }
}
