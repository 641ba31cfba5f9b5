//! Every option: its name, its help text, its unit and its default, each declared once.
//!
//! What a value means to the program is `settings.rs`'s business; where else it may be written, `defaults_file.rs`'s.

mod given;
// The page has those of the default features.
#[cfg(all(test, feature = "otlp"))]
mod limits;
mod retired;
#[cfg(test)]
mod tests;
mod usage_error;
mod value;

use std::ffi::OsString;
use std::iter;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use admin::OptionOrigin;
use anyhow::{Result, anyhow, bail};
use backend::Address;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};

use crate::defaults_file::{DefaultsFile, Entry};
use crate::log::{Format, Level};
pub(crate) use crate::options::given::GivenOption;
pub(crate) use crate::options::usage_error::one_line;
pub(crate) use crate::options::value::{
    AddressList, AlgorithmList, NetworkList, Plugin, PluginList, Seconds, Timeout,
};

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n  chassis: ",
    env!("CARGO_PKG_VERSION"),
    "\n-- modules\n  proxy: ",
    env!("CARGO_PKG_VERSION"),
);

/// They say what to read or to print.
const UNKNOWN_IN_FILES: [&str; 4] = ["help", "version", "defaults-file", "check-config"];

/// Where several lines of a defaults file are wrong, their errors are one line.
pub(crate) const BETWEEN_ERRORS: &str = "; and ";

const EXAMPLES: &str = "\
Examples:
  mysql-proxy --proxy-backend-addresses=db1:3306
      Clients connect to port 4040 and reach db1.
  mysql-proxy --proxy-backend-addresses=db1:3306,db2:3306 --proxy-address=127.0.0.1:3307
      Clients of this host alone, in turn to db1 and db2; one that is down is left out.
  mysql-proxy --defaults-file=/etc/mysql-proxy.cnf --daemon
      The options stand in the file, under [mysql-proxy], without the dashes: log-file=/var/log/mysql-proxy.log
  mysql-proxy check script.lua
      Says what is wrong with a script, without serving anyone.
  mysql-proxy doctor --defaults-file=/etc/mysql-proxy.cnf --login-user=monitor
      Looks at the servers, certificates, limits and ports, and says what will not work, and what to do.
  mysql-proxy playground
      Two small servers and the proxy in front of them, to try it without any MySQL.

An address is HOST:PORT, :PORT, [IPV6]:PORT or /path/to/socket; without a port it means port 3306.
A list is separated by commas, or the option is given again. --FLAG=false switches a flag off.";

/// Relays MySQL clients to the servers behind it and leaves out the servers that are down.
#[derive(Debug, Parser)]
#[command(name = "mysql-proxy", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
#[command(
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) proxy: ProxyOptions,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    #[command(flatten)]
    pub(crate) compression: CompressionOptions,
    #[command(flatten)]
    pub(crate) timeouts: TimeoutOptions,
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(flatten)]
    pub(crate) query_log: QueryLogOptions,
    #[command(flatten)]
    pub(crate) traces: TraceOptions,
    #[command(flatten)]
    pub(crate) script: ScriptOptions,
    #[command(flatten)]
    pub(crate) pool: PoolOptions,
    #[command(flatten)]
    pub(crate) operator: OperatorOptions,
    #[command(flatten)]
    pub(crate) compatibility: CompatibilityOptions,
    /// All of them, as they were given.
    #[arg(skip)]
    pub(crate) given: Vec<GivenOption>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Clients and backends")]
