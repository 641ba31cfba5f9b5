//! The proxies that are started here, each told in its own way what to do, and the server behind them.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use testkit::{Process, ProxyProcess, ScratchDirectory, process};

use crate::{
    client::{Client, Endpoint},
    encryption::{self, Begin, Certificate},
    traffic::{Mode, Traffic},
};

/// Of a proxy, until a client can log in through it.
const START_DEADLINE: Duration = Duration::from_secs(10);
const START_INTERVAL: Duration = Duration::from_millis(10);
/// More connections than any measurement opens.
const CONNECTIONS_MAX: usize = 8_000;

/// A proxy that is started here.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Which one: each is told in its own way what to do.
    pub(crate) software: Software,
    /// The program's path.
    pub(crate) program: PathBuf,
    /// Its worker threads.
    pub(crate) threads: usize,
    /// mysql-proxy's Lua script.
    pub(crate) script: Option<PathBuf>,
    /// What is behind it.
    pub(crate) servers: Arc<Servers>,
}

/// The proxies that can be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Software {
    /// HAProxy in TCP mode.
    HaProxy,
    /// This project's.
    MysqlProxy,
    /// MySQL Router, classic protocol.
    Router,
}

/// Something to connect to.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Where clients connect, and how.
    pub(crate) endpoint: Endpoint,
    /// The process to take CPU time and memory of.
    pub(crate) pid: Option<u32>,
    /// Stopped when the last one drops it.
    started: Option<Arc<Started>>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for their drops, which stop the processes")]
enum Started {
    WithFiles(Process, ScratchDirectory),
    MysqlProxy(ProxyProcess),
}

/// The server, and what stands before it in measurements of TLS.
///
/// HAProxy cannot end TLS that begins as MySQL's does, and no MySQL server takes TLS that begins with the first byte. So
/// one more HAProxy takes it off. For the others one more passes it on: the way is as long for all.
#[derive(Debug)]
pub(crate) struct Servers {
    /// The server.
    pub(crate) address: SocketAddr,
    /// What all show.
    pub(crate) certificate: Certificate,
    hop: Option<Hop>,
}

#[derive(Debug)]
struct Hop {
    decrypting: Instance,
    passing: Instance,
}

impl Servers {
    /// `hop` is the HAProxy, and the threads, to stand before it.
    pub(crate) fn new(
        address: SocketAddr,
        certificate: Certificate,
        hop: Option<(&Path, usize)>,
    ) -> Result<Self> {
        let start = |(program, threads), bind: &str| {
            let configuration = haproxy_configuration(threads, bind, &address.to_string());
            start_haproxy(program, &configuration)
        };
        let hop = match hop {
            Some(hop) => Some(Hop {
                decrypting: start(hop, &bind_tls(&certificate))?,
                passing: start(hop, "")?,
            }),
            None => None,
        };
        Ok(Self {
            address,
            certificate,
            hop,
        })
    }

    /// What a proxy of this kind, or a client that has none, connects to.
    pub(crate) fn address(&self, software: Option<Software>, mode: Mode) -> SocketAddr {
        match (&self.hop, mode, software) {
            (Some(hop), Mode::Tls, Some(Software::HaProxy)) => hop.decrypting.endpoint.address,
            (Some(hop), Mode::Tls, _) => hop.passing.endpoint.address,
            (None, _, _) | (_, Mode::Plain | Mode::Passthrough, _) => self.address,
        }
    }
}

impl Instance {
    /// Something that runs already.
    pub(crate) fn running(endpoint: Endpoint, pid: Option<u32>) -> Self {
        Self {
            endpoint,
            pid,
            started: None,
        }
    }

    /// The same one, for another traffic.
    pub(crate) fn speaking(&self, traffic: Traffic, begin: Begin) -> Result<Self> {
        Ok(Self {
            endpoint: Endpoint::new(self.endpoint.address, traffic, begin)?,
            pid: self.pid,
            started: self.started.clone(),
        })
    }

    /// Tries until a client can log in. The error is that of the last attempt.
    fn wait_for_login(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let attempt = Client::login(&self.endpoint).and_then(Client::quit);
            if attempt.is_ok() {
                return attempt;
            }
            if Instant::now() > deadline {
                let said = match self.started.as_deref() {
                    Some(Started::WithFiles(_, directory)) => {
                        fs::read_to_string(directory.file("log")).unwrap_or_default()
                    }
                    Some(Started::MysqlProxy(_)) | None => String::new(),
                };
                return attempt
                    .with_context(|| format!("not ready after {START_DEADLINE:?}: {said:?}"));
            }
            std::thread::sleep(START_INTERVAL);
        }
    }
}

impl Proxy {
    /// Can it be measured with this traffic?
    pub(crate) fn speaks(&self, traffic: Traffic) -> bool {
        match self.software {
            Software::HaProxy | Software::Router => traffic.compression().is_none(),
            Software::MysqlProxy => self.script.is_none() || traffic == Traffic::Plain,
        }
    }

    /// When its clients begin with TLS.
    pub(crate) fn begin(&self, traffic: Traffic) -> Begin {
        match (self.software, traffic.mode()) {
            (Software::HaProxy, Mode::Tls) => Begin::AtOnce,
            _ => Begin::InBand,
        }
    }

    /// Starts it on a free port and waits until a client can log in.
    pub(crate) fn start(&self, traffic: Traffic) -> Result<Instance> {
        let backend = self.servers.address(Some(self.software), traffic.mode());
        let started = match self.software {
            Software::HaProxy => self.start_haproxy(traffic.mode(), backend),
            Software::MysqlProxy => self.start_mysql_proxy(traffic.mode(), backend),
            Software::Router => self.start_router(traffic.mode(), backend),
        };
        let instance = started?.speaking(traffic, self.begin(traffic))?;
        instance.wait_for_login()?;
        Ok(instance)
    }

