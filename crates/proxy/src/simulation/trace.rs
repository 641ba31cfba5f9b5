//! What happened, line by line, with the clock's reading: the same for the same seed.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// More than any run has: one that does not end is stopped.
const LINES_MAX: usize = 100_000;

#[derive(Debug, Clone)]
pub(super) struct Trace(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    started: Option<Instant>,
    /// Of no interest: it is another one in each run.
    directory: String,
    lines: Vec<String>,
    /// The first one, and how many lines there were before.
    wrong: Option<(usize, String)>,
}

impl Trace {
    pub(super) fn new(directory: &str) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            started: None,
            directory: format!("{directory}/"),
            lines: Vec::new(),
            wrong: None,
        })))
    }

    pub(super) fn start(&self) {
        self.0.lock().unwrap().started = Some(Instant::now());
    }

    pub(super) fn note(&self, line: impl fmt::Display) {
        let mut lines = self.0.lock().unwrap();
        let time = lines.started.map_or(0, |at| at.elapsed().as_millis());
        let line = line.to_string().replace(&lines.directory, "");
        if lines.lines.len() < LINES_MAX {
            lines.lines.push(format!("{time:>7} {line}"));
        }
    }

    /// What must never be.
    pub(super) fn wrong(&self, what: impl fmt::Display) {
        self.note(format_args!("WRONG: {what}"));
        let mut lines = self.0.lock().unwrap();
        let at = lines.lines.len();
        lines.wrong.get_or_insert((at, what.to_string()));
    }

    /// There is no point in going on.
    pub(super) fn is_over(&self) -> bool {
        let lines = self.0.lock().unwrap();
        lines.wrong.is_some() || lines.lines.len() >= LINES_MAX
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    /// What was wrong, with the last lines up to there.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let lines = self.0.lock().unwrap();
        let Some((at, what)) = &lines.wrong else {
            return match lines.lines.len() {
                LINES_MAX.. => Err("it goes on for ever".to_owned()),
                _ => Ok(()),
            };
        };
        let last = lines.lines[at.saturating_sub(60)..*at].join("\n");
        Err(format!("{last}\n{what}"))
    }
}

/// The proxy's log goes into the trace.
impl<S: Subscriber> Layer<S> for Trace {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Message(format!("log {:<5} ", event.metadata().level()));
        if event.metadata().target().starts_with("mio") {
            return;
        }
        event.record(&mut line);
        self.note(line.0);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
