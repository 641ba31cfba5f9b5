//! Targets for coverage-guided fuzzing: what reads a peer's or an operator's bytes, and what must hold for any of them.
//!
//! A target is a function of bytes that panics where something does not hold. `cargo xtask fuzz` searches for such bytes with
//! libFuzzer, on instrumented code (`main.rs`); `tests/corpus.rs` runs the targets on the inputs in `corpus`, which were
//! found to reach different code or to have failed once.
//!
//! Sockets, runtimes and whole sessions are left out: the tests of the whole proxy have hostile peers for them.

mod commands;
mod compression;
mod connection_phase;
#[expect(dead_code, reason = "the target reads texts, not files")]
#[path = "../../crates/mysql-proxy/src/defaults_file.rs"]
mod defaults_file;
mod digests;
mod input;
mod memory;
mod operator_text;
mod packets;
mod pool;
mod proxy_header;
mod response_tracker;
mod responses;
mod rsa;
mod script_packets;
mod script_text;
mod sql_text;

/// Runs on an input, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// By name, as their directories in `corpus` are called.
pub const TARGETS: [(&str, Target); 14] = [
    ("packets", packets::run),
    ("connection_phase", connection_phase::run),
    ("commands", commands::run),
    ("responses", responses::run),
    ("response_tracker", response_tracker::run),
    ("rsa", rsa::run),
    ("compression", compression::run),
    ("proxy_header", proxy_header::run),
    ("operator_text", operator_text::run),
    ("sql_text", sql_text::run),
    ("digests", digests::run),
    ("script_packets", script_packets::run),
    ("script_text", script_text::run),
    ("pool", pool::run),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, run)| *run)
}
