//! The servers that the other tests rely on.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use protocol::Capabilities;
use testkit::{AuthPath, Client, ClientError, Connection, Login, MariaDb, Mysql97, process, wait};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn mariadb_keeps_its_data_and_port_when_killed_and_started_again() {
    let mut server = MariaDb::start(&[]);
    let mut client = Client::connect(server.address(), "app", "app").unwrap();
    assert_eq!(client.auth_path(), AuthPath::Scramble);
    client.query("CREATE TABLE test.t (a INT)").unwrap();
    client
        .query("INSERT INTO test.t VALUES (42), (NULL)")
        .unwrap();
    let port = server.port();

    server.kill9();
    assert!(matches!(client.query("SELECT 1"), Err(ClientError::Io(_))));
    assert!(Connection::tcp(server.address()).is_err());

    server.restart();
    assert_eq!(server.port(), port);
    let rows = server.query("SELECT a FROM test.t");
    assert_eq!(rows, [[Some("42".to_owned())], [None]]);

    server.stop();
    server.restart();
    assert_eq!(
        server.query("SELECT COUNT(*) FROM test.t"),
        [[Some("2".to_owned())]]
    );
}

#[test]
fn a_paused_server_answers_nothing_until_it_goes_on() {
    let server = MariaDb::start(&[]);
    let mut client = Client::connect(server.address(), "app", "app").unwrap();
    server.pause();
    client.send_query("SELECT 7").unwrap();
    client
        .connection()
        .set_timeout(Duration::from_millis(200))
        .unwrap();
    assert!(
        matches!(client.connection().read_packet(), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    );
    server.resume();
    client.connection().set_timeout(SOON).unwrap();
    let results = client.read_results().unwrap();
    assert_eq!(results[0].text(), [[Some("7".to_owned())]]);
}

#[test]
fn servers_run_side_by_side_and_leave_nothing_behind() {
    let first = MariaDb::start(&["--log-bin"]);
    let second = MariaDb::start(&[]);
    assert_ne!(first.port(), second.port());
    assert_eq!(first.query("SELECT @@log_bin"), [[Some("1".to_owned())]]);
    assert_eq!(second.query("SELECT @@log_bin"), [[Some("0".to_owned())]]);
    let (process, directory) = (first.id(), first.directory().to_owned());
    drop(first);
    assert!(!Path::new(&format!("/proc/{process}")).exists());
    assert!(!directory.exists());
    assert_eq!(second.query("SELECT 1"), [[Some("1".to_owned())]]);
}

#[test]
fn hanging_up_before_login_blocks_the_host() {
    let server = MariaDb::start(&["--max-connect-errors=5"]);
    let source = Ipv4Addr::new(127, 0, 0, 2).into();
    for _ in 0..5 {
        let mut connection = Connection::tcp_from(source, server.address()).unwrap();
        connection.read_packet().unwrap();
    }
    // A login that comes before the server has noticed all of them would start the count anew.
    wait::until("the server noticed", SOON, || {
        let aborted = server.query("SHOW GLOBAL STATUS LIKE 'Aborted_connects'");
        aborted[0][1].as_deref() == Some("5")
    });
    let blocked = Login::new("app", "app")
        .connect(Connection::tcp_from(source, server.address()).unwrap())
        .unwrap_err();
    assert_eq!(blocked.code(), Some(ER_HOST_IS_BLOCKED));
    Client::connect(server.address(), "app", "app").unwrap();
}

#[test]
fn the_client_reads_what_the_server_says() {
    let server = MariaDb::start(&[]);
    for login in [
        Login::new("app", "app"),
        Login::new("app", "app").without(Capabilities::DEPRECATE_EOF),
    ] {
        let connection = Connection::tcp(server.address()).unwrap();
        let mut client = login.database("test").connect(connection).unwrap();
        let results = client
            .query_all("SELECT 1 AS one, NULL; DO 1; SELECT 'x' FROM mysql_no_such")
            .unwrap_err();
        assert_eq!(results.code(), Some(ER_NO_SUCH_TABLE));
        let results = client
            .query_all("SELECT 1 AS one, NULL; DO 1; SELECT REPEAT('x', 20000000)")
            .unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(results[0].columns, ["one", "NULL"]);
        assert_eq!(results[0].text(), [[Some("1".to_owned()), None]]);
        assert_eq!(results[2].rows[0][0].as_ref().unwrap().len(), 20_000_000);
        assert_eq!(client.value("SELECT DATABASE()").unwrap(), "test");
        client.ping().unwrap();
        client.reset_connection().unwrap();
        client.quit().unwrap();
    }
    let error = Client::connect(server.address(), "app", "wrong").unwrap_err();
    assert_eq!(error.code(), Some(ER_ACCESS_DENIED_ERROR));
    assert!(
        error
            .to_string()
            .starts_with("ERROR 1045 (28000): Access denied"),
        "{error}"
    );
}

#[test]
fn mysql97_takes_every_way_to_log_in() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    assert!(
        server.query("SELECT VERSION()")[0][0]
            .as_ref()
            .unwrap()
            .starts_with("9.7.")
    );
    let path = |user, password| {
        Client::connect(server.address(), user, password).map(|client| client.auth_path())
    };
    assert_eq!(path("app", "app").unwrap(), AuthPath::Rsa);
    assert_eq!(path("app", "app").unwrap(), AuthPath::Fast);
    server.query("FLUSH PRIVILEGES");
    assert_eq!(path("app", "app").unwrap(), AuthPath::Rsa);
    assert_eq!(path("sha256", "sha256").unwrap(), AuthPath::Rsa);
    assert_eq!(
        path("app", "wrong").unwrap_err().code(),
        Some(ER_ACCESS_DENIED_ERROR)
    );
    assert_eq!(
        path("appssl", "app").unwrap_err().code(),
        Some(ER_ACCESS_DENIED_ERROR)
    );
    let client = Client::connect_unix(&server.socket(), "adm", "adm").unwrap();
    assert_eq!(client.auth_path(), AuthPath::Clear);

    let query_attributes = Login::new("app", "app").with(Capabilities::QUERY_ATTRIBUTES);
    let mut client = query_attributes
        .connect(Connection::tcp(server.address()).unwrap())
        .unwrap();
    assert!(
        client
            .capabilities()
            .contains(Capabilities::QUERY_ATTRIBUTES)
    );
    assert_eq!(
        client.value("SELECT 'with attributes'").unwrap(),
        "with attributes"
    );

    let mut mysql = testkit::command::mysql97(server.address());
    mysql.arg("--execute=SELECT CURRENT_USER()");
    let output = process::run(mysql, SOON).expect_success();
    assert_eq!(output, b"adm@%\n");
}