pub(crate) struct ProxyOptions {
    /// Where clients connect to
    #[arg(
        long = "proxy-address",
        short = 'P',
        value_name = "ADDRESS",
        default_value = ":4040"
    )]
    pub(crate) address: Address,
    /// Servers that take clients [default without any backend: 127.0.0.1:3306]
    #[arg(long = "proxy-backend-addresses", short = 'b', value_name = "LIST")]
    pub(crate) backends: Vec<AddressList>,
    /// Servers kept apart for scripts; they take no client by themselves
    #[arg(
        long = "proxy-read-only-backend-addresses",
        short = 'r',
        value_name = "LIST"
    )]
    pub(crate) read_only_backends: Vec<AddressList>,
    /// How a client's server is chosen
    #[arg(
        long = "proxy-balance",
        value_name = "WAY",
        default_value = "round-robin"
    )]
    pub(crate) balance: BalanceOption,
    /// Clients that are served at once; 0 for as many as --max-open-files has room for
    #[arg(long, value_name = "NUMBER", value_parser = value::unsigned, default_value = "0")]
    pub(crate) max_connections: u64,
    /// New clients from one address in a second; 0 for any number
    #[arg(long, value_name = "NUMBER", value_parser = value::rate, default_value = "0")]
    pub(crate) max_connection_rate: u32,
    /// Permissions of the socket file that --proxy-address names, octal
    #[arg(long = "proxy-socket-mode", value_name = "MODE", value_parser = value::file_mode, default_value = "0777")]
    pub(crate) socket_mode: u32,
    /// Networks whose clients begin with a PROXY header, as relays send it: addresses, CIDR, localhost (Unix sockets), * (all)
    #[arg(long, value_name = "LIST")]
    pub(crate) proxy_protocol_networks: Vec<NetworkList>,
    /// PROXY header that servers get, so that they see the client's address: none, of version 1, of version 2
    #[arg(long, value_name = "VERSION", default_value = "off")]
    pub(crate) server_proxy_protocol: ServerProxyProtocol,
    /// Threads that serve clients [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = value::threads, allow_negative_numbers = true)]
    pub(crate) event_threads: Option<NonZeroUsize>,
    /// Open no port and use no backend; wait for a signal
    #[arg(long)]
    pub(crate) no_proxy: bool,
}

/// How a new client's backend is chosen among those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BalanceOption {
    /// One after the other, in the order of the list.
    RoundRobin,
    /// The one with the fewest clients; the first of equals.
    LeastConnections,
}

/// What servers are told of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServerProxyProtocol {
    /// Nothing.
    Off,
    /// Its address, in a line of text.
    V1,
    /// Its address, in binary.
    V2,
}

/// Certificates and keys are PEM files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    /// TLS with clients: none, for those who want it, for all, or theirs with the server, unseen
    #[arg(
        long,
        value_name = "MODE",
        default_value = "PREFERRED",
        ignore_case = true
    )]
    pub(crate) client_ssl_mode: ClientSslMode,
    /// Certificate for clients, with those that vouch for it behind it [default: one that is made, see --ssl-dir]
    #[arg(long, value_name = "FILE")]
    pub(crate) ssl_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub(crate) ssl_key: Option<PathBuf>,
    /// CAs that have to vouch for the certificate of a client that shows one
    #[arg(long, value_name = "FILE")]
    pub(crate) ssl_ca: Option<PathBuf>,
    /// Cipher suites, OpenSSL's names or IANA's, separated by colons [default: all that are safe]
    #[arg(long, value_name = "LIST")]
    pub(crate) ssl_cipher: Option<String>,
    /// Versions that are spoken
    #[arg(long, value_name = "LIST", default_value = "TLSv1.2,TLSv1.3")]
    pub(crate) tls_version: String,
    /// Where the certificate is kept that is made when none is given
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/mysql-proxy")]
    pub(crate) ssl_dir: PathBuf,
    /// TLS with servers: none, where they offer it, always, always with a certificate that counts, or as the client
    #[arg(
        long,
        value_name = "MODE",
        default_value = "AS_CLIENT",
        ignore_case = true
    )]
    pub(crate) server_ssl_mode: ServerSslMode,
    /// CAs that vouch for servers' certificates, with VERIFY_CA and VERIFY_IDENTITY
    #[arg(long, value_name = "FILE")]
    pub(crate) server_ssl_ca: Option<PathBuf>,
    /// Certificate for servers that ask for one
    #[arg(long, value_name = "FILE")]
    pub(crate) server_ssl_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub(crate) server_ssl_key: Option<PathBuf>,
}

/// In the words of MySQL Router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ClientSslMode {
    /// Clients are offered none.
    Disabled,
    /// Clients who want it have it.
    Preferred,
    /// Clients without it are turned away.
    Required,
    /// The clients' TLS goes to the server untouched.
    Passthrough,
}

