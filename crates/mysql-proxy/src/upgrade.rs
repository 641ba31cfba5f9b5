//! SIGUSR2: the program, as it is installed now, takes over in a new process, and no client is refused meanwhile.
//!
//! The process that runs starts the new one with a socket as its standard input and gives it the listening sockets over that.
//! The new one answers with one line: that it is ready, or why it is not. Only then is it told to go on, and the process
//! before it leaves the clients to come to it. Whatever fails before that changes nothing.
//!
//! A service manager may leave listening sockets in the same way, before the first process: they are found here, too.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write, stdin};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::{self, Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use listenfd::ListenFd;
#[cfg(test)]
use protocol::limits::{Bound, Limit};
use proxy::{InheritedSockets, ListenerHandle, Shutdown};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::{daemon, service_manager};

/// In the environment of the new process: the id of the one that started it.
const VARIABLE: &str = "MYSQL_PROXY_REPLACES";
/// Listening sockets of a process: one for each thing that listens.
const SOCKETS_MAX: usize = 16;
/// Their names, a line each.
const NAMES_MAX: usize = 1024;
/// What the new process says.
const ANSWER_MAX: u64 = 4096;
/// Until it says so. A start takes a fraction of a second, unless names must be looked up.
const READY_TIME: Duration = Duration::from_secs(60);
/// For the word to go on.
const GO_TIME: Duration = Duration::from_secs(10);
/// As operators read of them.
#[cfg(test)]
pub(crate) const LIMITS: [Limit; 2] = [
    Limit {
        what: "A new process, from SIGUSR2 until it is ready",
        bound: Bound::Time(READY_TIME),
        reason: "a start takes a fraction of a second, unless names must be looked up",
        beyond: "it is ended, and the one before it goes on",
    },
    Limit {
        what: "A new process that is ready, until the one before it makes way",
        bound: Bound::Time(GO_TIME),
        reason: "that is at once",
        beyond: "it ends",
    },
];

/// In front of the process id in the answer of a process that is ready.
const READY: &str = "ready ";
/// Of a socket whose file goes with it.
const OWNS_FILE: &str = "file";

/// What this process was left by others.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Over which the process that this one replaces waits for word.
    predecessor: Option<UnixStream>,
    /// What may be listened with.
    pub(crate) sockets: InheritedSockets,
}

impl Inheritance {
    /// Called once, before this process forks or reads its standard input.
    pub(crate) fn accept() -> Result<Self> {
        let mut sockets = of_service_manager()?;
        // A variable that went on to others than it was meant for means nothing.
        let id = env::var(VARIABLE).ok().and_then(|id| id.parse().ok());
        if id != Some(parent_id()) {
            return Ok(Self {
                predecessor: None,
                sockets,
            });
        }
        let stream = stdin().as_fd().try_clone_to_owned();
        let stream = UnixStream::from(stream.context("standard input is not open")?);
        daemon::leave_input()?;
        receive(&stream, &mut sockets)
            .context("cannot take over the listening sockets of the process before this one")?;
        Ok(Self {
            predecessor: Some(stream),
            sockets,
        })
    }

    /// Some process waits for this one to become ready.
    pub(crate) fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// What this process does from now on is no business of the one before it.
    pub(crate) fn forget_predecessor(&mut self) {
        self.predecessor = None;
    }

    /// Says that this process is ready, and waits for the one before it to make way.
    ///
    /// # Errors
    /// That one has not: it goes on itself.
    pub(crate) fn relieve(&mut self) -> Result<()> {
        let Some(mut stream) = self.predecessor.take() else {
            return Ok(());
        };
        let told = writeln!(stream, "{READY}{}", process::id())
            .and_then(|()| stream.set_read_timeout(Some(GO_TIME)))
            .and_then(|()| stream.read_exact(&mut [0]));
        told.context("the process that was to be replaced does not make way")
    }

    /// Tells the process before this one, if it still waits, that this one gives up.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        if let Some(mut stream) = self.predecessor.take() {
            // It notices the end of the connection, too.
            let _ = writeln!(stream, "{error:#}");
        }
    }
}

/// What can replace this process.
#[derive(Debug)]
pub(crate) struct Upgrade {
    program: Program,
    listeners: Vec<ListenerHandle>,
    shutdown: Shutdown,
    /// One is under way, or this process was replaced.
    is_begun: AtomicBool,
}

/// How this process was started.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
}

impl Program {
    /// Called at the start: the file may be replaced later, and a daemon leaves its directory.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self {
            path: env::current_exe().context("cannot find the program's own file")?,
            arguments: env::args_os().collect(),
            directory: env::current_dir().context("cannot find the current directory")?,
        })
    }
}

