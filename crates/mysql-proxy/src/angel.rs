//! `--keepalive`: a parent that starts the serving process again when a signal killed it.
//!
//! A worker that exits by itself, with whatever code, is not started again: it said what was wrong. The angel has no
//! thread and no handler; it takes its signals one by one from `sigwait`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, setsid};

use crate::daemon;
use crate::fork::fork;
use crate::log::Log;
use crate::signals;
use crate::upgrade::Inheritance;

/// A worker that dies at once must not burn the processor.
const PAUSE_SECONDS: u32 = 2;

const FORWARDED: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Who is running after [`guard`].
#[derive(Debug)]
pub(crate) enum Process {
    /// The one that is to serve. Signals are blocked until it listens for them.
    Worker {
        /// An earlier one was killed.
        again: bool,
    },
    /// The angel, whose last worker has ended.
    Angel(ExitCode),
}

/// Splits off a worker, in whose process this returns at once; in the angel's it returns after the last worker's end.
///
/// `is_daemon`: the angel lets standard output and error go; the first worker still has them. It is also the one that
/// relieves the process before this one; inherited sockets are for each.
pub(crate) fn guard(log: &Log, is_daemon: bool, inheritance: &mut Inheritance) -> Result<Process> {
    let mut signals: SigSet = FORWARDED.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGALRM);
    // Blocked before the first worker exists, so that none is lost between its start and its readiness.
    signals.thread_block().context("cannot block signals")?;
    let mut again = false;
    loop {
        let ForkResult::Parent { child } = fork()? else {
            // Otherwise Ctrl-C would reach the worker twice, from the terminal and from the angel: the second ends it at once.
            setsid().context("cannot start a session for the worker")?;
            return Ok(Process::Worker { again });
        };
        inheritance.forget_predecessor();
        if is_daemon {
            daemon::leave_terminal()?;
        }
        match watch(child, signals, log)? {
            End::Exited(code) => {
                tracing::info!(
                    "worker {child} exited with code {code}; the angel leaves with the same"
                );
                return Ok(Process::Angel(ExitCode::from(code)));
            }
            End::Killed { by, stopping: true } => {
                tracing::error!(
                    "worker {child} was killed by {by} while it was stopping; it is not started again"
                );
                return Ok(Process::Angel(ExitCode::FAILURE));
            }
            End::Killed {
                by,
                stopping: false,
            } => {
                tracing::error!(
                    "worker {child} was killed by {by}; starting another one in {PAUSE_SECONDS} s"
                );
            }
        }
        if !pause(signals, log)? {
            tracing::info!("the angel was asked to stop before it started another worker");
            return Ok(Process::Angel(ExitCode::SUCCESS));
        }
        again = true;
    }
}

enum End {
    Exited(u8),
    /// `stopping`: somebody had asked the worker to end.
    Killed {
        by: Signal,
        stopping: bool,
    },
}

/// Hands every signal on until the worker ends.
fn watch(worker: Pid, signals: SigSet, log: &Log) -> Result<End> {
    let mut stopping = false;
    loop {
        match signals.wait().context("cannot wait for signals")? {
            Signal::SIGCHLD => match waitpid(worker, Some(WaitPidFlag::WNOHANG))
                .context("cannot watch the worker")?
            {
                WaitStatus::Exited(_, code) => {
                    return Ok(End::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
                }
                WaitStatus::Signaled(_, by, _) => return Ok(End::Killed { by, stopping }),
                _ => {}
            },
            Signal::SIGALRM => {}
            signal => {
                stopping |= matches!(signal, Signal::SIGTERM | Signal::SIGINT);
                if signal == Signal::SIGHUP {
                    signals::reopen(log);
                }
                // The worker has not been waited for, so the id is still its own.
                kill(worker, signal)
                    .with_context(|| format!("cannot send {signal} to the worker"))?;
            }
        }
    }
}

/// False when somebody asked to stop.
fn pause(signals: SigSet, log: &Log) -> Result<bool> {
    alarm::set(PAUSE_SECONDS);
    loop {
        match signals.wait().context("cannot wait for signals")? {
            Signal::SIGALRM => return Ok(true),
            Signal::SIGTERM | Signal::SIGINT => {
                alarm::cancel();
                return Ok(false);
            }
            Signal::SIGHUP => signals::reopen(log),
            _ => {}
        }
    }
}
