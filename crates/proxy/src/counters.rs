//! What a proxy has done since it started, in numbers.
//!
//! What is counted for each query belongs to a worker and is written by its thread alone: an increment is a load and a store, and
//! no two threads share what they write. Whoever wants to know sums it up. What is rare is counted for all at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use protocol::Command;
use protocol::response_tracker::Summary;
use tokio::time::{Instant, sleep_until};

/// Upper bounds of the histograms' buckets, in microseconds; what took longer is in one more.
pub const DURATION_BUCKETS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// Between two beats of a worker.
const BEAT: Duration = Duration::from_secs(1);

/// Counted by whoever does it.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    accepted: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
    /// Ends of sessions that were not the client's own goodbye, by reason.
    failed: Mutex<BTreeMap<&'static str, u64>>,
    /// By peer and outcome.
    tls_handshakes: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    workers: Box<[WorkerCounters]>,
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

/// What was done for clients, summed over all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Responses by the command that they were to.
    pub commands: BTreeMap<u8, u64>,
    /// ERRs among them by code.
    pub errors: BTreeMap<u16, u64>,
    /// Rows of all resultsets, and their packets' bytes with headers.
    pub rows: (u64, u64),
    /// Commands that clients had an answer to: from its last byte that was there at first to the answer's last byte to the
    /// client, with all that a script, a pool and servers took.
    pub answers: Durations,
    /// Requests of scripts for another backend that came to nothing, by what the connection is needed for.
    pub pins: BTreeMap<&'static str, u64>,
    /// TLS handshakes by whose they were with and the version, or `failed`.
    pub tls_handshakes: BTreeMap<(&'static str, &'static str), u64>,
    /// What each backend did, by its index.
    pub backends: BTreeMap<usize, BackendWork>,
    /// Ends of sessions that were not the client's own goodbye, by reason.
    pub failed_sessions: BTreeMap<&'static str, u64>,
}

/// What one backend did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendWork {
    /// Responses that ended with an ERR.
    pub errors: u64,
    /// From the command's last byte to the response's, both as the backend's connection had them.
    pub durations: Durations,
}

/// How one worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerReport {
    /// How late it lately got to a task whose time had come: hooks of scripts and other sessions went first.
    pub lag: Duration,
    /// Memory of the buffers that its sessions have borrowed, in bytes, a second ago at most.
    pub buffer_bytes: usize,
}

/// A histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many fell into each of [`DURATION_BUCKETS`], and into the one above them.
    pub counts: [u64; DURATION_BUCKETS.len() + 1],
    /// Of all of them.
    pub sum: Duration,
}

/// Written by one thread, read by any.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, n: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(sum, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker did.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    commands: [Count; 256],
    rows: Count,
    row_bytes: Count,
    answers: DurationCounts,
    /// By reason, see `errors`.
    pins: Mutex<BTreeMap<&'static str, u64>>,
    /// By code. An ERR is rare enough for a lock that nobody else wants.
    errors: Mutex<BTreeMap<u16, u64>>,
    /// By index; made when the first query goes there.
    backends: Box<[OnceLock<Box<BackendCounters>>]>,
    beat: Beat,
}

/// A worker's task that is due again and again.
#[derive(Debug, Default)]
struct Beat {
    /// When it last ran, in microseconds since the start; 0 before the first time.
    at: AtomicU64,
    /// How late that was, in microseconds.
    late: AtomicU64,
    buffer_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct BackendCounters {
    errors: Count,
    durations: DurationCounts,
}

#[derive(Debug, Default)]
struct DurationCounts {
    counts: [Count; DURATION_BUCKETS.len() + 1],
    nanos: Count,
}

impl DurationCounts {
    fn add(&self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let bucket = DURATION_BUCKETS.partition_point(|bound| *bound < micros);
        self.counts[bucket].add(1);
        self.nanos.add(duration.as_nanos() as u64);
    }

    fn add_to(&self, durations: &mut Durations) {
        for (sum, count) in durations.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        durations.sum += Duration::from_nanos(self.nanos.get());
    }
}

impl WorkerCounters {
    fn new() -> Self {
        Self {
            commands: [const { Count(AtomicU64::new(0)) }; 256],
            rows: Count::default(),
            row_bytes: Count::default(),
            answers: DurationCounts::default(),
            pins: Mutex::default(),
            errors: Mutex::default(),
            backends: (0..backend::limits::BACKENDS_MAX)
                .map(|_| OnceLock::new())
                .collect(),
            beat: Beat::default(),
        }
    }

    /// A response has ended. The calling thread is this worker's.
    pub(crate) fn responded(
        &self,
        command: Command,
        backend: Option<usize>,
        summary: &Summary,
        duration: Duration,
    ) {
        self.commands[usize::from(command.0)].add(1);
        if summary.rows > 0 {
            self.rows.add(summary.rows);
            self.row_bytes.add(summary.row_bytes);
        }
        if let Some(code) = summary.error_code {
            *locked(&self.errors).entry(code).or_default() += 1;
        }
        if let Some(counters) = backend.and_then(|index| self.backends.get(index)) {
            let counters = counters.get_or_init(Box::default);
            counters.errors.add(u64::from(summary.is_err));
            counters.durations.add(duration);
        }
    }

    /// A command has its answer. The calling thread is this worker's.
    pub(crate) fn answered(&self, duration: Duration) {
        self.answers.add(duration);
    }

    /// A script wanted another backend, and the connection is needed for this.
    pub(crate) fn pinned(&self, reason: &'static str) {
        *locked(&self.pins).entry(reason).or_default() += 1;
    }

