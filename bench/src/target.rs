//! What is measured: the server itself, the proxies started here, and peers that the user has started.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::fd::AsRawFd,
    path::PathBuf,
    process::{Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use testkit::{Process, ProxyProcess, ScratchDirectory};

use crate::client::Client;

/// Of a proxy, until a client can log in through it.
const START_DEADLINE: Duration = Duration::from_secs(10);
const START_INTERVAL: Duration = Duration::from_millis(10);
/// More connections than any measurement opens.
const HAPROXY_CONNECTIONS_MAX: usize = 8_000;

/// The name of the column that everything is compared with.
pub(crate) const BASELINE: &str = "haproxy";
/// Between a proxy's name and its script's in the name of a column.
pub(crate) const WITH: &str = " + ";
/// The name of the column without any proxy.
pub(crate) const DIRECT: &str = "direct";

/// A column of the table.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name there.
    pub(crate) name: String,
    kind: Kind,
    instance: Instance,
}

#[derive(Debug)]
enum Kind {
    Direct,
    Started(Proxy),
    External,
}

/// Something to connect to.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// The process to take CPU time and memory of.
    pub(crate) pid: Option<u32>,
    /// Stopped when this is dropped.
    _started: Option<Started>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for their drops, which stop the processes")]
enum Started {
    HaProxy(Process, ScratchDirectory),
    MysqlProxy(ProxyProcess),
}

/// A proxy that is started here.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Which one: each is told in its own way what to do.
    pub(crate) software: Software,
    /// The program's path.
    pub(crate) program: PathBuf,
    /// The server behind it.
    pub(crate) backend: SocketAddr,
    /// Its worker threads.
    pub(crate) threads: usize,
    /// mysql-proxy's Lua script.
    pub(crate) script: Option<PathBuf>,
}

/// The proxies that can be started here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Software {
    /// HAProxy in TCP mode.
    HaProxy,
    /// This project's.
    MysqlProxy,
}

/// `NAME=HOST:PORT[,pid=N]`: a peer that the user has started.
#[derive(Debug, Clone)]
pub(crate) struct External {
    name: String,
    address: SocketAddr,
    pid: Option<u32>,
}

impl Target {
    /// The server itself.
    pub(crate) fn direct(address: SocketAddr) -> Self {
        Self {
            name: DIRECT.into(),
            kind: Kind::Direct,
            instance: Instance::running(address, None),
        }
    }

    /// Starts the proxy.
    pub(crate) fn start(name: &str, proxy: Proxy) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            instance: proxy
                .start()
                .with_context(|| format!("cannot start {name}"))?,
            kind: Kind::Started(proxy),
        })
    }

    /// Takes a peer as it is.
    pub(crate) fn external(external: &External) -> Self {
        Self {
            name: external.name.clone(),
            kind: Kind::External,
            instance: Instance::running(external.address, external.pid),
        }
    }

    /// Is this the server itself?
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::Direct)
    }

    /// The instance that all measurements share.
    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// An instance that has not served anybody yet; of a peer started elsewhere, the one there is.
    pub(crate) fn fresh_instance(&self) -> Result<Instance> {
        match &self.kind {
            Kind::Started(proxy) => proxy
                .start()
                .with_context(|| format!("cannot start {}", self.name)),
            Kind::Direct | Kind::External => {
                Ok(Instance::running(self.instance.address, self.instance.pid))
            }
        }
    }
}

impl Instance {
    fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Self {
            address,
            pid,
            _started: None,
        }
    }
}

impl Proxy {
    /// Starts it on a free port and waits until a client can log in.
    fn start(&self) -> Result<Instance> {
        match self.software {
            Software::HaProxy => self.start_haproxy(),
            Software::MysqlProxy => self.start_mysql_proxy(),
        }
    }

