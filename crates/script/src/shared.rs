//! `proxy.shared`: a dictionary that all Lua states of a process share. Values are strings, numbers and booleans; each
//! operation is atomic. Bounded in bytes: what does not fit is refused, nothing is thrown out that has not expired.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

/// What an entry takes beside its key and its string: about what the map and two allocations need.
const ENTRY_BYTES: usize = 128;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
}

/// Why an entry is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("full")]
    Full,
    #[error("exists")]
    Exists,
    #[error("not found")]
    NotFound,
    #[error("not a number")]
    NotANumber,
}

/// The dictionary.
#[derive(Debug)]
pub struct Shared {
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Vec<u8>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Stored,
    /// `None`: never.
    expires_at: Option<Instant>,
}

impl Shared {
    /// Empty; keys and values together, with what it takes to keep them, take at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Stored> {
        self.entries().live(key).map(|entry| entry.value.clone())
    }

    /// Replaces what is there. It lives for `ttl`, or for ever.
    pub(crate) fn set(
        &self,
        key: &[u8],
        value: Stored,
        ttl: Option<Duration>,
    ) -> Result<(), Refused> {
        self.entries().put(key, value, expiry(ttl), self.bytes_max)
    }

    /// As [`Self::set`], where there is nothing yet.
    pub(crate) fn add(
        &self,
        key: &[u8],
        value: Stored,
        ttl: Option<Duration>,
    ) -> Result<(), Refused> {
        let mut entries = self.entries();
        match entries.live(key) {
            Some(_) => Err(Refused::Exists),
            None => entries.put(key, value, expiry(ttl), self.bytes_max),
        }
    }

    /// Adds to a number, which keeps its time to live; where there is nothing, to `initial`. Returns the sum.
    pub(crate) fn incr(
        &self,
        key: &[u8],
        amount: f64,
        initial: Option<f64>,
        ttl: Option<Duration>,
    ) -> Result<f64, Refused> {
        let mut entries = self.entries();
        if let Some(entry) = entries.live(key) {
            let Stored::Number(number) = &mut entry.value else {
                return Err(Refused::NotANumber);
            };
            *number += amount;
            return Ok(*number);
        }
        let sum = initial.ok_or(Refused::NotFound)? + amount;
        entries.put(key, Stored::Number(sum), expiry(ttl), self.bytes_max)?;
        Ok(sum)
    }

    /// Tells whether there was something.
    pub(crate) fn delete(&self, key: &[u8]) -> bool {
        let mut entries = self.entries();
        let was_there = entries.live(key).is_some();
        entries.remove(key);
        was_there
    }

    /// How long it still lives: `None` where there is nothing, `Some(None)` for ever.
    pub(crate) fn ttl(&self, key: &[u8]) -> Option<Option<Duration>> {
        let mut entries = self.entries();
        let entry = entries.live(key)?;
        let now = Instant::now();
        Some(entry.expires_at.map(|at| at.saturating_duration_since(now)))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// One that has not expired.
    fn live(&mut self, key: &[u8]) -> Option<&mut Entry> {
        if self.by_key.get(key)?.has_expired(Instant::now()) {
            self.remove(key);
            return None;
        }
        self.by_key.get_mut(key)
    }

    fn put(
        &mut self,
        key: &[u8],
        value: Stored,
        expires_at: Option<Instant>,
        bytes_max: usize,
    ) -> Result<(), Refused> {
        let bytes = bytes_of(key, &value);
        if self.bytes_without(key) + bytes > bytes_max {
            self.remove_expired();
            if self.bytes_without(key) + bytes > bytes_max {
                return Err(Refused::Full);
            }
        }
        self.remove(key);
        self.bytes += bytes;
        self.by_key
            .insert(key.to_vec(), Entry { value, expires_at });
        Ok(())
    }

    fn bytes_without(&self, key: &[u8]) -> usize {
        let entry = self.by_key.get(key);
        self.bytes - entry.map_or(0, |entry| bytes_of(key, &entry.value))
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= bytes_of(key, &entry.value);
        }
    }

    fn remove_expired(&mut self) {
        let now = Instant::now();
        let Self { by_key, bytes } = self;
        by_key.retain(|key, entry| {
            let is_live = !entry.has_expired(now);
            if !is_live {
                *bytes -= bytes_of(key, &entry.value);
            }
            is_live
        });
    }
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

