//! The proxy as a process, from checked options to its last log line.
//!
//! The order matters: what may fail for a wrong option comes first, forks come before threads, root is given up once
//! nothing needs it any more, and the caller of a daemon is let go last.

use std::mem;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use admin::Server;
use anyhow::{Context, Result, anyhow};
use backend::{Address, Role};
use nix::unistd::User;
use proxy::{InheritedSockets, ListenerHandle, Proxy};
use telemetry::Tls;

use crate::configuration::Configuration;
use crate::daemon::Caller;
use crate::log::{Choice, Log};
use crate::options::{Options, Source};
use crate::otlp::{self, Collector};
use crate::pid_file::PidFile;
use crate::query_log::QueryLogs;
use crate::settings::{self, Settings};
use crate::upgrade::{Inheritance, Program, Upgrade};
use crate::{angel, complain, daemon, log, open_files, privileges, service_manager, signals, tls};

/// Where `syslog(3)` sends its lines on Linux.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Serves until told to stop. An error is one line, which the log has too unless it is standard output.
pub(crate) fn start(
    (all, source): (Arc<Options>, Source),
    warnings: &[String],
    inheritance: &mut Inheritance,
) -> Result<ExitCode> {
    let program = Program::current()?;
    let options = &*all;
    let mut settings = Settings::new(options).map_err(|error| options.located(&error))?;
    let user = options
        .process
        .user
        .as_deref()
        .map(privileges::find)
        .transpose()?;
    open_files::set(options.process.max_open_files)?;
    settings.proxy.connections_max = settings.proxy.connections_max.min(open_files::clients()?);
    let log = Log::open(&settings.log, options.log.level, options.log.format)?;
    log.install()?;
    log::catch_panics(options.log.backtrace_on_crash);
    if settings.log == Choice::Syslog {
        warn_of_syslog(options);
    }
    settings::remarks(options)
        .into_iter()
        .for_each(|remark| tracing::warn!("{remark}"));
    warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));

    if settings.proxy.listen.is_some() {
        let tls = tls::load(&options.tls);
        settings.proxy.tls = tls.map_err(|error| options.located(&error))?;
    }

    let http = tls::load_http(&options.operator, &options.tls);
    settings.http_tls = http.map_err(|error| options.located(&error))?.map(Tls::new);

    let result = run(
        (&all, source),
        settings,
        user.as_ref(),
        &log,
        (program, inheritance),
    );
    if let Err(error) = &result
        && !log.is_stdout()
    {
        tracing::error!("{error:#}");
    }
    log.flush();
    result
}

