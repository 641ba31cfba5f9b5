//! The programs that real users run, ready to be given more arguments. Run them with
//! [`process::run`].
//!
//! None reads the machine's option files. MariaDB's clients ask for TLS by default and go on without it when it is
//! not offered; here they are told not to.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{Mysql97, process, template::servers_directory};

/// MariaDB's `mariadb` as `adm` over TCP: tab-separated values without headings.
pub fn mariadb(address: SocketAddr) -> Command {
    let mut command = process::command("mariadb");
    command.args([
        "--no-defaults",
        "--skip-ssl",
        "--batch",
        "--raw",
        "--skip-column-names",
    ]);
    log_in_over_tcp(&mut command, address);
    command
}

/// MariaDB's `mariadb-dump` as `adm` over TCP. Its output has no date, so that two dumps of the same data are equal.
pub fn mariadb_dump(address: SocketAddr) -> Command {
    let mut command = process::command("mariadb-dump");
    command.args([
        "--no-defaults",
        "--skip-ssl",
        "--skip-dump-date",
        "--max-allowed-packet=128M",
    ]);
    log_in_over_tcp(&mut command, address);
    command
}

/// MySQL 9.7's `mysql` as `adm` over TCP, without TLS, fetching the server's public key when it is needed.
pub fn mysql97(address: SocketAddr) -> Command {
    let mut command = process::command(Mysql97::prefix().join("bin/mysql"));
    command.args([
        "--no-defaults",
        "--ssl-mode=DISABLED",
        "--get-server-public-key",
    ]);
    command.args(["--batch", "--raw", "--skip-column-names"]);
    log_in_over_tcp(&mut command, address);
    command
}

/// sysbench with a workload of its own such as `oltp_read_write`, as `app` on database `sbtest`, with one table
/// of 1,000 rows. The caller adds options and `prepare`, `run` or `cleanup`.
pub fn sysbench(address: SocketAddr, workload: &str) -> Command {
    let mut command = process::command("sysbench");
    command
        .arg(workload)
        .args([
            "--db-driver=mysql",
            "--mysql-user=app",
            "--mysql-password=app",
            "--mysql-db=sbtest",
        ])
        .args(["--tables=1", "--table-size=1000"])
        .arg(format!("--mysql-host={}", address.ip()))
        .arg(format!("--mysql-port={}", address.port()));
    command
}

fn log_in_over_tcp(command: &mut Command, address: SocketAddr) {
    command
        .args(["--protocol=tcp", "--user=adm", "--password=adm"])
        .arg(format!("--host={}", address.ip()))
        .arg(format!("--port={}", address.port()));
}

/// The client libraries of a language (`python`, `node`), as `cargo xtask fetch clients` installs them, if it has.
pub fn client_libraries(language: &str) -> Option<PathBuf> {
    let prefix = servers_directory().join("clients").join(language);
    prefix.join("installed.txt").is_file().then_some(prefix)
}
