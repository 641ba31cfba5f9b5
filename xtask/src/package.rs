//! The Debian package: what goes into it is listed in the program's `Cargo.toml`; what has to be made first is made here.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{packages, private_prefix};

/// Where the package's list looks for what is made.
const STAGE: &str = "target/package";
/// What `packaging/test.sh` says where the machine allows no overlay.
const NO_OVERLAY: i32 = 77;

/// Builds the program as it is released, and the package. Its file.
pub(crate) fn release() -> Result<PathBuf> {
    let build = ["build", "--release", "--locked", "--package=mysql-proxy"];
    succeed(Command::new("cargo").args(build))?;
    make("release")
}

/// Makes a package of the program as the tests use it, and installs it where nobody minds. What could not be done, if
/// anything.
pub(crate) fn test() -> Result<Option<&'static str>> {
    if !packages::is_installed("dpkg") {
        return Ok(Some("this is no Debian"));
    }
    succeed(Command::new("cargo").args(["build", "--quiet", "--package=mysql-proxy"]))?;
    let package = make("debug")?;
    let mut test = Command::new("packaging/test.sh");
    let status = test.arg(&package).status()?;
    match status.code() {
        Some(NO_OVERLAY) => Ok(Some(
            "the package was made but not installed: no overlay is allowed here",
        )),
        _ => {
            ensure!(status.success(), "packaging/test.sh failed: {status}");
            Ok(None)
        }
    }
}

/// `profile` is the name of a directory in cargo's.
fn make(profile: &str) -> Result<PathBuf> {
    let program = target_directory().join(profile).join("mysql-proxy");
    let stage = Path::new(STAGE);
    fs::create_dir_all(stage)?;
    let staged = stage.join("mysql-proxy");
    succeed(Command::new("strip").arg("-o").arg(&staged).arg(&program))?;
    let generate = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("generate").args(arguments);
        command
    };
    succeed(&mut generate(&["man", &format!("{STAGE}/man")]))?;
    for (shell, file) in [
        ("bash", "mysql-proxy.bash"),
        ("fish", "mysql-proxy.fish"),
        ("zsh", "_mysql-proxy"),
    ] {
        let file = File::create(stage.join(file))?;
        succeed(generate(&["completions", shell]).stdout(file))?;
    }
    let cargo_deb = private_prefix::install_cargo_tool("cargo-deb")?;
    let mut command = Command::new(cargo_deb);
    command
        .args(["--quiet", "--package=mysql-proxy", "--no-build"])
        .args((profile == "debug").then_some("--fast"));
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(
        output.status.success(),
        "cargo-deb failed: {}",
        output.status
    );
    let file = String::from_utf8(output.stdout)?;
    Ok(PathBuf::from(file.trim()))
}

/// Where cargo puts what it builds.
fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

fn succeed(command: &mut Command) -> Result<()> {
    let line = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| line.clone())?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
