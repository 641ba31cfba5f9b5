//! The query logs' files: JSON lines, each file written by a thread of its own.
//!
//! What a file does not take is counted and lost. A file that takes nothing at all (a pipe that nobody reads) holds up its thread and
//! nobody else. Which statements are logged is the proxy's business.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::unistd::{Gid, Uid};
use proxy::{Control, QueryLogKind, QueryRecord, QueryRecords};
use serde_json::{Map, Value, json};
use tracing::{error, info};

/// Between two writes, while what comes is gathered: a write for each statement would cost more than the statement.
const GATHERING: Duration = Duration::from_millis(20);
/// What is written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// What is still in the queue at the end of the process has so long to be written.
const END: Duration = Duration::from_secs(1);

/// All query logs. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct QueryLogs(Arc<[LogFile]>);

#[derive(Debug)]
struct LogFile {
    kind: QueryLogKind,
    path: PathBuf,
    /// For the thread that writes, from its next write on.
    opened: Mutex<Option<File>>,
}

impl QueryLogs {
    /// Opens the files.
    pub(crate) fn open(logs: &[(QueryLogKind, PathBuf)]) -> Result<Self> {
        let open = |(kind, path): &(QueryLogKind, PathBuf)| {
            Ok(LogFile {
                kind: *kind,
                path: path.clone(),
                opened: Mutex::new(Some(open(*kind, path)?)),
            })
        };
        logs.iter().map(open).collect::<Result<_>>().map(Self)
    }

    /// Gives them to a user who is to go on writing them.
    pub(crate) fn give_to(&self, user: Uid, group: Gid) -> Result<()> {
        for log in &*self.0 {
            if let Some(file) = &*log.opened.lock().unwrap_or_else(PoisonError::into_inner) {
                fchown(file, Some(user.as_raw()), Some(group.as_raw())).with_context(|| {
                    let (option, path) = (log.kind.option(), log.path.display());
                    format!("{option}: cannot give {path} to the user")
                })?;
            }
        }
        Ok(())
    }

    /// Opens the same paths again, so that renamed files are let go. Where that fails the old file stays.
    pub(crate) fn reopen(&self) {
        for log in &*self.0 {
            match open(log.kind, &log.path) {
                Ok(file) => {
                    let mut opened = log.opened.lock().unwrap_or_else(PoisonError::into_inner);
                    *opened = Some(file);
                    let (option, path) = (log.kind.option(), log.path.display());
                    info!("SIGHUP: {option}: {path} opened again");
                }
                Err(reason) => error!("SIGHUP: {reason:#}; it goes on in the old file"),
            }
        }
    }

    /// Starts their threads.
    pub(crate) fn start(&self, records: Vec<QueryRecords>) -> Result<()> {
        for records in records {
            let logs = Arc::clone(&self.0);
            let kind = records.kind();
            let write = move || {
                if let Some(log) = logs.iter().find(|log| log.kind == kind) {
                    Writer::new(log, records).run();
                }
            };
            thread::Builder::new()
                .name(format!("{}-log", kind.name()))
                .spawn(write)
                .with_context(|| format!("{}: cannot start a thread for it", kind.option()))?;
        }
        Ok(())
    }

    /// Waits for what was said to be written, but not for long.
    pub(crate) fn finish(&self, control: &Control) {
        let deadline = Instant::now() + END;
        let is_behind = || {
            let mut logs = control.query_logs().into_iter();
            logs.any(|log| log.counts.is_behind())
        };
        while is_behind() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A pipe is opened for reading, too: that waits for no reader.
fn open(kind: QueryLogKind, path: &Path) -> Result<File> {
    let is_pipe = path.metadata().is_ok_and(|it| it.file_type().is_fifo());
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).read(is_pipe);
    let file = options.open(path);
    file.with_context(|| format!("{}: cannot open {}", kind.option(), path.display()))
}

struct Writer<'a> {
    log: &'a LogFile,
    records: QueryRecords,
    file: Option<File>,
    /// A line was written in part.
    is_torn: bool,
    /// Lines since the file took none any more.
    lost: u64,
}

impl<'a> Writer<'a> {
    fn new(log: &'a LogFile, records: QueryRecords) -> Self {
        Self {
            log,
            records,
            file: None,
            is_torn: false,
            lost: 0,
        }
    }

    fn run(mut self) {
        while let Some(first) = self.records.wait() {
            let mut next = Some(first);
            while let Some(record) = next {
                next = self.write_from(record);
            }
            thread::sleep(GATHERING);
        }
    }

    /// Writes `first` and those behind it. The next one, where it is too many.
    fn write_from(&mut self, first: QueryRecord) -> Option<QueryRecord> {
        let mut lines = Vec::new();
        if std::mem::take(&mut self.is_torn) {
            lines.push(b'\n');
        }
        let mut count = 0;
        let mut next = Some(first);
        while lines.len() < WRITE_BYTES
            && let Some(record) = next.take()
        {
            line(&record, &mut lines);
            count += 1;
            next = self.records.next_at_once();
        }
        self.write(&lines, count);
        next
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        let opened = &self.log.opened;
        let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = opened {
            self.file = Some(file);
        }
        let (option, path) = (self.log.kind.option(), self.log.path.display());
        match self.write_all(lines) {
            Ok(()) => {
                self.records.count(count, 0);
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    info!("{option}: {path} can be written again; {lost} lines were lost");
                }
            }
            Err(reason) => {
                self.records.count(0, count);
                if self.lost == 0 {
                    error!(
                        "{option}: cannot write {path}: {reason}; lines are lost until it can be written again"
                    );
                }
                self.lost += count;
            }
        }
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => rest = &rest[bytes..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_torn = rest.len() < lines.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Appends a statement's line.
fn line(record: &QueryRecord, lines: &mut Vec<u8>) {
    let object = object(record);
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *lines, &object);
    lines.push(b'\n');
}

/// What is not known is left out.
fn object(record: &QueryRecord) -> Map<String, Value> {
    let timestamp = Timestamp::try_from(record.began_at).unwrap_or_default();
    let client = record.client.map(|client| client.to_string());
    let (code, sql_state) = record.error.unzip();
    let sql_state = sql_state.flatten();
    let sql_state = sql_state.map(|state| String::from_utf8_lossy(&state).into_owned());
    let trace = record.trace.as_ref();
    let fields = [
        ("timestamp", json!(timestamp.to_string())),
        ("session", json!(record.session)),
        ("client", json!(client.as_deref().unwrap_or("unix socket"))),
        ("user", json!(record.username)),
        ("database", json!(record.database)),
        ("backend", json!(record.backend)),
        (
            "chosen_by",
            json!(record.chosen_by.map(|why| why.to_string())),
        ),
        ("command", json!(record.command.to_string())),
        ("digest", json!(record.digest.to_string())),
        ("statement", json!(&*record.statement)),
        ("literal_statement", json!(record.literal_statement)),
        ("seconds", json!(seconds(record.time))),
        (
            "first_byte_seconds",
            json!(record.first_byte_time.map(seconds)),
        ),
        ("rows", json!(record.rows)),
        ("row_bytes", json!(record.row_bytes)),
        ("affected_rows", json!(record.affected_rows)),
        ("warnings", json!(record.warnings)),
        ("error", json!(code)),
        ("sql_state", json!(sql_state)),
        ("failure", json!(record.failure)),
        ("trace_id", json!(trace.map(|trace| trace.trace_id()))),
        ("span_id", json!(trace.map(|trace| trace.span_id()))),
    ];
    let known = fields.into_iter().filter(|(_, value)| !value.is_null());
    known
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// To the microsecond.
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