fn expiry(ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| Instant::now().checked_add(ttl))
}

fn bytes_of(key: &[u8], value: &Stored) -> usize {
    let value = match value {
        Stored::String(text) => text.len(),
        Stored::Number(_) | Stored::Boolean(_) => 0,
    };
    ENTRY_BYTES + key.len() + value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Stored {
        Stored::String(text.into())
    }

    #[test]
    fn values_are_kept_and_replaced() {
        let shared = Shared::new(10_000);
        assert_eq!(shared.get(b"k"), None);
        for value in [
            text("a"),
            Stored::Number(1.5),
            Stored::Boolean(false),
            text(""),
        ] {
            shared.set(b"k", value.clone(), None).unwrap();
            assert_eq!(shared.get(b"k"), Some(value));
        }
        assert!(shared.delete(b"k") && !shared.delete(b"k"));
        assert_eq!(shared.entries().bytes, 0);
    }

    #[test]
    fn only_the_first_adds() {
        let shared = Shared::new(10_000);
        assert_eq!(shared.add(b"k", text("a"), None), Ok(()));
        assert_eq!(shared.add(b"k", text("b"), None), Err(Refused::Exists));
        assert_eq!(shared.get(b"k"), Some(text("a")));
    }

    #[test]
    fn numbers_are_counted() {
        let shared = Shared::new(10_000);
        assert_eq!(shared.incr(b"n", 1.0, None, None), Err(Refused::NotFound));
        assert_eq!(shared.incr(b"n", 1.0, Some(10.0), None), Ok(11.0));
        assert_eq!(shared.incr(b"n", -0.5, Some(10.0), None), Ok(10.5));
        shared.set(b"t", text("1"), None).unwrap();
        assert_eq!(
            shared.incr(b"t", 1.0, Some(0.0), None),
            Err(Refused::NotANumber)
        );
    }

    #[test]
    fn what_has_expired_is_not_there() {
        let shared = Shared::new(10_000);
        shared
            .set(b"gone", text("a"), Some(Duration::ZERO))
            .unwrap();
        assert_eq!(shared.get(b"gone"), None);
        assert_eq!(shared.ttl(b"gone"), None);
        assert_eq!(
            shared.add(b"gone", text("b"), Some(Duration::from_secs(60))),
            Ok(())
        );
        let left = shared.ttl(b"gone").unwrap().unwrap();
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
        shared
            .set(b"stays", text("a"), Some(Duration::MAX))
            .unwrap();
        assert_eq!(shared.ttl(b"stays"), Some(None));
    }

    #[test]
    fn it_is_bounded_and_only_what_has_expired_makes_room() {
        let shared = Shared::new(10 * (ENTRY_BYTES + 2));
        for key in 0..10_u8 {
            let ttl = (key >= 8).then_some(Duration::ZERO);
            shared.set(&[key], text("v"), ttl).unwrap();
        }
        for key in [100, 101] {
            assert_eq!(shared.set(&[key], text("v"), None), Ok(()));
        }
        assert_eq!(shared.set(&[102], text("v"), None), Err(Refused::Full));
        assert_eq!(
            shared.incr(&[102], 1.0, Some(0.0), None),
            Err(Refused::Full)
        );
        assert_eq!(shared.get(&[0]), Some(text("v")));
        // One that is there may be replaced by one that is not larger.
        assert_eq!(shared.set(&[0], text("w"), None), Ok(()));
        assert_eq!(shared.set(&[0], text("ww"), None), Err(Refused::Full));
        assert_eq!(shared.get(&[0]), Some(text("w")));
        assert!(shared.delete(&[0]));
        assert_eq!(shared.set(&[102], text("v"), None), Ok(()));
    }
}