    fn add_to(&self, work: &mut Work) {
        for (command, count) in (0..=u8::MAX).zip(&self.commands) {
            if count.get() > 0 {
                *work.commands.entry(command).or_default() += count.get();
            }
        }
        for (code, count) in &*locked(&self.errors) {
            *work.errors.entry(*code).or_default() += count;
        }
        for (reason, count) in &*locked(&self.pins) {
            *work.pins.entry(reason).or_default() += count;
        }
        self.answers.add_to(&mut work.answers);
        work.rows.0 += self.rows.get();
        work.rows.1 += self.row_bytes.get();
        for (index, counters) in self.backends.iter().enumerate() {
            let Some(counters) = counters.get() else {
                continue;
            };
            let backend = work.backends.entry(index).or_default();
            backend.errors += counters.errors.get();
            counters.durations.add_to(&mut backend.durations);
        }
    }
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            started: Instant::now(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            failed: Mutex::default(),
            tls_handshakes: Mutex::default(),
            workers: (0..workers).map(|_| WorkerCounters::new()).collect(),
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

    /// It was not its client's own goodbye.
    pub(crate) fn failed(&self, reason: &'static str) {
        *locked(&self.failed).entry(reason).or_default() += 1;
    }

    /// A TLS handshake is over. `peer` is `client` or `backend`, `outcome` a version or `failed`.
    pub(crate) fn tls_handshake(&self, peer: &'static str, outcome: &'static str) {
        *locked(&self.tls_handshakes)
            .entry((peer, outcome))
            .or_default() += 1;
    }

    /// Those of one worker.
    pub(crate) fn worker(&self, index: usize) -> &WorkerCounters {
        // There is at least one.
        &self.workers[index % self.workers.len()]
    }

    /// Notes again and again that this worker gets to its tasks. The calling task is the worker's.
    pub(crate) async fn beat(&self, worker: usize) {
        let beat = &self.worker(worker).beat;
        let mut due = Instant::now();
        loop {
            let now = Instant::now();
            let micros = |time: Duration| time.as_micros() as u64;
            beat.late.store(micros(now - due), Ordering::Relaxed);
            let buffers = crate::buffer::in_use();
            beat.buffer_bytes.store(buffers, Ordering::Relaxed);
            beat.at.store(micros(now - self.started), Ordering::Relaxed);
            due = now + BEAT;
            sleep_until(due).await;
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerReport> {
        let report = |worker: &WorkerCounters| {
            let Beat {
                at,
                late,
                buffer_bytes,
            } = &worker.beat;
            let at = Duration::from_micros(at.load(Ordering::Relaxed));
            let silent = self.started.elapsed().saturating_sub(at);
            let late = Duration::from_micros(late.load(Ordering::Relaxed));
            WorkerReport {
                lag: late.max(silent.saturating_sub(BEAT)),
                buffer_bytes: buffer_bytes.load(Ordering::Relaxed),
            }
        };
        self.workers.iter().map(report).collect()
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

    pub(crate) fn work(&self) -> Work {
        let mut work = Work {
            failed_sessions: locked(&self.failed).clone(),
            tls_handshakes: locked(&self.tls_handshakes).clone(),
            ..Work::default()
        };
        self.workers
            .iter()
            .for_each(|worker| worker.add_to(&mut work));
        work
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_get_to_its_tasks_lags() {
        let counters = Counters::new(1);
        let lag = || counters.workers()[0].lag;
        let beats = async {
            tokio::time::sleep(BEAT * 3).await;
            assert!(lag() < BEAT);
            // Nobody else runs while the clock goes on.
            tokio::time::advance(BEAT * 5).await;
            assert!(lag() >= BEAT * 4, "{:?}", lag());
            tokio::time::sleep(BEAT / 2).await;
            assert!(lag() >= BEAT * 4, "as late as it was: {:?}", lag());
            tokio::time::sleep(BEAT).await;
            assert!(lag() < BEAT, "{:?}", lag());
        };
        tokio::select! {
            biased;
            () = beats => {}
            () = counters.beat(0) => {}
        }
    }

    #[test]
    fn workers_are_summed_up() {
        let counters = Counters::new(2);
        let query = Summary {
            rows: 3,
            row_bytes: 100,
            ..Summary::default()
        };
        let error = Summary {
            is_err: true,
            error_code: Some(1064),
            ..Summary::default()
        };
        let micros = Duration::from_micros;
        for (worker, command, backend, summary, duration) in [
            (0, Command::QUERY, Some(0), &query, micros(40)),
            (1, Command::QUERY, Some(0), &query, micros(50)),
            (1, Command::QUERY, Some(1), &error, micros(51)),
            (0, Command::PING, None, &Summary::default(), micros(1)),
            (
                0,
                Command::PING,
                Some(1),
                &Summary::default(),
                Duration::from_secs(60),
            ),
        ] {
            let worker = counters.worker(worker);
            worker.answered(duration);
            worker.responded(command, backend, summary, duration);
        }
        counters.failed("killed");
        let work = counters.work();
        assert_eq!(work.commands, BTreeMap::from([(3, 3), (14, 2)]));
        assert_eq!(work.errors, BTreeMap::from([(1064, 1)]));
        assert_eq!(work.rows, (6, 200));
        assert_eq!(work.failed_sessions, BTreeMap::from([("killed", 1)]));
        let [first, second] = [&work.backends[&0], &work.backends[&1]];
        assert_eq!((first.errors, second.errors), (0, 1));
        assert_eq!(
            first.durations.counts[0], 2,
            "a bound belongs to its bucket"
        );
        assert_eq!(first.durations.sum, micros(90));
        assert_eq!(second.durations.counts[1], 1);
        assert_eq!(second.durations.counts.last(), Some(&1), "above all bounds");
        assert_eq!(work.answers.counts.iter().sum::<u64>(), 5);
        assert_eq!(work.answers.sum, micros(142) + Duration::from_secs(60));
    }
}
