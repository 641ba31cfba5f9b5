//! `docs/limits.md`: every bound, made of the options and of what the crates declare. A test that finds the page different
//! writes it, and fails: run it again and commit the file.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::Arg;
use protocol::limits::Limit;

use super::command;
use crate::{doctor, otlp, upgrade};

const HEAD: &str = "\
# Limits

Everything that could grow or wait for ever has a bound. This page is made from the source.

## Those that you set

| option | default | what it bounds | beyond it |
|---|---|---|---|
";

const FIXED: &str = "
## Those that are fixed

| what | bound | why so much | beyond it |
|---|---|---|---|
";

/// The options that bound something, in the order of a session's life, and what comes of more.
const OPTIONS: &[(&str, &str)] = &[
    (
        "max-open-files",
        "ERR 1040 (08004) for new clients, see `--max-connections`",
    ),
    (
        "max-connections",
        "ERR 1040 (08004); those who are served notice nothing",
    ),
    (
        "max-connection-rate",
        "ERR 1040 (08004); other addresses notice nothing",
    ),
    (
        "proxy-connect-timeout",
        "the next backend is tried, this one is marked down",
    ),
    (
        "proxy-greeting-timeout",
        "the next backend is tried, this one is marked down",
    ),
    ("proxy-login-timeout", "ERR 1159 (08S01), the session ends"),
    (
        "proxy-read-timeout",
        "a silent client: ERR 1159 (08S01); a silent backend: ERR 2013 (HY000); the session ends",
    ),
    ("proxy-write-timeout", "the session ends"),
    ("max-packet-bytes", "ERR 1153 (08S01), the session ends"),
    ("proxy-pool-wait", "the client is closed"),
    (
        "lua-hook-timeout",
        "the hook is stopped; ERR 1105, or the client is closed where no answer may stand",
    ),
    (
        "lua-memory-limit",
        "an error in the hook; new clients get a fresh state where this one stays full",
    ),
    ("lua-result-limit", "ERR 1105 (HY000) in the result's place"),
    ("lua-shared-limit", "an error in the hook"),
    (
        "digest-limit",
        "the quarter of the digests that were seen longest ago are summed under one",
    ),
    ("shutdown-timeout", "ERR 1053 (08S01), the session ends"),
    ("upgrade-timeout", "the process that was replaced stops"),
];

/// The crates' own, in the order of a session's life.
const CRATES: [&[Limit]; 11] = [
    proxy::limits::LIMITS,
    protocol::limits::LIMITS,
    transport::limits::LIMITS,
    backend::limits::LIMITS,
    script::limits::LIMITS,
    admin::limits::LIMITS,
    telemetry::limits::LIMITS,
    web::limits::LIMITS,
    &upgrade::LIMITS,
    &doctor::LIMITS,
    &otlp::LIMITS,
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    let command = command();
    for (name, beyond) in OPTIONS {
        let mut options = command.get_arguments();
        let option = options.find(|option| option.get_long() == Some(name));
        let option = option.expect("it is an option");
        let (default, help) = (
            default(option),
            option.get_help().expect("it has a help text"),
        );
        writeln!(page, "| `--{name}` | {default} | {help} | {beyond} |")
            .expect("a string takes all");
    }
    page.push_str(FIXED);
    for limit in CRATES.iter().copied().flatten() {
        let Limit {
            what,
            bound,
            reason,
            beyond,
        } = limit;
        writeln!(page, "| {what} | {bound} | {reason} | {beyond} |").expect("a string takes all");
    }
    page
}

fn default(option: &Arg) -> String {
    let defaults = option.get_default_values();
    let default = defaults.first().and_then(|value| value.to_str());
    let unit = match option.get_value_names() {
        Some([name]) if name == "SECONDS" => " s",
        Some([name]) if name == "BYTES" => " bytes",
        _ => "",
    };
    default.map_or_else(String::new, |default| format!("{default}{unit}"))
}

#[test]
#[cfg_attr(
    not(feature = "otlp"),
    ignore = "the page has the bounds of all features"
)]
fn the_page_of_limits_is_what_the_code_declares() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
    let page = page();
    if fs::read_to_string(&path).ok().as_deref() != Some(&page) {
        fs::write(&path, page).expect("the directory is there");
        panic!(
            "docs/limits.md was not what the code declares; it has been written anew, commit it"
        );
    }
}
