//! From what was typed to what the program needs: the checks that one option alone cannot make.
//!
//! Nothing here touches the system but to find the program's own directory.

use std::collections::HashSet;
use std::env;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admin::{Account, Interface};
use anyhow::{Context, Result, bail, ensure};
use backend::{Address, Balance, Role, Target};
use proxy::{
    CompressionSettings, PoolReset, QueryLogKind, QueryLogSettings, ScriptSettings,
    ServerCompression, TraceSettings,
};
use script::{OnHookError, OnLoadError, Shared};
use telemetry::Tls;
use transport::compression::Algorithm;
use transport::proxy_protocol::Version;

use crate::log::Choice;
use crate::options::{
    AddressList, BalanceOption, ClientSslMode, HookErrorOption, LoadErrorOption, LogOptions,
    OperatorOptions, Options, Plugin, PoolResetOption, QueryLogOptions, ServerCompressionOption,
    ServerProxyProtocol, TraceOptions,
};
use crate::otlp::Collector;

/// What clients reach when no server is named.
const DEFAULT_BACKEND: &str = "127.0.0.1:3306";

/// What a process needs to know before it opens anything.
#[derive(Debug)]
pub(crate) struct Settings {
    /// It listens nowhere with `--no-proxy`.
    pub(crate) proxy: proxy::Settings,
    /// What listens for operators.
    pub(crate) operators: Vec<admin::Settings>,
    /// Where metrics and the web page are served.
    pub(crate) http: Option<Address>,
    /// How it is spoken there; `None` for plain HTTP, and before the certificate is read.
    pub(crate) http_tls: Option<Tls>,
    /// Where the log goes; a path is absolute.
    pub(crate) log: Choice,
    /// Which query logs there are, and their absolute paths.
    pub(crate) query_logs: Vec<(QueryLogKind, PathBuf)>,
    /// Where traces go.
    pub(crate) collector: Option<Collector>,
    /// Absolute.
    pub(crate) pid_file: Option<PathBuf>,
    /// Where relative paths start.
    pub(crate) base: PathBuf,
}

impl Settings {
    /// Checks `options` as a whole. An error is one line.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let base = base_directory(options.process.basedir.as_deref())?;
        Ok(Self {
            proxy: proxy_settings(options, &base)?,
            operators: operators(options, &base)?,
            http_tls: None,
            http: http(&options.operator)?,
            query_logs: query_logs(&options.query_log, &base)?,
            collector: collector(&options.traces)?,
            log: log_choice(&options.log, options.process.daemon, &base)?,
            pid_file: options
                .process
                .pid_file
                .as_ref()
                .map(|path| base.join(path)),
            base,
        })
    }
}

/// What works in another way than it looks.
pub(crate) fn remarks(options: &Options) -> Vec<&'static str> {
    let operator = &options.operator;
    let has_script = options.script.proxy_lua_script.is_some();
    let is_serving = operator.runs(Plugin::Proxy) && !options.proxy.no_proxy;
    let is_admin_meant = operator.admin_username.is_some() || operator.admin_lua_script.is_some();
    let has_page = operator.http_address.is_some() && operator.admin_lua_script.is_none();
    let has_operators = operator.runs(Plugin::Admin) || operator.runs(Plugin::Debug) || has_page;
    let is_passing = options.tls.client_ssl_mode == ClientSslMode::Passthrough;
    let has_header = options.proxy.server_proxy_protocol != ServerProxyProtocol::Off;
    let remarks = [
        (
            is_admin_meant && !has_operators,
            "--admin-* has no effect: --plugins does not name admin",
        ),
        (
            options.traces.trace_sample > 0 && options.traces.otlp_endpoint.is_none(),
            "--trace-sample has no effect: --otlp-endpoint does not say where traces go",
        ),
        (
            options.pool.no_change_user,
            "--proxy-pool-no-change-user has no effect: the server authenticates every client, also on an idle connection",
        ),
        (
            is_serving && is_passing && has_script,
            "--client-ssl-mode=PASSTHROUGH: of clients that use TLS the script sees the connection and nothing else",
        ),
        (
            is_serving && has_header && has_script,
            "--server-proxy-protocol: a connection that the script gives to another client keeps the address of the client \
             that opened it, and the server lets that other client in as if it came from there",
        ),
    ];
    let said = remarks.into_iter().filter(|(is_so, _)| *is_so);
    said.map(|(_, text)| text).collect()
}

/// The given one, or what holds the directory that the program lies in: `/usr` for `/usr/bin/mysql-proxy`.
pub(crate) fn base_directory(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        ensure!(
            path.is_absolute(),
            "--basedir: `{}` is not an absolute path",
            path.display()
        );
        return Ok(path.to_owned());
    }
    let program = env::current_exe().and_then(|path| path.canonicalize());
    let program = program.context("cannot find the program's own directory; give --basedir")?;
    Ok(program
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("/"))
        .to_owned())
}

