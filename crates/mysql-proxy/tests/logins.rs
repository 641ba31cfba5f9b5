//! Who logs in, and how: the server decides, with the same words and by the same exchange as without the proxy.

use std::{net::SocketAddr, time::Duration};

use protocol::Capabilities;
use testkit::{
    AuthPath, Client, ClientError, Connection, Login, MariaDb, Mysql97, ProxyProcess, Server,
    command, process,
};

const DEADLINE: Duration = Duration::from_secs(30);

const BAD_DB_ERROR: u16 = 1049;
const ACCESS_DENIED_ERROR: u16 = 1045;
const DBACCESS_DENIED_ERROR: u16 = 1044;
/// The proxy's answer where the server closed meanwhile.
const SERVER_LOST: u16 = 2013;

fn proxy(server: &Server) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &[&backend])
}

fn log_in(login: &Login, address: SocketAddr) -> Result<Client, ClientError> {
    login.connect(Connection::tcp(address)?)
}

/// What came of an attempt: who the server takes the client for and how it proved it, or the error.
fn outcome(client: Result<Client, ClientError>) -> Result<String, ClientError> {
    let mut client = client?;
    let path = client.auth_path();
    let who = client.value("SELECT CONCAT(CURRENT_USER(), ' ', IFNULL(DATABASE(), '-'))")?;
    Ok(format!("{who} {path:?}"))
}

/// Logs in directly and through the proxy; `before` makes both start from the same state.
fn compare(server: &Server, proxy: &ProxyProcess, before: &[&str], login: &Login, expected: &str) {
    for address in [server.address(), proxy.address()] {
        for sql in before {
            server.query(sql);
        }
        let outcome = outcome(log_in(login, address));
        let outcome = outcome.unwrap_or_else(|error| error.to_string());
        assert!(outcome.contains(expected), "{login:?}: {outcome}");
    }
}

/// A wrong password, a database that is not there, one that is not for this user, and nobody: the server's own
/// errors, word by word.
fn compare_refusals(server: &Server, proxy: &ProxyProcess) {
    for (login, code) in [
        (Login::new("app", "wrong"), ACCESS_DENIED_ERROR),
        (Login::new("app", ""), ACCESS_DENIED_ERROR),
        (Login::new("nobody", "app"), ACCESS_DENIED_ERROR),
        (Login::new("", ""), ACCESS_DENIED_ERROR),
        (Login::new("adm", "adm").database("none"), BAD_DB_ERROR),
        (
            Login::new("app", "app").database("mysql"),
            DBACCESS_DENIED_ERROR,
        ),
        (
            Login::new("app", "app")
                .plugin(b"no_such_plugin")
                .database("none"),
            DBACCESS_DENIED_ERROR,
        ),
    ] {
        let refusal = |address| log_in(&login, address).expect_err("it is refused");
        let (direct, proxied) = (refusal(server.address()), refusal(proxy.address()));
        assert_eq!(direct.to_string(), proxied.to_string());
        assert_eq!(proxied.code(), Some(code), "{login:?}");
    }
}

#[test]
fn mariadb_logins() {
    let server = MariaDb::start(&[]);
    server.query("CREATE USER blank@'%' IDENTIFIED BY ''");
    let proxy = proxy(&server);
    let app = Login::new("app", "app");
    for (login, expected) in [
        (app.clone(), "app@% - Scramble"),
        (app.clone().database("test"), "app@% test Scramble"),
        (Login::new("blank", ""), "blank@% - Scramble"),
        (
            app.clone().plugin(b"caching_sha2_password"),
            "app@% - Scramble",
        ),
        (app.clone().plugin(b""), "app@% - Scramble"),
        (
            app.clone()
                .without(Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_DATA),
            "app@% - Scramble",
        ),
        (app.attribute("program_name", "test"), "app@% - Scramble"),
        (Login::new("blank", "not empty"), "ERROR 1045"),
    ] {
        compare(&server, &proxy, &[], &login, expected);
    }
    compare_refusals(&server, &proxy);
}

