//! The handling of the proxy, with a shell script in its place: the proxy itself is tested where it is built.

use std::{fs, os::unix::fs::PermissionsExt, panic, time::Duration};

use testkit::{ProxyProcess, ScratchDirectory};

const SOON: Duration = Duration::from_secs(10);

fn script(directory: &ScratchDirectory, text: &str) -> String {
    let path = directory.file("proxy");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the directory can be written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("the file is ours");
    path.display().to_string()
}

#[test]
fn it_gives_address_log_and_exit_status() {
    let directory = ScratchDirectory::new();
    let script = script(
        &directory,
        r#"trap 'echo draining; exit 3' TERM
        echo "arguments: $*"
        echo "2026-01-31 10:00:00: (message) proxy listening on port 127.0.0.1:34567"
        echo "oh" >&2
        while :; do sleep 0.01; done"#,
    );
    let mut proxy = ProxyProcess::start(&script, &["--log-level=debug"]);
    assert_eq!(proxy.address(), "127.0.0.1:34567".parse().unwrap());
    let arguments = &proxy.log()[0];
    let expected = "arguments: --log-level=debug --proxy-address=127.0.0.1:0 --ssl-dir=/";
    assert!(arguments.starts_with(expected), "{arguments}");
    let lines = proxy.log().len();
    assert_eq!(proxy.terminate().code(), Some(3));
    assert_eq!(
        proxy.wait_for_log_after(lines, "draining", SOON),
        "draining"
    );
    assert_eq!(proxy.count_in_log("proxy listening"), 1);
    assert_eq!(proxy.stderr(), ["oh"]);
}

#[test]
fn a_proxy_that_ends_at_once_is_reported_with_its_output() {
    let directory = ScratchDirectory::new();
    let script = script(&directory, "echo 'no such option' >&2; exit 1");
    let panic = panic::catch_unwind(|| ProxyProcess::start(&script, &[])).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("does not listen") && message.contains("no such option"),
        "{message}"
    );
}
