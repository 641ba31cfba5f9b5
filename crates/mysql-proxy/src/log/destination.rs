//! Where lines end up: standard output, a file, syslog.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::syslog::{Facility, Priority, Severity, syslog};

use crate::log::{Choice, Level, not_opened};

/// Unbuffered: a line is one write, and is out when the write returns.
#[derive(Debug)]
pub(super) enum Destination {
    /// A duplicate of descriptor 1, past the buffer of `std`, which would keep what it could not write.
    Stdout(File),
    File {
        path: PathBuf,
        file: File,
    },
    Syslog,
}

impl Destination {
    pub(super) fn open(choice: &Choice) -> Result<Self> {
        Ok(match choice {
            Choice::Stdout => {
                let descriptor = io::stdout().as_fd().try_clone_to_owned();
                Self::Stdout(descriptor.context("standard output is closed")?.into())
            }
            Choice::File(path) => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o660).open(path);
                let file = file.map_err(|reason| not_opened(path, &reason))?;
                Self::File {
                    path: path.clone(),
                    file,
                }
            }
            Choice::Syslog => Self::Syslog,
        })
    }

    /// Never fails: what cannot be written (a full disk, a closed pipe) is said on standard error, or nowhere.
    pub(super) fn write(&mut self, level: Level, line: &str) {
        let written = match self {
            Self::Stdout(file) | Self::File { file, .. } => {
                file.write_all(format!("{line}\n").as_bytes())
            }
            Self::Syslog => {
                syslog(Priority::new(severity(level), Facility::LOG_USER), line).map_err(Into::into)
            }
        };
        if written.is_err() {
            let _nobody_is_left_to_tell = writeln!(io::stderr(), "{line}");
        }
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_CRIT,
        Level::Critical => Severity::LOG_ERR,
        Level::Warning => Severity::LOG_WARNING,
        Level::Message => Severity::LOG_NOTICE,
        Level::Info => Severity::LOG_INFO,
        Level::Debug => Severity::LOG_DEBUG,
    }
}
