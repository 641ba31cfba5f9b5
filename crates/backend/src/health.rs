//! Up or down. Pure: time comes in from the caller.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// It takes connections, as far as anyone knows.
    #[default]
    Up,
    /// It could not be connected to.
    Down {
        /// The latest reason, for a person.
        reason: String,
        /// When it was found down.
        since: Instant,
    },
}

impl Health {
    /// True when the server takes new clients.
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }

    /// Notes a failure. True when this is news; a known failure only has its reason renewed.
    pub(crate) fn mark_down(&mut self, now: Instant, reason: String) -> bool {
        match self {
            Self::Up => {
                *self = Self::Down { reason, since: now };
                true
            }
            Self::Down { reason: known, .. } => {
                *known = reason;
                false
            }
        }
    }

    /// Notes a success. How long the server was down, when it was.
    pub(crate) fn mark_up(&mut self, now: Instant) -> Option<Duration> {
        match std::mem::take(self) {
            Self::Up => None,
            Self::Down { since, .. } => Some(now.saturating_duration_since(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let now = Instant::now();
        let mut health = Health::default();
        assert_eq!(health.mark_up(now), None);
        assert!(health.mark_down(now, "refused".into()));
        let later = now + Duration::from_secs(3);
        assert!(!health.mark_down(later, "timed out".into()));
        assert_eq!(
            health,
            Health::Down {
                reason: "timed out".into(),
                since: now
            }
        );
        assert_eq!(health.mark_up(later), Some(Duration::from_secs(3)));
        assert!(health.is_up());
    }
}
