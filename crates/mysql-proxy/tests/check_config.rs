//! `--check-config`: every kind of mistake is found, and nothing else happens.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use testkit::ScratchDirectory;
use testkit::process::{self, Finished};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
const DEADLINE: Duration = Duration::from_secs(60);

fn check(arguments: &[&str]) -> Finished {
    let mut command = process::command(BINARY);
    command.env_remove("LUA_PATH").env_remove("LUA_CPATH");
    command.arg("--check-config").args(arguments);
    process::run(command, DEADLINE)
}

/// The exit code and the lines.
fn checked(arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let finished = check(arguments);
    assert_eq!(finished.stderr, "", "{arguments:?}");
    let lines = finished.text().lines().map(str::to_owned).collect();
    (finished.status.code(), lines)
}

#[track_caller]
fn finds(arguments: &[&str], severity: &str, expected: &str) {
    let (code, lines) = checked(arguments);
    let found = lines
        .iter()
        .any(|line| line.starts_with(severity) && line.contains(expected));
    assert!(found, "{arguments:?}: {expected}: {lines:#?}");
    assert_eq!(code, Some(i32::from(severity == "error")), "{lines:#?}");
}

struct Place(ScratchDirectory);

impl Place {
    fn new() -> Self {
        Self(ScratchDirectory::new())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.file(name);
        fs::write(&path, text).expect("the directory is ours");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the file is ours");
        path.display().to_string()
    }

    fn defaults(&self, text: &str) -> String {
        let path = self.write("proxy.cnf", &format!("[mysql-proxy]\n{text}\n"));
        format!("--defaults-file={path}")
    }

    /// A certificate that ends in so many days, and its key.
    fn certificate(&self, name: &str, days: i64) -> [String; 2] {
        let mut params = CertificateParams::new(vec!["proxy".to_owned()]).expect("a name");
        let now = std::time::SystemTime::now();
        let day = Duration::from_secs(24 * 3600);
        params.not_before = (now - 100 * day).into();
        params.not_after = match u32::try_from(days) {
            Ok(days) => (now + days * day).into(),
            Err(_) => (now - days.unsigned_abs() as u32 * day).into(),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        [
            self.write(&format!("{name}.pem"), &certificate.pem()),
            self.write(&format!("{name}.key"), &key.serialize_pem()),
        ]
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.0.path()).expect("it is there");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        files
    }
}

#[test]
fn a_right_configuration_is_shown_and_leaves_no_trace() {
    let place = Place::new();
    let [certificate, key] = place.certificate("proxy", 300);
    let script = place.write("script.lua", "function read_query(packet) end");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let directory = place.0.path().display().to_string();
    let file = place.defaults(&format!(
        "proxy-address = {address}\nlog-file = {directory}/log\npid-file = {directory}/pid\nssl-cert = {certificate}\n\
         ssl-key = {key}\nproxy-lua-script = {script}\nadmin-password = secret\nadmin-username = root\nplugins = proxy,admin"
    ));
    let before = place.files();
    let (code, lines) = checked(&[&file, "--max-connections=7"]);
    assert_eq!(code, Some(0), "{lines:#?}");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("0 errors, 0 warnings"),
        "{lines:#?}"
    );
    let path = place.0.file("proxy.cnf").display().to_string();
    for line in [
        format!("proxy-address = {address}    ({path}:2)"),
        format!("admin-password = ***    ({path}:8)"),
        "max-connections = 7    (command line)".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
    assert!(!lines.join("").contains("secret"));
    assert_eq!(place.files(), before, "nothing is written");
}

#[test]
fn what_is_wrong_with_options_is_found() {
    let place = Place::new();
    let file = place.defaults("proxy-balance = sideways\n\nlog-level = loud\nnonsense = 1");
    let (code, lines) = checked(&[&file]);
    let path = place.0.file("proxy.cnf").display().to_string();
    assert_eq!(code, Some(1));
    assert!(
        lines[0].starts_with(&format!("error    {path}:2: --proxy-balance: `sideways`")),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with(&format!("error    {path}:4: --log-level: `loud`")),
        "{lines:#?}"
    );
    assert_eq!(lines[2], "2 errors, 0 warnings");

    let file = place.defaults("log-levle = info");
    finds(
        &[&file],
        "warning",
        ":2: unknown key log-levle is ignored (did you mean log-level?)",
    );
    finds(&["--defaults-file=/nowhere/file"], "error", "/nowhere/file");
    finds(&["--no-such-option"], "error", "unknown option");
    let file = place.defaults("http-address = 0.0.0.0:1");
    finds(
        &[&file],
        "error",
        "proxy.cnf:2: --http-address: 0.0.0.0:1 can be reached",
    );
    finds(
        &["--plugins=proxy,admin"],
        "error",
        "needs --admin-username",
    );
    finds(
        &["--admin-username=root"],
        "warning",
        "--plugins does not name admin",
    );
    finds(&["-b", "a,a"], "error", "already known");
}

