//! The log: which events are shown, in which shape, and where they go.
//!
//! Events come from `tracing`. A line never fails the program: what its destination does not take goes to standard error.

mod destination;
mod record;
mod repeats;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use admin::Events;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use nix::unistd::{Gid, Uid};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::log::destination::Destination;
use crate::log::record::Record;
use crate::log::repeats::{Repeats, Verdict};

/// The target of events about panics, which have a level of their own.
pub(crate) const PANIC: &str = "panic";

/// How bad it is, the worst first. The names are those of configurations and of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[repr(u8)]
pub(crate) enum Level {
    /// The program itself is wrong: a panic.
    Error,
    /// Something the program has to give up.
    Critical,
    /// Something an operator has to know.
    Warning,
    /// What happens to the program as a whole.
    Message,
    /// What happens to single sessions.
    Info,
    /// What happens inside of them.
    Debug,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `2026-01-31 13:05:00: (level) message`, in local time.
    Text,
    /// `{"timestamp": ..., "level": ..., "message": ..., "fields": {...}}`
    Json,
}

/// Where lines are asked to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Standard output.
    Stdout,
    /// Appended to this absolute path.
    File(PathBuf),
    /// The system's log.
    Syslog,
}

/// The open log. Its clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// A [`Level`].
    level: Arc<AtomicU8>,
    sink: Arc<Mutex<Sink>>,
    events: Events,
}

#[derive(Debug)]
struct Sink {
    format: Format,
    destination: Destination,
    repeats: Repeats,
}

impl Level {
    fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            tracing::Level::ERROR if metadata.target() == PANIC => Self::Error,
            tracing::Level::ERROR => Self::Critical,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Message,
            tracing::Level::DEBUG => Self::Info,
            tracing::Level::TRACE => Self::Debug,
        }
    }

    fn from_u8(number: u8) -> Self {
        let levels = Self::value_variants().iter().copied();
        let mut levels = levels.filter(|level| *level as u8 == number);
        levels.next().unwrap_or(Self::Debug)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Message => "message",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl Log {
    /// Opens the destination. Nothing is logged before [`install`](Self::install).
    pub(crate) fn open(choice: &Choice, level: Level, format: Format) -> Result<Self> {
        let sink = Sink {
            format,
            destination: Destination::open(choice)?,
            repeats: Repeats::default(),
        };
        Ok(Self {
            level: Arc::new(AtomicU8::new(level as u8)),
            sink: Arc::new(Mutex::new(sink)),
            events: Events::default(),
        })
    }

    /// Its latest lines, those about the inside of sessions left out.
    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Shows other events from now on, in another shape. The destination stays.
    pub(crate) fn change(&self, level: Level, format: Format) {
        self.flush();
        self.sink().format = format;
        if self.level.swap(level as u8, Ordering::Relaxed) != level as u8 {
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Makes this the log of the process, once.
    pub(crate) fn install(&self) -> Result<()> {
        let subscriber = tracing_subscriber::registry().with(self.clone());
        tracing::subscriber::set_global_default(subscriber).context("the process has a log already")
    }

    /// Whether an operator at the terminal sees the lines anyway.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.sink().destination, Destination::Stdout(_))
    }

    /// Opens the same path again, so that a renamed file is let go. When that fails the old file stays.
    ///
    /// `Ok(None)` where the log is no file.
    pub(crate) fn reopen(&self) -> Result<Option<PathBuf>> {
        self.flush();
        let mut sink = self.sink();
        let Destination::File { path, .. } = &sink.destination else {
            return Ok(None);
        };
        let path = path.clone();
        sink.destination = Destination::open(&Choice::File(path.clone()))?;
        Ok(Some(path))
    }

    /// Gives the log file, if it is one, to a user who is to go on writing it.
    pub(crate) fn give_to(&self, user: Uid, group: Gid) -> Result<()> {
        if let Destination::File { path, file } = &self.sink().destination {
            std::os::unix::fs::fchown(file, Some(user.as_raw()), Some(group.as_raw()))
                .with_context(|| {
                    format!("cannot give the log file {} to the user", path.display())
                })?;
        }
        Ok(())
    }

    /// Writes what is held back: the count of a repeated message.
    pub(crate) fn flush(&self) {
        let mut sink = self.sink();
        if let Some(repeats) = sink.repeats.take() {
            self.write(&mut sink, &repeats);
        }
    }

    fn record(&self, record: Record) {
        let mut sink = self.sink();
        if sink.format == Format::Json {
            return self.write(&mut sink, &record);
        }
        match sink.repeats.meet(&record, Instant::now()) {
            Verdict::Hold => {}
            Verdict::Print(repeats) => {
                for record in repeats.iter().chain([&record]) {
                    self.write(&mut sink, record);
                }
            }
        }
    }

    fn write(&self, sink: &mut Sink, record: &Record) {
        let line = match (sink.format, &sink.destination) {
            (Format::Json, _) => record.json(),
            (Format::Text, Destination::Syslog) => record.text.clone(),
            (Format::Text, _) => record.stamped(),
        };
        // Whoever has seen the line finds it among the events.
        if record.level <= Level::Info {
            let (time, level) = (record.timestamp(), record.level.name());
            self.events.push(time, level, &record.text);
        }
        sink.destination.write(record.level, &line);
    }

    /// A panic elsewhere does not take the log down: a sink is whole between any two statements.
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Level::of(metadata) as u8 <= self.level.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match Level::from_u8(self.level.load(Ordering::Relaxed)) {
            Level::Error | Level::Critical => LevelFilter::ERROR,
            Level::Warning => LevelFilter::WARN,
            Level::Message => LevelFilter::INFO,
            Level::Info => LevelFilter::DEBUG,
            Level::Debug => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.record(Record::new(event, Level::of(event.metadata())));
    }
}

/// Puts panics into the log, whatever its level, and their backtraces if asked for.
pub(crate) fn catch_panics(backtrace: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        tracing::error!(target: PANIC, "thread {name}: {}", panic.to_string().replace('\n', " "));
        if backtrace {
            let frames = std::backtrace::Backtrace::force_capture().to_string();
            frames
                .lines()
                .for_each(|frame| tracing::error!(target: PANIC, "{frame}"));
        }
    }));
}