/// In the words of MySQL and MySQL Router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ServerSslMode {
    /// None.
    Disabled,
    /// Where a server offers it.
    Preferred,
    /// Always, with any certificate.
    Required,
    /// Always, with a certificate that a CA vouches for.
    VerifyCa,
    /// The same, and it is for the server's host.
    VerifyIdentity,
    /// Where the client has it.
    AsClient,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Compression")]
pub(crate) struct CompressionOptions {
    /// What clients are offered, whatever the server can: zlib, zstd, both, or off
    #[arg(long, value_name = "LIST", default_value = "zlib,zstd")]
    pub(crate) client_compression: AlgorithmList,
    /// What servers are asked for: nothing, the same as the client has, zlib, or zstd
    #[arg(long, value_name = "WAY", default_value = "off")]
    pub(crate) server_compression: ServerCompressionOption,
}

/// What servers are asked for, where they offer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ServerCompressionOption {
    /// Nothing.
    Off,
    /// What the client has.
    AsClient,
    /// zlib
    Zlib,
    /// zstd
    Zstd,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Script")]
pub(crate) struct ScriptOptions {
    /// Lua script that is asked about connections, logins, commands and results; read when a client connects
    #[arg(long, short = 's', value_name = "FILE")]
    pub(crate) proxy_lua_script: Option<PathBuf>,
    /// What clients get while the script cannot be loaded: its last good version, no script, or an error
    #[arg(
        long = "lua-on-load-error",
        value_name = "WAY",
        default_value = "keep-last"
    )]
    pub(crate) on_load_error: LoadErrorOption,
    /// What happens when a hook fails: what happens without it, or an error for the client and nothing forwarded
    #[arg(
        long = "lua-on-hook-error",
        value_name = "WAY",
        default_value = "default"
    )]
    pub(crate) on_hook_error: HookErrorOption,
    /// Seconds of CPU time that a hook may use; 0 for any
    #[arg(long = "lua-hook-timeout", value_name = "SECONDS", value_parser = value::grace, default_value = "1")]
    pub(crate) hook_timeout: Seconds,
    /// Bytes that the values of a Lua state may take; 0 for any
    #[arg(long = "lua-memory-limit", value_name = "BYTES", value_parser = value::unsigned, default_value = "0")]
    pub(crate) memory_limit: u64,
    /// Bytes that proxy.shared may take
    #[arg(long = "lua-shared-limit", value_name = "BYTES", value_parser = value::unsigned, default_value = "67108864")]
    pub(crate) shared_limit: u64,
    /// Where Lua modules are looked for [default: LUA_PATH, else BASEDIR/lib/mysql-proxy/lua/?.lua]
    #[arg(long, value_name = "TEMPLATES")]
    pub(crate) lua_path: Option<String>,
    /// Where Lua modules in C are looked for [default: LUA_CPATH, else BASEDIR/lib/mysql-proxy/lua/?.so]
    #[arg(long, value_name = "TEMPLATES")]
    pub(crate) lua_cpath: Option<String>,
    /// Lua states; scripts of different states run at the same time and have a proxy.global of their own
    #[arg(long, value_name = "NUMBER", value_parser = value::threads, default_value = "1")]
    pub(crate) lua_states: NonZeroUsize,
    /// Bytes of a result that are kept for a script
    #[arg(long = "lua-result-limit", value_name = "BYTES", value_parser = value::unsigned, default_value = "268435456")]
    pub(crate) result_limit: u64,
    /// Bytes of a command that are joined for a script
    #[arg(long, value_name = "BYTES", value_parser = value::unsigned, default_value = "1073741824")]
    pub(crate) max_packet_bytes: u64,
}

/// Of idle connections, which only scripts make.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection pool")]
pub(crate) struct PoolOptions {
    /// When an idle connection is reset and given the client's settings: when it has others, at every change of client, or never
    #[arg(long = "proxy-pool-reset", value_name = "WAY", default_value = "auto")]
    pub(crate) reset: PoolResetOption,
    /// Seconds that a command waits for an idle connection to the backend that the script chose; 0 closes the client
    #[arg(long = "proxy-pool-wait", value_name = "SECONDS", value_parser = value::grace, default_value = "10")]
    pub(crate) wait: Seconds,
    /// No effect, and said so at start: every client is authenticated by the server
    #[arg(long = "proxy-pool-no-change-user")]
    pub(crate) no_change_user: bool,
}

