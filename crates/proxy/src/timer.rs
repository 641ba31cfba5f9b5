//! One deadline of a session. Moved at every wait, touched in the runtime's wheel only when it comes nearer.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::coop::unconstrained;
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
        // Without the task's budget: a poll that it refuses would leave nobody to wake.
        while pin!(unconstrained(self.sleep.as_mut()))
            .poll(context)
            .is_ready()
        {
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

    use tokio::task::coop::consume_budget;

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

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_left_is_woken_all_the_same() {
        let start = Instant::now();
        let mut timer = Timer::new(start + Duration::from_secs(1));
        let mut is_first = true;
        poll_fn(|context| {
            while is_first && pin!(consume_budget()).poll(context).is_ready() {}
            is_first = false;
            timer.poll(context)
        })
        .await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
