//! `--user`: what needs root is done first, then the process gives root up for good.

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::{Uid, User, initgroups, setgid, setuid};

use crate::log::Log;
use crate::pid_file::PidFile;
use crate::query_log::QueryLogs;

/// The user of that name, if this process may become it or is it.
pub(crate) fn find(name: &str) -> Result<User> {
    let user = User::from_name(name).with_context(|| format!("--user: cannot look up {name}"))?;
    let effective = Uid::effective();
    let is_it = user.as_ref().is_some_and(|user| user.uid == effective);
    ensure!(
        effective.is_root() || is_it,
        "--user: only root can become another user"
    );
    user.ok_or_else(|| anyhow!("--user: there is no user {name}"))
}

/// Goes on as `user` with its groups alone, for all threads to come. The logs' and the pid file become the user's.
///
/// Where the process is that user's already, as one is that replaces such a one, there is nothing to do.
pub(crate) fn drop_to(
    user: &User,
    (log, query_logs): (&Log, &QueryLogs),
    pid_file: &PidFile,
) -> Result<()> {
    if Uid::effective() == user.uid && !user.uid.is_root() {
        return Ok(());
    }
    let failed = |what| format!("--user={}: cannot set {what}", user.name);
    log.give_to(user.uid, user.gid)?;
    query_logs.give_to(user.uid, user.gid)?;
    pid_file.give_to(user.uid, user.gid)?;
    let name = std::ffi::CString::new(user.name.as_str())?;
    initgroups(&name, user.gid).with_context(|| failed("the groups"))?;
    setgid(user.gid).with_context(|| failed("the group"))?;
    setuid(user.uid).with_context(|| failed("the user"))?;
    if !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        bail!(
            "--user={}: the system lets the process become root again",
            user.name
        );
    }
    Ok(())
}
