//! Programs and libraries that people use, through the proxy: dumps and restores, a load generator, a driver.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use mysql_async::prelude::Queryable;
use testkit::{MariaDb, Mysql97, ProxyProcess, Server, command, process};

const DEADLINE: Duration = Duration::from_secs(120);

fn proxy(server: &Server) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &[&backend])
}

/// Every column type, NULL in each, bytes of every value, and rows above 16 MiB.
const EVERYTHING: [&str; 7] = [
    "CREATE TABLE test.types (a TINYINT, b TINYINT UNSIGNED, c SMALLINT, d MEDIUMINT, e INT UNSIGNED, f BIGINT, \
     g BIGINT UNSIGNED, h FLOAT, i DOUBLE, j DECIMAL(20, 5), k BIT(10), l YEAR, m DATE, n TIME(6), o DATETIME(6), \
     p TIMESTAMP(3) NULL, q CHAR(5), r VARCHAR(300), s VARBINARY(10), t TINYBLOB, u MEDIUMTEXT, v LONGBLOB, \
     w ENUM('a', 'b'), x SET('a', 'b', 'c'), y GEOMETRY, z JSON, aa BINARY(4), bb TINYTEXT, cc LONGTEXT, dd BLOB) \
     DEFAULT CHARSET utf8mb4",
    "INSERT INTO test.types VALUES (-1, 255, -32768, -8388608, 4294967295, -9223372036854775808, \
     18446744073709551615, 1.5, -2.25e300, -123456789012345.67891, 0x3ff, 2155, '1999-12-31', \
     '-838:59:58.999999', '9999-12-31 23:59:59.999999', '2020-02-02 02:02:02.123', 'c', REPEAT('v', 300), 0x00ff, \
     0xfe, 'text', 0xfbfcfdfeff, 'b', 'a,c', ST_GeomFromText('POINT(1 2)'), '[1, null]', 0x00ff1a0a, '\\'\\\\\\n', \
     'ä€𝄞', 0x000a0d1a22275c)",
    "INSERT INTO test.types (a) VALUES (NULL)",
    "CREATE TABLE test.bytes (n INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)",
    "INSERT INTO test.bytes (b) WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 255) \
     SELECT REPEAT(CHAR(n), 1 + n * 10) FROM n",
    // 20 MiB of bytes that look like a lot of things.
    "INSERT INTO test.bytes (b) SELECT REPEAT(UNHEX(CONCAT(SHA2(n, 512), SHA2(-n, 512))), 163840) \
     FROM test.bytes WHERE n < 3",
    "CREATE VIEW test.view_of_types AS SELECT a, b FROM test.types",
];

#[test]
fn mariadb_dump_and_restore() {
    dump_and_restore(
        &MariaDb::start(&[]),
        command::mariadb_dump,
        command::mariadb,
    );
}

#[test]
fn mysql97_dump_and_restore() {
    if let Some(server) = Mysql97::start(&[]) {
        dump_and_restore(&server, mysqldump97, command::mysql97);
    }
}

fn mysqldump97(address: SocketAddr) -> Command {
    let mut command = process::command(Mysql97::prefix().join("bin/mysqldump"));
    command.args([
        "--no-defaults",
        "--ssl-mode=DISABLED",
        "--get-server-public-key",
    ]);
    command.args([
        "--skip-dump-date",
        "--max-allowed-packet=128M",
        "--no-tablespaces",
    ]);
    command.args(["--protocol=tcp", "--user=adm", "--password=adm"]);
    command.arg(format!("--host={}", address.ip()));
    command.arg(format!("--port={}", address.port()));
    command
}

/// A dump through the proxy is the dump, byte for byte; and so is the dump of what was restored from it through
/// the proxy.
fn dump_and_restore(
    server: &Server,
    dump: fn(SocketAddr) -> Command,
    client: fn(SocketAddr) -> Command,
) {
    for sql in EVERYTHING {
        server.query(sql);
    }
    server.query("CREATE DATABASE restored");
    let proxy = proxy(server);
    let taken = |address, database| {
        let mut dump = dump(address);
        dump.args(["--hex-blob=OFF", database]);
        process::run(dump, DEADLINE).expect_success()
    };
    let direct = taken(server.address(), "test");
    assert!(direct.len() > 40 * 1024 * 1024, "{} bytes", direct.len());
    assert!(direct == taken(proxy.address(), "test"), "the dumps differ");

    let file = server.directory().join("dump.sql");
    std::fs::write(&file, &direct).expect("the directory can be written");
    let mut restore = client(proxy.address());
    restore.args(["--max-allowed-packet=128M", "--binary-mode", "restored"]);
    restore.stdin(Stdio::from(File::open(&file).expect("it was just written")));
    process::run(restore, DEADLINE).expect_success();
    let restored = taken(server.address(), "restored");
    // The databases' names are in the head.
    let body = |dump: &[u8]| {
        let head = dump.windows(8).position(|window| window == b"CREATE T");
        dump[head.expect("a dump has tables")..].to_vec()
    };
    assert!(
        body(&direct) == body(&restored),
        "what was restored differs"
    );
}

#[test]
fn mariadb_sysbench() {
    sysbench(&MariaDb::start(&[]));
}

#[test]
fn mysql97_sysbench() {
    if let Some(server) = Mysql97::start(&[]) {
        sysbench(&server);
    }
}

/// With and without prepared statements; 8 threads, no error, no reconnect.
fn sysbench(server: &Server) {
    let proxy = proxy(server);
    let run = |arguments: &[&str]| {
        let mut sysbench = command::sysbench(proxy.address(), "oltp_read_write");
        sysbench.args(arguments);
        let said = process::run(sysbench, DEADLINE).expect_success();
        String::from_utf8_lossy(&said).into_owned()
    };
    run(&["prepare"]);
    for mode in ["--db-ps-mode=auto", "--db-ps-mode=disable"] {
        let said = run(&[mode, "--threads=8", "--events=1000", "--time=0", "run"]);
        let number_of = |name: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.unwrap_or_else(|| panic!("{said}")).to_owned()
        };
        assert_eq!(number_of("transactions:"), "1000", "{said}");
        assert_eq!(number_of("reconnects:"), "0", "{said}");
    }
    assert_eq!(
        proxy.count_in_log("(warning)") + proxy.count_in_log("(error)"),
        0
    );
}

#[test]
fn mariadb_driver() {
    drive(&MariaDb::start(&[]));
}

#[test]
fn mysql97_driver() {
    if let Some(server) = Mysql97::start(&[]) {
        drive(&server);
    }
}

/// Logs in again and again, the first time with a cold cache, and uses what a driver has.
fn drive(server: &Server) {
    let proxy = proxy(server);
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(proxy.address().ip().to_string())
        .tcp_port(proxy.address().port())
        .user(Some("app"))
        .pass(Some("app"))
        .db_name(Some("test"))
        .prefer_socket(false);
    let session = async {
        for n in 0..100_u64 {
            let mut connection = mysql_async::Conn::new(options.clone()).await?;
            let who: Option<(String, u64)> = connection
                .exec_first("SELECT DATABASE(), ? + 1", (n,))
                .await?;
            assert_eq!(who, Some(("test".to_owned(), n + 1)));
            connection
                .change_user(mysql_async::ChangeUserOpts::default())
                .await?;
            let rows: Vec<u64> = connection.query("SELECT 1 UNION SELECT 2").await?;
            assert_eq!(rows, [1, 2]);
            connection.disconnect().await?;
        }
        Ok::<_, mysql_async::Error>(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be built");
    let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, session).await });
    ended.expect("no login hangs").expect("every session works");
}
