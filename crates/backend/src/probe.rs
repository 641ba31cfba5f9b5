//! Takes back servers that are down: each is tried until it greets.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::Backend;
use crate::abandoned_login::{self, Stage};
use crate::connector::{ConnectError, Timeouts, connect};

/// Between two tries of a server that is down. Documented: it is tried again after 4 s at the latest.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Watches one backend for ever. Costs nothing while the backend is up.
pub async fn watch(backend: Arc<Backend>, timeouts: Timeouts) {
    loop {
        while backend.is_up() {
            backend.went_down.notified().await;
        }
        sleep(PROBE_INTERVAL).await;
        try_once(&backend, timeouts).await;
    }
}

/// A server that refuses us with an ERR lives: clients are to hear that from it.
async fn try_once(backend: &Backend, timeouts: Timeouts) {
    match connect(backend, timeouts).await {
        Ok(greeted) => {
            backend.mark_up(Instant::now());
            abandoned_login::end(greeted.stream, Stage::Greeted(&greeted.handshake)).await;
        }
        Err(ConnectError::Refused(_)) => backend.mark_up(Instant::now()),
        Err(ConnectError::Shortage(reason)) => {
            debug!("backend ({}) cannot be tried: {reason}", backend.address());
        }
        Err(ConnectError::Unreachable(reason)) => {
            debug!("backend ({}) is still down: {reason}", backend.address());
            backend.mark_down(Instant::now(), &reason);
        }
    }
}
