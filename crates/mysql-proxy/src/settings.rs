//! From what was typed to what the program needs: the checks that one option alone cannot make.
//!
//! Nothing here touches the system but to find the program's own directory.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use backend::{Address, Balance, Role};
use proxy::ScriptSettings;
use script::{OnHookError, OnLoadError, Shared};

use crate::log::Choice;
use crate::options::{
    AddressList, BalanceOption, HookErrorOption, LoadErrorOption, LogOptions, Options,
    PoolResetOption, ScriptOptions,
};

/// What clients reach when no server is named.
const DEFAULT_BACKEND: &str = "127.0.0.1:3306";

/// What a process needs to know before it opens anything.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `None` with `--no-proxy`.
    pub(crate) proxy: Option<proxy::Settings>,
    /// Where the log goes; a path is absolute.
    pub(crate) log: Choice,
    /// Absolute.
    pub(crate) pid_file: Option<PathBuf>,
}

impl Settings {
    /// Checks `options` as a whole. An error is one line.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let base = base_directory(options.process.basedir.as_deref())?;
        let proxy = match options.proxy.no_proxy {
            true => None,
            false => Some(proxy_settings(options, &base)?),
        };
        Ok(Self {
            proxy,
            log: log_choice(&options.log, options.process.daemon, &base)?,
            pid_file: options
                .process
                .pid_file
                .as_ref()
                .map(|path| base.join(path)),
        })
    }
}

/// The given one, or what holds the directory that the program lies in: `/usr` for `/usr/bin/mysql-proxy`.
fn base_directory(given: Option<&Path>) -> Result<PathBuf> {
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

fn proxy_settings(all: &Options, base: &Path) -> Result<proxy::Settings> {
    let (options, timeouts) = (&all.proxy, &all.timeouts);
    let has_script = all.script.proxy_lua_script.is_some();
    let backends = backends(&options.backends, &options.read_only_backends, has_script)?;
    let mut settings = proxy::Settings::new(options.address.clone(), backends);
    settings.script = script_settings(&all.script, base);
    settings.balance = match options.balance {
        BalanceOption::RoundRobin => Balance::RoundRobin,
        BalanceOption::LeastConnections => Balance::LeastConnections,
    };
    settings.workers = options.event_threads.unwrap_or(settings.workers);
    settings.connect_timeout = timeouts.connect.0.unwrap_or(settings.connect_timeout);
    settings.greeting_timeout = timeouts.greeting;
    settings.login_timeout = timeouts.login;
    settings.read_timeout = timeouts.read.0.unwrap_or(settings.read_timeout);
    settings.write_timeout = timeouts.write.0.unwrap_or(settings.write_timeout);
    settings.shutdown_timeout = timeouts.shutdown;
    settings.pool_wait = all.pool.wait;
    settings.pool_resets = all.pool.reset == PoolResetOption::Auto;
    Ok(settings)
}

/// `None` without a script. The file itself is not looked at: that is done when a client connects.
fn script_settings(options: &ScriptOptions, base: &Path) -> Option<ScriptSettings> {
    let file = options.proxy_lua_script.as_ref()?;
    let modules = base.join("lib/mysql-proxy/lua");
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let mut settings = ScriptSettings::new(base.join(file));
    settings.states = options.lua_states;
    settings.result_bytes_max = bytes(options.result_limit);
    settings.command_bytes_max = bytes(options.max_packet_bytes);
    let state = &mut settings.options;
    state.lua_path.clone_from(&options.lua_path);
    state.lua_cpath.clone_from(&options.lua_cpath);
    state.default_lua_path = modules.join("?.lua").display().to_string();
    state.default_lua_cpath = modules.join("?.so").display().to_string();
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
