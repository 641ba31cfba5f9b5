//! Servers and tools that are unpacked into a directory of our own and never installed.
//!
//! The directory is the environment variable `MYSQL_PROXY_SERVERS`; `.cargo/config.toml` sets its
//! default, `.servers/` in the repository. The work is done by the shell scripts in `xtask/scripts/`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::packages;

/// Fetches MySQL 9.7 unless it is there; returns the path of its prefix, with the programs in `bin/`.
pub(crate) fn fetch_mysql() -> Result<PathBuf> {
    let prefix = root()?.join("mysql-9.7");
    fetch("fetch_mysql.sh", &prefix, "bin/mysqld")?;
    Ok(prefix)
}

/// Fetches HAProxy unless it is installed or there; returns the path of the program.
pub(crate) fn fetch_haproxy() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/sbin/haproxy");
    if installed.is_file() {
        return Ok(installed);
    }
    let prefix = root()?.join("haproxy");
    fetch("fetch_haproxy.sh", &prefix, "bin/haproxy")?;
    Ok(prefix.join("bin/haproxy"))
}

/// Builds cargo-deny unless it is installed or there; returns the path of the program.
pub(crate) fn install_cargo_deny() -> Result<PathBuf> {
    if packages::is_installed("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let prefix = root()?.join("cargo");
    let program = prefix.join("bin/cargo-deny");
    if !program.is_file() {
        println!("building cargo-deny (some minutes, once)");
        let status = Command::new("cargo")
            .args(["install", "--quiet", "--locked", "cargo-deny", "--root"])
            .arg(&prefix)
            .status()?;
        if !status.success() {
            bail!("cargo install cargo-deny failed: its message is above");
        }
    }
    Ok(program)
}

fn root() -> Result<PathBuf> {
    let root = env::var_os("MYSQL_PROXY_SERVERS");
    root.map(PathBuf::from)
        .context("MYSQL_PROXY_SERVERS is not set: run this as `cargo xtask`")
}

/// Runs the script unless the program is there. An error carries the script's last line.
fn fetch(script: &str, prefix: &Path, program: &str) -> Result<()> {
    if prefix.join(program).is_file() {
        return Ok(());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(script);
    let output = Command::new(&script)
        .arg(prefix)
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{errors}");
    if !output.status.success() {
        bail!(
            "{}",
            errors
                .trim_end()
                .lines()
                .last()
                .unwrap_or("the script failed without a message")
        );
    }
    Ok(())
}
