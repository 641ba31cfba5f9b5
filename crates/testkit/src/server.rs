//! A running database server: one process, one data directory, one port and one Unix socket.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{Client, Process, ScratchDirectory, process, template::Software, wait};

/// Small, without care for power cuts, but with room for large packets and many connections.
const COMMON_OPTIONS: [&str; 8] = [
    "--bind-address=127.0.0.1",
    "--max-connections=1000",
    "--max-allowed-packet=128M",
    "--local-infile=ON",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=OFF",
    "--sync-binlog=0",
];

/// Long enough for a crash recovery on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Attempts to find a port that nobody takes between its choice and the server's bind.
const PORT_ATTEMPTS: usize = 10;

/// A database server on 127.0.0.1, which is stopped and removed on drop.
///
/// Clients may come from any loopback address; only 127.0.0.1 itself is exempt from the server's host cache.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    options: Vec<String>,
    port: u16,
    /// `None` while it is stopped. Before the directory, so that it ends first.
    process: Option<Process>,
    directory: ScratchDirectory,
}

/// Why a server that was started does not serve.
enum Failure {
    PortTaken,
    Other(String),
}

impl Server {
    pub(crate) fn start(software: Software, options: &[&str]) -> Self {
        let directory = ScratchDirectory::new();
        software.copy_data_directory(&directory.file("data"));
        let all = COMMON_OPTIONS.iter().chain(software.options).chain(options);
        let mut server = Self {
            options: all.map(|&option| option.to_owned()).collect(),
            program: software.program,
            port: 0,
            process: None,
            directory,
        };
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port();
            match server.launch() {
                Ok(()) => return server,
                Err(Failure::PortTaken) => {}
                Err(Failure::Other(log)) => {
                    panic!("{} does not start:\n{log}", server.program.display())
                }
            }
        }
        panic!(
            "no free port for {} in {PORT_ATTEMPTS} attempts",
            server.program.display()
        );
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its TCP address.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.file("socket")
    }

    /// A directory that lives as long as the server, for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its error log so far.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.directory.file("error.log")).unwrap_or_default()
    }

    /// The process id.
    ///
    /// # Panics
    /// While it is stopped.
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    /// Runs one statement as `root` through the Unix socket; NULL is `None`.
    ///
    /// # Panics
    /// When the server answers with an error.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let client = Client::connect_unix(&self.socket(), "root", "");
        let result = client.and_then(|mut client| client.query(sql));
        result
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .text()
    }

    /// Ends it as `kill -9` does.
    pub fn kill9(&mut self) {
        self.process().signal(Signal::SIGKILL);
        let ended = self.process_mut().wait(STOP_DEADLINE);
        assert!(ended.is_some(), "a killed server ends");
        self.process = None;
    }

    /// Shuts it down in order.
    pub fn stop(&mut self) {
        self.process().signal(Signal::SIGTERM);
        let ended = self.process_mut().wait(STOP_DEADLINE);
        assert!(
            ended.is_some(),
            "the server does not stop:\n{}",
            self.error_log()
        );
        self.process = None;
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill9`], with the same port and data.
    ///
    /// # Panics
    /// When it does not start, or another program keeps the port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server is running");
        let started = wait::poll(START_DEADLINE, || match self.launch() {
            Ok(()) => Some(()),
            Err(Failure::PortTaken) => None,
            Err(Failure::Other(log)) => panic!("the server does not start again:\n{log}"),
        });
        assert!(started.is_some(), "port {} stays taken", self.port);
    }

    /// Lets it stand still: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.process().pause();
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.process().resume();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server is running")
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server is running")
    }

    /// Starts the program and waits until it serves on the Unix socket, which it opens after the port.
    fn launch(&mut self) -> Result<(), Failure> {
        let _ = fs::remove_file(self.directory.file("error.log"));
        let mut process = Process::spawn(self.command());
        let socket = self.socket();
        let ready = wait::poll(START_DEADLINE, || match process.exit_status() {
            Some(_) => Some(false),
            None => serves(&socket).then_some(true),
        });
        if ready == Some(true) {
            self.process = Some(process);
            return Ok(());
        }
        let log = self.error_log();
        if log.contains("Address already in use") {
            return Err(Failure::PortTaken);
        }
        Err(Failure::Other(log))
    }

    fn command(&self) -> Command {
        let file = |name| self.directory.file(name).display().to_string();
        let mut command = process::command(&self.program);
        command
            .arg("--no-defaults")
            .arg(format!("--user={}", system_user()))
            .arg(format!("--datadir={}", file("data")))
            .arg(format!("--socket={}", file("socket")))
            .arg(format!("--pid-file={}", file("pid")))
            .arg(format!("--log-error={}", file("error.log")))
            .arg(format!("--tmpdir={}", self.directory.path().display()))
            .arg(format!("--port={}", self.port))
            .arg(format!("--server-id={}", self.port))
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// The user to run servers as: a change of user would undo [`process::command`]'s binding.
pub(crate) fn system_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten();
    user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Does a server take a login? A login, because hanging up before it would count as an aborted connect.
fn serves(socket: &Path) -> bool {
    let client = Client::connect_unix(socket, "root", "");
    client.and_then(Client::quit).is_ok()
}