    /// HAProxy takes no port 0: it inherits a socket that listens already.
    fn start_haproxy(&self) -> Result<Instance> {
        let directory = ScratchDirectory::new();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        fcntl_setfd(&listener, FdFlags::empty())?;
        let configuration = directory.file("haproxy.cfg");
        fs::write(
            &configuration,
            self.haproxy_configuration(listener.as_raw_fd()),
        )?;
        let log = directory.file("log");
        let mut command = Command::new(&self.program);
        command.arg("-db").arg("-f").arg(&configuration);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let mut process = Process::spawn(command);
        let address = listener.local_addr()?;
        wait_for_login(&mut process, address).with_context(|| {
            format!("it said {:?}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(Instance {
            address,
            pid: Some(process.id()),
            _started: Some(Started::HaProxy(process, directory)),
        })
    }

    fn haproxy_configuration(&self, listener: i32) -> String {
        let Self {
            backend, threads, ..
        } = self;
        format!(
            "global\n maxconn {HAPROXY_CONNECTIONS_MAX}\n nbthread {threads}\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
             listen mysql\n bind fd@{listener}\n server backend {backend}\n"
        )
    }

    fn start_mysql_proxy(&self) -> Result<Instance> {
        let backend = format!("--proxy-backend-addresses={}", self.backend);
        let threads = format!("--event-threads={}", self.threads);
        let program = self.program.to_str().context("the path is not UTF-8")?;
        let script = self.script.as_ref();
        let script = script.map(|path| format!("--proxy-lua-script={}", path.display()));
        let arguments: Vec<_> = [&backend, &threads].into_iter().chain(&script).collect();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_str()).collect();
        let process = ProxyProcess::start(program, &arguments);
        let address = process.address();
        Client::login(address)?.quit()?;
        Ok(Instance {
            address,
            pid: Some(process.id()),
            _started: Some(Started::MysqlProxy(process)),
        })
    }
}

/// Tries until it succeeds. The error is that of the last attempt, or the end of the process.
fn wait_for_login(process: &mut Process, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        let attempt = Client::login(address).and_then(Client::quit);
        if attempt.is_ok() {
            return attempt;
        }
        if let Some(status) = process.exit_status() {
            bail!("it ended at once, {status}");
        }
        if Instant::now() > deadline {
            return attempt.with_context(|| format!("not ready after {START_DEADLINE:?}"));
        }
        std::thread::sleep(START_INTERVAL);
    }
}

impl FromStr for External {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = text
            .split_once('=')
            .context("expected NAME=HOST:PORT[,pid=N]")?;
        let (address, pid) = match rest.split_once(",pid=") {
            Some((address, pid)) => (
                address,
                Some(
                    pid.parse()
                        .with_context(|| format!("{pid:?} is no process id"))?,
                ),
            ),
            None => (rest, None),
        };
        let mut addresses = address
            .to_socket_addrs()
            .with_context(|| format!("{address:?} is no HOST:PORT"))?;
        Ok(Self {
            name: name.into(),
            address: addresses
                .next()
                .with_context(|| format!("{address} has no address"))?,
            pid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_targets_are_read() {
        let full: External = "router=127.0.0.1:6446,pid=42".parse().unwrap();
        assert_eq!(full.name, "router");
        assert_eq!(full.address, ([127, 0, 0, 1], 6446).into());
        assert_eq!(full.pid, Some(42));
        let short: External = "a=[::1]:3306".parse().unwrap();
        assert_eq!((short.address.port(), short.pid), (3306, None));
    }

    #[test]
    fn wrong_external_targets_say_what_is_wrong() {
        for (text, message) in [
            ("127.0.0.1:6446", "expected NAME=HOST:PORT[,pid=N]"),
            ("a=127.0.0.1", "\"127.0.0.1\" is no HOST:PORT"),
            ("a=127.0.0.1:1,pid=me", "\"me\" is no process id"),
        ] {
            assert_eq!(text.parse::<External>().unwrap_err().to_string(), message);
        }
    }
}
