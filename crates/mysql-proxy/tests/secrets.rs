//! What must never stand in a log, at any level: passwords, as they are or as they were proved, and what was said with them.

mod scripted;

use std::net::SocketAddr;

use testkit::{Client, Connection, Login, MariaDb, Mysql97, ProxyProcess, Server};

use scripted::{BINARY, plugin_address};

/// Unlike anything else, so that finding it says something.
const SECRETS: [&str; 5] = [
    "correct-horse-battery",
    "staple-of-the-operator",
    "a-wrong-guess",
    "value-in-a-statement",
    "a-users-second-password",
];

fn proxy(server: &Server, more: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    let options = [
        backend.as_str(),
        "--log-level=debug",
        "--plugins=proxy,admin",
        "--admin-address=127.0.0.1:0",
        "--admin-username=operator",
        "--admin-password=staple-of-the-operator",
    ];
    ProxyProcess::start(BINARY, &[&options, more].concat())
}

/// Right and wrong logins, a change of user, statements with secrets in them, a syntax error.
fn tell_secrets(address: SocketAddr, login: impl Fn(&str, &str) -> Login) {
    let connect = |user: &str, password: &str| {
        login(user, password).connect(Connection::tcp(address).expect("it listens"))
    };
    let mut client = connect("keeper", SECRETS[0]).expect("the password is right");
    connect("keeper", SECRETS[2]).expect_err("the password is wrong");
    client
        .query("SELECT 'value-in-a-statement'")
        .expect("a row");
    client
        .query("SELECT 'value-in-a-statement' FROM FROM")
        .expect_err("it is no statement");
    let change = login("second", SECRETS[4]).change_user(&mut client);
    change.expect("the password is right");
    drop(
        connect("keeper", SECRETS[0])
            .expect("the password is right")
            .into_connection()
            .reset(),
    );
}

fn nothing_is_told(server: &Server, more: &[&str], login: impl Fn(&str, &str) -> Login) {
    for (user, password) in [("keeper", SECRETS[0]), ("second", SECRETS[4])] {
        server.query(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{password}'"
        ));
    }
    let mut proxy = proxy(server, more);
    tell_secrets(proxy.address(), login);
    let admin = plugin_address(&proxy, "admin");
    Client::connect(admin, "operator", "a-wrong-guess").expect_err("it is wrong");
    let mut operator = Client::connect(admin, "operator", SECRETS[1]).expect("it is right");
    let settings = operator.query("SHOW SETTINGS").expect("rows");
    let shown = format!("{:?}", settings.text());
    assert!(!shown.contains(SECRETS[1]) && shown.contains("admin-password"));
    drop(operator);
    assert_eq!(proxy.terminate().code(), Some(0));
    assert!(proxy.count_in_log("denied") >= 1, "{:#?}", proxy.log());
    for line in proxy.stderr().iter().chain(&proxy.log()) {
        let told = SECRETS.iter().find(|secret| line.contains(**secret));
        assert_eq!(told, None, "{line}");
    }
}

#[test]
fn mariadb() {
    nothing_is_told(&MariaDb::start(&[]), &[], Login::new);
}

#[test]
fn mysql97_with_tls_and_without() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    nothing_is_told(&server, &[], Login::new);
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    nothing_is_told(
        &server,
        &["--server-ssl-mode=DISABLED"],
        |user, password| Login::new(user, password).tls(),
    );
}
