//! mysql_async and MariaDB's command line.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Opts, OptsBuilder};
use playground::{DATABASE, PASSWORD, Server, USER};
use testkit::process;

use crate::server;

fn opts(server: &Server) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(server.address().ip().to_string())
        .tcp_port(server.address().port())
        .prefer_socket(false)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(Some(DATABASE))
}

async fn connect(server: &Server) -> Conn {
    Conn::new(Opts::from(opts(server)))
        .await
        .expect("the server and the command line get on")
}

#[tokio::test]
async fn mysql_async_reads_and_writes() {
    let server = server();
    let mut connection = connect(&server).await;
    let titles: Vec<String> = connection
        .query("SELECT title FROM films ORDER BY id LIMIT 2")
        .await
        .unwrap();
    assert_eq!(titles, ["Metropolis", "The General"]);
    let found: Option<(i32, String, Option<i16>, f64)> = connection
        .exec_first(
            "SELECT id, title, minutes, score FROM films WHERE title LIKE ?",
            ("H%",),
        )
        .await
        .unwrap();
    assert_eq!(found, Some((5, "Häxan".into(), None, 7.6)));

    let mut transaction = connection
        .start_transaction(Default::default())
        .await
        .unwrap();
    transaction.query_drop("DELETE FROM films").await.unwrap();
    assert_eq!(transaction.affected_rows(), 5);
    transaction.rollback().await.unwrap();

    let error = connection
        .query_drop("SELECT * FROM missing")
        .await
        .unwrap_err();
    let mysql_async::Error::Server(error) = error else {
        panic!("{error}");
    };
    assert_eq!((error.code, error.state.as_str()), (1146, "42S02"));
    connection.ping().await.unwrap();
    assert!(connection.reset().await.unwrap());
    connection.disconnect().await.unwrap();
}

#[tokio::test]
async fn mysql_async_changes_user() {
    let server = server();
    let mut connection = connect(&server).await;
    connection.query_drop("SET @a = 1").await.unwrap();
    let again = ChangeUserOpts::new()
        .with_user(Some(USER.to_owned()))
        .with_pass(Some(PASSWORD.to_owned()))
        .with_db_name(Some(DATABASE.to_owned()));
    connection.change_user(again).await.unwrap();
    let a: Option<Option<i64>> = connection.query_first("SELECT @a").await.unwrap();
    assert_eq!(a, Some(None));
    let wrong = ChangeUserOpts::new().with_pass(Some("wrong".to_owned()));
    let error = connection.change_user(wrong).await.unwrap_err();
    assert!(error.to_string().contains("1045"), "{error}");
}

/// The command line's output for what it is given.
fn mariadb(server: &Server, arguments: &[&str]) -> String {
    let mut command = process::command("mariadb");
    command
        .args(["--no-defaults", "--skip-ssl", "--protocol=tcp", "--batch"])
        .arg(format!("--host={}", server.address().ip()))
        .arg(format!("--port={}", server.address().port()))
        .args([format!("--user={USER}"), format!("--password={PASSWORD}")])
        .args(arguments);
    let finished = process::run(command, Duration::from_secs(20));
    String::from_utf8(finished.expect_success()).expect("the server and the command line get on")
}

#[test]
fn the_mariadb_command_line() {
    let server = server();
    let sql = "SELECT @@hostname; SHOW TABLES; USE playground; SELECT DATABASE(), title FROM films WHERE id = 1";
    assert_eq!(
        mariadb(&server, &["--execute", sql]),
        "@@hostname\na\nTables_in_playground\nfilms\nDATABASE()\ttitle\nplayground\tMetropolis\n"
    );
    // With names for completion, by COM_FIELD_LIST.
    let completed = mariadb(
        &server,
        &[
            "--auto-rehash",
            "--database=playground",
            "--execute",
            "SELECT 1",
        ],
    );
    assert_eq!(completed, "1\n1\n");
    for plugin in ["mysql_native_password", "caching_sha2_password"] {
        let default = format!("--default-auth={plugin}");
        let answer = mariadb(&server, &[&default, "--execute", "SELECT 'x' AS y"]);
        assert_eq!(answer, "y\nx\n");
    }
}
