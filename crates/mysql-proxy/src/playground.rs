//! `mysql-proxy playground`: two small servers, the proxy in front of them and a guided tour, with no MySQL at all.
//!
//! The tour checks what it shows. It stops at the first thing that is not so.

mod shown_log;
mod tour;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use backend::{Address, Role};
use clap::Parser;
use clap::error::ErrorKind;
use playground::{DATABASE, PASSWORD, Server, USER};
use proxy::{InheritedSockets, Proxy, ScriptSettings, Settings, Shutdown};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::shown_log::ShownLog;
use crate::options::one_line;

/// Starts two small servers, `a` and `b`, and the proxy in front of them; shows what happens when one dies, and what a
/// script does, and stays up to be played with. No MySQL is needed; the script is in a temporary directory.
#[derive(Debug, Parser)]
#[command(name = "mysql-proxy playground", max_term_width = 100)]
pub(crate) struct Options {
    /// Where clients connect to; port 0 is any free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4040")]
    proxy_address: SocketAddr,
    /// Leave after the tour; the exit code is 0 if all of it was as shown
    #[arg(long)]
    tour: bool,
}

/// Until the tour writes one.
const NO_SCRIPT: &str = "-- Nothing yet: all goes on as without a script.\n";

/// `arguments` start with the word `playground`.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            say(error.to_string().trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => bail!(one_line(&error)),
    };
    // Before any thread starts: the signals go to the one that waits for them.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for signals")?;
    let log = ShownLog::install()?;
    let mut servers = [server("a")?, server("b")?];
    let directory = tempfile::tempdir().context("cannot make a directory for the script")?;
    let script = directory.path().join("script.lua");
    fs::write(&script, NO_SCRIPT).context("cannot write the script")?;
    let proxy = RunningProxy::start(options.proxy_address, &servers, &script)?;
    introduce(&servers, &proxy)?;
    tour::run(&mut servers, proxy.address, &script, &log)?;
    // After the tour nobody is connected any more.
    if !options.tour {
        invite(proxy.address, &script)?;
        signals.forever().next();
        say("\nGood-bye.")?;
        proxy.stop()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn server(name: &str) -> Result<Server> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start(name, any_port).with_context(|| format!("cannot start server {name}"))
}

/// The proxy on a thread of its own.
struct RunningProxy {
    /// Where a client of this host reaches it.
    address: SocketAddr,
    shutdown: Shutdown,
    thread: JoinHandle<io::Result<()>>,
}

impl RunningProxy {
    fn start(listen: SocketAddr, servers: &[Server], script: &Path) -> Result<Self> {
        let address = |address: SocketAddr| address.to_string().parse::<Address>();
        let backends = servers
            .iter()
            .map(|server| Ok((address(server.address())?, Role::ReadWrite)))
            .collect::<Result<Vec<_>>>()?;
        let mut settings = Settings::new(Some(address(listen)?), backends);
        settings.script = Some(ScriptSettings::new(Some(script.to_owned())));
        let proxy = Proxy::bind(settings, &mut InheritedSockets::default()).map_err(|error| {
            anyhow!(
                "{error}; --proxy-address={}:0 takes any free port",
                host(listen.ip())
            )
        })?;
        let bound: SocketAddr = proxy.local_address().unwrap_or_default().parse()?;
        let shutdown = proxy.shutdown();
        let service = proxy.into_service().context("the proxy cannot run")?;
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || service.run())
            .context("cannot start the proxy's thread")?;
        Ok(Self {
            address: reachable(bound),
            shutdown,
            thread,
        })
    }

    fn stop(self) -> Result<()> {
        self.shutdown.drain();
        let ended = self.thread.join();
        ended
            .map_err(|_| anyhow!("the proxy panicked"))?
            .context("the proxy cannot run")
    }
}

/// Any-addresses are for listening only.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// As it stands before a port.
fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn introduce(servers: &[Server], proxy: &RunningProxy) -> Result<()> {
    say("The playground: two small MySQL servers and the proxy in front of them.\n")?;
    for server in servers {
        say(&format!(
            "  server {}   {}",
            server.name(),
            server.address()
        ))?;
    }
    say(&format!("  proxy      {}", proxy.address))
}

fn invite(proxy: SocketAddr, script: &Path) -> Result<()> {
    let login = format!(
        "--host={} --port={} --user={USER} --password={PASSWORD}",
        proxy.ip(),
        proxy.port()
    );
    say(&format!(
        "\nYour turn. The table {DATABASE}.films waits behind the proxy:\n\n  \
         mariadb {login} --skip-ssl {DATABASE}\n  \
         mysql   {login} {DATABASE}\n\n\
         SELECT @@hostname says which server you got. The script is {}: edit it, and connect\n\
         again. Ctrl-C ends it all.",
        script.display()
    ))
}

/// One line, or several, on standard output.
fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
