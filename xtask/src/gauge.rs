//! `cargo xtask gauge`: instructions of the proxy for each query, compared with the committed baseline. What is counted is in
//! the crate `bench`.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, ensure};

use crate::packages;

/// As the last change that was worth it left it.
const BASELINE: &str = "bench/gauge.txt";

/// Builds what is measured, and measures it; with `update`, the result is the baseline from now on.
pub(crate) fn run(update: bool) -> Result<ExitCode> {
    packages::install_valgrind()?;
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--profile=gauge"])
        .args(["--package=mysql-proxy", "--package=bench"])
        .status()?;
    ensure!(status.success(), "what is to be measured cannot be built");
    let built = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from("target"), PathBuf::from)
        .join("gauge");
    let status = Command::new(built.join("gauge"))
        .arg("--proxy")
        .arg(built.join("mysql-proxy"))
        .args(["--baseline", BASELINE])
        .args(update.then_some("--update"))
        .status()?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
