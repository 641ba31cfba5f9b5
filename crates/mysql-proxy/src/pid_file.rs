//! The file that tells other programs this process's id.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid, chown};

/// The id in decimal, without a newline; for its owner alone. Nothing where no file is wanted.
#[derive(Debug, Clone)]
pub(crate) struct PidFile(pub(crate) Option<PathBuf>);

impl PidFile {
    /// Writes the id of this process over whatever the file says.
    pub(crate) fn write(&self) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(path)
            .and_then(|mut file| write!(file, "{}", process::id()));
        written.with_context(|| format!("cannot write the pid file {}", path.display()))
    }

    /// The process that replaces this one writes there as that user.
    pub(crate) fn give_to(&self, user: Uid, group: Gid) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        chown(path, Some(user), Some(group))
            .with_context(|| format!("cannot give the pid file {} away", path.display()))
    }

    /// Removes the file, unless another process wrote its own id into it since.
    pub(crate) fn remove(&self) {
        let Some(path) = &self.0 else { return };
        let removed =
            fs::read_to_string(path).and_then(|id| match id == process::id().to_string() {
                true => fs::remove_file(path),
                false => Ok(()),
            });
        match removed {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                // Usual with `--user`: the directory is root's.
                tracing::info!("the pid file {} stays: {reason}", path.display());
            }
            _ => {}
        }
    }
}
