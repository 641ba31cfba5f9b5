//! Servers, client libraries and tools that are unpacked into a directory of our own and never installed.
//!
//! The directory is the environment variable `MYSQL_PROXY_SERVERS`; `.cargo/config.toml` sets its
//! default, `.servers/` in the repository. The work is done by the shell scripts in `xtask/scripts/`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::packages;

/// Fetches MySQL 9.7 unless it is there; returns the path of its prefix, with the programs in `bin/`.
pub(crate) fn fetch_mysql() -> Result<PathBuf> {
    let prefix = root()?.join("mysql-9.7");
    fetch("fetch_server.sh", &prefix, &["mysql", "9.7"], "bin/mysqld")?;
    Ok(prefix)
}

/// Where MySQL Router's program is, or would be.
pub(crate) fn router() -> Result<PathBuf> {
    Ok(root()?.join("mysql-router/bin/mysqlrouter"))
}

/// Fetches MySQL Router 9.7 unless it is there; returns the path of the program.
pub(crate) fn fetch_router() -> Result<PathBuf> {
    let prefix = root()?.join("mysql-router");
    let program = "bin/mysqlrouter";
    fetch(
        "fetch_server.sh",
        &prefix,
        &["mysql-router", "9.7"],
        program,
    )?;
    router()
}

/// Fetches MariaDB 11.8 unless it is there; returns the path of its prefix, with the programs in `bin/`.
pub(crate) fn fetch_mariadb118() -> Result<PathBuf> {
    let prefix = root()?.join("mariadb-11.8");
    fetch(
        "fetch_server.sh",
        &prefix,
        &["mariadb", "11.8"],
        "bin/mariadbd",
    )?;
    Ok(prefix)
}

/// Puts the client libraries of a language (`python`, `node`) there, unless they are, in the versions that the tests
/// are run with; returns the path of their prefix.
pub(crate) fn fetch_clients(language: &str) -> Result<PathBuf> {
    let prefix = root()?.join("clients").join(language);
    let list = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/mysql-proxy/tests/matrix")
        .join(match language {
            "python" => "requirements.txt",
            _ => "package.json",
        });
    // The list is copied last: other versions are another list.
    let copy = prefix.join("installed.txt");
    if fs::read(&copy).ok() != Some(fs::read(&list)?) {
        let arguments = [language, &list.display().to_string()];
        run_script("fetch_clients.sh", &prefix, &arguments)?;
        fs::copy(&list, &copy)?;
    }
    Ok(prefix)
}

/// Fetches HAProxy unless it is installed or there; returns the path of the program.
pub(crate) fn fetch_haproxy() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/sbin/haproxy");
    if installed.is_file() {
        return Ok(installed);
    }
    let prefix = root()?.join("haproxy");
    fetch("fetch_haproxy.sh", &prefix, &[], "bin/haproxy")?;
    Ok(prefix.join("bin/haproxy"))
}

/// Builds a command of cargo's (`cargo-deny`) unless it is installed or there; returns the path of the program.
pub(crate) fn install_cargo_tool(name: &str) -> Result<PathBuf> {
    if packages::is_installed(name) {
        return Ok(PathBuf::from(name));
    }
    let prefix = root()?.join("cargo");
    let program = prefix.join("bin").join(name);
    if !program.is_file() {
        println!("building {name} (some minutes, once)");
        let status = Command::new("cargo")
            .args(["install", "--quiet", "--locked", name, "--root"])
            .arg(&prefix)
            .status()?;
        if !status.success() {
            bail!("cargo install {name} failed: its message is above");
        }
    }
    Ok(program)
}

fn root() -> Result<PathBuf> {
    let root = env::var_os("MYSQL_PROXY_SERVERS");
    root.map(PathBuf::from)
        .context("MYSQL_PROXY_SERVERS is not set: run this as `cargo xtask`")
}

/// Runs the script unless the program is there.
fn fetch(script: &str, prefix: &Path, arguments: &[&str], program: &str) -> Result<()> {
    if prefix.join(program).is_file() {
        return Ok(());
    }
    run_script(script, prefix, arguments)
}

/// Runs a script that fills the prefix. An error carries its last line.
fn run_script(script: &str, prefix: &Path, arguments: &[&str]) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(script);
    let output = Command::new(&script)
        .arg(prefix)
        .args(arguments)
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
