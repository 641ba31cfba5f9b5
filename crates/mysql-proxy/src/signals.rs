//! What the signals to a serving process do: SIGTERM and SIGINT end it, SIGHUP opens the logs' files again and reloads the
//! options, SIGUSR2 has another process take over.

use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::log::Log;
use crate::pid_file::PidFile;
use crate::service_manager;

/// Starts the thread that waits for signals.
///
/// SIGHUP calls `reload`, SIGUSR2 `upgrade`. The first SIGTERM or SIGINT calls `stop`; the next one ends the process where it stands, with exit code 0: it was
/// asked for, so nothing may start the process again.
pub(crate) fn listen(
    log: Log,
    pid_file: PidFile,
    stop: impl FnOnce() + Send + 'static,
    reload: impl Fn() + Send + 'static,
    upgrade: impl Fn() + Send + 'static,
) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
        .context("cannot install the signal handlers")?;
    // The angel blocks signals until its worker can take them.
    SigSet::all()
        .thread_unblock()
        .context("cannot unblock signals")?;
    let mut stop = Some(stop);
    let listener = move || {
        for signal in signals.forever() {
            match signal {
                SIGTERM | SIGINT => match stop.take() {
                    Some(stop) => {
                        tracing::info!("Initiating shutdown, requested from signal handler");
                        service_manager::stopping();
                        stop();
                    }
                    None => leave(&log, &pid_file),
                },
                SIGHUP => {
                    reopen(&log);
                    reload();
                }
                SIGUSR2 => upgrade(),
                other => {
                    let name = Signal::try_from(other).map_or("the signal", Signal::as_str);
                    tracing::info!("{name} means nothing here and is ignored");
                }
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listener)
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

fn leave(log: &Log, pid_file: &PidFile) -> ! {
    tracing::info!("asked to stop a second time: closing every connection now");
    pid_file.remove();
    log.flush();
    std::process::exit(0);
}

/// What SIGHUP asks for.
pub(crate) fn reopen(log: &Log) {
    match log.reopen() {
        Ok(Some(path)) => tracing::info!("SIGHUP: log file {} opened again", path.display()),
        Ok(None) => tracing::info!("SIGHUP: the log is no file, nothing to open again"),
        Err(reason) => tracing::error!("SIGHUP: {reason:#}; the log goes on in the old file"),
    }
}
