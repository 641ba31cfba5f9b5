//! What one task of many workers has at a time, mostly for a microsecond.
//!
//! Not first come, first served: with a queue that hands over, a worker that loses its CPU while it has the turn makes a
//! queue, and from then on each turn goes to a task of another thread that has to be woken, which takes ten times as long
//! as the turn. Here whoever finds it free takes it, and one of those who wait is woken to try again.

use std::hint;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, TryLockError};

use tokio::sync::Notify;

/// How often a turn that is taken is tried again before it is waited for: about two microseconds.
const SPINS: usize = 40;

/// A value that is taken in turns.
pub(crate) struct Turns<T> {
    value: Mutex<T>,
    waiting: AtomicUsize,
    /// Somebody was woken and has not tried yet. One at a time: a wake costs a system call.
    is_called: AtomicBool,
    freed: Notify,
}

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            waiting: AtomicUsize::new(0),
            is_called: AtomicBool::new(false),
            freed: Notify::new(),
        }
    }

    /// Lends the value to `visit` as soon as nobody else has it.
    pub(crate) async fn with<R>(&self, visit: impl FnOnce(&mut T) -> R) -> R {
        if let Some(mut value) = self.try_repeatedly() {
            return visit(&mut value);
        }
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut freed = pin!(self.freed.notified());
            let is_called = freed.as_mut().enable();
            if !is_called {
                // A call that comes meanwhile goes on to the next one when `freed` is dropped.
                if let Some(mut value) = self.try_repeatedly() {
                    return visit(&mut value);
                }
                freed.await;
            }
            self.is_called.store(false, Ordering::SeqCst);
        }
    }

    fn try_repeatedly(&self) -> Option<Turn<'_, T>> {
        for _ in 0..SPINS {
            let value = match self.value.try_lock() {
                Ok(value) => value,
                // Whoever panicked has seen to the value.
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    hint::spin_loop();
                    continue;
                }
            };
            return Some(Turn {
                value,
                _next: Next(self),
            });
        }
        None
    }

    fn call_next(&self) {
        // Either the one who starts to wait finds the lock free, or it is seen here.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 && !self.is_called.swap(true, Ordering::SeqCst) {
            self.freed.notify_one();
        }
    }
}

/// Counts one who waits, however that ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The value, until this is dropped.
struct Turn<'a, T> {
    value: MutexGuard<'a, T>,
    /// Behind `value`, so that it is free when the next one is called.
    _next: Next<'a, T>,
}

struct Next<'a, T>(&'a Turns<T>);

impl<T> Drop for Next<'_, T> {
    fn drop(&mut self) {
        self.0.call_next();
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::thread;
    use std::time::Duration;

    use tokio::runtime;
    use tokio::time::timeout;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(future)
    }

    /// Long enough that others find the value taken, and have to wait for it.
    fn work(value: &mut u64) {
        let before = *value;
        for _ in 0..2_000 {
            hint::spin_loop();
        }
        *value = before + 1;
    }

    #[test]
    fn everyone_gets_a_turn_and_none_overlaps() {
        const THREADS: u64 = 3;
        const TASKS: u64 = 20;
        const TURNS: u64 = 50;
        let turns = Arc::new(Turns::new(0));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let turns = Arc::clone(&turns);
                thread::spawn(move || {
                    block_on(async {
                        let mut tasks = tokio::task::JoinSet::new();
                        for _ in 0..TASKS {
                            let turns = Arc::clone(&turns);
                            tasks.spawn(async move {
                                for _ in 0..TURNS {
                                    turns.with(work).await;
                                    tokio::task::yield_now().await;
                                }
                            });
                        }
                        let all = timeout(Duration::from_secs(60), tasks.join_all());
                        all.await.expect("nobody waits for ever");
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("all tasks ended");
        }
        assert_eq!(
            block_on(turns.with(|value| *value)),
            THREADS * TASKS * TURNS
        );
        assert_eq!(turns.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_turn_to_others() {
        let turns = Arc::new(Turns::new(AtomicU64::new(0)));
        block_on(async {
            let taken = turns.try_repeatedly().expect("it is free");
            let impatient = timeout(Duration::from_millis(1), turns.with(|_| ()));
            assert!(impatient.await.is_err(), "it is taken");
            let patient = Arc::clone(&turns);
            let mut patient = pin!(patient.with(|value| value.fetch_add(1, Ordering::SeqCst)));
            let still = timeout(Duration::from_millis(1), patient.as_mut());
            assert!(still.await.is_err(), "it is taken");
            drop(taken);
            let got = timeout(Duration::from_secs(20), patient);
            assert_eq!(got.await, Ok(0));
        });
        assert_eq!(turns.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_panic_frees_it() {
        let turns = Arc::new(Turns::new(1));
        let other = Arc::clone(&turns);
        let panicked = thread::spawn(move || {
            block_on(other.with(|_: &mut i32| panic!("on purpose")));
        });
        assert!(panicked.join().is_err());
        assert_eq!(block_on(turns.with(|value| *value)), 1);
    }
}
