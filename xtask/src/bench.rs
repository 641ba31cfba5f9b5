//! `cargo xtask bench`: builds the proxy and the benchmark as they are shipped, and runs the benchmark.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::private_prefix;

/// Passes the options on to the benchmark, which looks for the proxy beside itself.
pub(crate) fn run(options: &[OsString]) -> Result<ExitCode> {
    let haproxy = private_prefix::fetch_haproxy()?;
    let release = |verb, package| {
        let mut command = Command::new("cargo");
        command.args([verb, "--release", "--package", package]);
        command
    };
    // Each in a command of its own: what the benchmark needs of a library must not change what the proxy gets of it.
    let built = release("build", "mysql-proxy").status();
    if !built.context("cannot run cargo")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut bench = release("run", "bench");
    bench.args(["--", "--haproxy"]).arg(haproxy);
    let router = private_prefix::router()?;
    if router.is_file() {
        bench.arg("--router").arg(router);
    }
    let status = bench.args(options).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
