//! What the tests need from the operating system, and how it gets there.
//!
//! On Debian and Ubuntu the missing packages are installed; elsewhere the commands are named and the
//! user installs them. None of the packages starts a service.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

/// A command that the tests run, and the Debian package that has it.
#[derive(Clone, Copy)]
struct Tool {
    command: &'static str,
    package: &'static str,
}

/// Lua modules in C, and the Debian packages that have them. Tests of those that are not installed are skipped.
const LUA_MODULES: [(&str, &str); 4] = [
    ("cjson.so", "lua-cjson"),
    ("lfs.so", "lua-filesystem"),
    ("lpeg.so", "lua-lpeg"),
    ("socket/core.so", "lua-socket"),
];

const TOOLS: [Tool; 8] = [
    Tool {
        command: "mariadbd",
        package: "mariadb-server-core",
    },
    Tool {
        command: "mariadb",
        package: "mariadb-client",
    },
    Tool {
        command: "mariadb-dump",
        package: "mariadb-client",
    },
    Tool {
        command: "php",
        package: "php-cli",
    },
    Tool {
        command: "sysbench",
        package: "sysbench",
    },
    Tool {
        command: "chromium",
        package: "chromium",
    },
    Tool {
        command: "adduser",
        package: "adduser",
    },
    Tool {
        command: "systemd-socket-activate",
        package: "systemd",
    },
];

/// Packages with client libraries: one for Debian's own Python, which can only be built with headers that nothing else needs, and
/// PHP's.
const CLIENT_LIBRARIES: [&str; 2] = ["python3-mysqldb", "php-mysql"];

/// For libFuzzer, which is in C++.
const COMPILER: Tool = Tool {
    command: "c++",
    package: "g++",
};

/// For the gauge.
const VALGRIND: Tool = Tool {
    command: "valgrind",
    package: "valgrind",
};

/// Installs a C++ compiler where there is none, or says so.
pub(crate) fn install_compiler() -> Result<()> {
    install_tool(COMPILER)
}

/// Installs valgrind where there is none, or says so.
pub(crate) fn install_valgrind() -> Result<()> {
    install_tool(VALGRIND)
}

fn install_tool(tool: Tool) -> Result<()> {
    if is_installed(tool.command) {
        return Ok(());
    }
    if !is_installed("apt-get") {
        bail!("not found: {}. Install it and run this again", tool.command);
    }
    install(&[tool.package])
}

/// Installs the missing packages, or says what to install.
pub(crate) fn install_missing() -> Result<()> {
    let missing: Vec<Tool> = TOOLS
        .into_iter()
        .filter(|tool| !is_installed(tool.command))
        .collect();
    if !is_installed("apt-get") {
        return match missing.as_slice() {
            [] => Ok(()),
            missing => bail!(
                "not found: {}. Install the MariaDB 10.11 (or later) server and client, PHP and sysbench with the \
                 packages of this system, without enabling the server as a service, and run this again",
                missing
                    .iter()
                    .map(|tool| tool.command)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
    }
    let modules = LUA_MODULES.into_iter();
    let modules = modules.filter(|(file, _)| !lua_module(file).is_file());
    let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    packages.extend(modules.map(|(_, package)| package));
    packages.dedup();
    let libraries = CLIENT_LIBRARIES.into_iter();
    packages.extend(libraries.filter(|package| !is_package_installed(package)));
    if packages.is_empty() {
        println!(
            "MariaDB server and client, sysbench, Lua modules, libraries of clients: installed"
        );
        return Ok(());
    }
    install(&packages)
}

fn install(packages: &[&str]) -> Result<()> {
    if !is_root() {
        bail!(
            "packages are missing and only root can install them. Run\n    \
             sudo apt-get install --no-install-recommends {}\nand run this again",
            packages.join(" ")
        );
    }
    println!("installing {}", packages.join(", "));
    apt_install(packages)
}

/// Where Debian's packages put it.
fn lua_module(file: &str) -> PathBuf {
    let directory = format!("/usr/lib/{}-linux-gnu/lua/5.1", env::consts::ARCH);
    Path::new(&directory).join(file)
}

/// Is the command in the PATH or where Debian keeps servers?
pub(crate) fn is_installed(command: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(command).is_file())
        || Path::new("/usr/sbin").join(command).is_file()
}

/// What dpkg says, for packages that have no command.
fn is_package_installed(package: &str) -> bool {
    let list = format!("/var/lib/dpkg/info/{package}.list");
    Path::new(&list).is_file()
}

/// A first failure is usually a package list that is missing or old: read the lists and try once more.
fn apt_install(packages: &[&str]) -> Result<()> {
    if apt_get("install", packages)? {
        return Ok(());
    }
    println!("reading the package lists");
    if apt_get("update", &[])? && apt_get("install", packages)? {
        return Ok(());
    }
    bail!(
        "apt-get could not install {}: its message is above",
        packages.join(" ")
    )
}

fn apt_get(verb: &str, packages: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "-qq",
            "-y",
            "-o",
            "Dpkg::Use-Pty=0",
            "--no-install-recommends",
            verb,
        ])
        .args(packages)
        .status()?;
    Ok(status.success())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
