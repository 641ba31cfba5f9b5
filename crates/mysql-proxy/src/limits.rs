//! `--max-open-files`

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets the process open `files` descriptors; raises the hard limit where it is lower, which takes root. 0 changes nothing.
pub(crate) fn set_open_files(files: u64) -> Result<()> {
    if files == 0 {
        return Ok(());
    }
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files)).with_context(|| {
        format!("--max-open-files={files}: the system refuses it (the hard limit is {hard}; only root can raise that)")
    })
}
