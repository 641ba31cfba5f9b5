//! `--slow-query-log` and `--query-log`: what is in them, and that no client ever waits for them.

mod scripted;
mod statement_commands;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sys::signal::Signal;
use protocol::{Capabilities, Command};
use serde_json::Value;
use testkit::{Client, Connection, Login, MariaDb, ProxyProcess, ScratchDirectory, Server, wait};

use scripted::{BINARY, DEADLINE, ScriptFile, connect};
use statement_commands::query;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn start(server: &Server, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[&*backend], options].concat())
}

fn to(option: &str, path: &Path) -> String {
    format!("--{option}={}", path.display())
}

/// All lines, once there are so many.
#[track_caller]
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    wait::until("the lines are written", DEADLINE, || {
        read().matches('\n').count() >= count
    });
    let text = read();
    let lines = text.lines().map(|line| {
        let value = serde_json::from_str(line);
        value.unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    lines.collect()
}

fn statements(lines: &[Value]) -> Vec<&str> {
    let statements = lines.iter().map(|line| line["statement"].as_str());
    statements.map(|text| text.expect("a text")).collect()
}

#[test]
fn a_slow_statement_is_in_the_slow_query_log() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let path = directory.file("slow.log");
    let options = [&*to("slow-query-log", &path), "--slow-query-time=0.2"];
    let proxy = start(&server, &options);
    let login = Login::new("app", "app").database("test");
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut client = login.connect(connection).expect("the proxy serves");
    client.query("SELECT 'quick'").expect("a row");
    let slow = format!("SELECT 'secret', SLEEP(0.3) /*traceparent='{TRACE}'*/");
    client.query(&slow).expect("a row");
    client.query("SELECT 'quick'").expect("a row");
    client
        .query("BEGIN NOT ATOMIC DO SLEEP(0.3); SELECT * FROM test.missing; END")
        .expect_err("no such table");
    let lines = lines(&path, 2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let line = &lines[0];
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let number = |name: &str| line[name].as_f64().expect(name);
    assert_eq!(text("statement"), "SELECT ?, SLEEP(?)");
    assert_eq!(text("user"), "app");
    assert_eq!(text("database"), "test");
    assert_eq!(text("backend"), server.address().to_string());
    assert_eq!(text("chosen_by"), "balance");
    assert_eq!(text("command"), "COM_QUERY");
    assert_eq!(text("digest").len(), 16);
    assert_eq!(text("trace_id"), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(text("span_id"), "b7ad6b7169203331");
    assert!(text("client").starts_with("127.0.0.1:"), "{line}");
    assert!(text("timestamp").ends_with('Z'), "{line}");
    assert_eq!((number("session"), number("rows")), (1.0, 1.0));
    assert!(number("seconds") >= 0.3, "{line}");
    assert!(number("first_byte_seconds") <= number("seconds"), "{line}");
    assert!(number("row_bytes") > 0.0, "{line}");
    assert_eq!(line.get("error"), None);
    assert_eq!(lines[1]["error"], 1146);
    assert_eq!(lines[1]["sql_state"], "42S02");
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(!written.contains("secret"), "{written}");
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn the_query_log_has_what_is_asked_for() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let (all, some) = (directory.file("all.log"), directory.file("some.log"));
    let proxy = start(
        &server,
        &[
            &*to("query-log", &all),
            "--query-log-literals",
            "--digest-limit=0",
        ],
    );
    let mut client = connect(&proxy);
    client.query("SELECT 'a secret'").expect("a row");
    client.ping().expect("it is there");
    client.query("USE test").expect("it is used");
    client
        .send_command(Command::STMT_PREPARE, b"SET @a = 5")
        .expect("it is sent");
    let prepared = client.read_payload().expect("it is prepared");
    let execute = [&prepared[1..5], &[0, 1, 0, 0, 0]].concat();
    client
        .send_command(Command::STMT_EXECUTE, &execute)
        .expect("it is sent");
    client.read_ok().expect("it is done");
    let found = lines(&all, 4);
    assert_eq!(
        statements(&found),
        ["SELECT ?", "USE test", "SET @a = ?", "SET @a = ?"]
    );
    assert_eq!(found[0]["literal_statement"], "SELECT 'a secret'");
    assert_eq!(found[3]["command"], "COM_STMT_EXECUTE");
    assert_eq!(found[1]["database"], "");
    assert_eq!(found[2]["database"], "test");
    let proxy = start(
        &server,
        &[&*to("query-log", &some), "--query-log-sample=10"],
    );
    let mut client = connect(&proxy);
    for number in 0..500 {
        client.query(&format!("SELECT {number}")).expect("a row");
    }
    drop(client);
    drop(proxy);
    let sample = fs::read_to_string(&some)
        .expect("it is there")
        .lines()
        .count();
    assert!((10..150).contains(&sample), "{sample}");
}

#[test]
fn query_attributes_may_name_the_trace() {
    let Some(server) = testkit::Mysql97::start(&[]) else {
        return;
    };
    let directory = ScratchDirectory::new();
    let path = directory.file("query.log");
    let proxy = start(&server, &[&*to("query-log", &path)]);
    let login = Login::new("app", "app").with(Capabilities::QUERY_ATTRIBUTES);
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut client = login.connect(connection).expect("the proxy serves");
    let value = [&[TRACE.len() as u8], TRACE.as_bytes()].concat();
    let attributes = [("traceparent", (0xfe, 0, Some(&*value)))];
    let payload = query(client.capabilities(), b"SELECT 1", &attributes);
    client
        .send_command(Command::QUERY, &payload[1..])
        .expect("it is sent");
    client.read_results().expect("a row");
    let found = lines(&path, 1);
    assert_eq!(found[0]["trace_id"], TRACE[3..35]);
}

#[test]
fn a_statement_without_an_answer_is_logged_with_the_reason() {
    let mut server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let path = directory.file("query.log");
    let script = ScriptFile::new("");
    let proxy = script.proxy(&[&server], &[&*to("query-log", &path)]);
    let mut client = connect(&proxy);
    client.send_query("SELECT SLEEP(60)").expect("it is sent");
    wait::until("it runs", DEADLINE, || {
        let list = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        !server.query(list).is_empty()
    });
    server.kill9();
    client.read_results().expect_err("there is no answer");
    let found = lines(&path, 1);
    assert_eq!(statements(&found), ["SELECT SLEEP(?)"]);
    assert_eq!(found[0]["failure"], "backend_lost");
}

#[test]
fn sighup_opens_the_files_again() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let (path, old) = (directory.file("query.log"), directory.file("query.log.1"));
    let proxy = start(&server, &[&*to("query-log", &path)]);
    let mut client = connect(&proxy);
    client.query("SELECT 1 AS first").expect("a row");
    lines(&path, 1);
    fs::rename(&path, &old).expect("it is ours");
    client.query("SELECT 1 AS second").expect("a row");
    lines(&old, 2);
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("query.log opened again", DEADLINE);
    client.query("SELECT 1 AS third").expect("a row");
    assert_eq!(statements(&lines(&path, 1)), ["SELECT ? AS third"]);
    assert_eq!(
        statements(&lines(&old, 2)),
        ["SELECT ? AS first", "SELECT ? AS second"]
    );
}

fn metrics(address: SocketAddr) -> String {
    use std::io::Write;
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn http_address(proxy: &ProxyProcess) -> SocketAddr {
    let said = "http-server listening on port ";
    let line = proxy.wait_for_log(said, DEADLINE);
    let address = line.split_once(said).expect("the line has it").1;
    address.trim().parse().expect("an address")
}

fn lost(address: SocketAddr, reason: &str) -> u64 {
    let metrics = metrics(address);
    let name = format!("mysql_proxy_query_log_lost_total{{log=\"query\",reason=\"{reason}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or_default() as u64
}

#[test]
fn a_full_disk_costs_lines_and_no_client_anything() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let link = directory.file("query.log");
    std::os::unix::fs::symlink("/dev/full", &link).expect("the directory is ours");
    let options = [&*to("query-log", &link), "--http-address=127.0.0.1:0"];
    let proxy = start(&server, &options);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    for batch in 1..=3 {
        for _ in 0..10 {
            client.query("SELECT 1").expect("a row");
        }
        wait::until("they are lost", DEADLINE, || {
            lost(http, "write_error") == 10 * batch
        });
    }
    assert_eq!(proxy.count_in_log("cannot write"), 1);
    // Room again: what comes now is whole.
    fs::remove_file(&link).expect("it is ours");
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("query.log opened again", DEADLINE);
    client.query("SELECT 2 AS again").expect("a row");
    assert_eq!(statements(&lines(&link, 1)), ["SELECT ? AS again"]);
    proxy.wait_for_log("30 lines were lost", DEADLINE);
    assert_eq!(lost(http, "queue_full"), 0);
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_no_client() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let pipe: PathBuf = directory.file("query.pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("the directory is ours");
    let options = [&*to("query-log", &pipe), "--http-address=127.0.0.1:0"];
    let mut proxy = start(&server, &options);
    let http = http_address(&proxy);
    let mut clients = [connect(&proxy), connect(&proxy)];
    let mut said = 0;
    // More than the pipe and the queue take together.
    while lost(http, "queue_full") < 100 {
        for client in &mut clients {
            for _ in 0..200 {
                client.query("SELECT 1").expect("a row");
                said += 1;
            }
        }
        assert!(said < 100_000, "none was dropped");
    }
    assert_eq!(proxy.count_in_log("are dropped"), 1);
    // Somebody reads: what is in the queue comes, whole, and the log tells how much is missing.
    let reader = thread::spawn(move || {
        let mut file = fs::File::open(pipe).expect("it is there");
        let mut text = String::new();
        let mut piece = [0; 64 * 1024];
        while !text.contains("\"SELECT ? AS last\"") {
            let bytes = file.read(&mut piece).expect("it is read");
            text.push_str(str::from_utf8(&piece[..bytes]).expect("it is ASCII"));
        }
        text
    });
    proxy.wait_for_log("statements were dropped", DEADLINE);
    clients[0].query("SELECT 1 AS last").expect("a row");
    let text = reader.join().expect("it was read");
    let whole = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(whole.count() as u64, said + 1 - lost(http, "queue_full"));
    drop(clients);
    assert!(proxy.terminate().success());
}

#[test]
fn what_was_said_last_is_written_before_the_end() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let path = directory.file("query.log");
    let mut proxy = start(&server, &[&*to("query-log", &path)]);
    let mut client = connect(&proxy);
    for _ in 0..1000 {
        client.query("SELECT 1").expect("a row");
    }
    drop(client);
    assert!(proxy.terminate().success());
    assert_eq!(lines(&path, 1000).len(), 1000);
}

#[test]
fn what_cannot_be_opened_is_said_at_the_start() {
    let (status, text) = ["--slow-query-log=/nowhere/slow.log", "--query-log=/"]
        .map(|option| {
            let output = std::process::Command::new(BINARY).arg(option).output();
            let output = output.expect("it runs");
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        })
        .into_iter()
        .unzip::<_, _, Vec<_>, Vec<_>>();
    assert_eq!(status, [false, false]);
    assert!(
        text[0].contains("--slow-query-log: cannot open /nowhere/slow.log"),
        "{text:?}"
    );
    assert!(text[1].contains("--query-log: cannot open /"), "{text:?}");
    let same = std::process::Command::new(BINARY)
        .args(["--slow-query-log=/tmp/a", "--query-log=/tmp/a"])
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&same.stderr).contains("are the same file"));
}

#[test]
fn nothing_is_logged_unless_it_is_asked_for() {
    let server = MariaDb::start(&[]);
    let proxy = start(&server, &[]);
    let mut client = Client::connect(proxy.address(), "app", "app").expect("the proxy serves");
    client.query("SELECT 'secret', SLEEP(0.01)").expect("a row");
    client.ping().expect("it is there");
    assert!(!proxy.log().join("\n").contains("SELECT"));
}
