//! The life of the process: signals, log, pid file, daemon, angel, user. The real binary, mostly without a port.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use testkit::process::{self, Finished};
use testkit::{Process, ScratchDirectory, wait};

const DEADLINE: Duration = Duration::from_secs(20);

/// A directory with the log and the pid file of one proxy; who serves is killed in the end.
struct Place(ScratchDirectory);

impl Place {
    fn new() -> Self {
        Self(ScratchDirectory::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// The proxy without a port, with its log and pid file here.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
        command.arg(format!("--basedir={}", self.0.path().display()));
        command
            .args(["--no-proxy", "--log-file=log", "--pid-file=pid"])
            .args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it in the foreground and waits until it is ready.
    fn start(&self, arguments: &[&str]) -> Process {
        let process = Process::spawn(self.command(arguments));
        self.wait_for_log("waiting for a signal", 1);
        process
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        process::run(self.command(arguments), DEADLINE)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until `times` lines have this text.
    #[track_caller]
    fn wait_for_log(&self, text: &str, times: usize) {
        let found = wait::poll(DEADLINE, || {
            (self.log().matches(text).count() >= times).then_some(())
        });
        assert!(
            found.is_some(),
            "not {times} times `{text}`:\n{}",
            self.log()
        );
    }

    /// The id in the pid file.
    fn id(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.path("pid")).ok()?;
        text.parse().ok().map(Pid::from_raw)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.id() {
            let _ = kill(id, Signal::SIGKILL);
        }
    }
}

#[track_caller]
fn exit_code(process: &mut Process) -> Option<i32> {
    process.wait(DEADLINE).expect("the process ends").code()
}

/// The value of a line of `/proc/PID/status`, its words joined by one blank.
fn status(id: Pid, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let words = value.expect("the system shows it").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let mut process = place.start(&[]);
        process.signal(signal);
        assert_eq!(exit_code(&mut process), Some(0));
        let log = place.log();
        assert!(
            log.contains("(message) Initiating shutdown, requested from signal handler\n"),
            "{log}"
        );
        assert!(
            log.ends_with("(message) shutting down normally, exit code is: 0\n"),
            "{log}"
        );
    }
}

#[test]
fn verbose_shutdown_shows_at_level_critical() {
    let place = Place::new();
    let mut process =
        Process::spawn(place.command(&["--log-level=critical", "--verbose-shutdown"]));
    wait::until("the pid file is there", DEADLINE, || place.id().is_some());
    // It is written before signals are listened for.
    wait::until("signals are caught", DEADLINE, || {
        let caught = status(place.id().unwrap(), "SigCgt");
        u64::from_str_radix(&caught, 16).unwrap() & (1 << (Signal::SIGTERM as u64 - 1)) != 0
    });
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
    let log = place.log();
    assert!(
        log.ends_with(": (critical) shutting down normally, exit code is: 0\n"),
        "{log}"
    );
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn sigusr1_is_ignored() {
    let place = Place::new();
    let mut process = place.start(&[]);
    process.signal(Signal::SIGUSR1);
    place.wait_for_log("SIGUSR1 means nothing here", 1);
    assert_eq!(process.exit_status(), None);
}

#[test]
fn the_pid_file_lasts_as_long_as_the_process() {
    let place = Place::new();
    let mut process = place.start(&[]);
    let text = fs::read_to_string(place.path("pid")).unwrap();
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    assert_eq!(status(place.id().unwrap(), "Name"), "mysql-proxy");
    assert_eq!(
        fs::metadata(place.path("pid"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
    assert!(!place.path("pid").exists());
}

#[test]
fn a_pid_file_of_another_process_stays() {
    let place = Place::new();
    let mut process = place.start(&[]);
    fs::write(place.path("pid"), "another").unwrap();
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
    assert_eq!(fs::read_to_string(place.path("pid")).unwrap(), "another");
}

#[test]
fn sighup_opens_the_log_file_again_every_time() {
    let place = Place::new();
    let process = place.start(&[]);
    for old in ["log.1", "log.2"] {
        fs::rename(place.path("log"), place.path(old)).unwrap();
        process.signal(Signal::SIGHUP);
        place.wait_for_log("SIGHUP: log file", 1);
        assert!(
            !fs::read_to_string(place.path(old))
                .unwrap()
                .contains("SIGHUP: cannot")
        );
    }
}

#[test]
fn a_log_file_that_cannot_be_opened_again_is_kept_until_it_can() {
    let place = Place::new();
    let process = place.start(&[]);
    fs::rename(place.path("log"), place.path("log.1")).unwrap();
    fs::create_dir(place.path("log")).unwrap();
    process.signal(Signal::SIGHUP);
    wait::until("the old file says why", DEADLINE, || {
        let old = fs::read_to_string(place.path("log.1")).unwrap();
        old.contains("(critical) SIGHUP: cannot open the log file")
            && old.contains("goes on in the old file")
    });
    fs::remove_dir(place.path("log")).unwrap();
    process.signal(Signal::SIGHUP);
    place.wait_for_log("opened again", 1);
}

#[test]
fn a_full_disk_sends_the_log_to_standard_error() {
    let place = Place::new();
    let mut command = place.command(&["--log-file=/dev/full"]);
    let path = place.path("stderr");
    command.stderr(fs::File::create(&path).unwrap());
    let mut process = Process::spawn(command);
    let stderr = || fs::read_to_string(&path).unwrap();
    wait::until("standard error has the line", DEADLINE, || {
        stderr().contains("waiting for a signal")
    });
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
    assert!(
        stderr().ends_with("shutting down normally, exit code is: 0\n"),
        "{}",
        stderr()
    );
}

#[test]
fn a_closed_standard_output_does_no_harm() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
    let path = place.path("stderr");
    command
        .arg("--no-proxy")
        .stdout(writer)
        .stderr(fs::File::create(&path).unwrap());
    let mut process = Process::spawn(command);
    wait::until("standard error has the line", DEADLINE, || {
        fs::read_to_string(&path)
            .unwrap()
            .contains("waiting for a signal")
    });
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
}

#[test]
fn the_json_log_is_one_object_a_line() {
    let place = Place::new();
    let mut process = place.start(&["--log-format=json"]);
    process.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut process), Some(0));
    let log = place.log();
    assert_eq!(log.lines().count(), 3);
    for line in log.lines() {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap();
        assert_eq!(
            object.keys().collect::<Vec<_>>(),
            ["timestamp", "level", "message"]
        );
        assert_eq!(object["level"], "message");
    }
}

#[test]
fn an_unknown_key_of_the_file_is_a_warning() {
    let place = Place::new();
    let path = place.path("cnf");
    fs::write(&path, "[mysql-proxy]\nlog-flie=x\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let _process = place.start(&[&format!("--defaults-file={}", path.display())]);
    place.wait_for_log(
        "cnf:2: unknown key log-flie is ignored (did you mean log-file?)",
        1,
    );
}

#[test]
fn max_open_files_sets_the_limit() {
    let place = Place::new();
    let _process = place.start(&["--max-open-files=0x40"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", place.id().unwrap())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("64"), "{line}");
}

#[test]
fn a_user_has_its_own_rights_alone() {
    let place = Place::new();
    let me = nix::unistd::geteuid();
    if !me.is_root() {
        let finished = place.run(&["--user=root"]);
        assert_eq!(finished.status.code(), Some(1));
        assert_eq!(
            finished.stderr,
            "mysql-proxy: --user: only root can become another user\n"
        );
        return;
    }
    let _process = place.start(&["--user=nobody"]);
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let four = |id: u32| [id; 4].map(|id| id.to_string()).join(" ");
    let id = place.id().unwrap();
    assert_eq!(status(id, "Uid"), four(nobody.uid.as_raw()));
    assert_eq!(status(id, "Gid"), four(nobody.gid.as_raw()));
    assert_eq!(status(id, "Groups"), nobody.gid.as_raw().to_string());
    let log = fs::metadata(place.path("log")).unwrap();
    assert_eq!(
        (log.uid(), log.gid()),
        (nobody.uid.as_raw(), nobody.gid.as_raw())
    );
}

#[test]
fn a_daemon_is_ready_when_its_command_returns() {
    for arguments in [&["--daemon"][..], &["--daemon", "--keepalive"]] {
        let place = Place::new();
        // This reads standard output and error to their ends, so it also shows that the daemon lets both go.
        let finished = place.run(arguments);
        assert_eq!(
            (finished.status.code(), finished.stderr.as_str()),
            (Some(0), "")
        );
        let id = place.id().expect("the pid file is there");
        assert_eq!(
            fs::read_link(format!("/proc/{id}/cwd")).unwrap(),
            PathBuf::from("/")
        );
        kill(id, Signal::SIGTERM).unwrap();
        place.wait_for_log("shutting down normally", 1);
        wait::until("the pid file is gone", DEADLINE, || place.id().is_none());
    }
}

#[test]
fn a_daemon_without_a_log_file_says_that_it_logs_to_syslog() {
    let place = Place::new();
    let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
    command
        .args(["--no-proxy", "--daemon"])
        .arg(format!("--pid-file={}", place.path("pid").display()));
    let finished = process::run(command, DEADLINE);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let line = "mysql-proxy: --daemon without --log-file: the log goes to syslog\n";
    assert!(finished.stderr.starts_with(line), "{}", finished.stderr);
    assert!(place.id().is_some());
}

#[test]
fn the_angel_starts_a_killed_worker_again_and_hands_every_signal_on() {
    let place = Place::new();
    let mut angel = place.start(&["--keepalive"]);
    let first = place.id().unwrap();
    assert_eq!(status(first, "PPid"), angel.id().to_string());
    // One after the other: of a line that repeats itself the log has only the first.
    for (signal, says, times) in [
        (Signal::SIGUSR1, "SIGUSR1 means nothing here", 1),
        (Signal::SIGHUP, "SIGHUP: log file", 2),
        (Signal::SIGUSR1, "SIGUSR1 means nothing here", 2),
    ] {
        angel.signal(signal);
        place.wait_for_log(says, times);
    }
    kill(first, Signal::SIGKILL).unwrap();
    place.wait_for_log("waiting for a signal", 2);
    let second = place.id().unwrap();
    assert_ne!(first, second);
    assert!(
        place
            .log()
            .contains(&format!("(critical) worker {first} was killed by SIGKILL")),
        "{}",
        place.log()
    );
    angel.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut angel), Some(0));
    assert!(
        place
            .log()
            .contains(&format!("worker {second} exited with code 0")),
        "{}",
        place.log()
    );
}

#[test]
fn the_angel_and_its_worker_open_the_log_file_again() {
    let place = Place::new();
    let angel = place.start(&["--keepalive"]);
    fs::rename(place.path("log"), place.path("log.1")).unwrap();
    angel.signal(Signal::SIGHUP);
    place.wait_for_log("SIGHUP: log file", 2);
    assert!(
        !fs::read_to_string(place.path("log.1"))
            .unwrap()
            .contains("SIGHUP")
    );
}

#[test]
fn the_angel_can_be_stopped_before_it_starts_another_worker() {
    let place = Place::new();
    let mut angel = place.start(&["--keepalive"]);
    kill(place.id().unwrap(), Signal::SIGKILL).unwrap();
    place.wait_for_log("starting another one in 2 s", 1);
    angel.signal(Signal::SIGTERM);
    assert_eq!(exit_code(&mut angel), Some(0));
    place.wait_for_log("asked to stop before it started another worker", 1);
    assert_eq!(place.log().matches("waiting for a signal").count(), 1);
}