fn not_opened(path: &Path, reason: &io::Error) -> anyhow::Error {
    anyhow!("cannot open the log file {}: {reason}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What `events` leave in the file, each line without its time.
    fn lines(level: Level, format: Format, events: fn(&Log)) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let file = Choice::File(path.clone());
        let log = Log::open(&file, level, format).unwrap();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::with_default(subscriber, || events(&log));
        let text = fs::read_to_string(path).unwrap();
        let time = "2026-01-31 13:05:00: ".len();
        text.lines().map(|line| line[time..].to_owned()).collect()
    }

    fn one_of_each(_: &Log) {
        tracing::error!(target: PANIC, "a");
        tracing::error!("b");
        tracing::warn!(backend = "db1:3306", tries = 2, "c");
        tracing::info!("d");
        tracing::debug!("e");
        tracing::trace!("f");
    }

    #[test]
    fn levels_are_shown_down_to_the_chosen_one() {
        let all = [
            "(error) a",
            "(critical) b",
            "(warning) c backend=db1:3306 tries=2",
            "(message) d",
            "(info) e",
            "(debug) f",
        ];
        let levels = [
            Level::Error,
            Level::Critical,
            Level::Warning,
            Level::Message,
            Level::Info,
            Level::Debug,
        ];
        for (shown, level) in (1..).zip(levels) {
            assert_eq!(lines(level, Format::Text, one_of_each), all[..shown]);
        }
    }

    #[test]
    fn level_and_shape_change_while_it_is_written() {
        let events = |log: &Log| {
            let event = || tracing::debug!("a");
            event();
            log.change(Level::Info, Format::Text);
            event();
            log.change(Level::Message, Format::Json);
            event();
            tracing::info!("b");
        };
        let lines = lines(Level::Message, Format::Text, events);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], "(info) a");
        assert!(lines[1].contains("\"message\":\"b\""), "{lines:?}");
    }

    #[test]
    fn repetitions_are_counted_and_a_flush_tells_how_many() {
        let events = |log: &Log| {
            (0..3).for_each(|_| tracing::warn!("a"));
            tracing::info!("b");
            (0..2).for_each(|_| tracing::warn!("a"));
            log.flush();
            log.flush();
        };
        let expected = [
            "(warning) a",
            "(warning) last message repeated 2 times",
            "(message) b",
            "(warning) a",
            "(warning) last message repeated 1 times",
        ];
        assert_eq!(lines(Level::Message, Format::Text, events), expected);
        assert_eq!(lines(Level::Message, Format::Json, events).len(), 6);
    }
}
