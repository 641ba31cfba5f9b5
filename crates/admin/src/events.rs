//! The latest lines of the log, for those who look at the proxy from outside the host's log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::limits::{EVENT_BYTES_MAX, EVENTS_MAX};

/// The latest lines, bounded in number and size. Its clones share them.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Mutex<Ring>>);

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts lines from 1.
    pub number: u64,
    /// When it happened.
    pub time: Timestamp,
    /// As the log calls it.
    pub level: &'static str,
    /// Without control characters; cut where it was very long.
    pub text: String,
}

#[derive(Debug, Default)]
struct Ring {
    /// The oldest first.
    lines: VecDeque<Event>,
    /// Of the latest line.
    number: u64,
}

impl Events {
    /// Keeps a line, and forgets the oldest where there are too many.
    pub fn push(&self, time: Timestamp, level: &'static str, text: &str) {
        let text = match text.get(..text.floor_char_boundary(EVENT_BYTES_MAX)) {
            Some(start) if start.len() < text.len() => format!("{start}..."),
            _ => text.to_owned(),
        };
        let mut ring = self.ring();
        ring.number += 1;
        if ring.lines.len() == EVENTS_MAX {
            ring.lines.pop_front();
        }
        let number = ring.number;
        ring.lines.push_back(Event {
            number,
            time,
            level,
            text,
        });
    }

    /// Those behind number `after`, the newest first.
    pub fn after(&self, after: u64) -> Vec<Event> {
        let ring = self.ring();
        let lines = ring.lines.iter().rev();
        lines
            .take_while(|event| event.number > after)
            .cloned()
            .collect()
    }

    /// The number of the latest line; 0 before the first.
    pub fn latest(&self) -> u64 {
        self.ring().number
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_are_kept_the_newest_first() {
        let events = Events::default();
        assert_eq!((events.latest(), events.after(0)), (0, Vec::new()));
        for number in 1..=EVENTS_MAX + 2 {
            events.push(Timestamp::UNIX_EPOCH, "message", &number.to_string());
        }
        let kept = events.after(0);
        assert_eq!(kept.len(), EVENTS_MAX);
        assert_eq!(kept[0].number as usize, EVENTS_MAX + 2);
        assert_eq!(kept[0].text, (EVENTS_MAX + 2).to_string());
        assert_eq!(kept.last().map(|event| event.number), Some(3));
        assert_eq!(events.after(events.latest() - 1), kept[..1]);
        assert_eq!(events.after(events.latest()), []);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let events = Events::default();
        events.push(
            Timestamp::UNIX_EPOCH,
            "message",
            &"\u{e4}".repeat(EVENT_BYTES_MAX),
        );
        let text = events.after(0).remove(0).text;
        assert!(text.len() <= EVENT_BYTES_MAX + 3 && text.ends_with("\u{e4}..."));
    }
}
