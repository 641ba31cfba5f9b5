//! Child processes that never outlive the test.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::wait;

/// A command whose program dies with the thread that starts it; arguments are added as usual.
///
/// The program must not change its user: the kernel drops the binding then.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.stdin(Stdio::null());
    command
}

/// A running program, the leader of its own process group. The group is killed on drop, and the
/// program also when the test process dies without running any drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command made by [`command`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> Self {
        command.process_group(0);
        let description = format!("{command:?}");
        let child = spawn_on_lasting_thread(command);
        let child = child.unwrap_or_else(|error| panic!("cannot start {description}: {error}"));
        Self {
            child,
            status: None,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard output and error, of a command that pipes them. They can be taken once.
    pub(crate) fn take_outputs(&mut self) -> (ChildStdout, ChildStderr) {
        let outputs = self.child.stdout.take().zip(self.child.stderr.take());
        outputs.expect("both are piped and not yet taken")
    }

    /// The child's standard input and output, of a command that pipes them. They can be taken once.
    ///
    /// # Panics
    /// When they are not piped, or taken.
    pub fn take_pipes(&mut self) -> (ChildStdin, ChildStdout) {
        let pipes = self.child.stdin.take().zip(self.child.stdout.take());
        pipes.expect("both are piped and not yet taken")
    }

    /// Sends a signal to the program alone.
    ///
    /// # Panics
    /// When the program has ended already.
    pub fn signal(&self, signal: Signal) {
        assert!(
            self.status.is_none(),
            "{signal} for a program that has ended"
        );
        kill(self.pid(), signal).expect("a child that was not waited for takes signals");
    }

    /// The exit status if the program has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .try_wait()
                .expect("a child of ours can be waited for");
        }
        self.status
    }

    /// Waits for the end of the program; `None` if it is still running after that time.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        wait::poll(within, || self.exit_status())
    }

    /// Kills the program and everything else in its process group, and waits for its end.
    pub fn kill(&mut self) {
        // ESRCH: the whole group has ended.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        self.wait(Duration::from_secs(10))
            .expect("a killed program ends");
    }

    /// Stops the program as by SIGSTOP and waits until it stands still.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        wait::until("the program stands still", Duration::from_secs(10), || {
            self.state() == 'T'
        });
    }

    /// Lets a paused program go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// The state letter of `/proc/PID/stat`, which follows the name in parentheses.
    fn state(&self) -> char {
        let path = format!("/proc/{}/stat", self.id());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next())
            .unwrap_or('?')
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.id()).expect("process ids are positive"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// What a program that ran to its end left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output, of a program that must have succeeded.
    ///
    /// # Panics
    /// When it failed; both outputs are in the message.
    #[track_caller]
    pub fn expect_success(self) -> Vec<u8> {
        assert!(
            self.status.success(),
            "{}\n{}{}",
            self.status,
            self.text(),
            self.stderr
        );
        self.stdout
    }
}

/// Runs a command made by [`command`] to its end and collects its outputs.
///
/// # Panics
/// When it is still running after that time.
#[track_caller]
pub fn run(mut command: Command, within: Duration) -> Finished {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let description = format!("{command:?}");
    let mut process = Process::spawn(command);
    let (stdout, stderr) = process.take_outputs();
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let status = process.wait(within);
    process.kill();
    let stdout = stdout.join().expect("collecting does not panic");
    let stderr = stderr.join().expect("collecting does not panic");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let Some(status) = status else {
        panic!("still running after {within:?}: {description}\n{stderr}");
    };
    Finished {
        status,
        stdout,
        stderr,
    }
}

/// Reads a pipe to its end on a thread of its own, so that the writer never waits.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A broken pipe ends the output like its end.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// A command, and where its child goes.
type Spawn = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel's "parent" is a thread: children of a test's thread would die with it even when a server
/// is shared by several tests. This thread lives as long as the process.
static SPAWNER: LazyLock<mpsc::Sender<Spawn>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Spawn>();
    thread::spawn(move || {
        for (mut command, reply) in receiver {
            // The receiver waits for this in the next function.
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    let (reply, child) = mpsc::channel();
    SPAWNER
        .send((command, reply))
        .expect("the spawner lives as long as the process");
    child.recv().expect("the spawner answers every request")
}
