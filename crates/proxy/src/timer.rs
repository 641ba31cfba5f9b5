//! One deadline of a session. Moved at every wait, touched in the runtime's wheel only when it comes nearer.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Fires at the deadline set last.
#[derive(Debug)]
pub(crate) struct Timer {
    deadline: Instant,
    /// Fires at `deadline` or before; then it is set anew.
    sleep: Pin<Box<Sleep>>,
    /// The wheel knows whom to wake: a session is one task, so once is enough.
    is_armed: bool,
}

impl Timer {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            sleep: Box::pin(sleep_until(deadline)),
            is_armed: false,
        }
    }

    pub(crate) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
            self.is_armed = false;
        }
    }

    /// Ready at the deadline. Always polled by the same task.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.is_armed = true;
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_deadline_set_last() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timer = Timer::new(start + 10 * second);
        for (deadline, expected) in [(3, 3), (7, 7), (9, 9)] {
            timer.set(start + 20 * second);
            timer.set(start + deadline * second);
            poll_fn(|context| timer.poll(context)).await;
            assert_eq!(start.elapsed(), expected * second);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_away_is_not_missed() {
        let start = Instant::now();
        let mut timer = Timer::new(start + Duration::from_secs(1));
        timer.set(start + Duration::from_secs(5));
        poll_fn(|context| timer.poll(context)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
