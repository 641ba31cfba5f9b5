//! What becomes of a script's file while the proxy runs: who gets which version, and that each fault is logged once.

mod scripted;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use testkit::{Client, MariaDb, ProxyProcess, wait};

use scripted::{DEADLINE, ScriptFile, connect, value};

/// Two states, and more sessions than those: each state finds out about the file by itself.
const STATES: [&str; 2] = ["--lua-states=2", "--event-threads=2"];
const SESSIONS: usize = 4;
const OURS: &str = "the directory is ours";

/// Does something to the file.
type Spoil = fn(&Path);

/// A version that answers with its name.
fn version(name: &str) -> String {
    format!(
        "function read_query(packet)
             if packet:byte() ~= proxy.COM_QUERY then return end
             proxy.response = {{ type = proxy.MYSQLD_PACKET_OK,
                 resultset = {{ fields = {{ {{ name = 'v' }} }}, rows = {{ {{ '{name}' }} }} }} }}
             return proxy.PROXY_SEND_RESULT
         end"
    )
}

/// The version that new sessions get; `none` where they have no script.
fn served(proxy: &ProxyProcess) -> String {
    let mut clients: Vec<_> = (0..SESSIONS).map(|_| connect(proxy)).collect();
    let mut versions = clients
        .iter_mut()
        .map(|client| value(client, "SELECT 'none'"));
    let first = versions.next().expect("there are some");
    assert!(versions.all(|version| version == first));
    first
}

/// The lines about the script's faults.
fn faults(proxy: &ProxyProcess, script: &ScriptFile) -> Vec<String> {
    let path = script.path.display().to_string();
    let log = proxy.log();
    let is_fault = |line: &&String| line.contains("(error)") || line.contains("(critical)");
    let lines = log.iter().filter(is_fault);
    let lines = lines.filter(|line| line.contains(&path) || line.contains("message repeated"));
    lines.cloned().collect()
}

/// What makes a script faulty, and what the log says then.
const FAULTS: [(&str, Spoil, &str); 3] = [
    (
        "missing",
        |path| fs::remove_file(path).expect(OURS),
        "No such file",
    ),
    (
        "syntax error",
        |path| fs::write(path, "function read_query( -- no end").expect(OURS),
        "expected",
    ),
    (
        "body fails",
        |path| fs::write(path, "local t = nil\nt.x = 1").expect(OURS),
        ":2: attempt to index",
    ),
];

#[test]
fn each_policy_does_what_it_says_at_first_and_after_a_good_version() {
    let server = MariaDb::start(&[]);
    for policy in ["keep-last", "pass-through", "error"] {
        for (fault, spoil, reason) in FAULTS {
            for is_first in [true, false] {
                let what = format!("{policy}, {fault}, first: {is_first}");
                let script = ScriptFile::new(&version("good"));
                let option = format!("--lua-on-load-error={policy}");
                let mut proxy =
                    script.proxy(&[&server], &[&[option.as_str()][..], &STATES].concat());
                if !is_first {
                    assert_eq!(served(&proxy), "good", "{what}");
                }
                spoil(&script.path);
                match (policy, is_first) {
                    ("keep-last", false) => assert_eq!(served(&proxy), "good", "{what}"),
                    ("keep-last" | "pass-through", _) => {
                        assert_eq!(served(&proxy), "none", "{what}")
                    }
                    _ => is_refused(&proxy),
                }
                proxy.wait_for_log(reason, DEADLINE);
                script.edit(&version("better"));
                assert_eq!(served(&proxy), "better", "{what}");
                proxy.terminate();
                let lines = faults(&proxy, &script);
                assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
            }
        }
    }
}

fn is_refused(proxy: &ProxyProcess) {
    for _ in 0..SESSIONS {
        let error = Client::connect(proxy.address(), "app", "app").expect_err("no service");
        assert_eq!(error.code(), Some(1105), "{error}");
        assert!(
            error.to_string().contains("Lua script failed to"),
            "{error}"
        );
    }
}

/// In place of what was there before.
fn rename_over(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect(OURS);
    fs::set_permissions(&new, Permissions::from_mode(mode)).expect(OURS);
    fs::rename(new, path).expect(OURS);
}

#[test]
fn the_file_may_become_anything() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&version("one"));
    let mut proxy = script.proxy(&[&server], &STATES);
    let path = &script.path;
    assert_eq!(served(&proxy), "one");
    let mut old = connect(&proxy);
    script.edit(&version("two"));
    assert_eq!(served(&proxy), "two", "edited, of the same size");
    rename_over(path, &version("six"), 0o644);
    assert_eq!(served(&proxy), "six", "replaced by one of the same size");
    let spoils: [(&str, Spoil); 5] = [
        ("deleted", |_| ()),
        ("a directory", |path| fs::create_dir(path).expect(OURS)),
        ("a link to nowhere", |path| {
            symlink("nowhere", path).expect(OURS)
        }),
        ("a link to itself", |path| symlink(path, path).expect(OURS)),
        ("a pipe", |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect(OURS);
        }),
    ];
    for (n, (what, spoil)) in spoils.iter().enumerate() {
        fs::remove_file(path).expect(OURS);
        spoil(path);
        assert_eq!(served(&proxy), if n == 0 { "six" } else { "new" }, "{what}");
        wait::until(what, DEADLINE, || faults(&proxy, &script).len() > n);
        if path.is_dir() {
            fs::remove_dir(path).expect(OURS);
        }
        rename_over(path, &version("new"), 0o644);
        assert_eq!(served(&proxy), "new", "after {what}");
    }
    assert_eq!(value(&mut old, "SELECT 'none'"), "one");
    proxy.terminate();
    let lines = faults(&proxy, &script);
    assert_eq!(lines.len(), spoils.len(), "{lines:#?}");
}

#[test]
fn a_file_that_may_not_be_read_is_a_fault() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&version("one"));
    let path = &script.path;
    let directory = path.parent().expect("it is in one");
    fs::set_permissions(directory, Permissions::from_mode(0o755)).expect(OURS);
    // Root reads everything.
    let user = nix::unistd::geteuid().is_root().then_some("--user=nobody");
    let mut proxy = script.proxy(&[&server], &[&STATES[..], user.as_slice()].concat());
    assert_eq!(served(&proxy), "one");
    rename_over(path, &version("two"), 0);
    assert_eq!(served(&proxy), "one");
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect(OURS);
    assert_eq!(served(&proxy), "two");
    proxy.terminate();
    let lines = faults(&proxy, &script);
    assert!(
        lines.len() == 1 && lines[0].contains("Permission denied"),
        "{lines:#?}"
    );
}
