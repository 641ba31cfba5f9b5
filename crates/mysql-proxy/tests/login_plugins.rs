//! Logins that the proxy relays without a part in them: MariaDB's signatures, and several factors of MySQL.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use testkit::{Finished, MariaDb118, Mysql97, ProxyProcess, command, process};

const DEADLINE: Duration = Duration::from_secs(30);

fn proxy(backend: &str, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={backend}");
    let options = [&[backend.as_str()], options].concat();
    ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &options)
}

/// MariaDB 11.8's own client, under TLS or not; the certificate is nobody's business here.
fn mariadb118(address: SocketAddr, is_secure: bool, user: &str, password: &str) -> Finished {
    let mut client = process::command(MariaDb118::prefix().join("bin/mariadb"));
    client.args(["--no-defaults", "--batch", "--skip-column-names"]);
    client.args(match is_secure {
        true => ["--ssl", "--skip-ssl-verify-server-cert"],
        false => ["--skip-ssl", "--protocol=tcp"],
    });
    client.arg(format!("--host={}", address.ip()));
    client.arg(format!("--port={}", address.port()));
    client.arg(format!("--user={user}"));
    client.arg(format!("--password={password}"));
    let cipher = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    client.arg(format!("--execute=SELECT CURRENT_USER(); {cipher}"));
    process::run(client, DEADLINE)
}

/// The signature is over what the server said to the client, so it must arrive as it was said.
fn signs(plugin: &str) {
    let Some(server) = MariaDb118::start(&[]) else {
        return;
    };
    let library = MariaDb118::prefix().join(format!("usr/lib/mysql/plugin/auth_{plugin}.so"));
    if !library.is_file() {
        return testkit::skip(&format!("needs MariaDB's plugin auth_{plugin}"));
    }
    server.query(&format!("INSTALL SONAME 'auth_{plugin}'"));
    server.query(&format!(
        "CREATE USER signs@'%' IDENTIFIED VIA {plugin} USING PASSWORD('signs')"
    ));
    for (mode, is_client_secure, is_server_secure) in [
        ("DISABLED", false, false),
        ("DISABLED", true, false),
        ("REQUIRED", false, true),
        ("AS_CLIENT", true, true),
    ] {
        let mode = format!("--server-ssl-mode={mode}");
        let proxy = proxy(&server.address().to_string(), &[&mode]);
        let said = mariadb118(proxy.address(), is_client_secure, "signs", "signs");
        let text = said.text();
        assert!(text.starts_with("signs@%\n"), "{mode}: {}", said.stderr);
        let has_cipher = !text.trim_end().ends_with("Ssl_cipher");
        assert_eq!(has_cipher, is_server_secure, "{mode}: {text}");
        let said = mariadb118(proxy.address(), is_client_secure, "signs", "wrong");
        assert!(
            said.stderr.contains("ERROR 1045"),
            "{mode}: {}",
            said.stderr
        );
    }
}

#[test]
fn mariadb_ed25519() {
    signs("ed25519");
}

#[test]
fn mariadb_parsec() {
    signs("parsec");
}

/// A password, and being a certain user of the operating system: the proxy's, which the server's Unix socket shows.
#[test]
fn mysql97_asks_for_two_factors() {
    let options = [
        "--authentication-policy=*,*,",
        "--plugin-load-add=auth_socket.so",
    ];
    let Some(server) = Mysql97::start(&options) else {
        return;
    };
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let me = me.ok().flatten().expect("we are somebody").name;
    for (user, second) in [("two", me.as_str()), ("other", "nobody-else")] {
        server.query(&format!(
            "CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY 'first' AND IDENTIFIED WITH auth_socket AS '{second}'"
        ));
    }
    let proxy = proxy(&server.socket().display().to_string(), &[]);
    let log_in = |client: Command, user: &str, password: &str| {
        let mut client = client;
        client.arg(format!("--user={user}"));
        client.args([&format!("--password1={password}"), "--password2=none"]);
        client.arg("--execute=SELECT CURRENT_USER()");
        process::run(client, DEADLINE)
    };
    for _cold_and_warm in 0..2 {
        let said = log_in(command::mysql97(proxy.address()), "two", "first");
        assert_eq!(said.text(), "two@%\n", "{}", said.stderr);
    }
    for (user, password) in [("two", "wrong"), ("other", "first")] {
        let said = log_in(command::mysql97(proxy.address()), user, password);
        assert!(
            said.stderr.contains("Access denied"),
            "{user}: {}",
            said.stderr
        );
    }
}