/// When an idle connection is made the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PoolResetOption {
    /// When it has other settings.
    Auto,
    /// Whenever another client has used it.
    Always,
    /// Never.
    Never,
}

/// What connections get while the script cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LoadErrorOption {
    /// The last version that loaded; no script while none ever did.
    KeepLast,
    /// No script.
    PassThrough,
    /// An error.
    Error,
}

/// What happens when a hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HookErrorOption {
    /// What happens without the hook.
    Default,
    /// An error.
    Error,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Deadlines, in seconds (0.5 is half a second)")]
pub(crate) struct TimeoutOptions {
    /// For one attempt to connect to a backend
    #[arg(
        long = "proxy-connect-timeout",
        value_name = "SECONDS",
        default_value = "2"
    )]
    #[arg(allow_negative_numbers = true)]
    pub(crate) connect: Timeout,
    /// From the connection to a backend's greeting
    #[arg(
        long = "proxy-greeting-timeout",
        value_name = "SECONDS",
        default_value = "10"
    )]
    #[arg(value_parser = value::deadline, allow_negative_numbers = true)]
    pub(crate) greeting: Seconds,
    /// For each packet of a client that has not logged in yet
    #[arg(
        long = "proxy-login-timeout",
        value_name = "SECONDS",
        default_value = "8"
    )]
    #[arg(value_parser = value::deadline, allow_negative_numbers = true)]
    pub(crate) login: Seconds,
    /// For a logged-in client, or its backend, to say something
    #[arg(
        long = "proxy-read-timeout",
        value_name = "SECONDS",
        default_value = "28800"
    )]
    #[arg(allow_negative_numbers = true)]
    pub(crate) read: Timeout,
    /// For a client or a backend to take what is sent to it
    #[arg(
        long = "proxy-write-timeout",
        value_name = "SECONDS",
        default_value = "28800"
    )]
    #[arg(allow_negative_numbers = true)]
    pub(crate) write: Timeout,
    /// What running commands and open transactions get after SIGTERM
    #[arg(
        long = "shutdown-timeout",
        value_name = "SECONDS",
        default_value = "10"
    )]
    #[arg(value_parser = value::grace, allow_negative_numbers = true)]
    pub(crate) shutdown: Seconds,
    /// How long clients may stay with the process that SIGUSR2 has replaced; then it stops as with SIGTERM
    #[arg(
        long = "upgrade-timeout",
        value_name = "SECONDS",
        default_value = "3600"
    )]
    #[arg(value_parser = value::grace, allow_negative_numbers = true)]
    pub(crate) upgrade: Seconds,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For operators")]
pub(crate) struct OperatorOptions {
    /// What to run: proxy, admin (statements about the proxy), debug (Lua for the operator)
    #[arg(long, value_name = "LIST", default_value = "proxy")]
    pub(crate) plugins: Vec<PluginList>,
    /// Where operators connect to, with --plugins=proxy,admin
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4041")]
    pub(crate) admin_address: Address,
    /// The operator's name
    #[arg(long, value_name = "NAME")]
    pub(crate) admin_username: Option<String>,
    /// The operator's password; better in the defaults file than where every user of this host sees it
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) admin_password: Option<String>,
    /// Lua script that is asked about operators' commands first
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_lua_script: Option<PathBuf>,
    /// HOST:PORT for a page that shows and steers the proxy, with --admin-username and --admin-password; and for metrics
    /// (/metrics) and health checks (/live, /ready), which ask for no login [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http_address: Option<Address>,
    /// Certificate for --http-address, which speaks TLS then, with those that vouch for it behind it [default: no TLS]
    #[arg(long, value_name = "FILE")]
    pub(crate) http_ssl_cert: Option<PathBuf>,
    /// Private key of --http-ssl-cert
    #[arg(long, value_name = "FILE")]
    pub(crate) http_ssl_key: Option<PathBuf>,
    /// Let --http-address be reached from other hosts without TLS: passwords and metrics cross the network in plain text
    #[arg(long)]
    pub(crate) http_allow_remote: bool,
    /// Bytes that the digests of SHOW DIGESTS may take; 0 for no digests
    #[arg(long, value_name = "BYTES", value_parser = value::unsigned, default_value = "8388608")]
    pub(crate) digest_limit: u64,
    /// Where operators run Lua, with --plugins=proxy,debug; of this host alone
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4043")]
    pub(crate) debug_address: Address,
}

