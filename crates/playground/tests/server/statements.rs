//! COM_QUERY and the smaller commands.

use playground::DATABASE;
use protocol::{Capabilities, Command, StatusFlags};
use testkit::Client;

use crate::{connect, connect_with, error_code, login, server};

fn text(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let rows = client
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    rows.text()
        .into_iter()
        .map(|row| row.into_iter().map(or_null).collect())
        .collect()
}

#[test]
fn the_sample_table() {
    let server = server();
    let mut client = connect(&server);
    for sql in [
        "SELECT title, released, minutes FROM films WHERE id = 1",
        "SELECT title, released, minutes FROM `playground`.`films` LIMIT 0, 1",
    ] {
        let rows = client.query(sql).unwrap();
        assert_eq!(rows.columns, ["title", "released", "minutes"]);
        assert_eq!(
            text(&mut client, sql),
            [["Metropolis", "1927-01-10", "153"]]
        );
    }
    let unknown = text(
        &mut client,
        "SELECT minutes FROM films WHERE title = 'Häxan'",
    );
    assert_eq!(unknown, [["NULL"]]);
}

#[test]
fn what_clients_ask_when_they_connect() {
    let server = server();
    let mut client = connect(&server);
    let first = client.query("select @@version_comment limit 1").unwrap();
    assert_eq!(first.columns, ["@@version_comment"]);
    assert!(text(&mut client, "select @@version_comment limit 1")[0][0].contains("server a"));
    for sql in [
        "SET NAMES utf8mb4",
        "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'",
        "SET autocommit=1, SESSION sql_mode = 'ANSI', @@session.time_zone = '+00:00'",
        "SET sql_mode=CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')",
        "SET character_set_results = NULL",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
        "/* mysql-connector */ SELECT @@session.auto_increment_increment AS auto_increment_increment",
        "SELECT @@max_allowed_packet, @@wait_timeout, @@socket",
        "SELECT DATABASE(), USER(), VERSION(), CONNECTION_ID(), NOW()",
        "SHOW VARIABLES LIKE 'max\\_allowed%'",
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('autocommit', 'sql_mode')",
        "SHOW FULL TABLES FROM playground LIKE 'f%'",
        "SHOW STATUS",
        "SHOW COLLATION",
        "SHOW ENGINES",
        "SHOW PROCESSLIST",
        "SHOW CREATE TABLE films",
        "EXPLAIN SELECT * FROM films",
        "USE playground",
    ] {
        client
            .query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(client.value("SELECT @@time_zone").unwrap(), "+00:00");
    assert_eq!(client.value("SELECT DATABASE()").unwrap(), DATABASE);
    assert_eq!(text(&mut client, "SHOW DATABASES"), [[DATABASE]]);
    assert_eq!(text(&mut client, "SHOW TABLES"), [["films"]]);
    let columns = text(&mut client, "DESCRIBE films");
    assert_eq!(columns.len(), 6);
    assert_eq!(columns[0][..4], ["id", "integer", "NO", "PRI"]);
    assert_eq!(
        text(&mut client, "SHOW COLUMNS FROM films LIKE 'title'")[0][0],
        "title"
    );
    client.query("SET @counter = 1 + 1").unwrap();
    assert_eq!(client.value("SELECT @counter").unwrap(), "2");
    assert_eq!(client.value("SELECT @unset").unwrap(), "NULL");
}

#[test]
fn errors_have_mysql_s_codes() {
    let server = server();
    let mut client = connect(&server);
    for (sql, code) in [
        ("SELECT * FROM missing", 1146),
        ("DROP TABLE missing", 1051),
        ("SHOW CREATE TABLE missing", 1146),
        ("DESCRIBE missing", 1146),
        ("SELECT missing FROM films", 1054),
        ("INSERT INTO films (missing) VALUES (1)", 1054),
        ("SELCT 1", 1064),
        ("SELECT FROM WHERE", 1064),
        ("SELECT 'open", 1064),
        ("SELECT (1", 1064),
        ("", 1065),
        ("-- missing", 1065),
        (
            "INSERT INTO films (id, title, director) VALUES (1, 'x', 'y')",
            1062,
        ),
        (
            "INSERT INTO films (title, director) VALUES ('Metropolis', 'y')",
            1062,
        ),
        ("INSERT INTO films (title) VALUES ('x')", 1048),
        ("INSERT INTO films (id, title) VALUES (1)", 1136),
        ("CREATE TABLE films (a INT)", 1050),
        ("CREATE TABLE t (a INT, a INT)", 1060),
        ("CREATE DATABASE x", 1044),
        ("SELECT id FROM films a, films b", 1052),
        ("SELECT missing(1)", 1305),
        ("SELECT abs()", 1582),
        ("SELECT abs(-9223372036854775807 - 1)", 1690),
        ("SELECT (SELECT 1, 2)", 1241),
        ("USE elsewhere", 1049),
        ("SHOW TABLES FROM elsewhere", 1049),
        ("SHOW BINARY LOGS", 1235),
        ("SELECT @@missing", 1193),
        ("SET missing = 1", 1193),
        ("SET hostname = 'b'", 1238),
        ("SET autocommit = 7", 1231),
        ("SET autocommit = 'maybe'", 1231),
        ("SET GLOBAL autocommit = 1", 1235),
        ("ROLLBACK TO nowhere", 1305),
        ("SELECT ?", 1210),
        ("KILL 4000000000", 1094),
    ] {
        assert_eq!(error_code(&mut client, sql), code, "{sql}");
    }
    assert_eq!(error_code(&mut client, "SELECT * FROM missing"), 1146);
    let shown = text(&mut client, "SHOW WARNINGS");
    assert_eq!(shown[0][..2], ["Error", "1146"]);
    assert_eq!(client.value("SELECT @@error_count").unwrap(), "1");
    assert!(text(&mut client, "SHOW WARNINGS").is_empty());
}

#[test]
fn no_statement_reaches_a_file() {
    let server = server();
    let mut client = connect(&server);
    for sql in [
        "ATTACH DATABASE '/tmp/playground-leak' AS leak",
        "VACUUM INTO '/tmp/playground-leak'",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT load_extension('/tmp/playground-leak')",
        "SELECT readfile('/etc/hostname')",
        "SELECT writefile('/tmp/playground-leak', 'x')",
        "WITH x AS (SELECT 1) ATTACH DATABASE '/tmp/playground-leak' AS leak",
        "EXPLAIN ATTACH DATABASE '/tmp/playground-leak' AS leak",
    ] {
        client.query_all(sql).expect_err(sql);
    }
    assert!(!std::path::Path::new("/tmp/playground-leak").exists());
}

#[test]
fn transactions_and_their_status() {
    let server = server();
    let (mut client, mut other) = (connect(&server), connect(&server));
    let idle = StatusFlags::AUTOCOMMIT;
    let open = StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS;
    let mut status = |sql: &str| client.query(sql).unwrap().status;
    assert_eq!(status("SELECT 1"), idle);
    assert_eq!(status("BEGIN"), open);
    assert_eq!(status("DELETE FROM films WHERE id = 1"), open);
    assert_eq!(status("ROLLBACK"), idle);
    assert_eq!(other.value("SELECT count(*) FROM films").unwrap(), "5");
    assert_eq!(status("START TRANSACTION READ WRITE"), open);
    assert_eq!(status("DELETE FROM films WHERE id = 1"), open);
    assert_eq!(status("SAVEPOINT here"), open);
    assert_eq!(status("DELETE FROM films"), open);
    assert_eq!(status("ROLLBACK TO here"), open);
    assert_eq!(status("COMMIT"), idle);
    assert_eq!(other.value("SELECT count(*) FROM films").unwrap(), "4");

    assert_eq!(status("SET autocommit = OFF"), StatusFlags::empty());
    assert_eq!(status("SELECT 1"), StatusFlags::empty());
    assert_eq!(status("SELECT count(*) FROM films"), StatusFlags::IN_TRANS);
    assert_eq!(status("CREATE TABLE t (a INT)"), StatusFlags::empty());
    assert_eq!(status("INSERT INTO t VALUES (1)"), StatusFlags::IN_TRANS);
    assert_eq!(status("SET autocommit = 1"), idle);
    assert_eq!(other.value("SELECT count(*) FROM t").unwrap(), "1");
}

#[test]
fn generated_ids_and_affected_rows() {
    let server = server();
    let mut client = connect(&server);
    client
        .query("CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, a VARCHAR(9)) ENGINE=InnoDB")
        .unwrap();
    let inserted = client
        .query("INSERT INTO t (a) VALUES ('x'), ('y'), ('z')")
        .unwrap();
    assert_eq!((inserted.affected_rows, inserted.last_insert_id), (3, 1));
    let inserted = client.query("INSERT INTO t (a) VALUES ('x')").unwrap();
    assert_eq!((inserted.affected_rows, inserted.last_insert_id), (1, 4));
    assert_eq!(client.value("SELECT LAST_INSERT_ID()").unwrap(), "4");
    let updated = client.query("UPDATE t SET a = 'w' WHERE id > 1").unwrap();
    assert_eq!((updated.affected_rows, updated.last_insert_id), (3, 0));
    assert_eq!(client.query("TRUNCATE TABLE t").unwrap().affected_rows, 0);
    assert_eq!(
        client
            .query("INSERT IGNORE INTO t VALUES (1, 'x'), (1, 'y')")
            .unwrap()
            .affected_rows,
        1
    );
}

#[test]
fn several_statements_where_negotiated() {
    let server = server();
    for eof in [Capabilities::empty(), Capabilities::DEPRECATE_EOF] {
        let mut client = connect_with(&server, &login().without(eof)).unwrap();
        let results = client
            .query_all("SELECT 1; SET @a = 2; SELECT @a, 3;")
            .unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(results[2].text(), [[Some("2".into()), Some("3".into())]]);
        assert_eq!(error_code(&mut client, "SELECT 1; SELCT 2; SELECT 3"), 1064);
        client.ping().unwrap();

        client.send_command(Command::SET_OPTION, &[1, 0]).unwrap();
        client.read_payload().unwrap();
        assert_eq!(error_code(&mut client, "SELECT 1; SELECT 2"), 1064);
        client.send_command(Command::SET_OPTION, &[0, 0]).unwrap();
        client.read_payload().unwrap();
        assert_eq!(client.query_all("SELECT 1; SELECT 2").unwrap().len(), 2);
    }
    let single = login().without(Capabilities::MULTI_STATEMENTS);
    let mut client = connect_with(&server, &single).unwrap();
    assert_eq!(error_code(&mut client, "SELECT 1; SELECT 2"), 1064);
    assert_eq!(client.query_all("SELECT 1;").unwrap().len(), 1);
}

#[test]
fn session_changes_are_told_where_negotiated() {
    let server = server();
    let tracked = login().with(Capabilities::SESSION_TRACK);
    let mut client = connect_with(&server, &tracked).unwrap();
    client
        .send_command(Command::INIT_DB, DATABASE.as_bytes())
        .unwrap();
    let ok = client.read_ok().unwrap();
    assert!(ok.status.contains(StatusFlags::SESSION_STATE_CHANGED));
    assert_eq!(ok.info, b"\x00\x0d\x01\x0b\x0aplayground");
    let mut client = connect(&server);
    client
        .send_command(Command::INIT_DB, DATABASE.as_bytes())
        .unwrap();
    assert!(client.read_ok().unwrap().info.is_empty());
    client.send_command(Command::INIT_DB, b"elsewhere").unwrap();
    assert_eq!(client.read_ok().unwrap_err().code(), Some(1049));
}

#[test]
fn a_reset_forgets_what_the_session_was_told() {
    let server = server();
    let mut client = connect(&server);
    client
        .query_all("SET @a = 1, time_zone = '+01:00'; CREATE TEMPORARY TABLE t (a INT); BEGIN; DELETE FROM films")
        .unwrap();
    client.reset_connection().unwrap();
    assert_eq!(
        client.query("SELECT @a").unwrap().status,
        StatusFlags::AUTOCOMMIT
    );
    assert_eq!(client.value("SELECT @a").unwrap(), "NULL");
    assert_eq!(client.value("SELECT @@time_zone").unwrap(), "SYSTEM");
    assert_eq!(client.value("SELECT count(*) FROM films").unwrap(), "5");
    assert_eq!(error_code(&mut client, "SELECT * FROM t"), 1146);
}

#[test]
fn smaller_commands() {
    let server = server();
    for eof in [Capabilities::empty(), Capabilities::DEPRECATE_EOF] {
        let mut client = connect_with(&server, &login().without(eof)).unwrap();
        client.send_command(Command::STATISTICS, &[]).unwrap();
        let statistics = client.read_payload().unwrap();
        assert!(statistics.starts_with(b"Uptime: "));

        client
            .send_command(Command::FIELD_LIST, b"films\0")
            .unwrap();
        let mut columns = 0;
        while client.read_payload().unwrap().first() != Some(&0xfe) {
            columns += 1;
        }
        assert_eq!(columns, 6);
        client
            .send_command(Command::FIELD_LIST, b"missing\0")
            .unwrap();
        assert_eq!(client.read_payload().unwrap_err().code(), Some(1146));
        client.send_command(Command::BINLOG_DUMP, &[0; 10]).unwrap();
        assert_eq!(client.read_payload().unwrap_err().code(), Some(1047));
        client.ping().unwrap();
    }
}

#[test]
fn a_result_above_16_mib_and_one_that_is_too_large() {
    let server = server();
    let mut client = connect(&server);
    let blob = client.query("SELECT zeroblob(20000000) AS b").unwrap();
    assert_eq!(blob.rows[0][0].as_ref().map(Vec::len), Some(20_000_000));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, zeroblob(1000000) FROM n";
    assert_eq!(error_code(&mut client, endless), 1041);
    client.ping().unwrap();
}

#[test]
fn writers_wait_for_each_other_and_give_up() {
    let server = server();
    let (mut first, mut second) = (connect(&server), connect(&server));
    first
        .query_all("BEGIN; DELETE FROM films WHERE id = 1")
        .unwrap();
    assert_eq!(
        error_code(&mut second, "DELETE FROM films WHERE id = 2"),
        1205
    );
    first.query("COMMIT").unwrap();
    second.query("DELETE FROM films WHERE id = 2").unwrap();
}
