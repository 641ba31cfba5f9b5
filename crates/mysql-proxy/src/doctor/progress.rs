//! What the doctor waits for, on a terminal.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// One line on standard error that is written over and over, where that is a terminal.
pub(super) struct Progress {
    is_shown: bool,
    since: Instant,
    waiting: RefCell<Vec<String>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
            since: Instant::now(),
            waiting: RefCell::default(),
        }
    }

    pub(super) fn begin(&self, name: String) {
        self.waiting.borrow_mut().push(name);
    }

    pub(super) fn end(&self, name: &str) {
        self.waiting.borrow_mut().retain(|waiting| waiting != name);
    }

    pub(super) async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut ticks = interval(SHOWN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                biased;
                done = &mut wait => return done,
                _ = ticks.tick() => self.show(),
            }
        }
    }

    fn show(&self) {
        if self.is_shown {
            let names = self.waiting.borrow().join(", ");
            let seconds = self.since.elapsed().as_secs();
            write(&format!("\r\x1b[Kwaiting for {names} ({seconds} s)"));
        }
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr();
    // Nobody misses it.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