#[test]
fn what_is_wrong_with_files_is_found() {
    let place = Place::new();
    finds(
        &["--log-file=/nowhere/log"],
        "error",
        "there is no directory /nowhere",
    );
    let directory = place.0.path().display().to_string();
    finds(
        &[&format!("--log-file={directory}")],
        "error",
        "it is a directory",
    );
    finds(
        &["--pid-file=/nowhere/pid"],
        "error",
        "--pid-file: /nowhere/pid",
    );
    finds(&["--user=nobody-of-this-name"], "error", "--user");
    finds(
        &["--max-connections=100000000"],
        "warning",
        "more are turned away",
    );
    let broken = place.write("broken.lua", "function read_query(\n");
    finds(&["-s", &broken], "error", "broken.lua:");
    finds(&["-s", "/nowhere/script.lua"], "error", "it cannot be read");
    let strange = place.write("strange.lua", "function read_qeury(packet) end");
    finds(&["-s", &strange], "warning", "read_qeury");
    let file = place.write("in-the-way", "");
    finds(
        &[&format!("--proxy-address={file}")],
        "error",
        "no socket is in the way",
    );
    finds(
        &["--proxy-address=/nowhere/proxy.sock"],
        "error",
        "/nowhere",
    );
    finds(
        &[
            "--proxy-address=127.0.0.1:4041",
            "--plugins=proxy,admin",
            "--admin-username=a",
            "--admin-password=b",
        ],
        "error",
        "is --proxy-address's address too",
    );
    finds(
        &["--proxy-address=no-such-host.invalid:1"],
        "error",
        "no-such-host.invalid",
    );
}

#[test]
fn what_is_wrong_with_certificates_is_found() {
    let place = Place::new();
    let given = |[certificate, key]: &[String; 2]| {
        [
            format!("--ssl-cert={certificate}"),
            format!("--ssl-key={key}"),
        ]
    };
    let check = |[certificate, key]: &[String; 2], severity: &str, expected: &str| {
        finds(&[certificate, key], severity, expected);
    };
    let good = place.certificate("good", 300);
    let other = place.certificate("other", 300);
    check(
        &given(&place.certificate("past", -3)),
        "error",
        "expired 3 days ago",
    );
    check(
        &given(&place.certificate("soon", 12)),
        "warning",
        "expires in 11 days",
    );
    check(
        &given(&[good[0].clone(), other[1].clone()]),
        "error",
        "--ssl-cert",
    );
    check(
        &given(&[good[0].clone(), "/nowhere/key".to_owned()]),
        "error",
        "/nowhere/key",
    );
    finds(
        &[&format!("--ssl-cert={}", good[0])],
        "error",
        "go together",
    );
    finds(
        &["--server-ssl-mode=VERIFY_CA"],
        "error",
        "need --server-ssl-ca",
    );
    finds(&["--ssl-cipher=ROT13"], "error", "ROT13");
    finds(
        &["--server-ssl-mode=VERIFY_CA", "--server-ssl-ca=/nowhere/ca"],
        "error",
        "/nowhere/ca",
    );
    finds(&["--ssl-dir=/proc/nowhere"], "warning", "cannot be kept");
    let [certificate, key] = place.certificate("page", 12);
    let page = [
        format!("--http-ssl-cert={certificate}"),
        format!("--http-ssl-key={key}"),
    ];
    let [certificate, key] = page.each_ref().map(String::as_str);
    let address = "--http-address=127.0.0.1:0";
    finds(&[address, certificate, key], "warning", "--http-ssl-cert");
    finds(&[address, certificate], "error", "go together");
}
