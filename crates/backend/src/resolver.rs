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
/// A resolver that is silent for longer is treated as failing.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// One backend's addresses. Literal addresses are never looked up.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Held during a look-up: a burst of clients asks once.
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    addresses: Vec<SocketAddr>,
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
                fresh_until: None,
            }),
        }
    }

    /// All addresses of `address`, in the resolver's order.
    ///
    /// # Errors
    /// The resolver's, when it never answered before.
    pub(crate) async fn resolve(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        let mut cache = self.cache.lock().await;
        let Target::Name(host, port) = address.target() else {
            return Ok(cache.addresses.clone());
        };
        let now = Instant::now();
        if cache.fresh_until.is_some_and(|until| now < until) {
            return Ok(cache.addresses.clone());
        }
        match look_up(host, *port).await {
            Ok(addresses) => cache.addresses = addresses,
            Err(error) if cache.addresses.is_empty() => return Err(error),
            Err(error) => warn!(
                "resolving backend ({address}) failed: {error}; going on with the addresses last known"
            ),
        }
        cache.fresh_until = Some(now + KEPT);
        Ok(cache.addresses.clone())
    }

    /// None of the addresses worked: look again at the next use.
    pub(crate) async fn forget(&self) {
        self.cache.lock().await.fresh_until = None;
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = timeout(LOOKUP_TIMEOUT, lookup_host((host, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"))??
        .collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
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
        resolver.cache.lock().await.addresses.clone_from(&known);
        assert_eq!(resolver.resolve(&address).await.unwrap(), known);
    }
}