#[test]
fn mysql97_logins() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    server.query("CREATE USER blank@'%' IDENTIFIED WITH caching_sha2_password BY ''");
    let proxy = proxy(&server);
    let app = Login::new("app", "app");
    let sha256 = Login::new("sha256", "sha256");
    let cold = ["FLUSH PRIVILEGES"];
    for (before, login, expected) in [
        (&cold[..], app.clone(), "app@% - Rsa"),
        (&[], app.clone(), "app@% - Fast"),
        (&cold, app.clone().database("test"), "app@% test Rsa"),
        (
            &cold,
            app.clone().plugin(b"mysql_native_password"),
            "app@% - Rsa",
        ),
        (
            &[],
            app.clone().plugin(b"mysql_native_password"),
            "app@% - Fast",
        ),
        (&[], app.clone().plugin(b"sha256_password"), "app@% - Fast"),
        (&cold, Login::new("app", "wrong"), "ERROR 1045"),
        (&cold, app.clone().attribute("program_name", "test"), "Rsa"),
        (&[], sha256.clone(), "sha256@% - Rsa"),
        (&[], sha256.plugin(b"sha256_password"), "sha256@% - Rsa"),
        (&[], Login::new("blank", ""), "blank@% - Scramble"),
        (&[], Login::new("appssl", "app"), "ERROR 1045"),
    ] {
        compare(&server, &proxy, before, &login, expected);
    }
    log_in(&app, server.address()).unwrap();
    compare_refusals(&server, &proxy);
}

/// The server's answer to a warm login is two packets in a row.
#[test]
fn warm_logins_never_hang() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let proxy = proxy(&server);
    Client::connect(proxy.address(), "app", "app").unwrap();
    for _ in 0..300 {
        let client = Client::connect(proxy.address(), "app", "app").unwrap();
        assert_eq!(client.auth_path(), AuthPath::Fast);
    }
}

#[test]
fn mariadb_change_user() {
    let server = MariaDb::start(&[]);
    server.query("CREATE USER blank@'%' IDENTIFIED BY ''");
    let proxy = proxy(&server);
    compare_changes(
        &server,
        &proxy,
        &[
            (Login::new("adm", "adm"), "adm@% - Scramble, NULL, None"),
            (
                Login::new("app", "app").database("test"),
                "app@% test Scramble, NULL, None",
            ),
            (
                Login::new("adm", "adm").plugin(b"caching_sha2_password"),
                "adm@% - Scramble, NULL, None",
            ),
            (Login::new("blank", ""), "blank@% - Scramble, NULL, None"),
            (Login::new("adm", "wrong"), "1045"),
        ],
    );
}

#[test]
fn mysql97_change_user() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let proxy = proxy(&server);
    compare_changes(
        &server,
        &proxy,
        &[
            (Login::new("adm", "adm"), "adm@% - Rsa, NULL, None"),
            (
                Login::new("app", "app").database("test"),
                "app@% test Fast, NULL, None",
            ),
            (Login::new("sha256", "sha256"), "sha256@% - Rsa, NULL, None"),
            (
                Login::new("sha256", "sha256").plugin(b"sha256_password"),
                "sha256@% - Rsa, NULL, None",
            ),
            (
                Login::new("adm", "adm").plugin(b"mysql_native_password"),
                "adm@% - Fast, NULL, None",
            ),
            (Login::new("adm", "wrong"), "1045"),
        ],
    );
}

/// One session that is somebody else again and again. What it left behind is gone each time.
fn compare_changes(server: &Server, proxy: &ProxyProcess, changes: &[(Login, &str)]) {
    for attributes in [false, true] {
        let with = |login: &Login| match attributes {
            true => login.clone().attribute("program_name", "test"),
            false => login.clone(),
        };
        let [direct, proxied] = [server.address(), proxy.address()].map(|address| {
            server.query("FLUSH PRIVILEGES");
            let client = log_in(&with(&Login::new("app", "app")), address);
            let mut client = client.expect("app gets in");
            let become_one = |(login, expected): &(Login, &str)| {
                let outcome = change(&mut client, &with(login));
                assert!(outcome.contains(expected), "{login:?}: {outcome}");
                outcome
            };
            changes.iter().map(become_one).collect::<Vec<_>>()
        });
        assert_eq!(direct, proxied);
    }
}

