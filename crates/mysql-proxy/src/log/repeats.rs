//! Keeps a message that comes over and over from filling the log: repetitions are counted, the count is printed.

use std::time::{Duration, Instant};

use crate::log::Level;
use crate::log::record::Record;

/// So many repetitions are counted before the message is shown again,
const HELD_MAX: u32 = 100;

/// and none is held back for longer than this after the message was shown.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// The message shown last and how often it came since.
#[derive(Debug, Default)]
pub(super) struct Repeats(Option<Shown>);

#[derive(Debug)]
struct Shown {
    text: String,
    at: Instant,
    held: u32,
    level: Level,
}

/// What becomes of a record.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was counted.
    Hold,
    /// It is shown, and before it the count of what was held back.
    Print(Option<Record>),
}

impl Repeats {
    /// Decides on `record`. Equal means an equal text; the level does not count.
    pub(super) fn meet(&mut self, record: &Record, now: Instant) -> Verdict {
        if let Some(shown) = &mut self.0
            && shown.text == record.text
            && shown.held < HELD_MAX
            && now.duration_since(shown.at) <= HOLD_MAX
        {
            shown.held += 1;
            return Verdict::Hold;
        }
        let count = self.take();
        self.0 = Some(Shown {
            text: record.text.clone(),
            at: now,
            held: 0,
            level: record.level,
        });
        Verdict::Print(count)
    }

    /// The count of what was held back, if anything was. What comes next is shown in any case.
    pub(super) fn take(&mut self) -> Option<Record> {
        let shown = self.0.take().filter(|shown| shown.held > 0)?;
        Some(Record::plain(
            shown.level,
            format!("last message repeated {} times", shown.held),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(repeats: &mut Repeats, text: &str, now: Instant) -> Option<Option<String>> {
        match repeats.meet(&Record::plain(Level::Warning, text.to_owned()), now) {
            Verdict::Hold => None,
            Verdict::Print(count) => Some(count.map(|record| record.text)),
        }
    }

    #[test]
    fn another_message_brings_the_count() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        assert_eq!(meet(&mut repeats, "a", now), Some(None));
        assert_eq!(meet(&mut repeats, "a", now), None);
        assert_eq!(meet(&mut repeats, "a", now), None);
        assert_eq!(
            meet(&mut repeats, "b", now),
            Some(Some("last message repeated 2 times".to_owned()))
        );
        assert_eq!(meet(&mut repeats, "a", now), Some(None));
        assert!(repeats.take().is_none());
    }

    #[test]
    fn after_a_hundred_the_message_is_shown_again() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        meet(&mut repeats, "a", now);
        for _ in 0..100 {
            assert_eq!(meet(&mut repeats, "a", now), None);
        }
        assert_eq!(
            meet(&mut repeats, "a", now),
            Some(Some("last message repeated 100 times".to_owned()))
        );
    }

    #[test]
    fn after_half_a_minute_the_message_is_shown_again() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        meet(&mut repeats, "a", now);
        assert_eq!(meet(&mut repeats, "a", later(30)), None);
        assert_eq!(
            meet(&mut repeats, "a", later(31)),
            Some(Some("last message repeated 1 times".to_owned()))
        );
    }

    #[test]
    fn a_shutdown_takes_the_count() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        meet(&mut repeats, "a", now);
        meet(&mut repeats, "a", now);
        assert_eq!(
            repeats.take().unwrap().text,
            "last message repeated 1 times"
        );
        assert!(repeats.take().is_none());
    }
}
