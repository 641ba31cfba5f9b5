//! How far something long is: a bar on a terminal, elsewhere a line now and then.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines, where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);
const BAR: &str = "{prefix} {wide_bar} {pos}/{len} {msg} ({eta} left)";

/// Goes to standard error. Nothing is left on a terminal when it is dropped.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: u64,
    bar: ProgressBar,
    is_terminal: bool,
    line_at: Mutex<Instant>,
}

impl Progress {
    /// Of `what`, in steps of which there are `total`.
    pub fn new(what: &str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_prefix(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self {
            what: what.to_owned(),
            total,
            bar,
            is_terminal: stderr().is_terminal(),
            line_at: Mutex::new(Instant::now() + INTERVAL),
        }
    }

    /// `done` steps are behind. `detail` is what else there is to say. Any thread may call it.
    #[expect(clippy::print_stderr, reason = "this is what it is for")]
    pub fn at(&self, done: u64, detail: &str) {
        if self.is_terminal {
            self.bar.set_message(detail.to_owned());
            return self.bar.set_position(done);
        }
        let mut line_at = self.line_at.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= *line_at {
            *line_at = Instant::now() + INTERVAL;
            let (what, total) = (&self.what, self.total);
            eprintln!("{what}: {done} of {total} {detail}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
