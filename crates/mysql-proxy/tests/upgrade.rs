//! SIGUSR2: another process takes over, and no client notices; and what service managers do with sockets and notices.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Client, MariaDb, Process, ProxyProcess, ScratchDirectory, Server, process, wait};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const DEADLINE: Duration = Duration::from_secs(60);
const TAKEN_OVER: &str = " has taken over";

fn backend(server: &Server) -> String {
    format!("--proxy-backend-addresses={}", server.address())
}

fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("a client is served")
}

/// Has `process` replaced; the one that took over.
#[track_caller]
fn upgrade(proxy: &ProxyProcess, process: Pid) -> Pid {
    let lines = proxy.log().len();
    kill(process, Signal::SIGUSR2).expect("it runs");
    let line = proxy.wait_for_log_after(lines, TAKEN_OVER, DEADLINE);
    let before = line.split_once(TAKEN_OVER).expect("the line has it").0;
    let id = before.rsplit(' ').next().and_then(|id| id.parse().ok());
    Pid::from_raw(id.expect("a process id"))
}

fn first(proxy: &ProxyProcess) -> Pid {
    Pid::from_raw(proxy.id().try_into().expect("process ids are positive"))
}

#[track_caller]
fn ends(process: Pid) {
    wait::until("the end of the replaced process", DEADLINE, || {
        // One that nobody has waited for is over, too.
        let stat = fs::read_to_string(format!("/proc/{process}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}

/// Clients come and go, and stay for some time, until it is over. How many queries were answered; none may fail.
fn load(proxy: &ProxyProcess, is_over: &AtomicBool, answered: &AtomicUsize, queries: usize) {
    while !is_over.load(Ordering::Relaxed) {
        let mut client = connect(proxy);
        for n in 0..queries {
            let answer = client.value(&format!("SELECT {n}"));
            assert_eq!(answer.expect("an answer"), n.to_string());
            answered.fetch_add(1, Ordering::Relaxed);
        }
        client.quit().expect("a goodbye");
    }
}

#[test]
fn ten_upgrades_under_load_refuse_nobody_and_fail_no_query() {
    let server = MariaDb::start(&[]);
    let proxy = ProxyProcess::start(
        BINARY,
        &[
            &backend(&server),
            "--plugins=proxy,admin",
            "--admin-address=127.0.0.1:0",
            "--admin-username=operator",
            "--admin-password=secret",
            "--http-address=127.0.0.1:0",
        ],
    );
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut processes = vec![first(&proxy)];
    thread::scope(|scope| {
        for queries in [0, 1, 3, 10, 100, 1000] {
            let (proxy, is_over, answered) = (&proxy, &is_over, &answered);
            scope.spawn(move || load(proxy, is_over, answered, queries));
        }
        for _ in 0..10 {
            let before = answered.load(Ordering::Relaxed);
            wait::until("queries are answered", DEADLINE, || {
                answered.load(Ordering::Relaxed) > before + 100
            });
            let last = processes[processes.len() - 1];
            processes.push(upgrade(&proxy, last));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let last = processes.pop().expect("there are eleven");
    processes.into_iter().for_each(ends);
    connect(&proxy);
    kill(last, Signal::SIGTERM).expect("it runs");
    ends(last);
    let refused = TcpStream::connect(proxy.address()).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(proxy.count_in_log("Initiating shutdown"), 1);
}

/// The value of a metric, over a connection that may stay open.
fn uptime(connection: &mut TcpStream) -> Option<String> {
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: proxy\r\n\r\n").ok()?;
    let mut text = String::new();
    let mut lines = BufReader::new(connection);
    while !text.ends_with("# EOF\n") {
        if lines.read_line(&mut text).ok()? == 0 {
            return None;
        }
    }
    let uptime = "mysql_proxy_uptime_seconds ";
    let line = text.lines().find_map(|line| line.strip_prefix(uptime))?;
    Some(line.to_owned())
}

#[test]
fn who_asks_for_metrics_gets_those_of_the_new_process() {
    let server = MariaDb::start(&[]);
    let proxy = ProxyProcess::start(BINARY, &[&backend(&server), "--http-address=127.0.0.1:0"]);
    // The old process stays as long as this one does.
    let mut client = connect(&proxy);
    let said = "http-server listening on port ";
    let line = proxy.wait_for_log(said, DEADLINE);
    let address = line.split_once(said).expect("the line has it").1.trim();
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    uptime(&mut connection).expect("it is said");
    uptime(&mut connection).expect("again, on the same connection");
    let next = upgrade(&proxy, first(&proxy));
    wait::until("the old process closes the connection", DEADLINE, || {
        uptime(&mut connection).is_none()
    });
    let mut connection = TcpStream::connect(address).expect("the new one listens");
    uptime(&mut connection).expect("it is said");
    client.ping().expect("it may stay");
    kill(next, Signal::SIGTERM).expect("it runs");
}

#[test]
fn clients_that_stay_too_long_are_told_to_leave() {
    let server = MariaDb::start(&[]);
    let mut proxy = ProxyProcess::start(BINARY, &[&backend(&server), "--upgrade-timeout=0.2"]);
    let mut idle = connect(&proxy);
    let mut busy = connect(&proxy);
    busy.query("BEGIN").expect("a transaction");
    let next = upgrade(&proxy, first(&proxy));
    proxy.wait_for_log("2 sessions are left after 200ms", DEADLINE);
    wait::until("the idle one's end", DEADLINE, || {
        idle.connection().is_closed() || idle.ping().is_err()
    });
    // Busy ones have their time, as with SIGTERM.
    busy.query("COMMIT").expect("it is in a transaction");
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
    kill(next, Signal::SIGTERM).expect("it runs");
}

#[test]
fn a_second_request_waits_for_nobody() {
    let server = MariaDb::start(&[]);
    let mut proxy = ProxyProcess::start(BINARY, &[&backend(&server)]);
    let mut client = connect(&proxy);
    let next = upgrade(&proxy, first(&proxy));
    proxy.signal(Signal::SIGUSR2);
    proxy.wait_for_log("SIGUSR2: another process takes over already", DEADLINE);
    client.ping().expect("it may stay");
    client.quit().expect("a goodbye");
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
    kill(next, Signal::SIGTERM).expect("it runs");
}

/// Started in its own directory, with its log and pid file there, and a Unix socket.
struct Place(ScratchDirectory);

impl Place {
    fn command(&self, server: &Server, arguments: &[&str]) -> Command {
        let mut command = process::command(BINARY);
        let directory = self.0.path().display();
        command
            .current_dir(self.0.path())
            .arg(format!("--basedir={directory}"))
            .arg(format!("--ssl-dir={directory}"))
            .arg(format!("--proxy-address={directory}/socket"))
            .args(["--log-file=log", "--pid-file=pid", &backend(server)])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn write_options(&self, options: &str) {
        let file = self.0.file("options");
        fs::write(&file, format!("[mysql-proxy]\n{options}\n")).expect("it is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    fn id(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.0.file("pid")).ok()?;
        text.parse().ok().map(Pid::from_raw)
    }

    #[track_caller]
    fn wait_for_log(&self, text: &str, times: usize) {
        let log = || fs::read_to_string(self.0.file("log")).unwrap_or_default();
        let found = wait::poll(DEADLINE, || {
            (log().matches(text).count() >= times).then_some(())
        });
        assert!(found.is_some(), "not {times} times `{text}`:\n{}", log());
    }

    fn connect(&self) -> Client {
        let socket = self.0.file("socket");
        Client::connect_unix(&socket, "app", "app").expect("a client is served")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.id() {
            let _ = kill(id, Signal::SIGKILL);
        }
    }
}

#[test]
fn a_daemon_with_an_angel_is_replaced_by_another_such() {
    let server = MariaDb::start(&[]);
    let place = Place(ScratchDirectory::new());
    place.write_options("");
    let options = ["--daemon", "--keepalive", "--defaults-file=options"];
    let finished = process::run(place.command(&server, &options), DEADLINE);
    assert!(finished.status.success(), "{}", finished.stderr);
    let mut ids = vec![place.id().expect("the daemon runs")];
    for times in 1..=2 {
        place.connect().ping().expect("it serves");
        let last = ids[ids.len() - 1];
        kill(last, Signal::SIGUSR2).expect("it runs");
        place.wait_for_log(TAKEN_OVER, times);
        wait::until("the new process's id", DEADLINE, || {
            place.id().is_some_and(|id| id != last)
        });
        ends(last);
        ids.extend(place.id());
    }
    // A file that changes nothing yet makes the next one fail.
    place.write_options("event-threads=none");
    kill(ids[2], Signal::SIGUSR2).expect("it runs");
    place.wait_for_log("SIGUSR2: the new process gave up: ", 1);
    place.wait_for_log("nothing changes, this process goes on", 1);
    assert_eq!(place.id(), Some(ids[2]));
    place.connect().ping().expect("it still serves");
    // And when that is mended, it goes on.
    place.write_options("");
    kill(ids[2], Signal::SIGUSR2).expect("it runs");
    place.wait_for_log(TAKEN_OVER, 3);
    ends(ids[2]);
    place.connect().ping().expect("it serves");
    let last = place.id().expect("its file says so");
    kill(last, Signal::SIGTERM).expect("it runs");
    ends(last);
    wait::until("the files are gone", DEADLINE, || {
        !place.0.file("pid").exists() && !place.0.file("socket").exists()
    });
}

#[test]
fn a_service_manager_is_told_and_leaves_its_sockets() {
    let server = MariaDb::start(&[]);
    let place = Place(ScratchDirectory::new());
    let notices = UnixDatagram::bind(place.0.file("notices")).expect("a socket");
    notices
        .set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    let seen = RefCell::new(Vec::new());
    let hear = || {
        let mut notice = [0; 256];
        let n = notices.recv(&mut notice).expect("a notice");
        let text = String::from_utf8_lossy(&notice[..n]);
        seen.borrow_mut().push(text.trim().to_owned());
    };
    // In whatever order: two processes speak.
    let wait_for = |wanted: &str, times: usize| {
        wait::poll(DEADLINE, || {
            let found = {
                let seen = seen.borrow();
                let mut such = seen.iter().filter(|notice| notice.starts_with(wanted));
                such.nth(times - 1).cloned()
            };
            if found.is_none() {
                hear();
            }
            found
        })
        .unwrap_or_else(|| panic!("not {times} times {wanted}: {:?}", seen.borrow()))
    };
    // A port that is free for the moment.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let mut command = process::command("systemd-socket-activate");
    let directory = place.0.path().display();
    command
        .arg(format!("--listen={address}"))
        .arg(format!("--setenv=NOTIFY_SOCKET={directory}/notices"))
        .arg("--setenv=WATCHDOG_USEC=300000")
        .arg(BINARY)
        .arg(format!("--basedir={directory}"))
        .arg(format!("--ssl-dir={directory}"))
        .arg(format!("--proxy-address={address}"))
        .args(["--log-file=log", "--pid-file=pid", &backend(&server)])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = Process::spawn(command);
    // The first client starts it, and gets its answer.
    wait::until("the service manager listens", DEADLINE, || {
        TcpStream::connect(address).is_ok()
    });
    let connect = || Client::connect(address, "app", "app").expect("a client is served");
    connect().ping().expect("it serves");
    wait_for("READY=1", 1);
    wait_for("WATCHDOG=1", 1);
    kill(place.id().expect("it runs"), Signal::SIGUSR2).expect("it runs");
    let id = wait_for("MAINPID=", 1);
    wait_for("READY=1", 2);
    connect().ping().expect("it serves");
    assert!(process.wait(DEADLINE).expect("it is replaced").success());
    let next = place.id().expect("its file says so");
    assert_eq!(id, format!("MAINPID={next}"));
    kill(next, Signal::SIGTERM).expect("it runs");
    wait_for("STOPPING=1", 1);
    ends(next);
}
