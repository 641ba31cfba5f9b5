//! `mysql-proxy doctor`: a setup that is well gives no warning, and each that is not gives its finding.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use protocol::response::ErrPacket;
use rcgen::{CertificateParams, KeyPair};
use testkit::process::{self, Finished};
use testkit::{FakeServer, MariaDb, MariaDb118, Mysql97, ScratchDirectory, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const DEADLINE: Duration = Duration::from_secs(120);

/// With ports of its own.
fn doctor(arguments: &[&str]) -> Finished {
    let directory = ScratchDirectory::new();
    let mut command = process::command(BINARY);
    command.env_remove("MYSQL_PWD");
    command.args(["doctor", "--proxy-address=127.0.0.1:0"]);
    command.arg(format!("--ssl-dir={}", directory.path().display()));
    command.args(arguments);
    process::run(command, DEADLINE)
}

/// Every server's login that the test kit has.
fn with_account(servers: &[&Server], more: &[&str]) -> Vec<String> {
    let servers = servers
        .iter()
        .map(|server| format!("--proxy-backend-addresses={}", server.address()));
    let more = more.iter().map(|&option| option.to_owned());
    let login = ["--login-user=app", "--login-password=app"].map(str::to_owned);
    servers.chain(more).chain(login).collect()
}

fn lines(finished: &Finished) -> Vec<String> {
    assert_eq!(finished.stderr, "", "{finished:?}");
    finished.text().lines().map(str::to_owned).collect()
}

#[track_caller]
fn is_well(arguments: &[String]) -> Vec<String> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let finished = doctor(&arguments);
    let lines = lines(&finished);
    assert_eq!(
        lines.last().map(String::as_str),
        Some("0 errors, 0 warnings"),
        "{lines:#?}"
    );
    assert_eq!(finished.status.code(), Some(0));
    lines
}

/// A finding of this severity with these words, and advice below it.
#[track_caller]
fn finds(arguments: &[String], severity: &str, words: &str) {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let finished = doctor(&arguments);
    let lines = lines(&finished);
    let at = lines
        .iter()
        .position(|line| line.starts_with(severity) && line.contains(words));
    let at = at.unwrap_or_else(|| panic!("{severity}: {words}: {lines:#?}"));
    assert!(
        lines[at + 1].starts_with("         -> "),
        "what to do about it: {lines:#?}"
    );
    assert_eq!(
        finished.status.code(),
        Some(i32::from(severity == "error")),
        "{lines:#?}"
    );
}

/// A free port.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it is bound").to_string()
}

#[test]
fn a_setup_that_is_well_gives_no_warning() {
    let (first, second) = (MariaDb::start(&[]), MariaDb::start(&["--server-id=2"]));
    let lines = is_well(&with_account(
        &[&first, &second],
        &["--max-connections=500"],
    ));
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    for words in [
        &format!("{} (read/write): ", first.address()),
        &format!("{} (read/write): ", second.address()),
        "max_connections is 1000, --max-connections is 500",
        "it takes us for app@",
        "can be written to",
        "is free",
        "open files have room",
    ] {
        assert!(has(words), "{words}: {lines:#?}");
    }
    let aborted = first.query("SHOW GLOBAL STATUS LIKE 'Aborted_connects'");
    assert_eq!(
        aborted[0][1].as_deref(),
        Some("0"),
        "nothing is held against us"
    );
}

#[test]
fn without_an_account_servers_are_greeted_and_nothing_is_held_against_us() {
    let server = MariaDb::start(&[]);
    let address = format!("--proxy-backend-addresses={}", server.address());
    let lines = is_well(&[address]);
    let told = lines
        .iter()
        .any(|line| line.contains("that takes an account"));
    assert!(told, "{lines:#?}");
}

#[test]
fn accounts_of_mysql_log_in_with_tls_and_without() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    for mode in ["DISABLED", "REQUIRED"] {
        // The cache has nobody before the first login.
        server.query("FLUSH PRIVILEGES");
        for account in ["app", "sha256"] {
            let arguments = [
                format!("--proxy-backend-addresses={}", server.address()),
                format!("--server-ssl-mode={mode}"),
                format!("--login-user={account}"),
                format!("--login-password={account}"),
            ];
            let lines = is_well(&arguments);
            let taken = format!("it takes us for {account}@");
            assert!(lines.iter().any(|line| line.contains(&taken)), "{lines:#?}");
        }
    }
}

#[test]
fn the_account_may_stand_in_a_file_or_in_the_environment() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let file = directory.file("my.cnf");
    fs::write(&file, "[client]\nuser = app\npassword = \"app\"\n").expect("the directory is ours");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("the file is ours");
    let address = format!("--proxy-backend-addresses={}", server.address());
    let option = format!("--defaults-extra-file={}", file.display());
    let lines = is_well(&[address.clone(), option.clone()]);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("it takes us for app@"))
    );

    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("the file is ours");
    let finished = doctor(&[&address, &option]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("too open"), "{}", finished.stderr);

    let mut command = process::command(BINARY);
    command.env("MYSQL_PWD", "app");
    command.args([
        "doctor",
        "--login-user",
        "app",
        &address,
        "--proxy-address=127.0.0.1:0",
    ]);
    let finished = process::run(command, DEADLINE);
    assert!(finished.text().contains("it takes us for app@"));
}