impl Options {
    /// An error with the line of the defaults file that it is about, where it names an option that stands there.
    pub(crate) fn located(&self, error: &anyhow::Error) -> anyhow::Error {
        let text = format!("{error:#}");
        let place = self
            .given
            .iter()
            .filter(|option| option.is_named_in(&text))
            .find_map(|option| option.place.as_ref());
        match place {
            Some(place) => anyhow!("{place}: {text}"),
            None => anyhow!(text),
        }
    }
}

impl TlsOptions {
    /// With relative paths that start at `directory`.
    pub(crate) fn in_directory(&self, directory: &Path) -> Self {
        let at = |path: &Option<PathBuf>| path.as_ref().map(|path| directory.join(path));
        Self {
            ssl_cert: at(&self.ssl_cert),
            ssl_key: at(&self.ssl_key),
            ssl_ca: at(&self.ssl_ca),
            ssl_dir: directory.join(&self.ssl_dir),
            server_ssl_ca: at(&self.server_ssl_ca),
            server_ssl_cert: at(&self.server_ssl_cert),
            server_ssl_key: at(&self.server_ssl_key),
            ..self.clone()
        }
    }
}

impl OperatorOptions {
    /// With the paths of the web page's certificate and key made absolute.
    pub(crate) fn in_directory(&self, directory: &Path) -> Self {
        let at = |path: &Option<PathBuf>| path.as_ref().map(|path| directory.join(path));
        Self {
            http_ssl_cert: at(&self.http_ssl_cert),
            http_ssl_key: at(&self.http_ssl_key),
            ..self.clone()
        }
    }