    fn start_haproxy(&self, mode: Mode, backend: SocketAddr) -> Result<Instance> {
        let configuration = match mode {
            Mode::Plain | Mode::Passthrough => {
                haproxy_configuration(self.threads, "", &backend.to_string())
            }
            Mode::Tls => {
                let bind = bind_tls(&self.servers.certificate);
                haproxy_configuration(self.threads, &bind, &format!("{backend} ssl verify none"))
            }
        };
        start_haproxy(&self.program, &configuration)
    }

    fn start_mysql_proxy(&self, mode: Mode, backend: SocketAddr) -> Result<Instance> {
        let mut arguments = vec![
            format!("--proxy-backend-addresses={backend}"),
            format!("--event-threads={}", self.threads),
        ];
        let script = self.script.as_ref();
        arguments.extend(script.map(|path| format!("--proxy-lua-script={}", path.display())));
        match mode {
            Mode::Plain => {}
            Mode::Tls => {
                arguments.extend(self.servers.certificate.options());
                arguments.push(format!("--ssl-cipher={}", encryption::CIPHER_SUITE));
                arguments.push(format!("--tls-version={}", encryption::VERSION));
            }
            Mode::Passthrough => arguments.push("--client-ssl-mode=PASSTHROUGH".to_owned()),
        }
        let program = self.program.to_str().context("the path is not UTF-8")?;
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let process = ProxyProcess::start(program, &arguments);
        Ok(Instance {
            endpoint: Endpoint::plain(process.address()),
            pid: Some(process.id()),
            started: Some(Arc::new(Started::MysqlProxy(process))),
        })
    }

    fn start_router(&self, mode: Mode, backend: SocketAddr) -> Result<Instance> {
        let directory = ScratchDirectory::new();
        // It takes no port 0. Nobody else is likely to get this one.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = directory.file("router.conf");
        let text = self.router_configuration(&directory, mode, address, backend)?;
        fs::write(&configuration, text)?;
        let mut command = process::command(&self.program);
        command.arg("-c").arg(&configuration);
        start_with_files(command, directory, address)
    }

    fn router_configuration(
        &self,
        directory: &ScratchDirectory,
        mode: Mode,
        address: SocketAddr,
        backend: SocketAddr,
    ) -> Result<String> {
        let prefix = self.program.parent().and_then(Path::parent);
        let prefix = prefix.context("the program is in no directory")?.display();
        let tls = match mode {
            Mode::Plain => "client_ssl_mode=DISABLED\nserver_ssl_mode=DISABLED".to_owned(),
            Mode::Tls => format!(
                "client_ssl_mode=REQUIRED\nclient_ssl_cert={}\nclient_ssl_key={}\n\
                 server_ssl_mode=REQUIRED\nserver_ssl_verify=DISABLED",
                self.servers.certificate.path().display(),
                self.servers.certificate.key_path().display()
            ),
            Mode::Passthrough => {
                "client_ssl_mode=PASSTHROUGH\nserver_ssl_mode=AS_CLIENT".to_owned()
            }
        };
        Ok(format!(
            "[DEFAULT]\nlogging_folder=\nruntime_folder={files}\ndata_folder={files}\n\
             plugin_folder={prefix}/usr/lib/mysqlrouter/plugin\n\
             max_total_connections={CONNECTIONS_MAX}\n\
             [logger]\nlevel=error\n[io]\nthreads={threads}\n\
             [routing:mysql]\nbind_address=127.0.0.1\nbind_port={port}\ndestinations={backend}\n\
             routing_strategy=first-available\nprotocol=classic\n\
             max_connections={CONNECTIONS_MAX}\n{tls}\n",
            files = directory.path().display(),
            threads = self.threads,
            port = address.port(),
        ))
    }
}

/// Ends clients' TLS.
fn bind_tls(certificate: &Certificate) -> String {
    format!("ssl crt {}", certificate.with_key_path().display())
}

/// Relays what comes to its inherited socket.
fn haproxy_configuration(threads: usize, bind: &str, server: &str) -> String {
    let (suite, version) = (encryption::CIPHER_SUITE, encryption::VERSION);
    format!(
        "global\n maxconn {CONNECTIONS_MAX}\n nbthread {threads}\n\
         \x20ssl-default-bind-ciphersuites {suite}\n ssl-default-bind-options ssl-min-ver {version}\n\
         \x20ssl-default-server-ciphersuites {suite}\n ssl-default-server-options ssl-min-ver {version}\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
         listen mysql\n bind fd@0 {bind}\n server backend {server}\n"
    )
}

/// It takes no port 0: it inherits a socket that listens already. Clients wait there until it serves.
fn start_haproxy(program: &Path, configuration: &str) -> Result<Instance> {
    let directory = ScratchDirectory::new();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let path = directory.file("haproxy.cfg");
    fs::write(&path, configuration)?;
    let mut command = process::command(program);
    command.arg("-db").arg("-f").arg(&path);
    command.stdin(OwnedFd::from(listener));
    start_with_files(command, directory, address)
}

/// Starts what keeps its files in the directory; a log is among them.
fn start_with_files(
    mut command: Command,
    directory: ScratchDirectory,
    address: SocketAddr,
) -> Result<Instance> {
    let log = File::create(directory.file("log"))?;
    command.stdout(log.try_clone()?).stderr(log);
    let process = Process::spawn(command);
    Ok(Instance {
        endpoint: Endpoint::plain(address),
        pid: Some(process.id()),
        started: Some(Arc::new(Started::WithFiles(process, directory))),
    })
}
