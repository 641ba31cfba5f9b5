//! Host names to socket addresses: looked up off the workers, kept a while, and served on when the resolver fails.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::{Address, Target};

/// Long enough to spare the resolver a burst of clients, short enough to follow a failover by DNS.
const KEPT: Duration = Duration::from_secs(5);
/// A failure is for those who asked while it came about, not for those who ask later.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// A resolver that is silent for longer is treated as failing.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// One backend's addresses. Literal addresses are never looked up.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Held during a look-up: a burst of clients asks once.
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    addresses: Vec<SocketAddr>,
    /// Of the latest look-up, when no addresses are known.
    failure: Option<io::Error>,
    /// When to look again; `None`: at the next use.
    fresh_until: Option<Instant>,
}

impl Resolver {
    pub(crate) fn new(address: &Address) -> Self {
        let addresses = match address.target() {
            Target::Ip(ip, port) => vec![SocketAddr::new(*ip, *port)],
            Target::Name(..) | Target::Unix(_) => Vec::new(),
        };
        Self {
            cache: Mutex::new(Cache {
                addresses,
                ..Cache::default()
            }),
        }
    }

    /// All addresses of `address`, in the resolver's order.
    ///
    /// # Errors
    /// The resolver's, when it never answered before.
    pub(crate) async fn resolve(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        self.resolve_by(address, look_up).await
    }

    async fn resolve_by(
        &self,
        address: &Address,
        look_up: impl AsyncFnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let mut cache = self.cache.lock().await;
        if let Target::Name(host, port) = address.target()
            && cache
                .fresh_until
                .is_none_or(|until| until <= Instant::now())
        {
            let found = look_up(host, *port).await;
            cache.keep(found, address);
        }
        match &cache.failure {
            Some(error) => Err(same(error)),
            None => Ok(cache.addresses.clone()),
        }
    }

    /// None of the addresses worked: look again at the next use.
    pub(crate) async fn forget(&self) {
        self.cache.lock().await.fresh_until = None;
    }
}

impl Cache {
    fn keep(&mut self, found: io::Result<Vec<SocketAddr>>, address: &Address) {
        let mut kept = KEPT;
        self.failure = None;
        match found {
            Ok(addresses) => self.addresses = addresses,
            Err(error) if self.addresses.is_empty() => {
                self.failure = Some(error);
                kept = FAILURE_KEPT;
            }
            Err(error) => warn!(
                "resolving backend ({address}) failed: {error}; going on with the addresses last known"
            ),
        }
        self.fresh_until = Some(Instant::now() + kept);
    }
}

/// The error once more, the system's number included.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = within(LOOKUP_TIMEOUT, lookup_host((host, port))).await?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

async fn within<T>(
    deadline: Duration,
    look_up: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(deadline, look_up).await.unwrap_or_else(|_| {
        let text = "the resolver did not answer";
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        let address: Address = "[::1]:3307".parse().unwrap();
        let resolved = Resolver::new(&address).resolve(&address).await.unwrap();
        assert_eq!(resolved, ["[::1]:3307".parse().unwrap()]);
    }

    #[tokio::test]
    async fn the_last_addresses_serve_on_when_the_resolver_fails() {
        let address: Address = "no-such-host.invalid:3306".parse().unwrap();
        let resolver = Resolver::new(&address);
        assert!(resolver.resolve(&address).await.is_err());
        let known = vec!["127.0.0.1:3306".parse().unwrap()];
        *resolver.cache.lock().await = Cache {
            addresses: known.clone(),
            ..Cache::default()
        };
        assert_eq!(resolver.resolve(&address).await.unwrap(), known);
    }

    /// A resolver that never answers anybody, and how often it was asked.
    async fn silent(asked: &Cell<u32>) -> io::Result<Vec<SocketAddr>> {
        asked.set(asked.get() + 1);
        within(LOOKUP_TIMEOUT, pending()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_clients_waits_for_one_failure() {
        let address: Address = "db.example:3306".parse().unwrap();
        let resolver = Resolver::new(&address);
        let asked = Cell::new(0);
        let resolve = || resolver.resolve_by(&address, async |_, _| silent(&asked).await);
        let started = Instant::now();
        let (a, b, c) = tokio::join!(resolve(), resolve(), resolve());
        for error in [a.unwrap_err(), b.unwrap_err(), c.unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "the resolver did not answer");
        }
        assert_eq!((asked.get(), started.elapsed()), (1, LOOKUP_TIMEOUT));
        sleep(FAILURE_KEPT).await;
        let known: Vec<SocketAddr> = vec!["127.0.0.1:3306".parse().unwrap()];
        let found = resolver.resolve_by(&address, async |_, _| Ok(known.clone()));
        assert_eq!(found.await.unwrap(), known);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_clients_gets_the_addresses_last_known_after_one_failure() {
        let address: Address = "db.example:3306".parse().unwrap();
        let resolver = Resolver::new(&address);
        let known: Vec<SocketAddr> = vec!["127.0.0.1:3306".parse().unwrap()];
        resolver.cache.lock().await.addresses.clone_from(&known);
        let asked = Cell::new(0);
        let resolve = || resolver.resolve_by(&address, async |_, _| silent(&asked).await);
        let started = Instant::now();
        let (a, b) = tokio::join!(resolve(), resolve());
        assert_eq!((a.unwrap(), b.unwrap()), (known.clone(), known));
        assert_eq!((asked.get(), started.elapsed()), (1, LOOKUP_TIMEOUT));
    }

    #[test]
    fn a_kept_failure_is_still_the_systems() {
        let error = io::Error::from_raw_os_error(24);
        assert_eq!(same(&error).raw_os_error(), Some(24));
        assert_eq!(same(&error).to_string(), error.to_string());
    }
}
