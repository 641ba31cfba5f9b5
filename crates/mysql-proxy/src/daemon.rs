//! `--daemon`: the process that was called stays until the port is open, and the one that serves has no terminal.
//!
//! The umask stays as it was. Standard output and standard error are let go only once the start succeeded, so that a
//! reason for its failure still reaches whoever called.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::exit;

use anyhow::{Context, Result};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::fork::fork;

/// The daemon's link to the process that was called and waits. `None` in the foreground.
#[derive(Debug)]
pub(crate) struct Caller(Option<PipeWriter>);

impl Caller {
    /// Nobody waits.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// True in a daemon.
    pub(crate) fn waits(&self) -> bool {
        self.0.is_some()
    }

    /// The port is open: the caller may go, with exit code 0.
    pub(crate) fn release(self) -> Result<()> {
        if let Some(mut pipe) = self.0 {
            leave_terminal()?;
            // A worker that the angel started again has no caller any more.
            let _ = pipe.write_all(b".");
        }
        Ok(())
    }
}

/// Goes on in a process that has no terminal and cannot get one. The calling process never returns from here: it exits
/// with 0 on [`Caller::release`], else with the daemon's code.
pub(crate) fn detach() -> Result<Caller> {
    if let ForkResult::Parent { child } = fork()? {
        exit(exit_code(child));
    }
    setsid().context("cannot leave the terminal's session")?;
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    if let ForkResult::Parent { child } = fork()? {
        drop(writer);
        exit(if released(reader) {
            0
        } else {
            exit_code(child)
        });
    }
    chdir("/").context("cannot change the directory to /")?;
    Ok(Caller(Some(writer)))
}

/// Ends with the daemon's end of the pipe at the latest, that is, with the daemon.
fn released(mut reader: PipeReader) -> bool {
    reader.read_exact(&mut [0]).is_ok()
}

fn exit_code(child: Pid) -> i32 {
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => code,
        _ => 1,
    }
}

/// Standard input becomes `/dev/null`.
pub(crate) fn leave_input() -> Result<()> {
    dup2_stdin(null()?).context("cannot let standard input go")
}

fn null() -> Result<File> {
    let null = File::options().read(true).write(true).open("/dev/null");
    null.context("cannot open /dev/null")
}

/// Standard input, output and error become `/dev/null`.
pub(crate) fn leave_terminal() -> Result<()> {
    let null = null()?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&null))
        .and_then(|()| dup2_stderr(&null))
        .context("cannot let the terminal go")
}
