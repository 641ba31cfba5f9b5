//! How fast passwords can be tried: behind each wrong one, its address waits. An operator elsewhere does not.
//!
//! There are so many gates, and each address has one of them: two addresses may share theirs, but nobody can say which.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{sleep, timeout};

use crate::limits::{DENIAL_PAUSE, TURN_TIME};

const GATES: usize = 64;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// The right to try a password. Nobody else from the address has it meanwhile.
#[derive(Debug)]
pub(crate) struct Turn(OwnedMutexGuard<()>);

impl Gates {
    pub(crate) fn new() -> Self {
        Self {
            gates: (0..GATES).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits until nobody else from there tries. `None` where that takes too long.
    pub(crate) async fn turn(&self, address: Option<IpAddr>) -> Option<Turn> {
        let gate = self.hasher.hash_one(address.map(network)) as usize % GATES;
        let gate = Arc::clone(self.gates.get(gate)?);
        let turn = timeout(TURN_TIME, gate.lock_owned()).await;
        turn.ok().map(Turn)
    }
}

impl Turn {
    /// The password was wrong. Whoever tried does not get around the pause by closing the connection.
    pub(crate) async fn denied(self) {
        let pause = tokio::spawn(async move {
            sleep(DENIAL_PAUSE).await;
            drop(self.0);
        });
        // It does not panic.
        let _ = pause.await;
    }
}

/// What one host has: with IPv6 that is a network of /64.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn behind_a_wrong_password_the_next_one_waits() {
        let gates = Gates::new();
        let started = tokio::time::Instant::now();
        drop(gates.turn(Some(HERE)).await.unwrap());
        drop(gates.turn(Some(HERE)).await.unwrap());
        assert_eq!(started.elapsed().as_secs(), 0, "a right one costs nothing");
        let turn = gates.turn(Some(HERE)).await.unwrap();
        // Who tried does not wait for the answer.
        let _ = timeout(DENIAL_PAUSE / 10, turn.denied()).await;
        let turn = gates.turn(Some(HERE)).await.unwrap();
        assert!(started.elapsed() >= DENIAL_PAUSE);
        assert!(gates.turn(Some(HERE)).await.is_none(), "it is taken");
        drop(turn);
    }

    #[test]
    fn neighbours_in_ipv6_are_one() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