#[test]
fn servers_that_cannot_be_used_are_errors() {
    let server = MariaDb::start(&[]);
    let backend = |address: &str| format!("--proxy-backend-addresses={address}");
    finds(
        &[backend(&nobody())],
        "error",
        "cannot be reached: Connection refused",
    );
    finds(
        &[backend("no-such-host.invalid")],
        "error",
        "cannot be reached",
    );
    let blocking = FakeServer::start(|mut connection| {
        let mut payload = Vec::new();
        let blocked = ErrPacket {
            sql_state: None,
            ..ErrPacket::new(
                1129,
                *b"HY000",
                "Host 'proxy' is blocked because of many errors",
            )
        };
        blocked.encode(&mut payload);
        let _ = connection.send_payload(0, &payload);
    });
    finds(
        &[backend(&blocking.address().to_string())],
        "error",
        "1129 Host 'proxy' is blocked",
    );
    let silent = FakeServer::start(|mut connection| {
        let _ = connection.read_packet();
    });
    finds(
        &[
            backend(&silent.address().to_string()),
            "--proxy-greeting-timeout=0.2".to_owned(),
        ],
        "error",
        "no greeting within",
    );
    let address = backend(&server.address().to_string());
    let login = |password: &str| {
        [
            address.clone(),
            "--login-user=app".to_owned(),
            format!("--login-password={password}"),
        ]
    };
    finds(&login("wrong"), "error", "ERROR 1045");
    finds(
        &with_account(&[&server], &["--server-ssl-mode=REQUIRED"]),
        "error",
        "it offers no TLS",
    );
}

#[test]
fn settings_that_do_not_go_together_are_found() {
    let server = MariaDb::start(&[
        "--max-connections=20",
        "--max-connect-errors=10",
        "--connect-timeout=5",
        "--wait-timeout=600",
        "--read-only=ON",
        "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci",
    ]);
    let other = MariaDb::start(&["--server-id=2", "--character-set-server=utf8mb4"]);
    let found = |servers: &[&Server], more: &[&str], words: &str| {
        finds(&with_account(servers, more), "warning", words);
    };
    found(
        &[&server],
        &["--max-connections=100"],
        "max_connections is 20, and --max-connections=100",
    );
    found(&[&server], &[], "max_connect_errors is 10");
    found(&[&server], &[], "connect_timeout is 5 s");
    found(
        &[&server],
        &["--proxy-read-timeout=60"],
        "wait_timeout is 600 s, but the proxy",
    );
    found(&[&server], &[], "it is read_only, but");
    found(
        &[&server, &other],
        &[],
        "servers differ in character_set_server",
    );
    let read_only = format!("--proxy-read-only-backend-addresses={}", other.address());
    found(&[&server], &[&read_only], "it is not read_only, but");
    let again = format!("--proxy-backend-addresses=localhost:{}", other.port());
    found(&[&other], &[&again], "are the same server");
}

#[test]
fn tls_that_does_not_work_is_found() {
    let directory = ScratchDirectory::new();
    let write = |name: &str, text: &str| {
        let path = directory.file(name);
        fs::write(&path, text).expect("the directory is ours");
        // The server may be another user.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the file is ours");
        path.display().to_string()
    };
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let day = Duration::from_secs(24 * 3600);
    params.not_before = (SystemTime::now() - 30 * day).into();
    params.not_after = (SystemTime::now() - 3 * day).into();
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (certificate, key) = (
        write("cert.pem", &certificate.pem()),
        write("key.pem", &key.serialize_pem()),
    );
    let options = [
        format!("--ssl-cert={certificate}"),
        format!("--ssl-key={key}"),
        "--require-secure-transport=ON".to_owned(),
    ];
    let Some(server) = MariaDb118::start(&options.each_ref().map(String::as_str)) else {
        return;
    };
    let found = |more: &[&str], severity: &str, words: &str| {
        finds(&with_account(&[&server], more), severity, words);
    };
    found(&[], "warning", "its certificate has expired");
    found(&[], "warning", "logins of clients without TLS fail");
    found(
        &["--server-ssl-mode=DISABLED"],
        "error",
        "login as app: ERROR ",
    );
    let ca = format!("--server-ssl-ca={certificate}");
    found(
        &["--server-ssl-mode=VERIFY_CA", &ca],
        "error",
        "no TLS with it",
    );
    let plain = MariaDb::start(&["--server-id=2"]);
    finds(
        &with_account(&[&server, &plain], &[]),
        "warning",
        "depends on the server that it gets",
    );
}

#[test]
fn what_this_host_lacks_is_found() {
    let server = MariaDb::start(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_listener, address) = taken.expect("it is bound");
    let found = |more: &[&str], severity: &str, words: &str| {
        finds(&with_account(&[&server], more), severity, words);
    };
    found(
        &[&format!("--proxy-address={address}")],
        "warning",
        "somebody listens on",
    );
    found(
        &["--log-file=/nowhere/log"],
        "error",
        "there is no directory /nowhere",
    );
    found(
        &["--proxy-address=192.0.2.1:4040"],
        "error",
        "cannot be listened on",
    );

    let directory = ScratchDirectory::new();
    let pid_file = directory.file("pid");
    fs::write(&pid_file, std::process::id().to_string()).expect("the directory is ours");
    let lines = is_well(&with_account(
        &[&server],
        &[
            &format!("--proxy-address={address}"),
            &format!("--pid-file={}", pid_file.display()),
        ],
    ));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("is in use, by process")),
        "{lines:#?}"
    );
}

#[test]
fn usage() {
    let help = doctor(&["--help"]);
    assert!(help.text().contains("--login-user"), "{}", help.text());
    let wrong = doctor(&["--no-such-option"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        wrong.stderr.contains("unknown option: --no-such-option"),
        "{}",
        wrong.stderr
    );
    let half = doctor(&["--login-password=x"]);
    assert!(
        half.stderr.contains("needs --login-user"),
        "{}",
        half.stderr
    );
}
