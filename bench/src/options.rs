//! The command line.

use std::{
    convert::Infallible,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::{
    encryption::Certificate,
    machine,
    proxy::{Proxy, Servers, Software},
    rows::Rows,
    target::{BASELINE, External, Target, WITH},
    traffic::Traffic,
};

/// Program, and name of its column unless it is given another.
const MYSQL_PROXY: &str = "mysql-proxy";
/// The name of MySQL Router's column.
const ROUTER: &str = "router";
/// Where the scripts to measure with are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");

/// Measure what the proxy costs, side by side with HAProxy and with no proxy.
///
/// Starts a server of its own on a free port, HAProxy and mysql-proxy in front of it, and measures one after the other
/// in several rounds. Prints a Markdown table: median of the rounds, in parentheses the best one. docs/benchmark.md
/// says what the rows mean and how far to trust them.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
pub(crate) struct Options {
    /// One minute instead of three: fewer and shorter rounds, more noise
    #[arg(long)]
    quick: bool,

    /// Rounds [default: 5, or 2 if quick]
    #[arg(long, value_name = "N", value_parser = count)]
    rounds: Option<usize>,

    /// How long each measurement of queries takes; there are five in a round [default: 300, or 200 if quick]
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    window: Option<u64>,

    /// What to measure
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "queries,streaming,idle,connections"
    )]
    pub(crate) rows: Vec<Rows>,

    /// Clients at once in the queries' rows
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1,8,64", value_parser = count)]
    pub(crate) connections: Vec<usize>,

    /// The server: MySQL logs in with caching_sha2_password
    #[arg(long, value_enum, default_value = "mariadb")]
    pub(crate) server: ServerSoftware,

    /// A peer that is running, with --server-port as its server; its process is needed for CPU time and memory
    #[arg(long = "target", value_name = "NAME=HOST:PORT[,pid=N]")]
    externals: Vec<External>,

    /// Port of the server, for peers that are started before it [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) server_port: Option<u16>,

    /// Worker threads of each proxy [default: one for each core]
    #[arg(long, value_name = "N")]
    event_threads: Option<usize>,

    /// The HAProxy to compare with; without one there are no ratios
    #[arg(long, value_name = "PROGRAM", overrides_with = "haproxy")]
    haproxy: Option<PathBuf>,

    /// A MySQL Router to measure too
    #[arg(long, value_name = "PROGRAM", overrides_with = "router")]
    router: Option<PathBuf>,

    /// The mysql-proxy to measure, several times for several builds [default: the one built beside this program]
    #[arg(long = "mysql-proxy", value_name = "[NAME=]PROGRAM")]
    mysql_proxies: Vec<NamedProgram>,

    /// Also measure the first mysql-proxy with each of the benchmark's scripts, compared with itself without one
    #[arg(long)]
    scripts: bool,

    /// Also write every round's values, a JSON object for each line
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// Rounds to measure.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// How long each measurement of queries takes.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window.unwrap_or(if self.quick { 200 } else { 300 }))
    }

    /// Starts the proxies. The direct connection is the first target.
    pub(crate) fn start_targets(
        &self,
        server: SocketAddr,
        certificate: Certificate,
    ) -> Result<Vec<Target>> {
        let traffics = self.traffics();
        let hop = self.haproxy.as_deref();
        let hop = hop.map(|program| (program, self.event_threads()));
        let servers = Arc::new(Servers::new(server, certificate, hop)?);
        let proxy = |software, program| Proxy {
            software,
            program,
            threads: self.event_threads(),
            script: None,
            servers: Arc::clone(&servers),
        };
        let mut targets = vec![Target::direct(&servers, &traffics)?];
        if let Some(program) = &self.haproxy {
            targets.push(Target::start(
                BASELINE,
                proxy(Software::HaProxy, program.clone()),
                &traffics,
            )?);
        }
        if let Some(program) = &self.router {
            let proxy = proxy(Software::Router, program.clone());
            targets.push(Target::start(ROUTER, proxy, &traffics)?);
        }
        let mysql_proxies = self.mysql_proxies()?;
        for NamedProgram { name, program } in &mysql_proxies {
            let proxy = proxy(Software::MysqlProxy, program.clone());
            targets.push(Target::start(name, proxy, &traffics)?);
        }
        for NamedProgram { name, program } in mysql_proxies.into_iter().take(1) {
            for script in self.scripts() {
                let scripted = Proxy {
                    script: Some(Path::new(SCRIPTS).join(script).with_extension("lua")),
                    ..proxy(Software::MysqlProxy, program.clone())
                };
                let name = format!("{name}{WITH}{script}");
                targets.push(Target::start(&name, scripted, &traffics)?);
            }
        }
        targets.extend(self.externals.iter().map(Target::external));
        Ok(targets)
    }

    /// What the rows need.
    fn traffics(&self) -> Vec<Traffic> {
        let is_needed = |traffic: &Traffic| {
            let mut rows = self.rows.iter();
            rows.any(|rows| rows.traffics().contains(traffic))
        };
        Traffic::ALL.into_iter().filter(is_needed).collect()
    }

    /// What was measured, and how: lines for above the table.
    pub(crate) fn describe(&self) -> Result<Vec<String>> {
        let mut lines = vec![format!(
            "{:?}, {} rounds, windows of {:?}, {} worker threads for each proxy",
            self.server,
            self.rounds(),
            self.window(),
            self.event_threads()
        )];
        lines.extend(
            self.haproxy
                .iter()
                .map(|program| machine::version(program, "-v")),
        );
        lines.push(match &self.router {
            Some(program) => machine::version(program, "--version"),
            None => "no MySQL Router: `cargo xtask fetch router`".to_owned(),
        });
        for NamedProgram { name, program } in self.mysql_proxies()? {
            lines.push(format!(
                "{name}: {}",
                machine::version(&program, "--version")
            ));
        }
        Ok(lines)
    }

    fn scripts(&self) -> &[&str] {
        match self.scripts {
            true => &["empty_hook", "injected", "all_rows"],
            false => &[],
        }
    }

    fn event_threads(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        self.event_threads.unwrap_or_else(cores)
    }

    fn mysql_proxies(&self) -> Result<Vec<NamedProgram>> {
        if !self.mysql_proxies.is_empty() {
            return Ok(self.mysql_proxies.clone());
        }
        let this = env::current_exe().context("cannot find this program")?;
        Ok(vec![NamedProgram {
            name: MYSQL_PROXY.into(),
            program: this.with_file_name(MYSQL_PROXY),
        }])
    }
}

