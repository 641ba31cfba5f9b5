//! The playground, as a newcomer starts it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::process::{self, Finished, Process};
use testkit::{ScratchDirectory, wait};

/// The tour takes about two seconds.
const WITHIN: Duration = Duration::from_secs(60);

fn playground(arguments: &[&str]) -> Finished {
    let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
    command.arg("playground").args(arguments);
    process::run(command, WITHIN)
}

#[test]
fn the_tour_shows_turns_a_death_a_return_and_a_script() {
    let finished = playground(&["--tour", "--proxy-address=127.0.0.1:0"]);
    let text = finished.text();
    assert_eq!(finished.stderr, "", "{text}");
    assert!(finished.status.success(), "{text}");
    let mut rest = text.as_str();
    for expected in [
        "client 1   got a",
        "client 2   got b",
        "client 3   got a",
        "Server a dies",
        "client 2   is still on b",
        "log | (warning) connect(127.0.0.1:",
        "failed: Connection refused",
        "marking it as down for",
        "client 5   got b",
        "Server a comes back",
        "is up again",
        "client 7   got ",
        "A script answers",
        "function read_query(packet)",
        "client 8   select 'hello': hello from the proxy",
        "The greeting is edited",
        "client 9   select 'hello': good evening",
        "A mistake is made",
        "log | (critical) lua_load_file(",
        "client 10   select 'hello': good evening",
    ] {
        let at = rest.find(expected);
        let at = at.unwrap_or_else(|| panic!("`{expected}` is not where it should be: {text}"));
        rest = &rest[at + expected.len()..];
    }
    assert_eq!(text.matches("marking it as down").count(), 1, "{text}");
}

#[test]
fn a_port_that_is_taken_is_one_line_and_a_way_out() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let finished = playground(&["--tour", &format!("--proxy-address={address}")]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(finished.text(), "");
    let stderr = &finished.stderr;
    assert!(stderr.contains(&address.to_string()), "{stderr}");
    assert!(stderr.contains("--proxy-address=127.0.0.1:0"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn usage() {
    let finished = playground(&["--help"]);
    assert!(finished.status.success());
    assert!(finished.text().contains("--tour"), "{}", finished.text());
    let finished = playground(&["--tuor"]);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(
        finished.stderr,
        "mysql-proxy: unknown option: --tuor (did you mean --tour?)\n"
    );
}

#[test]
fn it_stays_up_for_real_clients_until_it_is_told_to_stop() {
    let directory = ScratchDirectory::new();
    let output = directory.path().join("output");
    let mut command = process::command(env!("CARGO_BIN_EXE_mysql-proxy"));
    command
        .args(["playground", "--proxy-address=127.0.0.1:0"])
        .stdout(File::create(&output).unwrap());
    let mut playground = Process::spawn(command);
    let line = wait::poll(WITHIN, || {
        let text = fs::read_to_string(&output).unwrap();
        let line = text.lines().find(|line| line.starts_with("  mariadb "));
        line.map(str::to_owned)
            .filter(|_| text.contains("Ctrl-C ends it all."))
    });
    let line = line.expect("the line to connect with");
    let mut words = line.split_whitespace();
    let mut client = process::command(words.next().unwrap());
    client.args(words).args(["--batch", "--execute"]);
    client.arg("SELECT count(*) FROM films");
    let answer = process::run(client, WITHIN).expect_success();
    assert_eq!(answer, b"count(*)\n5\n");
    playground.signal(Signal::SIGINT);
    let status = playground.wait(WITHIN).expect("it ends");
    assert!(status.success(), "{status}");
}
