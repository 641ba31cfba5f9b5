//! The real proxy, started as a user starts it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{Process, ScratchDirectory, process, wait};

const START_DEADLINE: Duration = Duration::from_secs(20);
/// More than the proxy's own default for a drain.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long the outputs of an ended proxy are waited for.
const OUTPUT_DEADLINE: Duration = Duration::from_secs(2);
/// What the proxy says once for each address that it listens on.
const LISTENING: &str = "proxy listening on port ";
/// What it says instead when it listens for operators only.
const NOT_LISTENING: &str = "no port is open for clients";

/// Where the proxies of a test program keep a certificate that they make.
static CERTIFICATES: LazyLock<ScratchDirectory> = LazyLock::new(ScratchDirectory::new);

/// A running proxy, killed on drop.
#[derive(Debug)]
pub struct ProxyProcess {
    process: Process,
    stdout: Lines,
    stderr: Lines,
}

impl ProxyProcess {
    /// Starts `binary` (`env!("CARGO_BIN_EXE_mysql-proxy")` in the binary's own tests) and waits until it listens.
    /// It listens on a free port of 127.0.0.1 unless the arguments have a `--proxy-address`.
    ///
    /// # Panics
    /// When it ends instead, or does not listen in time; its output is in the message.
    #[track_caller]
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        let mut command = process::command(binary);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !arguments
            .iter()
            .any(|argument| argument.starts_with("--proxy-address"))
        {
            command.arg("--proxy-address=127.0.0.1:0");
        }
        if !arguments
            .iter()
            .any(|argument| argument.starts_with("--ssl-dir"))
        {
            command.arg(format!("--ssl-dir={}", CERTIFICATES.path().display()));
        }
        let mut process = Process::spawn(command);
        let (stdout, stderr) = process.take_outputs();
        let (stdout, stderr) = (Lines::collect(stdout), Lines::collect(stderr));
        let mut proxy = Self {
            process,
            stdout,
            stderr,
        };
        let listens = wait::poll(START_DEADLINE, || {
            let says = |text| proxy.stdout.find(0, text).is_some();
            let listens = says(LISTENING) || says(NOT_LISTENING);
            (listens || proxy.process.exit_status().is_some()).then_some(listens)
        });
        if listens == Some(false) {
            proxy.wait_for_outputs();
        }
        assert!(
            listens == Some(true),
            "{binary} does not listen:\n{}",
            proxy.output()
        );
        proxy
    }

    /// The TCP address that it listens on; the first, if there are several.
    ///
    /// # Panics
    /// When it listens on Unix sockets only.
    pub fn address(&self) -> SocketAddr {
        let lines = self.stdout.get();
        let mut addresses = lines
            .iter()
            .filter_map(|line| line.split_once(LISTENING)?.1.trim().parse().ok());
        addresses.next().expect("the proxy listens on a TCP port")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory that are its own at the moment.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that [`Self::resident_bytes`] ever was.
    pub fn resident_bytes_max(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the proxy runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("Linux says it");
        kib * 1024
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.id()));
        files.expect("the proxy runs").count()
    }

    /// The lines of its standard output so far, which are its log by default.
    pub fn log(&self) -> Vec<String> {
        self.stdout.get().clone()
    }

    /// The lines of its standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.get().clone()
    }

    /// How many lines of the log have this text.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.stdout
            .get()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// Waits for a line of the log with this text, past or future, and returns it.
    ///
    /// # Panics
    /// When there is none in time; the log is in the message.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, within: Duration) -> String {
        self.wait_for_log_after(0, text, within)
    }

    /// Like [`Self::wait_for_log`], but takes no notice of the first `lines` lines. For something that is logged
    /// again and again: take `log().len()`, do what brings it about, and wait for it with this.
    #[track_caller]
    pub fn wait_for_log_after(&self, lines: usize, text: &str, within: Duration) -> String {
        let found = wait::poll(within, || self.stdout.find(lines, text));
        found.unwrap_or_else(|| {
            panic!(
                "no line with `{text}` within {within:?}:\n{}",
                self.output()
            )
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end; its log is complete then.
    ///
    /// # Panics
    /// When it goes on; its output is in the message.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let Some(status) = self.process.wait(within) else {
            panic!("still running after {within:?}:\n{}", self.output());
        };
        self.wait_for_outputs();
        status
    }

    /// Asks it to end with SIGTERM and waits until it did.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(STOP_DEADLINE)
    }

    /// What an ended program wrote may still be in the pipes. A child of its own may also keep them open.
    fn wait_for_outputs(&self) {
        let _ = wait::poll(OUTPUT_DEADLINE, || {
            (self.stdout.is_complete() && self.stderr.is_complete()).then_some(())
        });
    }

    fn output(&self) -> String {
        format!(
            "{}\n{}",
            self.stdout.get().join("\n"),
            self.stderr.get().join("\n")
        )
    }
}

/// The lines of a pipe, collected by a thread of their own.
#[derive(Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    collector: JoinHandle<()>,
}

impl Lines {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let collected = Arc::clone(&lines);
        let collector = thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                locked(&collected).push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { lines, collector }
    }

    /// True when the pipe has ended.
    fn is_complete(&self) -> bool {
        self.collector.is_finished()
    }

    fn get(&self) -> MutexGuard<'_, Vec<String>> {
        locked(&self.lines)
    }

    fn find(&self, skip: usize, text: &str) -> Option<String> {
        self.get()
            .iter()
            .skip(skip)
            .find(|line| line.contains(text))
            .cloned()
    }
}

fn locked(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
