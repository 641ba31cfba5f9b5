//! `mysql-proxy doctor`: whether a proxy with these options will work with its servers, and what to do where it will not.
//!
//! It asks every server what a client would meet there, and changes nothing: no port stays open, no file is written.

mod account;
mod client;
mod examination;
mod progress;
mod variables;

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use backend::{Address, Backends, Role, Target};
use clap::{Command, CommandFactory};
use nix::sys::signal::kill;
use nix::unistd::Pid;
#[cfg(test)]
use protocol::limits::{Bound, Limit};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::account::Arguments;
use self::examination::{EXAMINATION_TIME, Examined, Expectations};
use self::progress::Progress;
use crate::diagnosis::{Report, Severity, local};
use crate::options::{self, Options, Request, Source};
use crate::settings::Settings;
use crate::{open_files, print, tls};

/// As operators read of them.
#[cfg(test)]
pub(crate) const LIMITS: [Limit; 2] = [
    Limit {
        what: "`mysql-proxy doctor`: everything it asks one server, connecting included",
        bound: Bound::Time(EXAMINATION_TIME),
        reason: "it is a few short questions",
        beyond: "an error in its report",
    },
    Limit {
        what: "`mysql-proxy doctor`: a packet of a server's answer",
        bound: Bound::Bytes(client::PACKET_BYTES_MAX as u64),
        reason: "settings are short",
        beyond: "an error in its report",
    },
];

/// Its own options, those of a start left out.
pub(crate) fn command() -> Command {
    Arguments::command()
}

/// `arguments` start with the word `doctor`.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let (own, others) = account::split(arguments);
    let own = match Arguments::read(&own)? {
        Ok(own) => own,
        Err(help) => return print(&help),
    };
    let account = own.account()?;
    let source = Source {
        arguments: others,
        directory: std::env::current_dir().unwrap_or_default(),
    };
    let (options, warnings) = match options::read_from(&source)? {
        Request::Run { options, warnings } => (options, warnings),
        Request::Print(text) => return print(&text),
    };
    let mut report = Report::default();
    warnings
        .iter()
        .for_each(|warning| report.warning(warning, "correct the key, or take the line out"));
    let settings = local::examine(&options, &source.directory, &mut report);
    if let Some(settings) = settings {
        ports(&options, &settings, &mut report);
        let settings = with_tls(&options, &source.directory, settings);
        if !settings.proxy.backends.is_empty() {
            servers(&options, settings, account, &mut report)?;
        }
    }
    report.print(Severity::Ok)?;
    Ok(ExitCode::from(u8::from(report.has_errors())))
}

/// What is wrong with the files has been said.
fn with_tls(options: &Options, directory: &Path, mut settings: Settings) -> Settings {
    if let Ok(tls) = tls::check(&options.tls.in_directory(directory)) {
        settings.proxy.tls = tls;
    }
    if let Ok(clients) = open_files::clients() {
        settings.proxy.connections_max = settings.proxy.connections_max.min(clients);
    }
    settings
}

/// Whether what is to be listened on is free, or ours already.
fn ports(options: &Options, settings: &Settings, report: &mut Report) {
    let running = running(settings);
    for (option, address) in local::listening(options, settings) {
        match (is_taken(address), running) {
            (Ok(false), _) => report.ok(format!("{option}: {address} is free")),
            (Ok(true), Some(id)) => {
                report.ok(format!("{option}: {address} is in use, by process {id} of --pid-file"));
            }
            (Ok(true), None) => report.warning(
                format!("{option}: somebody listens on {address} already"),
                "if that is this proxy, all is well (--pid-file would tell); else a start fails: `ss -ltnp` says who it is",
            ),
            (Err(error), _) => report.error(
                format!("{option}: {address} cannot be listened on: {error}"),
                "give an address of this host; ports below 1024 take root or CAP_NET_BIND_SERVICE",
            ),
        }
    }
}

/// The process of the pid file, if there is one.
fn running(settings: &Settings) -> Option<i32> {
    let text = std::fs::read_to_string(settings.pid_file.as_ref()?).ok()?;
    let id = text.trim().parse().ok().filter(|id| *id > 0)?;
    kill(Pid::from_raw(id), None).is_ok().then_some(id)
}

/// The port is open for a moment, to nobody's use.
fn is_taken(address: &Address) -> io::Result<bool> {
    let bind = |address: SocketAddr| match TcpListener::bind(address) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(error) => Err(error),
    };
    match address.target() {
        Target::Ip(ip, port) => bind(SocketAddr::new(*ip, *port)),
        // It was found a moment ago.
        Target::Name(name, port) => match (name.as_str(), *port).to_socket_addrs()?.next() {
            Some(address) => bind(address),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        },
        Target::Unix(path) => Ok(std::os::unix::net::UnixStream::connect(path).is_ok()),
    }
}

fn servers(
    options: &Options,
    settings: Settings,
    account: Option<account::Account>,
    report: &mut Report,
) -> Result<()> {
    let progress = Progress::new();
    let backends = Backends::new(
        settings.proxy.backends.iter().cloned(),
        settings.proxy.balance,
    );
    let has_account = account.is_some();
    let expectations = Arc::new(Expectations::new(options, settings.proxy, account));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no event queue can be had")?;
    let mut examined = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for backend in backends.all().iter() {
            let (backend, expectations) = (Arc::clone(backend), Arc::clone(&expectations));
            progress.begin(backend.address().to_string());
            tasks.spawn(async move {
                let index = backend.index();
                let examination = examination::examine(&backend, &expectations);
                match timeout(EXAMINATION_TIME, examination).await {
                    Ok(examined) => (index, examined),
                    Err(_) => (index, Examined::too_slow(&backend)),
                }
            });
        }
        let mut examined = Vec::new();
        while let Some(done) = progress.while_waiting(tasks.join_next()).await {
            let (index, done) = done.context("an examination failed")?;
            progress.end(&done.name);
            examined.push((index, done));
        }
        anyhow::Ok(examined)
    })?;
    progress.clear();
    // A look-up of a name may still be blocked, for as long as the resolver likes.
    runtime.shutdown_background();
    examined.sort_by_key(|(index, _)| *index);
    let examined: Vec<_> = examined.into_iter().map(|(_, examined)| examined).collect();
    variables::compare(&examined, &expectations, report);
    for server in examined {
        report.append(server.report);
    }
    if !has_account {
        report.ok(
            "servers' settings were not looked at: that takes an account (--login-user, or --defaults-extra-file)",
        );
    }
    Ok(())
}

/// As operators say it.
fn role(role: Role) -> &'static str {
    match role {
        Role::ReadWrite => "read/write",
        Role::ReadOnly => "read-only",
    }
}
