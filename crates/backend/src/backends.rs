//! All servers, each with its state, and the choice among them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::choice::{Balance, least_connections, round_robin};
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
    /// Wakes the probe when the server goes down.
    pub(crate) went_down: Notify,
    clients: AtomicUsize,
    /// The numeric address that answered last.
    last_address: Mutex<Option<SocketAddress>>,
    /// A name that scripts give it.
    uuid: Mutex<Option<Vec<u8>>>,
    pool: Pool,
}

/// All servers, in option order: read/write first, then read-only.
#[derive(Debug)]
pub struct Backends {
    list: Vec<Arc<Backend>>,
    balance: Balance,
    /// One more than the index chosen last; 0 before the first choice.
    cursor: AtomicUsize,
}

/// A client's hold on a backend: it counts as connected until this is dropped.
#[derive(Debug)]
pub struct ClientCount(Arc<Backend>);

impl Backends {
    /// All servers start as up: the first client finds out.
    pub fn new(servers: impl IntoIterator<Item = (Address, Role)>, balance: Balance) -> Self {
        let backend = |(index, (address, role)): (usize, (Address, Role))| {
            Arc::new(Backend {
                index,
                resolver: Resolver::new(&address),
                address,
                role,
                health: Mutex::default(),
                is_up: AtomicBool::new(true),
                went_down: Notify::new(),
                clients: AtomicUsize::new(0),
                last_address: Mutex::default(),
                uuid: Mutex::default(),
                pool: Pool::default(),
            })
        };
        Self {
            list: servers.into_iter().enumerate().map(backend).collect(),
            balance,
            cursor: AtomicUsize::new(0),
        }
    }

    /// In option order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.list.iter()
    }

    /// A read/write backend that is up and not in `tried` (indexes); it counts the client from now on.
    pub fn choose(&self, tried: &[usize]) -> Option<ClientCount> {
        let count = self.list.len();
        let eligible = |index: usize| {
            let backend = &self.list[index];
            backend.role == Role::ReadWrite && backend.is_up() && !tried.contains(&index)
        };
        let chosen = match self.balance {
            Balance::LeastConnections => {
                least_connections(count, |index| self.list[index].clients(), eligible)
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
        chosen.map(|index| ClientCount::new(&self.list[index]))
    }

    /// The backend at `index`, whatever its state.
    pub fn get(&self, index: usize) -> Option<&Arc<Backend>> {
        self.list.get(index)
    }

    /// The backend at `index` if it is up, whatever its role; it counts the client from now on.
    pub fn take(&self, index: usize) -> Option<ClientCount> {
        let backend = self.list.get(index)?;
        backend.is_up().then(|| ClientCount::new(backend))
    }

    /// Why each read/write backend is down, for a log line: `a:3306 (Connection refused), b:3306 (...)`.
    pub fn down_reasons(&self) -> String {
        let reasons = self
            .list
            .iter()
            .filter_map(|backend| match backend.health() {
                Health::Down { reason, .. } if backend.role == Role::ReadWrite => {
                    Some(format!("{} ({reason})", backend.address))
                }
                _ => None,
            });
        reasons.collect::<Vec<_>>().join(", ")
    }
}

impl Backend {
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

    /// Its idle connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Counts a client that has a connection already.
    pub fn hold(self: &Arc<Self>) -> ClientCount {
        ClientCount::new(self)
    }

    /// True when it takes new clients.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Takes it out of the choice until a probe succeeds. Logs when this is news.
    pub fn mark_down(&self, now: Instant, reason: &str) {
        let mut health = lock(&self.health);
        let is_news = health.mark_down(now, reason.to_owned());
        self.is_up.store(false, Ordering::Relaxed);
        drop(health);
        if is_news {
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

    /// Puts it back into the choice. Logs when this is news.
    pub fn mark_up(&self, now: Instant) {
        let mut health = lock(&self.health);
        let down_for = health.mark_up(now);
        self.is_up.store(true, Ordering::Relaxed);
        drop(health);
        if let Some(down_for) = down_for {
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
        let b = &backends.list[1];
        b.mark_down(Instant::now(), "Connection refused");
        assert_eq!(backends.down_reasons(), "b:1 (Connection refused)");
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("a:1"));
        assert_eq!(chosen(&backends, &[0]), None);
        b.mark_up(Instant::now());
        assert_eq!(chosen(&backends, &[]).as_deref(), Some("b:1"));
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
