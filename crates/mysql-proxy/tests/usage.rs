//! What the program says and how it exits when it does not come to serve.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use testkit::ScratchDirectory;
use testkit::process::{self, Finished};

fn run(arguments: &[&str]) -> Finished {
    let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
    command.args(arguments);
    process::run(command, Duration::from_secs(20))
}

#[track_caller]
fn assert_refused(arguments: &[&str], reason: &str) {
    let finished = run(arguments);
    assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
    assert_eq!(finished.stderr, format!("mysql-proxy: {reason}\n"));
    assert_eq!(finished.text(), "", "{arguments:?}");
}

#[test]
fn help_goes_to_standard_output() {
    for argument in ["--help", "-h", "-?", "--help-all", "--help-proxy"] {
        let finished = run(&[argument]);
        assert_eq!(finished.stderr, "");
        let help = String::from_utf8(finished.expect_success()).unwrap();
        assert!(
            help.contains("--proxy-backend-addresses <LIST>"),
            "{argument}: {help}"
        );
    }
}

#[test]
fn version_begins_with_name_and_number() {
    for argument in ["--version", "-V"] {
        let text = String::from_utf8(run(&[argument]).expect_success()).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text.lines().next(),
            Some(format!("mysql-proxy {version}").as_str())
        );
        assert!(
            text.ends_with(&format!("-- modules\n  proxy: {version}\n")),
            "{text}"
        );
    }
}

#[test]
fn pages_and_completions_name_every_option() {
    let directory = ScratchDirectory::new();
    let pages = directory.file("man").display().to_string();
    run(&["generate", "man", &pages]).expect_success();
    let page = fs::read_to_string(format!("{pages}/mysql-proxy.1")).unwrap();
    let completions = run(&["generate", "completions", "bash"]).expect_success();
    let completions = String::from_utf8(completions).unwrap();
    let help = String::from_utf8(run(&["--help"]).expect_success()).unwrap();
    let words = help.split_whitespace();
    let options: Vec<_> = words
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.trim_end_matches([',', '.', ':', ')', ']', ';']))
        .filter(|word| !word.is_empty() && !word.contains(['=', '<', '*']) && *word != "FLAG")
        .collect();
    assert!(options.len() > 60, "{options:?}");
    for option in options {
        assert!(completions.contains(&format!("--{option}")), "{option}");
        let escaped = option.replace('-', "\\-");
        assert!(page.contains(&escaped), "{option}");
    }
    for command in ["check", "doctor", "playground", "generate"] {
        assert!(
            directory
                .file("man")
                .join(format!("mysql-proxy-{command}.1"))
                .exists()
        );
    }
    assert_refused(
        &["generate"],
        "generate what? See mysql-proxy generate --help",
    );
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_1() {
    assert_refused(
        &["--proxy-backend-adresses=x"],
        "unknown option: --proxy-backend-adresses (did you mean --proxy-backend-addresses?)",
    );
    assert_refused(
        &["--proxy-address=[::1"],
        "--proxy-address: address `[::1` is not of the form `[IPV6]:PORT`",
    );
    assert_refused(
        &["-r", "db1"],
        "all backends are read-only, which only a script would use: no client could be served; give --proxy-backend-addresses too",
    );
    assert_refused(
        &["--user=no-such-user"],
        match nix::unistd::geteuid().is_root() {
            true => "--user: there is no user no-such-user",
            false => "--user: only root can become another user",
        },
    );
}

#[test]
fn a_wrong_defaults_file_is_one_line_and_exit_code_1() {
    let directory = ScratchDirectory::new();
    let path = directory.file("cnf");
    let path = path.to_str().unwrap();
    let argument = format!("--defaults-file={path}");
    assert_refused(
        &[&argument],
        &format!("loading config from {path} failed: No such file or directory (os error 2)"),
    );
    fs::write(path, "[mysql-proxy]\nproxy-address=:x\n").unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    assert_refused(
        &[&argument],
        &format!("{path}:2: --proxy-address: address `:x`: `x` is not a port number (0 to 65535)"),
    );
    fs::set_permissions(path, Permissions::from_mode(0o604)).unwrap();
    assert_refused(
        &[&argument],
        &format!(
            "loading config from {path} failed: its permissions 0604 are too open; `chmod o= {path}` closes it to other users"
        ),
    );
}

#[test]
fn a_log_file_that_cannot_be_opened_is_one_line_and_exit_code_1() {
    let directory = ScratchDirectory::new();
    let path = directory.file("missing/log");
    let path = path.to_str().unwrap();
    assert_refused(
        &[&format!("--log-file={path}")],
        &format!("cannot open the log file {path}: No such file or directory (os error 2)"),
    );
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let owner = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = owner.local_addr().unwrap();
    for more in ["--daemon", "--keepalive", "--daemon=false"] {
        let directory = ScratchDirectory::new();
        let log = directory.file("log");
        let arguments = [
            format!("--proxy-address={address}"),
            format!("--log-file={}", log.display()),
            more.to_owned(),
        ];
        let finished = run(&arguments.each_ref().map(String::as_str));
        assert_eq!(finished.status.code(), Some(1), "{more}");
        let expected = format!("mysql-proxy: cannot listen on {address}: Address already in use");
        assert!(
            finished.stderr.starts_with(&expected),
            "{more}: {}",
            finished.stderr
        );
        assert_eq!(
            finished.stderr.lines().count(),
            1,
            "{more}: {}",
            finished.stderr
        );
        let log = fs::read_to_string(log).unwrap();
        assert!(
            log.contains(&format!("(critical) cannot listen on {address}")),
            "{more}: {log}"
        );
    }
}
