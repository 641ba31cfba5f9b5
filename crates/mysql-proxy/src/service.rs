//! The proxy as a process, from checked options to its last log line.
//!
//! The order matters: what may fail for a wrong option comes first, forks come before threads, root is given up once
//! nothing needs it any more, and the caller of a daemon is let go last.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::{Context, Result, anyhow};
use backend::{Address, Role};
use nix::unistd::User;
use proxy::Proxy;

use crate::daemon::Caller;
use crate::log::{Choice, Log};
use crate::options::{Options, ProcessOptions};
use crate::pid_file::PidFile;
use crate::settings::Settings;
use crate::{angel, complain, daemon, limits, log, privileges, signals};

/// Where `syslog(3)` sends its lines on Linux.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Serves until told to stop. An error is one line, which the log has too unless it is standard output.
pub(crate) fn start(options: &Options, warnings: &[String]) -> Result<ExitCode> {
    let settings = Settings::new(options)?;
    let user = options
        .process
        .user
        .as_deref()
        .map(privileges::find)
        .transpose()?;
    limits::set_open_files(options.process.max_open_files)?;
    let log = Log::open(&settings.log, options.log.level, options.log.format)?;
    log.install()?;
    log::catch_panics(options.log.backtrace_on_crash);
    if settings.log == Choice::Syslog {
        warn_of_syslog(options);
    }
    if options.pool.no_change_user {
        tracing::warn!(
            "--proxy-pool-no-change-user has no effect: the server authenticates every client, also on an idle connection"
        );
    }
    warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));

    let result = run(&options.process, settings, user.as_ref(), &log);
    if let Err(error) = &result
        && !log.is_stdout()
    {
        tracing::error!("{error:#}");
    }
    log.flush();
    result
}

fn run(
    options: &ProcessOptions,
    settings: Settings,
    user: Option<&User>,
    log: &Log,
) -> Result<ExitCode> {
    let caller = match options.daemon {
        true => daemon::detach()?,
        false => Caller::none(),
    };
    if options.keepalive
        && let angel::Process::Angel(code) = angel::guard(log, caller.waits())?
    {
        return Ok(code);
    }
    let Settings {
        proxy, pid_file, ..
    } = settings;
    let backends = proxy
        .as_ref()
        .map(|proxy| proxy.backends.clone())
        .unwrap_or_default();
    // Its text has its source already.
    let proxy = proxy
        .map(Proxy::bind)
        .transpose()
        .map_err(|error| anyhow!("{error}"))?;
    let pid_file = PidFile::write(pid_file)?;
    let served = user
        .map_or(Ok(()), |user| privileges::drop_to(user, log))
        .and_then(|()| serve(proxy, &backends, caller, log, &pid_file));
    pid_file.remove();
    served?;
    let last_words = "shutting down normally, exit code is: 0";
    match options.verbose_shutdown {
        true => tracing::error!("{last_words}"),
        false => tracing::info!("{last_words}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns once the proxy was told to stop and its last session ended.
///
/// Signals are listened for before anyone is told that the process is ready to get them.
fn serve(
    proxy: Option<Proxy>,
    backends: &[(Address, Role)],
    caller: Caller,
    log: &Log,
    pid_file: &PidFile,
) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    let shutdown = proxy.as_ref().map(Proxy::shutdown);
    signals::listen(log.clone(), pid_file.clone(), move || match shutdown {
        Some(shutdown) => shutdown.drain(),
        // The receiver is gone only when the process is at its end anyway.
        None => stop.send(()).unwrap_or_default(),
    })?;
    announce(proxy.as_ref(), backends);
    caller.release()?;
    match proxy {
        Some(proxy) => proxy.run().context("the proxy cannot run"),
        None => stopped
            .recv()
            .context("nothing listens for signals any more"),
    }
}

fn announce(proxy: Option<&Proxy>, backends: &[(Address, Role)]) {
    let Some(proxy) = proxy else {
        tracing::info!("no port is open and no backend in use (--no-proxy); waiting for a signal");
        return;
    };
    tracing::info!("plugin proxy {} started", env!("CARGO_PKG_VERSION"));
    tracing::info!("proxy listening on port {}", proxy.local_address());
    for (address, role) in backends {
        match role {
            Role::ReadWrite => tracing::info!("added read/write backend: {address}"),
            Role::ReadOnly => tracing::info!("added read-only backend: {address}"),
        }
    }
}

/// A log that nobody expects, or that nothing reads, is announced where the operator looks.
fn warn_of_syslog(options: &Options) {
    if !options.log.use_syslog {
        complain("--daemon without --log-file: the log goes to syslog");
    }
    if cfg!(target_os = "linux") && !Path::new(SYSLOG_SOCKET).exists() {
        complain(&format!(
            "no syslog service listens on {SYSLOG_SOCKET}: log lines are lost until one does"
        ));
    }
}
