//! What a proxy has done since it started, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Counted by whoever does it.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    accepted: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Since the start.
    pub uptime: Duration,
    /// Clients that are served.
    pub clients: usize,
    /// Clients that were let in so far.
    pub accepted: u64,
    /// Clients that were turned away because they were too many.
    pub refused: u64,
    /// Sessions that ended by a fault of the program itself.
    pub panicked: u64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        }
    }

    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A session is over; called where its end is, also where that is a panic.
    pub(crate) fn ended(&self) {
        if thread::panicking() {
            self.panicked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `clients` are those that are served now.
    pub(crate) fn status(&self, clients: usize) -> Status {
        Status {
            uptime: self.started.elapsed(),
            clients,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
        }
    }
}