fn log_choice(options: &LogOptions, daemon: bool, base: &Path) -> Result<Choice> {
    match &options.file {
        Some(_) if options.use_syslog => {
            bail!("--log-file and --log-use-syslog exclude each other; give one of them")
        }
        Some(path) => Ok(Choice::File(base.join(path))),
        None if options.use_syslog || daemon => Ok(Choice::Syslog),
        None => Ok(Choice::Stdout),
    }
}

fn query_logs(options: &QueryLogOptions, base: &Path) -> Result<Vec<(QueryLogKind, PathBuf)>> {
    let slow = options.slow_query_log.as_ref();
    let sample = options.query_log.as_ref();
    ensure!(
        slow.is_none() || slow != sample,
        "--slow-query-log and --query-log are the same file; give them one each"
    );
    let slow = slow.map(|path| (QueryLogKind::Slow, base.join(path)));
    let sample = sample.map(|path| (QueryLogKind::Sample, base.join(path)));
    Ok(slow.into_iter().chain(sample).collect())
}

fn query_log_settings(options: &QueryLogOptions) -> QueryLogSettings {
    let slow = options.slow_query_log.as_ref();
    let sample = options.query_log.as_ref();
    QueryLogSettings {
        slow: slow.map(|_| options.slow_query_time),
        sample: sample.map(|_| options.query_log_sample),
        has_literals: options.query_log_literals,
    }
}

fn collector(options: &TraceOptions) -> Result<Option<Collector>> {
    let url = options.otlp_endpoint.as_deref();
    url.map(|url| Collector::new(url, &options.otlp_service_name))
        .transpose()
}

fn proxy_settings(all: &Options, base: &Path) -> Result<proxy::Settings> {
    let (options, timeouts) = (&all.proxy, &all.timeouts);
    let has_script = all.script.proxy_lua_script.is_some();
    let is_serving = all.operator.runs(Plugin::Proxy) && !options.no_proxy;
    let backends = match is_serving {
        true => backends(&options.backends, &options.read_only_backends, has_script)?,
        false => Vec::new(),
    };
    let listen = is_serving.then(|| options.address.clone());
    let mut settings = proxy::Settings::new(listen, backends);
    settings.script = script_settings(all, base);
    settings.connections_max = match options.max_connections {
        0 => usize::MAX,
        max => usize::try_from(max).unwrap_or(usize::MAX),
    };
    settings.connection_rate_max = NonZeroU32::new(options.max_connection_rate);
    settings.socket_mode = options.socket_mode;
    settings.balance = match options.balance {
        BalanceOption::RoundRobin => Balance::RoundRobin,
        BalanceOption::LeastConnections => Balance::LeastConnections,
    };
    let networks = options.proxy_protocol_networks.iter();
    settings.proxy_protocol_networks = networks.flat_map(|list| list.0.iter().copied()).collect();
    settings.server_proxy_protocol = match options.server_proxy_protocol {
        ServerProxyProtocol::Off => None,
        ServerProxyProtocol::V1 => Some(Version::V1),
        ServerProxyProtocol::V2 => Some(Version::V2),
    };
    settings.compression = CompressionSettings {
        client: all.compression.client_compression.0.clone(),
        server: match all.compression.server_compression {
            ServerCompressionOption::Off => ServerCompression::Off,
            ServerCompressionOption::AsClient => ServerCompression::AsClient,
            ServerCompressionOption::Zlib => ServerCompression::Always(Algorithm::Zlib),
            ServerCompressionOption::Zstd => ServerCompression::Always(Algorithm::Zstd),
        },
    };
    settings.workers = options.event_threads.unwrap_or(settings.workers);
    settings.connect_timeout = timeouts.connect.0.unwrap_or(settings.connect_timeout);
    settings.greeting_timeout = timeouts.greeting;
    settings.login_timeout = timeouts.login;
    settings.read_timeout = timeouts.read.0.unwrap_or(settings.read_timeout);
    settings.write_timeout = timeouts.write.0.unwrap_or(settings.write_timeout);
    settings.shutdown_timeout = timeouts.shutdown;
    settings.handover_timeout = timeouts.upgrade;
    settings.query_log = query_log_settings(&all.query_log);
    settings.traces = TraceSettings {
        is_on: all.traces.otlp_endpoint.is_some(),
        sample: NonZeroU64::new(all.traces.trace_sample),
    };
    settings.digest_bytes_max = usize::try_from(all.operator.digest_limit).unwrap_or(usize::MAX);
    settings.pool_wait = all.pool.wait;
    settings.pool_reset = match all.pool.reset {
        PoolResetOption::Auto => PoolReset::Auto,
        PoolResetOption::Always => PoolReset::Always,
        PoolResetOption::Never => PoolReset::Never,
    };
    Ok(settings)
}

