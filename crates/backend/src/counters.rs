//! What became of one backend so far, in numbers. None of it is counted for each query.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::DOWN_REASONS_MAX;

/// What reasons beyond [`DOWN_REASONS_MAX`] are counted as.
const OTHER: &str = "other";

/// Counted by whoever finds out.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BackendHistory>);

/// What became of one backend since it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendHistory {
    /// How often it was marked down, by reason. There are so many reasons at most, and `other`.
    pub downs: BTreeMap<String, u64>,
    /// How often it was taken back.
    pub ups: u64,
    /// How often it was tried while it was down.
    pub probes: u64,
    /// What the latest of these took, up to the greeting or the failure.
    pub last_probe: Duration,
}

impl Counters {
    pub(crate) fn history(&self) -> BackendHistory {
        self.lock().clone()
    }

    pub(crate) fn went_down(&self, reason: &str) {
        let downs = &mut self.lock().downs;
        let is_known = downs.contains_key(reason) || downs.len() < DOWN_REASONS_MAX;
        let reason = if is_known { reason } else { OTHER };
        *downs.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn came_up(&self) {
        self.lock().ups += 1;
    }

    pub(crate) fn probed(&self, took: Duration) {
        let mut history = self.lock();
        history.probes += 1;
        history.last_probe = took;
    }

    fn lock(&self) -> MutexGuard<'_, BackendHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded() {
        let counters = Counters::default();
        for n in 0..100 {
            counters.went_down(&format!("reason {}", n % 50));
        }
        let downs = counters.history().downs;
        assert_eq!(downs.len(), DOWN_REASONS_MAX + 1);
        assert_eq!(downs["reason 0"], 2);
        assert_eq!(downs.values().sum::<u64>(), 100);
    }
}
