//! The queue between the sessions and a thread that writes, or sends, what they note.
//!
//! No session ever waits for it: what it has no room for is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// What became of what sessions noted. An item may count as several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueReport {
    /// What went into the queue.
    pub queued: u64,
    /// What was written, or sent.
    pub written: u64,
    /// What there was no room for in the queue.
    pub dropped: u64,
    /// What could not be written, or sent.
    pub failed: u64,
}

impl QueueReport {
    /// Some of what was queued is still to be written.
    pub fn is_behind(&self) -> bool {
        self.written + self.failed < self.queued
    }
}

/// The sessions' end.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: SyncSender<T>,
    counts: Arc<Counts>,
}

/// The end of whoever writes.
#[derive(Debug)]
pub(crate) struct QueueReader<T> {
    receiver: Receiver<T>,
    counts: Arc<Counts>,
    /// As of when it began to drop.
    dropped_before: u64,
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    is_dropping: AtomicBool,
}

/// Both ends of a queue with room for so many items.
pub(crate) fn queue<T>(room: usize) -> (Queue<T>, QueueReader<T>) {
    let (sender, receiver) = sync_channel(room);
    let counts = Arc::default();
    let queue = Queue {
        sender,
        counts: Arc::clone(&counts),
    };
    let reader = QueueReader {
        receiver,
        counts,
        dropped_before: 0,
    };
    (queue, reader)
}

impl<T> Queue<T> {
    /// An item that counts as so many. True where this is the first that is dropped since the queue had room.
    pub(crate) fn put(&self, item: T, count: u64) -> bool {
        let counts = &self.counts;
        match self.sender.try_send(item) {
            Ok(()) => {
                counts.queued.fetch_add(count, Ordering::Relaxed);
                false
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                counts.dropped.fetch_add(count, Ordering::Relaxed);
                !counts.is_dropping.swap(true, Ordering::AcqRel)
            }
        }
    }

    pub(crate) fn report(&self) -> QueueReport {
        self.counts.report()
    }
}

impl<T> QueueReader<T> {
    /// The next one; waits for it as long as it takes.
    pub(crate) fn wait(&self) -> Option<T> {
        self.receiver.recv().ok()
    }

    /// The next one, if it is there.
    pub(crate) fn next_at_once(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// The reader has all that there was: how much was dropped before, where that is news.
    pub(crate) fn catch_up(&mut self) -> Option<u64> {
        let counts = &self.counts;
        if !counts.is_dropping.swap(false, Ordering::AcqRel) {
            return None;
        }
        let dropped = counts.dropped.load(Ordering::Relaxed);
        Some(dropped - std::mem::replace(&mut self.dropped_before, dropped))
    }

    /// Says what became of so many.
    pub(crate) fn count(&self, written: u64, failed: u64) {
        self.counts.written.fetch_add(written, Ordering::Relaxed);
        self.counts.failed.fetch_add(failed, Ordering::Relaxed);
    }
}

impl Counts {
    fn report(&self) -> QueueReport {
        QueueReport {
            queued: self.queued.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
