//! MariaDB, as the operating system's package has it, and MariaDB 11.8, as `cargo xtask fetch mariadb118` unpacks it.
//! Tests that need the latter are skipped, visibly, without it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Server, process, server, skip,
    template::{Software, servers_directory},
};

/// MariaDB: see [`MariaDb::start`].
#[derive(Debug)]
pub struct MariaDb;

/// MariaDB 11.8: see [`MariaDb118::start`].
#[derive(Debug)]
pub struct MariaDb118;

/// `adm` may do everything and therefore writes through `read_only`; `app` may not.
const ACCOUNTS: &str = "\
CREATE DATABASE sbtest;
CREATE DATABASE test;
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User='';
FLUSH PRIVILEGES;
CREATE USER app@'%' IDENTIFIED BY 'app';
GRANT ALL ON sbtest.* TO app@'%';
GRANT ALL ON test.* TO app@'%';
CREATE USER adm@'%' IDENTIFIED BY 'adm';
GRANT ALL ON *.* TO adm@'%' WITH GRANT OPTION;
CREATE USER repl@'%' IDENTIFIED BY 'repl';
GRANT REPLICATION SLAVE, BINLOG MONITOR, PROCESS, RELOAD ON *.* TO repl@'%';
";

impl MariaDb {
    /// Starts a MariaDB with its own data directory; `options` are further options of `mariadbd`.
    ///
    /// Accounts, all with mysql_native_password: `app`/`app` (databases `test` and `sbtest`), `adm`/`adm`
    /// (everything), `repl`/`repl` (a replica), and `root` without a password through the Unix socket.
    ///
    /// # Panics
    /// When MariaDB is not installed or does not start; its error log is in the message.
    pub fn start(options: &[&str]) -> Server {
        let software = software("mariadb", PathBuf::from("/usr/sbin/mariadbd"), initialise);
        assert!(
            software.program.exists(),
            "{} is not there: `cargo xtask test` installs it or says how",
            software.program.display()
        );
        Server::start(software, options)
    }
}

impl MariaDb118 {
    /// Starts a MariaDB 11.8 as [`MariaDb::start`] does, with the same accounts. It offers TLS with a certificate that it
    /// makes at each start, unless the options say otherwise.
    ///
    /// `None`, after a line that says so, when it is not on this machine: the test ends there.
    ///
    /// # Panics
    /// When it does not start; its error log is in the message.
    pub fn start(options: &[&str]) -> Option<Server> {
        let program = Self::prefix().join("bin/mariadbd");
        if program.exists() {
            let software = software("mariadb118", program, initialise118);
            return Some(Server::start(software, options));
        }
        skip(&format!(
            "needs MariaDB 11.8 in {}: `cargo xtask fetch mariadb118`",
            Self::prefix().display()
        ));
        None
    }

    /// Where it is unpacked; the programs are in `bin/`.
    pub fn prefix() -> PathBuf {
        servers_directory().join("mariadb-11.8")
    }
}

fn software(name: &'static str, program: PathBuf, initialise: fn(&Software, &Path)) -> Software {
    Software {
        name,
        program,
        options: &[
            "--innodb-log-file-size=32M",
            "--aria-pagecache-buffer-size=8M",
        ],
        accounts: ACCOUNTS,
        initialise,
    }
}

fn initialise(software: &Software, data: &Path) {
    install(software, data, Path::new("mariadb-install-db"));
}

fn initialise118(software: &Software, data: &Path) {
    let program = MariaDb118::prefix().join("bin/mariadb-install-db");
    install(software, data, &program);
}

fn install(software: &Software, data: &Path, program: &Path) {
    let mut install = process::command(program);
    install
        .args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ])
        .args(software.options)
        .arg(format!("--user={}", server::system_user()))
        .arg(format!("--datadir={}", data.display()));
    process::run(install, Duration::from_secs(120)).expect_success();

    let accounts = data.join("accounts.sql");
    fs::write(&accounts, software.accounts).expect("the data directory can be written");
    let mut bootstrap = process::command(&software.program);
    bootstrap
        .args(["--no-defaults", "--bootstrap"])
        .args(software.options)
        .arg(format!("--user={}", server::system_user()))
        .arg(format!("--datadir={}", data.display()))
        .stdin(File::open(&accounts).expect("the file was just written"));
    process::run(bootstrap, Duration::from_secs(60)).expect_success();
    fs::remove_file(accounts).expect("the file was just written");
}
