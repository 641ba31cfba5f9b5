//! `--max-open-files`, and what fits into it.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Of the process itself: log, ports, event queues, idle connections' probes, scripts.
const OWN: u64 = 64;
/// A client's connection and its server's.
const OF_A_CLIENT: u64 = 2;

/// Lets the process open `files` descriptors; raises the hard limit where it is lower, which takes root. 0 changes nothing.
pub(crate) fn set(files: u64) -> Result<()> {
    if files == 0 {
        return Ok(());
    }
    let (_, hard) = limits()?;
    setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files)).with_context(|| {
        format!("--max-open-files={files}: the system refuses it (the hard limit is {hard}; only root can raise that)")
    })
}

/// How many clients can be served at once.
pub(crate) fn clients() -> Result<usize> {
    let (soft, _) = limits()?;
    Ok(clients_of(soft))
}

/// How many clients so many descriptors have room for.
pub(crate) fn clients_of(files: u64) -> usize {
    let clients = files.saturating_sub(OWN) / OF_A_CLIENT;
    usize::try_from(clients).unwrap_or(usize::MAX).max(1)
}

/// How many descriptors so many clients need.
pub(crate) fn needed(clients: u64) -> u64 {
    clients.saturating_mul(OF_A_CLIENT).saturating_add(OWN)
}

/// Of this process, the soft one and the hard one.
pub(crate) fn limits() -> Result<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")
}
