//! The process while it serves: what it says at its start, and how it ends with and without clients.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Client, MariaDb, Process, ProxyProcess, ScratchDirectory, process, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const DEADLINE: Duration = Duration::from_secs(20);

/// What follows the level in each line of a log.
fn messages(log: &[String]) -> Vec<&str> {
    log.iter()
        .filter_map(|line| Some(line.split_once(": (message) ")?.1))
        .collect()
}

#[test]
fn the_start_names_the_port_and_every_backend() {
    let mut proxy =
        ProxyProcess::start(BINARY, &["-b", "127.0.0.1:1,[::1]:1", "-r", "127.0.0.1:2"]);
    let expected = [
        format!("plugin proxy {} started", env!("CARGO_PKG_VERSION")),
        format!("proxy listening on port {}", proxy.address()),
        "added read/write backend: 127.0.0.1:1".to_owned(),
        "added read/write backend: [::1]:1".to_owned(),
        "added read-only backend: 127.0.0.1:2".to_owned(),
    ];
    assert_ne!(proxy.address().port(), 0);
    assert_eq!(proxy.terminate().code(), Some(0));
    wait::until("the log has its last line", DEADLINE, || {
        proxy.count_in_log("shutting down normally, exit code is: 0") == 1
    });
    assert_eq!(messages(&proxy.log())[..expected.len()], expected);
}

#[test]
fn a_second_sigterm_ends_it_under_a_running_command() {
    let server = MariaDb::start(&[]);
    let address = format!("--proxy-backend-addresses={}", server.address());
    let mut proxy = ProxyProcess::start(BINARY, &[&address, "--shutdown-timeout=3600"]);
    let mut client = Client::connect(proxy.address(), "app", "app").unwrap();
    client.send_query("SELECT SLEEP(3600)").unwrap();
    wait::until("the command runs", DEADLINE, || {
        let running =
            "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        !server.query(running).is_empty()
    });
    proxy.signal(Signal::SIGTERM);
    proxy.wait_for_log(
        "Initiating shutdown, requested from signal handler",
        DEADLINE,
    );
    wait::until("the port is closed", DEADLINE, || {
        TcpStream::connect(proxy.address()).is_err()
    });
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
}

#[test]
fn a_daemon_serves_when_its_command_returns() {
    let directory = ScratchDirectory::new();
    let mut command = process::command(BINARY);
    command.args([
        "--daemon",
        "--proxy-address=127.0.0.1:0",
        "-b",
        "127.0.0.1:1",
    ]);
    command.args(["--log-file=log", "--pid-file=pid"]);
    command.arg(format!("--basedir={}", directory.path().display()));
    assert_eq!(process::run(command, DEADLINE).status.code(), Some(0));

    let id = fs::read_to_string(directory.file("pid")).unwrap();
    let daemon = Pid::from_raw(id.parse().unwrap());
    let log = fs::read_to_string(directory.file("log")).unwrap();
    let (_, address) = log.split_once("listening on port ").unwrap();
    let address: SocketAddr = address.lines().next().unwrap().parse().unwrap();
    let connected = TcpStream::connect(address);
    kill(daemon, Signal::SIGTERM).unwrap();
    connected.unwrap();
    wait::until("the daemon is gone", DEADLINE, || {
        kill(daemon, None).is_err()
    });
}

#[test]
fn a_worker_that_was_killed_leaves_its_socket_to_the_next_one() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let socket = directory.file("sock");
    let mut command = process::command(BINARY);
    command.args(["--keepalive", "--log-file=log", "--pid-file=pid"]);
    command.arg(format!("--basedir={}", directory.path().display()));
    command.arg(format!("--proxy-address={}", socket.display()));
    command.arg(format!("--proxy-backend-addresses={}", server.address()));
    let mut angel = Process::spawn(command);

    let served = || Client::connect_unix(&socket, "app", "app").ok();
    wait::poll(DEADLINE, served).expect("the first worker serves");
    let id = fs::read_to_string(directory.file("pid")).unwrap();
    kill(Pid::from_raw(id.parse().unwrap()), Signal::SIGKILL).unwrap();
    wait::poll(DEADLINE, served).expect("the second worker serves");
    assert_ne!(fs::read_to_string(directory.file("pid")).unwrap(), id);

    angel.signal(Signal::SIGTERM);
    let status = angel.wait(DEADLINE).expect("the angel ends");
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists());
}
