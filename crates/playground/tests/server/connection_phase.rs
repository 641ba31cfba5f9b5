//! Who gets in, and how.

use playground::{DATABASE, USER};
use protocol::Capabilities;
use protocol::auth::{CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD};
use testkit::{AuthPath, Login};

use crate::{connect_with, login, server};

#[test]
fn both_plugins_log_in() {
    let server = server();
    for (plugin, path) in [
        (CACHING_SHA2_PASSWORD, AuthPath::Fast),
        (MYSQL_NATIVE_PASSWORD, AuthPath::Scramble),
        // Not one of ours: the server names one that is.
        (b"mysql_clear_password".as_slice(), AuthPath::Fast),
    ] {
        let mut client = connect_with(&server, &login().plugin(plugin)).unwrap();
        assert_eq!(client.auth_path(), path);
        assert_eq!(client.value("SELECT @@hostname").unwrap(), "a");
    }
}

#[test]
fn clients_without_plugins_log_in_as_in_4_1() {
    let server = server();
    let old = login()
        .without(Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_DATA)
        .plugin(MYSQL_NATIVE_PASSWORD);
    let mut client = connect_with(&server, &old).unwrap();
    client.ping().unwrap();
}

#[test]
fn strangers_stay_out() {
    let server = server();
    for plugin in [CACHING_SHA2_PASSWORD, MYSQL_NATIVE_PASSWORD] {
        for (user, password) in [
            (USER, "wrong"),
            (USER, ""),
            ("root", "playground"),
            ("", ""),
        ] {
            let login = Login::new(user, password).plugin(plugin);
            let error = connect_with(&server, &login).unwrap_err();
            assert_eq!(error.code(), Some(1045), "{user}: {error}");
        }
    }
    let elsewhere = login().database("elsewhere");
    let error = connect_with(&server, &elsewhere).unwrap_err();
    assert_eq!(error.code(), Some(1049));
}

#[test]
fn the_database_is_the_login_s() {
    let server = server();
    let mut client = connect_with(&server, &login().database(DATABASE)).unwrap();
    assert_eq!(client.value("SELECT DATABASE()").unwrap(), DATABASE);
    let mut client = connect_with(&server, &login()).unwrap();
    assert_eq!(client.value("SELECT DATABASE()").unwrap(), "NULL");
    assert_eq!(
        client.value("SELECT USER()").unwrap(),
        format!("{USER}@127.0.0.1")
    );
}

#[test]
fn the_playground_s_own_client() {
    let server = server();
    let mut client = playground::Client::connect(server.address()).unwrap();
    assert_eq!(client.value("SELECT @@hostname").unwrap(), "a");
    let titles = client
        .value("SELECT title, id FROM films ORDER BY id")
        .unwrap();
    assert_eq!(titles, "Metropolis");
    assert_eq!(client.value("SELECT NULL").unwrap(), "");
    let error = client.value("SELECT * FROM missing").unwrap_err();
    assert!(error.to_string().starts_with("ERROR 1146: "), "{error}");
    assert_eq!(client.value("SELECT DATABASE()").unwrap(), DATABASE);
}
