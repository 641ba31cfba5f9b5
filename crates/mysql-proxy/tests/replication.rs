//! Replicas and readers of the binary log, which reach their primary through the proxy.

use std::{net::SocketAddr, time::Duration};

use testkit::{MariaDb, Mysql97, ProxyProcess, Server, process, wait};

const DEADLINE: Duration = Duration::from_secs(60);

fn proxy(backend: &Server, address: &str) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", backend.address());
    let listen = format!("--proxy-address={address}");
    ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &[&backend, &listen])
}

/// How one kind of server replicates.
struct Replication {
    /// Each is a statement for the replica; `{port}` is the primary's.
    start: &'static [&'static str],
    /// What the primary has logged.
    logged: &'static str,
    /// What the replica has applied of it.
    applied: &'static str,
    /// Counts transactions of which the primary heard that they have arrived.
    acknowledged: &'static str,
}

const MARIADB: Replication = Replication {
    start: &[
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'repl', \
         MASTER_PASSWORD = 'repl', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
        "START SLAVE",
    ],
    logged: "SELECT @@gtid_binlog_pos",
    applied: "SELECT @@gtid_slave_pos",
    acknowledged: "SHOW STATUS LIKE 'Rpl_semi_sync_master_yes_tx'",
};

const MYSQL97: Replication = Replication {
    start: &[
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'repl', \
         SOURCE_PASSWORD = 'repl', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_SSL = 0, \
         SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 1000",
        "START REPLICA",
    ],
    logged: "SELECT @@global.gtid_executed",
    applied: "SELECT @@global.gtid_executed",
    acknowledged: "",
};

#[test]
fn mariadb_replica() {
    let primary = MariaDb::start(&[
        "--log-bin",
        "--binlog-format=ROW",
        "--rpl-semi-sync-master-enabled=ON",
        // Does not wait for a replica that is not there.
        "--rpl-semi-sync-master-wait-no-slave=OFF",
        "--rpl-semi-sync-master-timeout=1000",
    ]);
    let replica = MariaDb::start(&["--rpl-semi-sync-slave-enabled=ON"]);
    replicate(&MARIADB, &primary, &replica);
}

#[test]
fn mysql97_replica() {
    let options = [
        "--log-bin",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
    ];
    let Some(primary) = Mysql97::start(&options) else {
        return;
    };
    let Some(replica) = Mysql97::start(&options) else {
        return;
    };
    replicate(&MYSQL97, &primary, &replica);
}

/// It catches up, follows, acknowledges, and goes on when the proxy was away.
fn replicate(replication: &Replication, primary: &Server, replica: &Server) {
    let mut proxy = proxy(primary, "127.0.0.1:0");
    let address = proxy.address();
    primary.query("CREATE TABLE test.t (n INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)");
    // An event above 16 MiB.
    primary.query("INSERT INTO test.t (b) VALUES (REPEAT('b', 20000000))");
    for sql in replication.start {
        replica.query(&sql.replace("{port}", &address.port().to_string()));
    }
    let caught_up = |what| {
        wait::until(what, DEADLINE, || {
            primary.query(replication.logged) == replica.query(replication.applied)
        });
        let sums = "SELECT COUNT(*), SUM(LENGTH(b)) FROM test.t";
        assert_eq!(primary.query(sums), replica.query(sums), "{what}");
    };
    caught_up("the replica has caught up");
    let acknowledged = || match replication.acknowledged {
        "" => None,
        sql => primary.query(sql)[0][1].clone(),
    };
    let before = acknowledged();
    wait::until("the replica acknowledges", DEADLINE, || {
        primary.query("INSERT INTO test.t (b) VALUES ('followed')");
        before.is_none() || before != acknowledged()
    });
    caught_up("the replica follows");

    assert_eq!(proxy.terminate().code(), Some(0));
    primary.query("INSERT INTO test.t (b) VALUES ('missed')");
    let _proxy = self::proxy(primary, &address.to_string());
    caught_up("the replica has caught up again");
    primary.query("INSERT INTO test.t (b) VALUES ('followed again')");
    caught_up("the replica follows again");
}

#[test]
fn mariadb_binlog_reads_the_same() {
    let primary = MariaDb::start(&["--log-bin", "--binlog-format=ROW"]);
    primary.query("CREATE TABLE test.t (n INT, b LONGBLOB)");
    primary.query("INSERT INTO test.t VALUES (1, REPEAT('b', 20000000)), (2, NULL)");
    let logs = primary.query("SHOW BINARY LOGS");
    let log = logs[0][0].as_deref().unwrap();
    let read = |address: SocketAddr| {
        let mut binlog = process::command("mariadb-binlog");
        binlog.args(["--no-defaults", "--skip-ssl", "--read-from-remote-server"]);
        binlog.args([
            "--protocol=tcp",
            "--user=repl",
            "--password=repl",
            "--verbose",
        ]);
        binlog.arg(format!("--host={}", address.ip()));
        binlog.arg(format!("--port={}", address.port()));
        binlog.arg(log);
        process::run(binlog, DEADLINE).expect_success()
    };
    let proxy = proxy(&primary, "127.0.0.1:0");
    let direct = read(primary.address());
    assert!(direct.len() > 20_000_000, "{} bytes", direct.len());
    assert!(direct == read(proxy.address()), "what was read differs");
}
