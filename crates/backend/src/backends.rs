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
    is_read_only: AtomicBool,
    /// The operator added it while the program ran.
    is_operators: AtomicBool,
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
    /// A [`Balance`].
    balance: AtomicU8,
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
            balance: AtomicU8::new(balance as u8),
            cursor: AtomicUsize::new(0),
            added: Notify::new(),
        }
    }

    /// By index, those that were removed included: [`Backend::availability`] tells.
    pub fn all(&self) -> Arc<[Arc<Backend>]> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those that were not removed, by index.
    pub fn present(&self) -> Vec<Arc<Backend>> {
        let all = self.all();
        let present = all
            .iter()
            .filter(|backend| backend.availability() != Availability::Removed);
        present.cloned().collect()
    }

    /// How many there are, those that were removed included.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the next client's server is chosen.
    pub fn set_balance(&self, balance: Balance) {
        self.balance.store(balance as u8, Ordering::Relaxed);
    }

    /// Adds a server behind the others, or puts one that was removed back into its place. Its index. It is the operator's.
    ///
    /// # Errors
    /// The address is there already, or there is no place left.
    pub fn add(&self, address: Address, role: Role) -> Result<usize, AddError> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let name = address.to_string();
        let index = match named(&list, &name) {
            Some(known) if !known.is_going() => return Err(AddError::AlreadyKnown(name)),
            Some(known) if known.role() == role => {
                known.set_availability(Availability::InService);
                known.index
            }
            // In another role it is another server: the place of the removed one stays empty.
            _ if list.len() >= BACKENDS_MAX => return Err(AddError::TooMany),
            _ => self.push(&mut list, address, role).index,
        };
        if let Some(backend) = list.get(index) {
            backend.is_operators.store(true, Ordering::Relaxed);
        }
        drop(list);
        self.added.notify_one();
        Ok(index)
    }

    /// Applies what differs between two configurations, and nothing else: what the operator did to servers that stand in
    /// both stays. What became of each, in words.
    ///
    /// # Errors
    /// There is no place for all that are new; then nothing has changed.
    pub fn reconfigure(
        &self,
        before: &[(Address, Role)],
        after: &[(Address, Role)],
    ) -> Result<Vec<String>, AddError> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let role_in = |servers: &[(Address, Role)], name: &str| {
            let found = servers
                .iter()
                .find(|(address, _)| address.to_string() == name);
            found.map(|(_, role)| *role)
        };
        let changed: Vec<_> = after
            .iter()
            .filter(|(address, role)| role_in(before, &address.to_string()) != Some(*role))
            .collect();
        let is_new =
            |(address, _): &&&(Address, Role)| named(&list, &address.to_string()).is_none();
        if list.len() + changed.iter().filter(is_new).count() > BACKENDS_MAX {
            return Err(AddError::TooMany);
        }
        let mut outcomes = Vec::new();
        for (address, _) in before {
            let name = address.to_string();
            if role_in(after, &name).is_none()
                && let Some(backend) = named(&list, &name)
            {
                outcomes.extend(backend.leave());
            }
        }
        for (address, role) in changed {
            outcomes.push(match named(&list, &address.to_string()) {
                Some(known) => known.enter(*role),
                None => {
                    self.push(&mut list, address.clone(), *role);
                    format!("{address} added")
                }
            });
        }
        drop(list);
        self.added.notify_one();
        Ok(outcomes)
    }

    fn push(&self, list: &mut Arc<[Arc<Backend>]>, address: Address, role: Role) -> Arc<Backend> {
        let backend = Arc::new(Backend::new(list.len(), address, role));
        *list = list.iter().chain([&backend]).cloned().collect();
        self.len.store(list.len(), Ordering::Relaxed);
        backend
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
            backend.role() == Role::ReadWrite && backend.takes_clients() && !tried.contains(&index)
        };
        let chosen = match Balance::from_u8(self.balance.load(Ordering::Relaxed)) {
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
                _ if backend.role() != Role::ReadWrite => return None,
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
            is_read_only: AtomicBool::new(role == Role::ReadOnly),
            is_operators: AtomicBool::new(false),
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
        match self.is_read_only.load(Ordering::Relaxed) {
            true => Role::ReadOnly,
            false => Role::ReadWrite,
        }
    }

    /// The operator added it while the program ran, and no configuration has named it since.
    pub fn is_operators(&self) -> bool {
        self.is_operators.load(Ordering::Relaxed)
    }

    /// It was removed, or will be.
    fn is_going(&self) -> bool {
        matches!(
            self.availability(),
            Availability::Leaving | Availability::Removed
        )
    }

    /// The configuration names it, anew or in another role.
    fn enter(&self, role: Role) -> String {
        let (address, was_going, before) = (&self.address, self.is_going(), self.role());
        self.is_operators.store(false, Ordering::Relaxed);
        self.is_read_only
            .store(role == Role::ReadOnly, Ordering::Relaxed);
        if was_going {
            self.set_availability(Availability::InService);
        }
        match (was_going, role) {
            (true, _) => format!("{address} added"),
            (false, _) if before == role => format!("{address} was there already"),
            (false, Role::ReadOnly) => format!("{address} is read-only now"),
            (false, Role::ReadWrite) => format!("{address} is read/write now"),
        }
    }

    /// The configuration names it no longer. `None` where the operator was there first.
    fn leave(&self) -> Option<String> {
        let address = &self.address;
        match self.availability() {
            Availability::Removed => return None,
            Availability::OutOfService => self.set_availability(Availability::Removed),
            Availability::InService | Availability::Draining | Availability::Leaving => {
                self.set_availability(Availability::Leaving);
            }
        }
        self.remove_if_left();
        Some(match self.availability() {
            Availability::Leaving => format!(
                "{address} takes no new clients and is removed after those who have it ({} now)",
                self.clients()
            ),
            _ => format!("{address} removed"),
        })
    }

    /// Whoever sees the last client or idle connection go, or sees that there is none, removes it.
    pub fn remove_if_left(&self) {
        let is_used = || self.clients.load(Ordering::SeqCst) > 0 || !self.pool.is_empty();
        if self.availability() != Availability::Leaving || is_used() {
            return;
        }
        let (leaving, removed) = (Availability::Leaving as u8, Availability::Removed as u8);
        let exchanged = self.availability.compare_exchange(
            leaving,
            removed,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        if exchanged.is_ok() {
            self.pool.set_open(false);
            info!(
                "backend ({}) is removed: nobody has it any more",
                self.address
            );
        }
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

    /// `up` or `down`; `unknown` until it was connected to.
    pub fn state(&self) -> &'static str {
        match (self.is_up(), self.last_address()) {
            (false, _) => "down",
            (true, None) => "unknown",
            (true, Some(_)) => "up",
        }
    }

    /// What the operator says of it.
    pub fn availability(&self) -> Availability {
        Availability::from_u8(self.availability.load(Ordering::SeqCst))
    }

    /// Says whether clients may have it. Idle connections are kept in service, and for those who had it while it is leaving.
    pub fn set_availability(&self, availability: Availability) {
        self.availability
            .store(availability as u8, Ordering::SeqCst);
        let keeps = [Availability::InService, Availability::Leaving];
        self.pool.set_open(keeps.contains(&availability));
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

/// In whatever state; of two that had the address in turn, the one that is there, else the later one.
fn named<'a>(list: &'a [Arc<Backend>], name: &str) -> Option<&'a Arc<Backend>> {
    let of_name = || {
        list.iter()
            .filter(|backend| backend.address.to_string() == name)
    };
    of_name()
        .find(|backend| !backend.is_going())
        .or_else(|| of_name().next_back())
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
        if self.0.clients.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.remove_if_left();
        }
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

    fn servers(text: &str) -> Vec<(Address, Role)> {
        let role = |word: &str| match word.strip_prefix('-') {
            Some(address) => (address.parse().unwrap(), Role::ReadOnly),
            None => (word.parse().unwrap(), Role::ReadWrite),
        };
        text.split_whitespace().map(role).collect()
    }

    fn states(backends: &Backends) -> Vec<String> {
        let all = backends.all();
        let state = |backend: &Arc<Backend>| {
            let (address, role) = (backend.address(), backend.role());
            format!("{address} {role:?} {}", backend.availability())
        };
        all.iter().map(state).collect()
    }

    #[test]
    fn only_what_differs_between_configurations_is_applied() {
        let backends = backends(Balance::RoundRobin);
        let get = |index| backends.get(index).unwrap();
        get(0).set_availability(Availability::Draining);
        let client = backends.take(1).unwrap();
        let (before, after) = (servers("a:1 b:1 -r:1"), servers("a:1 r:1 c:1"));
        let outcomes = backends.reconfigure(&before, &after).unwrap();
        assert_eq!(
            outcomes,
            [
                "b:1 takes no new clients and is removed after those who have it (1 now)",
                "r:1 is read/write now",
                "c:1 added"
            ]
        );
        assert_eq!(
            states(&backends),
            [
                "a:1 ReadWrite draining",
                "b:1 ReadWrite leaving",
                "r:1 ReadWrite in service",
                "c:1 ReadWrite in service"
            ]
        );
        assert!(backends.take(1).is_none());
        drop(client);
        assert!(backends.get(1).is_none());
        assert!(backends.reconfigure(&after, &after).unwrap().is_empty());

        get(2).set_availability(Availability::Removed);
        let outcomes = backends.reconfigure(&after, &before).unwrap();
        assert_eq!(outcomes, ["c:1 removed", "b:1 added", "r:1 added"]);
        assert_eq!(get(0).availability(), Availability::Draining);
        assert_eq!(get(2).role(), Role::ReadOnly);
    }

    #[test]
    fn what_the_operator_added_stays_and_becomes_the_configurations_once_it_is_named() {
        let backends = backends(Balance::RoundRobin);
        let before = servers("a:1 b:1 -r:1");
        backends
            .add("d:1".parse().unwrap(), Role::ReadWrite)
            .unwrap();
        let d = backends.get(3).unwrap();
        assert!(backends.reconfigure(&before, &before).unwrap().is_empty());
        assert!(d.is_operators());
        let after = servers("a:1 b:1 d:1 -r:1");
        let outcomes = backends.reconfigure(&before, &after).unwrap();
        assert_eq!(outcomes, ["d:1 was there already"]);
        assert!(!d.is_operators());
    }

    #[test]
    fn too_many_change_nothing() {
        let backends = backends(Balance::RoundRobin);
        let many = (0..BACKENDS_MAX).map(|port| format!("x:{port} "));
        let after = servers(&many.collect::<String>());
        let before = servers("a:1 b:1 -r:1");
        let refused = backends.reconfigure(&before, &after);
        assert_eq!(refused, Err(AddError::TooMany));
        assert_eq!(backends.len(), 3);
        assert!(backends.all().iter().all(|backend| backend.takes_clients()));
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