fn run(
    (all, source): (&Arc<Options>, Source),
    settings: Settings,
    user: Option<&User>,
    log: &Log,
    (program, inheritance): (Program, &mut Inheritance),
) -> Result<ExitCode> {
    let options = &all.process;
    let caller = match options.daemon {
        true => daemon::detach()?,
        false => Caller::none(),
    };
    let mut is_again = false;
    if options.keepalive {
        match angel::guard(log, caller.waits(), inheritance)? {
            angel::Process::Angel(code) => return Ok(code),
            angel::Process::Worker { again } => is_again = again,
        }
    }
    let Settings {
        proxy,
        operators,
        http,
        http_tls,
        pid_file,
        query_logs,
        collector,
        ..
    } = settings;
    // Not the angel's: it would give the next worker files that were renamed meanwhile.
    let query_logs = QueryLogs::open(&query_logs)?;
    let backends = proxy.backends.clone();
    let servers = Servers::bind(proxy, operators, http, &mut inheritance.sockets)?;
    let unused = mem::take(&mut inheritance.sockets);
    for address in unused.addresses() {
        tracing::warn!(
            "the inherited socket at {address} is closed: no option says to listen there"
        );
    }
    drop(unused);
    let pid_file = PidFile(pid_file);
    // The process that this one replaces may still go on: until then the file is that one's.
    if !inheritance.has_predecessor() {
        pid_file.write()?;
    }
    let served = user
        .map_or(Ok(()), |user| {
            privileges::drop_to(user, (log, &query_logs), &pid_file)
        })
        .and_then(|()| {
            serve(
                (servers, http_tls),
                &backends,
                (caller, program, inheritance),
                (log, &query_logs, &pid_file),
                collector.as_ref(),
                (all, source, is_again),
            )
        });
    pid_file.remove();
    served?;
    let last_words = "shutting down normally, exit code is: 0";
    match options.verbose_shutdown {
        true => tracing::error!("{last_words}"),
        false => tracing::info!("{last_words}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that listens, before it serves.
struct Servers {
    proxy: Proxy,
    operators: Vec<Server>,
    http: Option<telemetry::Server>,
}

impl Servers {
    fn bind(
        proxy: proxy::Settings,
        operators: Vec<admin::Settings>,
        http: Option<Address>,
        inherited: &mut InheritedSockets,
    ) -> Result<Self> {
        // The errors' texts have their sources already.
        let proxy = Proxy::bind(proxy, inherited).map_err(|error| anyhow!("{error}"))?;
        let operators = operators
            .into_iter()
            .map(|settings| Server::bind(settings, inherited))
            .collect::<Result<_, _>>()
            .map_err(|error| anyhow!("{error}"))?;
        let http = http.map(|address| telemetry::Server::bind(&address, inherited));
        let http = http.transpose();
        Ok(Self {
            proxy,
            operators,
            http: http.map_err(|error| anyhow!("--http-address: {error}"))?,
        })
    }

    fn listeners(&self) -> Vec<ListenerHandle> {
        let operators = self.operators.iter().map(Server::listener);
        let http = self.http.iter().map(telemetry::Server::listener);
        let proxy = self.proxy.listener();
        proxy.into_iter().chain(operators).chain(http).collect()
    }
}

/// Returns once the proxy was told to stop and its last session ended.
///
/// Signals are listened for before anyone is told that the process is ready to get them.
fn serve(
    (servers, http_tls): (Servers, Option<Tls>),
    backends: &[(Address, Role)],
    (caller, program, inheritance): (Caller, Program, &mut Inheritance),
    (log, query_logs, pid_file): (&Log, &QueryLogs, &PidFile),
    collector: Option<&Collector>,
    (options, source, is_again): (&Arc<Options>, Source, bool),
) -> Result<()> {
    let listeners = servers.listeners();
    let Servers {
        proxy,
        operators,
        http,
    } = servers;
    let (shutdown, address) = (proxy.shutdown(), proxy.local_address());
    let upgrade = Upgrade::new(program, listeners, shutdown.clone());
    let service = proxy.into_service().context("the proxy cannot run")?;
    let configuration = Arc::new(Configuration::new(
        source,
        Arc::clone(options),
        service.control(),
        log.clone(),
        (
            operators.iter().map(Server::settings).collect(),
            http_tls.clone(),
        ),
    ));
    let reloading = Arc::clone(&configuration);
    let files = query_logs.clone();
    let reload = move || {
        files.reopen();
        reloading.reload_or_read_certificates("SIGHUP");
    };
    let stop = move || shutdown.drain();
    let upgrade = move || upgrade.begin();
    signals::listen(log.clone(), pid_file.clone(), stop, reload, upgrade)?;
    query_logs.start(service.query_records())?;
    if let Some((collector, commands)) = collector.zip(service.traced_commands()) {
        collector.start(commands)?;
    }
    announce(address, &operators, backends);
    if is_again {
        // The angel knows the options that it was started with.
        configuration.reload_or_read_certificates("restart by the angel");
    }
    for operator in operators {
        let configuration = Arc::clone(&configuration);
        let started = operator.start(service.control(), configuration);
        started.context("operators cannot be served")?;
    }
    if let Some(http) = http {
        tracing::info!("http-server listening on port {}", http.local_address());
        let control = service.control();
        let pages = || web::router(configuration, control);
        let started = http.start(service.control(), http_tls, pages);
        started.context("nobody can be answered over HTTP")?;
    }
    if inheritance.has_predecessor() {
        inheritance.relieve()?;
        // There is no way back any more.
        if let Err(error) = pid_file.write() {
            tracing::warn!("{error:#}: it still names the process before this one");
        }
    }
    caller.release()?;
    service_manager::ready();
    let control = service.control();
    service_manager::watch(move |silence| control.beats_within(silence))?;
    let control = service.control();
    let served = service.run().context("the proxy cannot run");
    query_logs.finish(&control);
    otlp::finish(&control);
    served
}

fn announce(proxy: Option<String>, operators: &[Server], backends: &[(Address, Role)]) {
    let version = env!("CARGO_PKG_VERSION");
    for operator in operators {
        let (name, address) = (operator.name(), operator.local_address());
        tracing::info!("plugin {name} {version} started");
        tracing::info!("{name}-server listening on port {address}");
    }
    let Some(address) = proxy else {
        tracing::info!("no port is open for clients and no backend in use; waiting for a signal");
        return;
    };
    tracing::info!("plugin proxy {version} started");
    tracing::info!("proxy listening on port {address}");
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
