//! The proxy's log as the playground shows it: each line as it comes, indented, without its time.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Lines that are kept to be found again; the tour has far fewer.
const KEPT_LINES_MAX: usize = 1_000;

/// Shows lines and finds them again. Its clones share everything.
#[derive(Debug, Clone, Default)]
pub(super) struct ShownLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl ShownLog {
    /// Makes this the log of the process, once.
    pub(super) fn install() -> Result<Self> {
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::set_global_default(subscriber)
            .context("the process has a log already")?;
        Ok(log)
    }

    /// Waits for a line that contains `text`; false when none comes in time.
    pub(super) fn has(&self, text: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let lines = self.shared.lines.lock();
        let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
        loop {
            if lines.iter().any(|line| line.contains(text)) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.grown.wait_timeout(lines, left);
            lines = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<S: Subscriber> Layer<S> for ShownLog {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "critical",
            Level::WARN => "warning",
            Level::INFO => "message",
            // Below the proxy's default too.
            Level::DEBUG | Level::TRACE => return,
        };
        let mut text = Text(format!("({level})"));
        event.record(&mut text);
        let lines = self.shared.lines.lock();
        let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
        // Who closed our standard output does not want to read it.
        let _ = writeln!(io::stdout(), "     log | {}", text.0);
        if lines.len() < KEPT_LINES_MAX {
            lines.push(text.0);
        }
        self.shared.grown.notify_all();
    }
}

/// The message, then ` name=value` for each field.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
