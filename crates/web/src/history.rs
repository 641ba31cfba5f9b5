//! The last minutes: a sample each second, made whether anybody looks or not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::Command;
use proxy::{Activities, BackendWork, Control, Durations, Work};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::limits::{BACKENDS_DRAWN_MAX, SAMPLES_MAX};
use crate::quantile::{quantile, since};

/// Figures are over so many seconds: less flickers, more comes late.
const WINDOW: usize = 5;

/// The latest samples.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The oldest first.
    samples: VecDeque<Sample>,
    /// What the next sample is a difference to, the oldest first.
    totals: VecDeque<(Instant, Work)>,
}

/// What was done in the seconds before one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Milliseconds since 1970.
    at: u64,
    pub(crate) all: Rates,
    activities: Activities,
    /// By index.
    pub(crate) backends: BTreeMap<usize, Rates>,
}

/// Per second, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    /// Of a backend, all its answers; of the proxy, those to COM_QUERY and COM_STMT_EXECUTE.
    pub(crate) queries: f64,
    pub(crate) errors: f64,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
}

impl History {
    /// Adds a sample of now.
    pub(crate) fn sample(&self, control: &Control) {
        let (now, work, activities) = (Instant::now(), control.work(), control.activities());
        let mut inner = self.inner();
        if let Some((then, before)) = inner.totals.front() {
            let seconds = now.duration_since(*then).as_secs_f64();
            let mut sample = Sample::between(before, &work, seconds);
            sample.activities = activities;
            if inner.samples.len() == SAMPLES_MAX {
                inner.samples.pop_front();
            }
            inner.samples.push_back(sample);
        }
        if inner.totals.len() == WINDOW {
            inner.totals.pop_front();
        }
        inner.totals.push_back((now, work));
    }

    pub(crate) fn latest(&self) -> Sample {
        self.inner().samples.back().cloned().unwrap_or_default()
    }

    /// All samples, the oldest first.
    pub(crate) fn json(&self) -> Value {
        let inner = self.inner();
        inner.samples.iter().map(Sample::json).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    /// `seconds` passed between the two.
    fn between(before: &Work, after: &Work, seconds: f64) -> Self {
        let mut all = Durations::default();
        let backends: BTreeMap<_, _> = after
            .backends
            .iter()
            .map(|(index, work)| {
                let none = BackendWork::default();
                let before = before.backends.get(index).unwrap_or(&none);
                let durations = since(&work.durations, &before.durations);
                for (sum, count) in all.counts.iter_mut().zip(durations.counts) {
                    *sum += count;
                }
                let count: u64 = durations.counts.iter().sum();
                let errors = work.errors.saturating_sub(before.errors);
                (*index, Rates::new(count, errors, &durations, seconds))
            })
            .collect();
        let queries = queries(after).saturating_sub(queries(before));
        let errors = errors(after).saturating_sub(errors(before));
        Self {
            at: millis_now(),
            all: Rates::new(queries, errors, &all, seconds),
            activities: Activities::default(),
            backends,
        }
    }

    /// What is drawn of it.
    pub(crate) fn json(&self) -> Value {
        let Activities {
            login,
            idle,
            command,
        } = self.activities;
        let backends: Map<_, _> = self
            .backends
            .iter()
            .take(BACKENDS_DRAWN_MAX)
            .map(|(index, rates)| ((index + 1).to_string(), json!(rounded(rates.queries))))
            .collect();
        json!({
            "at": self.at,
            "queries_per_second": rounded(self.all.queries),
            "errors_per_second": rounded(self.all.errors),
            "p50_ms": millis(self.all.p50),
            "p99_ms": millis(self.all.p99),
            "login": login,
            "idle": idle,
            "command": command,
            "backends": backends,
        })
    }
}

impl Rates {
    fn new(count: u64, errors: u64, durations: &Durations, seconds: f64) -> Self {
        let seconds = seconds.max(f64::EPSILON);
        Self {
            queries: count as f64 / seconds,
            errors: errors as f64 / seconds,
            p50: quantile(durations, 0.5),
            p99: quantile(durations, 0.99),
        }
    }
}

fn queries(work: &Work) -> u64 {
    let of = |command: Command| work.commands.get(&command.0).copied().unwrap_or_default();
    of(Command::QUERY) + of(Command::STMT_EXECUTE)
}

fn errors(work: &Work) -> u64 {
    work.errors.values().sum()
}

/// Milliseconds since 1970.
pub(crate) fn millis_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

/// Milliseconds, with microseconds behind the point.
pub(crate) fn millis(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_micros() as f64 / 1000.0)
}

/// To a hundredth.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_what_came_between() {
        let mut before = Work::default();
        before.commands.insert(Command::QUERY.0, 100);
        before.errors.insert(1064, 1);
        let mut after = before.clone();
        after.commands.insert(Command::QUERY.0, 110);
        after.commands.insert(Command::STMT_EXECUTE.0, 10);
        after.commands.insert(Command::PING.0, 1000);
        after.errors.insert(1146, 5);
        let mut work = BackendWork::default();
        work.durations.counts[0] = 20;
        after.backends.insert(1, work);
        let sample = Sample::between(&before, &after, 5.0);
        assert_eq!((sample.all.queries, sample.all.errors), (4.0, 1.0));
        assert_eq!(sample.all.p50, Some(Duration::from_micros(25)));
        let json = sample.json();
        assert_eq!(json["backends"], json!({"2": 4.0}));
        assert_eq!(json["p50_ms"], json!(0.025));
        let idle = Sample::between(&after, &after, 1.0).json();
        assert_eq!(
            (&idle["queries_per_second"], &idle["p99_ms"]),
            (&json!(0.0), &Value::Null)
        );
    }
}