#[test]
fn command_line_clients_run() {
    let server = MariaDb::start(&[]);
    let mut mariadb = testkit::command::mariadb(server.address());
    mariadb.arg("--execute=CREATE TABLE test.t AS SELECT 1 AS a; SHOW STATUS LIKE 'Ssl_cipher'");
    assert_eq!(
        process::run(mariadb, SOON).expect_success(),
        b"Ssl_cipher\t\n"
    );

    let mut dump = testkit::command::mariadb_dump(server.address());
    dump.arg("test");
    let dump = process::run(dump, SOON).expect_success();
    assert!(
        String::from_utf8_lossy(&dump).contains("INSERT INTO `t` VALUES\n(1)"),
        "{}",
        String::from_utf8_lossy(&dump)
    );

    for arguments in [
        &["prepare"][..],
        &["--threads=2", "--events=20", "--time=0", "run"],
    ] {
        let mut sysbench = testkit::command::sysbench(server.address(), "oltp_read_write");
        sysbench.args(arguments);
        process::run(sysbench, 6 * SOON).expect_success();
    }
    assert_eq!(
        server.query("SELECT COUNT(*) FROM sbtest.sbtest1"),
        [[Some("1000".to_owned())]]
    );
}

const ER_ACCESS_DENIED_ERROR: u16 = 1045;
const ER_HOST_IS_BLOCKED: u16 = 1129;
const ER_NO_SUCH_TABLE: u16 = 1146;
