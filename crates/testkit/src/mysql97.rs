//! MySQL 9.7, as `cargo xtask fetch mysql` unpacks it. Tests that need it are skipped, visibly, without it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Server, process, server, skip,
    template::{Software, servers_directory},
};

/// MySQL 9.7: see [`Mysql97::start`].
#[derive(Debug)]
pub struct Mysql97;

const ACCOUNTS: &str = "\
CREATE DATABASE sbtest;
CREATE DATABASE test;
CREATE USER app@'%' IDENTIFIED WITH caching_sha2_password BY 'app';
GRANT ALL ON sbtest.* TO app@'%';
GRANT ALL ON test.* TO app@'%';
CREATE USER adm@'%' IDENTIFIED WITH caching_sha2_password BY 'adm';
GRANT ALL ON *.* TO adm@'%' WITH GRANT OPTION;
CREATE USER repl@'%' IDENTIFIED WITH caching_sha2_password BY 'repl';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%';
CREATE USER sha256@'%' IDENTIFIED WITH sha256_password BY 'sha256';
GRANT ALL ON test.* TO sha256@'%';
CREATE USER appssl@'%' IDENTIFIED WITH caching_sha2_password BY 'app' REQUIRE SSL;
GRANT ALL ON test.* TO appssl@'%';
";

impl Mysql97 {
    /// Starts a MySQL 9.7 with its own data directory; `options` are further options of `mysqld`.
    /// Performance schema and binary log are off unless they turn them on.
    ///
    /// Accounts, with caching_sha2_password: `app`/`app` (databases `test` and `sbtest`), `adm`/`adm`
    /// (everything), `repl`/`repl` (a replica), `appssl`/`app` (TLS only), and `root` without a password through
    /// the Unix socket; with sha256_password: `sha256`/`sha256`. All servers have the same certificates and keys.
    ///
    /// `None`, after a line that says so, when MySQL 9.7 is not on this machine: the test ends there.
    ///
    /// # Panics
    /// When it does not start; its error log is in the message.
    pub fn start(options: &[&str]) -> Option<Server> {
        let prefix = Self::prefix();
        if prefix.join("bin/mysqld").exists() {
            return Some(Server::start(software(&prefix), options));
        }
        skip(&format!(
            "needs MySQL 9.7 in {}: `cargo xtask fetch mysql`",
            prefix.display()
        ));
        None
    }

    /// Where it is unpacked; the programs are in `bin/`.
    pub fn prefix() -> PathBuf {
        servers_directory().join("mysql-9.7")
    }
}

fn software(prefix: &Path) -> Software {
    Software {
        name: "mysql97",
        program: prefix.join("bin/mysqld"),
        options: &[
            "--innodb-redo-log-capacity=32M",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            "--performance-schema=OFF",
            "--disable-log-bin",
        ],
        accounts: ACCOUNTS,
        initialise,
    }
}

fn initialise(software: &Software, data: &Path) {
    let accounts = data.with_extension("accounts.sql");
    fs::write(&accounts, software.accounts).expect("MYSQL_PROXY_SERVERS can be written");
    let mut initialise = process::command(&software.program);
    initialise
        .args(["--no-defaults", "--initialize-insecure"])
        .args(software.options)
        .arg(format!("--user={}", server::system_user()))
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--init-file={}", accounts.display()));
    process::run(initialise, Duration::from_secs(180)).expect_success();
    fs::remove_file(accounts).expect("the file was just written");
    // The server's UUID: each copy makes its own.
    let _ = fs::remove_file(data.join("auto.cnf"));
}