/// `None` where nobody has a script. The file itself is not looked at: that is done when a client connects.
fn script_settings(all: &Options, base: &Path) -> Option<ScriptSettings> {
    let (options, operator) = (&all.script, &all.operator);
    let has_admin_script = operator.runs(Plugin::Admin) && operator.admin_lua_script.is_some();
    if options.proxy_lua_script.is_none() && !has_admin_script && !operator.runs(Plugin::Debug) {
        return None;
    }
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let script = options.proxy_lua_script.as_ref();
    let mut settings = ScriptSettings::new(script.map(|file| base.join(file)));
    settings.states = options.lua_states;
    settings.result_bytes_max = bytes(options.result_limit);
    settings.command_bytes_max = bytes(options.max_packet_bytes);
    let state = &mut settings.options;
    state.lua_path.clone_from(&options.lua_path);
    state.lua_cpath.clone_from(&options.lua_cpath);
    (state.default_lua_path, state.default_lua_cpath) = module_templates(base);
    state.on_load_error = match options.on_load_error {
        LoadErrorOption::KeepLast => OnLoadError::KeepLast,
        LoadErrorOption::PassThrough => OnLoadError::PassThrough,
        LoadErrorOption::Error => OnLoadError::Error,
    };
    state.on_hook_error = match options.on_hook_error {
        HookErrorOption::Default => OnHookError::Default,
        HookErrorOption::Error => OnHookError::Error,
    };
    state.hook_timeout = Some(options.hook_timeout).filter(|timeout| !timeout.is_zero());
    state.memory_limit = bytes(options.memory_limit);
    state.shared = Arc::new(Shared::new(bytes(options.shared_limit)));
    Some(settings)
}

/// What `--plugins` names beside the proxy.
fn operators(options: &Options, base: &Path) -> Result<Vec<admin::Settings>> {
    let operator = &options.operator;
    let mut servers = Vec::new();
    if operator.runs(Plugin::Admin) {
        let script = operator.admin_lua_script.as_ref();
        servers.push(admin::Settings {
            listen: operator.admin_address.clone(),
            account: account(operator, "admin")?,
            interface: Interface::Admin {
                script: script.map(|file| base.join(file)),
            },
        });
    }
    if operator.runs(Plugin::Debug) {
        let address = &operator.debug_address;
        ensure!(
            is_of_this_host(address),
            "--debug-address: {address} can be reached from other hosts, and who logs in there runs Lua as this \
             program; give a loopback address or a socket's path"
        );
        servers.push(admin::Settings {
            listen: address.clone(),
            account: account(operator, "debug")?,
            interface: Interface::Debug,
        });
    }
    Ok(servers)
}

/// A name that is no host's own may be anything: only addresses and `localhost` count as this host.
fn http(options: &OperatorOptions) -> Result<Option<Address>> {
    let Some(address) = &options.http_address else {
        return Ok(None);
    };
    ensure!(
        !matches!(address.target(), Target::Unix(_)),
        "--http-address: {address} is no HOST:PORT"
    );
    let has_tls = options.http_ssl_cert.is_some() && options.http_ssl_key.is_some();
    ensure!(
        options.http_allow_remote || has_tls || is_of_this_host(address),
        "--http-address: {address} can be reached from other hosts, without TLS; give --http-ssl-cert and --http-ssl-key, or a \
         loopback address, or --http-allow-remote"
    );
    Ok(Some(address.clone()))
}

pub(crate) fn account(options: &OperatorOptions, plugin: &str) -> Result<Account> {
    let given = |value: &Option<String>, option| {
        let value = value.clone().filter(|value| !value.is_empty());
        value.with_context(|| {
            format!("--plugins={plugin} needs {option}, which is not given or empty")
        })
    };
    Ok(Account {
        username: given(&options.admin_username, "--admin-username")?,
        password: given(&options.admin_password, "--admin-password")?,
    })
}

fn is_of_this_host(address: &Address) -> bool {
    match address.target() {
        Target::Unix(_) => true,
        Target::Ip(ip, _) => ip.is_loopback(),
        Target::Name(name, _) => name == "localhost",
    }
}

/// Where modules are looked for if nobody says: those in Lua, and those in C.
pub(crate) fn module_templates(base: &Path) -> (String, String) {
    let modules = base.join("lib/mysql-proxy/lua");
    let template = |name| modules.join(name).display().to_string();
    (template("?.lua"), template("?.so"))
}

/// Both lists in option order, read/write first. Without a script, clients need a read/write one.
fn backends(
    read_write: &[AddressList],
    read_only: &[AddressList],
    has_script: bool,
) -> Result<Vec<(Address, Role)>> {
    let of = |lists: &[AddressList], role| -> Vec<_> {
        let addresses = lists.iter().flat_map(|list| list.0.iter().cloned());
        addresses.map(|address| (address, role)).collect()
    };
    let mut backends = of(read_write, Role::ReadWrite);
    let read_only = of(read_only, Role::ReadOnly);
    match (backends.is_empty(), read_only.is_empty()) {
        (true, true) => backends.push((DEFAULT_BACKEND.parse()?, Role::ReadWrite)),
        (true, false) if !has_script => bail!(
            "all backends are read-only, which only a script would use: no client could be served; \
             give --proxy-backend-addresses too"
        ),
        _ => {}
    }
    backends.extend(read_only);
    let mut known = HashSet::new();
    match backends
        .iter()
        .find(|(address, _)| !known.insert(address.to_string()))
    {
        Some((address, _)) => bail!("backend {address} is already known! Name each backend once"),
        None => Ok(backends),
    }
}