/// The servers that can be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerSoftware {
    /// MariaDB, as the operating system's package has it
    #[value(name = "mariadb")]
    MariaDb,
    /// MySQL 9.7, as `cargo xtask fetch mysql` unpacks it
    Mysql,
}

/// A build of mysql-proxy and the name of its column.
#[derive(Debug, Clone)]
struct NamedProgram {
    name: String,
    program: PathBuf,
}

impl FromStr for NamedProgram {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (name, program) = text.split_once('=').unwrap_or((MYSQL_PROXY, text));
        Ok(Self {
            name: name.into(),
            program: program.into(),
        })
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000) => Ok(count),
        _ => Err("expected 1 to 1000".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn builds_have_names() {
        let options = Options::parse_from(["bench", "--mysql-proxy=/a", "--mysql-proxy=old=/b"]);
        let builds = options.mysql_proxies().unwrap();
        let builds: Vec<_> = builds
            .iter()
            .map(|build| (build.name.as_str(), build.program.to_str()))
            .collect();
        assert_eq!(builds, [("mysql-proxy", Some("/a")), ("old", Some("/b"))]);
        let default = Options::parse_from(["bench"]).mysql_proxies().unwrap();
        assert!(default[0].program.ends_with("mysql-proxy"));
    }

    #[test]
    fn rows_say_what_is_to_be_started() {
        let options = Options::parse_from(["bench", "--rows=handshakes,tls"]);
        let all = [Traffic::Tls, Traffic::TlsResumed, Traffic::TlsPassthrough];
        assert_eq!(options.traffics(), all);
    }

    #[test]
    fn quick_gives_defaults_that_options_override() {
        let options =
            Options::parse_from(["bench", "--quick", "--rounds=9", "--connections=1,256"]);
        assert_eq!(
            (options.rounds(), options.window()),
            (9, Duration::from_millis(200))
        );
        assert_eq!(options.connections, [1, 256]);
        assert_eq!(options.rows.len(), 4);
        assert_eq!(options.traffics(), [Traffic::Plain]);
        assert!(Options::try_parse_from(["bench", "--connections=0"]).is_err());
    }
}