    /// Whether `--plugins` names it.
    pub(crate) fn runs(&self, plugin: Plugin) -> bool {
        self.plugins.iter().any(|list| list.0.contains(&plugin))
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessOptions {
    /// Read options from section [mysql-proxy] of this file; the command line wins
    #[arg(long, value_name = "FILE")]
    pub(crate) defaults_file: Option<PathBuf>,
    /// Say what is wrong with the options and what they come to, and leave without starting
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Run in the background, once the port is open
    #[arg(long)]
    pub(crate) daemon: bool,
    /// Start again after a crash, from a parent process that does nothing else
    #[arg(long)]
    pub(crate) keepalive: bool,
    /// Write the process id here while running
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Once the port is open, go on as this user (root only)
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Absolute directory of relative log and pid files [default: the parent of the program's directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) basedir: Option<PathBuf>,
    /// Raise the limit of open files to this; a client needs two [default: leave it]
    #[arg(long, value_name = "NUMBER", value_parser = value::unsigned, allow_negative_numbers = true)]
    #[arg(default_value = "0", hide_default_value = true)]
    pub(crate) max_open_files: u64,
    /// Show the last line of a shutdown at any log level but error
    #[arg(long)]
    pub(crate) verbose_shutdown: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogOptions {
    /// Least severe level to show
    #[arg(long = "log-level", value_name = "LEVEL", default_value = "message")]
    pub(crate) level: Level,
    /// Append to this file [default: standard output; with --daemon, syslog]
    #[arg(long = "log-file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Log to syslog
    #[arg(long = "log-use-syslog")]
    pub(crate) use_syslog: bool,
    /// Lines for people, or one JSON object a line
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// Add a backtrace to the log line of a program error
    #[arg(long = "log-backtrace-on-crash")]
    pub(crate) backtrace_on_crash: bool,
}

/// JSON lines; values are left out unless they are asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Query logs")]
pub(crate) struct QueryLogOptions {
    /// Append statements that took long to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) slow_query_log: Option<PathBuf>,
    /// How long is long, from the statement's last byte to the answer's; 0 for all
    #[arg(long, value_name = "SECONDS", value_parser = value::grace, default_value = "1", allow_negative_numbers = true)]
    pub(crate) slow_query_time: Seconds,
    /// Append statements to this file, in the same shape
    #[arg(long, value_name = "FILE")]
    pub(crate) query_log: Option<PathBuf>,
    /// One of so many statements goes to --query-log; 1 for all
    #[arg(long, value_name = "NUMBER", value_parser = value::one_of, default_value = "1")]
    pub(crate) query_log_sample: NonZeroU64,
    /// Also log statements as they were said, with all that is secret in them
    #[arg(long)]
    pub(crate) query_log_literals: bool,
}

/// OpenTelemetry's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TraceOptions {
    /// Send traces to the collector here, by OTLP over HTTP, like http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The service that traces are of
    #[arg(long, value_name = "NAME", default_value = "mysql-proxy")]
    pub(crate) otlp_service_name: String,
    /// Trace one of so many commands that name no trace of their own; 0 for none of them
    #[arg(long, value_name = "NUMBER", value_parser = value::unsigned, default_value = "0")]
    pub(crate) trace_sample: u64,
}

/// Read by nothing any more.
#[derive(Debug, Args)]
#[command(next_help_heading = "Accepted from old configurations")]
pub(crate) struct CompatibilityOptions {
    /// No effect: plugins are built in
    #[arg(long, value_name = "DIRECTORY")]
    plugin_dir: Option<PathBuf>,
    /// No effect
    #[arg(long)]
    proxy_skip_profiling: bool,
    /// No effect
    #[arg(long = "proxy-fix-bug-25371")]
    proxy_fix_bug_25371: bool,
}

/// Whether the command line asks for no more than a check, which it may do with options that cannot be read.
pub(crate) fn is_check(arguments: &[OsString]) -> bool {
    let flags = ["--check-config", "--check-config=true", "--check-config=1"];
    let mut arguments = arguments.iter();
    arguments.any(|argument| flags.iter().any(|flag| argument == flag))
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// To run. The warnings wait for a log.
    Run {
        /// Of the command line and of the defaults file.
        options: Box<Options>,
        /// What was read but is not known, one line each.
        warnings: Vec<String>,
    },
    /// To print this on standard output and to leave.
    Print(String),
}

/// Where options are from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The command line; its first element is the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Where a relative `--defaults-file` starts; empty for the working directory.
    pub(crate) directory: PathBuf,
}

/// Reads the command line (its first element is the program's name) and the defaults file that it names.
///
/// An error is one line.
pub(crate) fn read(arguments: &[OsString]) -> Result<Request> {
    read_from(&Source {
        arguments: arguments.to_owned(),
        directory: PathBuf::new(),
    })
}

/// [`read`], also from a process that has left its first working directory.
pub(crate) fn read_from(source: &Source) -> Result<Request> {
    let arguments = &source.arguments;
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return Ok(Request::Print(help())),
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            return Ok(Request::Print(error.to_string()));
        }
        Err(error) => bail!(one_line(&error)),
    };
    let Some(path) = matches.get_one::<PathBuf>("defaults_file") else {
        return run(&matches, &matches, Vec::new());
    };
    let path = source.directory.join(path);
    let file = DefaultsFile::read(&path)?;
    let (settings, warnings) = file_arguments(&path, &file, &matches)?;
    let (program, given) = arguments.split_at(1);
    let merged = program.iter().chain(&settings).chain(given);
    let request = run(&command().try_get_matches_from(merged)?, &matches, warnings)?;
    Ok(match request {
        Request::Run {
            mut options,
            warnings,
        } => {
            options.given.iter_mut().for_each(|option| {
                option.place = option.origin.eq(&OptionOrigin::File).then(|| {
                    let mut entries = file.entries.iter();
                    let entry = entries.find(|entry| entry.key == option.name);
                    let line = entry.map_or(0, |entry| entry.line);
                    format!("{}:{line}", path.display())
                });
            });
            Request::Run { options, warnings }
        }
        print => print,
    })
}

/// `given` is the command line alone.
fn run(matches: &ArgMatches, given: &ArgMatches, warnings: Vec<String>) -> Result<Request> {
    let mut options = Box::new(Options::from_arg_matches(matches)?);
    options.given = given::options(&command(), matches, given);
    Ok(Request::Run { options, warnings })
}