impl Upgrade {
    pub(crate) fn new(
        program: Program,
        listeners: Vec<ListenerHandle>,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            program,
            listeners,
            shutdown,
            is_begun: AtomicBool::new(false),
        })
    }

    /// Starts the new process and waits for it on a thread of its own; what becomes of it is in the log.
    pub(crate) fn begin(self: &Arc<Self>) {
        if self.is_begun.swap(true, Ordering::Relaxed) {
            tracing::warn!("SIGUSR2: another process takes over already; ignored");
            return;
        }
        let upgrade = Arc::clone(self);
        let replace = move || {
            if let Err(error) = upgrade.replace() {
                tracing::error!("SIGUSR2: {error:#}; nothing changes, this process goes on");
                upgrade.is_begun.store(false, Ordering::Relaxed);
            }
        };
        if let Err(error) = thread::Builder::new()
            .name("upgrade".to_owned())
            .spawn(replace)
        {
            tracing::error!("SIGUSR2: cannot start a thread: {error}; nothing changes");
            self.is_begun.store(false, Ordering::Relaxed);
        }
    }

    fn replace(&self) -> Result<()> {
        let (stream, theirs) = UnixStream::pair().context("cannot make a socket")?;
        let path = self.program.path.display();
        tracing::info!("SIGUSR2: starting {path} to take over");
        let mut child = self
            .command(theirs.into())
            .spawn()
            .with_context(|| format!("cannot start {path}"))?;
        let relieved = send(&stream, &self.listeners)
            .context("cannot hand the listening sockets over")
            .and_then(|()| wait_until_ready(stream));
        let id = match relieved {
            Ok(id) => id,
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        service_manager::main_process(id);
        for listener in &self.listeners {
            listener.leave_file();
        }
        tracing::info!(
            "process {id} has taken over: clients to come are its, those of this process stay until they leave"
        );
        self.shutdown.hand_over();
        // A daemon's first process ends at once; any other is still there when this one ends.
        let _ = child.wait();
        Ok(())
    }

    /// The child's end of the socket is closed here with the command.
    fn command(&self, socket: OwnedFd) -> Command {
        let mut arguments = self.program.arguments.iter();
        let mut command = Command::new(&self.program.path);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command
            .args(arguments)
            .current_dir(&self.program.directory)
            .env(VARIABLE, process::id().to_string())
            .stdin(socket);
        command
    }
}

/// One that never became ready.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// The id of the process that is ready. It has been told to go on.
fn wait_until_ready(stream: UnixStream) -> Result<u32> {
    stream.set_read_timeout(Some(READY_TIME))?;
    let mut answer = String::new();
    let mut reader = BufReader::new(&stream).take(ANSWER_MAX);
    reader
        .read_line(&mut answer)
        .with_context(|| format!("the new process is not ready after {READY_TIME:?}"))?;
    let answer = answer.trim_end();
    let Some(id) = answer.strip_prefix(READY) else {
        match answer {
            "" => bail!("the new process ended before it was ready"),
            reason => bail!("the new process gave up: {reason}"),
        }
    };
    let id = id
        .parse()
        .map_err(|_| anyhow!("the new process says `{answer}`"))?;
    (&stream)
        .write_all(b".")
        .context("the new process ended when it was ready")?;
    Ok(id)
}

/// All sockets and their names in one message.
fn send(stream: &UnixStream, listeners: &[ListenerHandle]) -> Result<()> {
    let mut names = String::new();
    let mut sockets = Vec::new();
    for listener in listeners {
        if let Some((socket, owns_file)) = listener.socket() {
            let file = if owns_file { OWNS_FILE } else { "" };
            names += &format!("{} {file}\n", listener.name());
            sockets.push(socket);
        }
    }
    // A message has at least one byte.
    names.push('\n');
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = sockets.is_empty() || control.push(SendAncillaryMessage::ScmRights(&sockets));
    ensure!(fits, "there are more than {SOCKETS_MAX}");
    let names = [IoSlice::new(names.as_bytes())];
    sendmsg(stream, &names, &mut control, SendFlags::empty())?;
    Ok(())
}

/// See [`send`].
fn receive(stream: &UnixStream, inherited: &mut InheritedSockets) -> Result<()> {
    stream.set_read_timeout(Some(GO_TIME))?;
    let mut names = [0; NAMES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut names)];
    let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let sockets: Vec<_> = sockets.flatten().collect();
    let names = str::from_utf8(names.get(..received.bytes).unwrap_or_default())?;
    for (line, socket) in names.lines().zip(sockets) {
        let (name, file) = line.split_once(' ').unwrap_or((line, ""));
        inherited.add(name, socket, file == OWNS_FILE)?;
    }
    Ok(())
}

/// Those of `LISTEN_FDS`. The files of Unix sockets are the service manager's.
fn of_service_manager() -> Result<InheritedSockets> {
    let mut passed = ListenFd::from_env();
    let mut sockets = InheritedSockets::default();
    for index in 0..passed.len() {
        let socket: OwnedFd = match passed.take_tcp_listener(index) {
            Ok(Some(socket)) => socket.into(),
            Ok(None) => continue,
            Err(_) => match passed.take_unix_listener(index) {
                Ok(Some(socket)) => socket.into(),
                _ => bail!("LISTEN_FDS: socket {index} is no stream socket that listens"),
            },
        };
        sockets
            .add("", socket, false)
            .with_context(|| format!("LISTEN_FDS: socket {index}"))?;
    }
    Ok(sockets)
}
