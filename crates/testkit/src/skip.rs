//! Tests that cannot run on this machine say so.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write},
    thread,
};

/// Says that this test is skipped: on standard error, and in the file that `cargo xtask test` prints at its
/// end, because test runners hide the output of a test that passes.
pub fn skip(reason: &str) {
    let name = env::var("NEXTEST_TEST_NAME").ok();
    let name = name
        .or_else(|| thread::current().name().map(str::to_owned))
        .unwrap_or_default();
    // Not `eprintln!`, which the test harness hides.
    let _ = writeln!(io::stderr(), "SKIPPED: {name} {reason}");
    if let Some(file) = env::var_os("SKIPPED_TESTS") {
        let file = OpenOptions::new().append(true).create(true).open(file);
        let mut file = file.expect("the list of skipped tests can be written");
        writeln!(file, "{name} {reason}").expect("the list of skipped tests can be written");
    }
}