/// The options that `given` stands for, as if all of them stood on the command line.
pub(crate) fn of(given: Vec<GivenOption>) -> Result<Box<Options>> {
    let arguments = given.iter().flat_map(GivenOption::arguments);
    let arguments = iter::once(OsString::from("mysql-proxy")).chain(arguments);
    let matches = command().try_get_matches_from(arguments);
    let matches = matches.map_err(|error| anyhow!(one_line(&error)))?;
    let mut options = Box::new(Options::from_arg_matches(&matches)?);
    options.given = given;
    Ok(options)
}

/// The file's entries as arguments, without those that the command line has too; and a warning for each unknown key.
fn file_arguments(
    path: &Path,
    file: &DefaultsFile,
    given: &ArgMatches,
) -> Result<(Vec<OsString>, Vec<String>)> {
    let mut arguments = Vec::new();
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    if !file.has_section {
        warnings.push(format!(
            "{} has no section [mysql-proxy]: nothing of it is used",
            path.display()
        ));
    }
    let command = command();
    for Entry { key, value, line } in &file.entries {
        let place = format!("{}:{line}", path.display());
        let argument = OsString::from(format!("--{key}={value}"));
        let parsed = command
            .clone()
            .try_get_matches_from([OsString::from("mysql-proxy"), argument.clone()]);
        match file_option(&command, key) {
            None => {
                let suggestion = parsed
                    .err()
                    .and_then(|error| usage_error::suggestion(&error));
                let suggestion = suggestion.unwrap_or_default().replace("--", "");
                warnings.push(format!("{place}: unknown key {key} is ignored{suggestion}"));
            }
            Some(_) if let Some(instead) = retired::option(key) => {
                warnings.push(format!("{place}: {key} is ignored: {instead}"));
            }
            Some(option) => {
                if let Err(error) = parsed {
                    errors.push(format!("{place}: {}", one_line(&error)));
                }
                if given.value_source(option.get_id().as_str()) != Some(ValueSource::CommandLine) {
                    arguments.push(argument);
                }
            }
        }
    }
    match errors.is_empty() {
        true => Ok((arguments, warnings)),
        false => bail!(errors.join(BETWEEN_ERRORS)),
    }
}

/// The option that a key of the file names: by its long name alone, and none of those that say what to read or print.
fn file_option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let options = || {
        command
            .get_arguments()
            .filter(|option| option.get_long() == Some(key))
    };
    options().find(|option| !UNKNOWN_IN_FILES.contains(&option.get_long().unwrap_or_default()))
}

/// The options as they are parsed.
pub(crate) fn command() -> Command {
    described().mut_args(|option| {
        let option = match option.get_action() {
            ArgAction::SetTrue => flag(option),
            _ => option,
        };
        match option.get_long().map(str::to_owned) {
            Some(long) => match plugin_of(&long) {
                Some(plugin) => option.alias(format!("{plugin}-{long}")),
                None => option,
            },
            None => option,
        }
    })
}

/// The plugin whose option it was, and whose name may stand before it.
fn plugin_of(long: &str) -> Option<&'static str> {
    match long {
        "no-proxy" => Some("proxy"),
        _ => ["proxy", "admin", "debug"].into_iter().find(|plugin| {
            long.strip_prefix(plugin)
                .is_some_and(|rest| rest.starts_with('-'))
        }),
    }
}

/// `--flag`, and `--flag=true`, `=1`, `=false`, `=0`.
fn flag(option: Arg) -> Arg {
    option
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_parser(value::boolean)
}

/// The options as `--help` shows them: a flag is a flag.
fn described() -> Command {
    Options::command()
        .next_help_heading("Help")
        .args([
            Arg::new("help")
                .long("help")
                .short('h')
                .short_alias('?')
                .aliases(["help-all", "help-proxy", "help-admin", "help-debug"])
                .action(ArgAction::Help)
                .help("Print this and leave"),
            Arg::new("version")
                .long("version")
                .short('V')
                .action(ArgAction::Version)
                .help("Print the version and leave"),
        ])
        .args(retired::arguments())
}

fn help() -> String {
    described().render_help().to_string()
}