/// How the session goes on: MySQL closes it behind a refusal, MariaDB does not.
fn change(client: &mut Client, login: &Login) -> String {
    client.query("SET @left_behind = 1").expect("it is a SET");
    let refusal = login.change_user(client).err();
    let path = client.auth_path();
    let who = "SELECT CONCAT(CURRENT_USER(), ' ', IFNULL(DATABASE(), '-'))";
    let who = match client.value(who) {
        Ok(who) => who,
        Err(error) if matches!(error, ClientError::Io(_)) || error.code() == Some(SERVER_LOST) => {
            return format!("{refusal:?} and closed");
        }
        Err(error) => panic!("{error}"),
    };
    let left_behind = client.value("SELECT @left_behind").expect("it is a value");
    format!("{who} {path:?}, {left_behind}, {refusal:?}")
}

#[test]
fn connection_attributes_arrive() {
    let option = ["--performance-schema=ON"];
    for server in [Some(MariaDb::start(&option)), Mysql97::start(&option)] {
        let Some(server) = server else { continue };
        let proxy = proxy(&server);
        let long = "x".repeat(400);
        let login = Login::new("adm", "adm")
            .database("test")
            .attribute("program_name", "sales report")
            .attribute("colour", "blue");
        let mut client = log_in(&login, proxy.address()).unwrap();
        let attributes = client
            .query(
                "SELECT attr_name, attr_value FROM performance_schema.session_connect_attrs \
                 WHERE processlist_id = CONNECTION_ID() ORDER BY ordinal_position",
            )
            .unwrap()
            .text();
        let expected = [["program_name", "sales report"], ["colour", "blue"]];
        let expected = expected.map(|pair| pair.map(|text| Some(text.to_owned())).to_vec());
        assert_eq!(attributes, expected);
        // Longer than the server keeps: it says nothing of it, and neither does the proxy.
        let login = login
            .attribute("long", &long)
            .attribute("longer", &long.repeat(100));
        assert_eq!(
            outcome(log_in(&login, server.address())).unwrap(),
            outcome(log_in(&login, proxy.address())).unwrap()
        );
    }
}

#[test]
fn the_servers_own_clients_log_in() {
    let mariadb = MariaDb::start(&[]);
    let proxied = proxy(&mariadb);
    let mut client = command::mariadb(proxied.address());
    client.args(["--execute=SELECT CURRENT_USER(), DATABASE()", "test"]);
    let said = process::run(client, DEADLINE).expect_success();
    assert_eq!(said, b"adm@%\ttest\n");
    let mut client = command::mariadb(proxied.address());
    client.args(["--password=wrong", "--execute=SELECT 1"]);
    let said = process::run(client, DEADLINE).stderr;
    assert!(
        said.contains("ERROR 1045 (28000): Access denied for user 'adm'"),
        "{said}"
    );

    let Some(mysql) = Mysql97::start(&[]) else {
        return;
    };
    let proxied = proxy(&mysql);
    for n in 0..10 {
        if n < 2 {
            mysql.query("FLUSH PRIVILEGES");
        }
        let mut client = command::mysql97(proxied.address());
        client.args(["--execute=SELECT CURRENT_USER(), DATABASE()", "test"]);
        let said = process::run(client, DEADLINE).expect_success();
        assert_eq!(said, b"adm@%\ttest\n");
    }
    mysql.query("FLUSH PRIVILEGES");
    for user in ["adm", "sha256"] {
        let mut client = command::mariadb(proxied.address());
        client.arg(format!("--user={user}"));
        client.arg(format!("--password={user}"));
        client.arg("--execute=SELECT CURRENT_USER()");
        let said = process::run(client, DEADLINE).expect_success();
        assert_eq!(said, format!("{user}@%\n").into_bytes());
    }
}
