//! Servers take a Unix socket for as safe as TLS and want to see the password itself there. Where only one side of
//! the proxy is such a transport, the password crosses the other one encrypted, or not at all.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use testkit::{
    AuthPath, Client, ClientError, Connection, Direction, FaultLink, Login, Mysql97, ProxyProcess,
    ScratchDirectory, Server, process,
};

/// Long and unlike anything else, so that finding it, or not, says something.
const PASSWORD: &str = "correct horse battery staple";
const WRONG_PASSWORD: &str = "incorrect horse battery staple";
const CACHING_SHA2: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";
const ACCESS_DENIED_ERROR: u16 = 1045;
const DEADLINE: Duration = Duration::from_secs(30);

/// A server whose TCP side is recorded, and proxies before each of its sides.
struct Mixes {
    server: Server,
    link: FaultLink,
    to_tcp: Sides,
    to_unix: Sides,
}

/// Two proxies before one backend: on a port, and on a Unix socket.
struct Sides {
    port: ProxyProcess,
    socket: PathBuf,
    _on_socket: ProxyProcess,
    _directory: ScratchDirectory,
}

impl Sides {
    fn to(backend: &str) -> Self {
        let directory = ScratchDirectory::new();
        let socket = directory.file("clients");
        let listen = format!("--proxy-address={}", socket.display());
        let backend = format!("--proxy-backend-addresses={backend}");
        let start =
            |options: &[&str]| ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), options);
        Self {
            port: start(&[&backend]),
            socket,
            _on_socket: start(&[&backend, &listen]),
            _directory: directory,
        }
    }

    fn tcp(&self) -> Connection {
        Connection::tcp(self.port.address()).expect("it listens on a port")
    }

    fn unix(&self) -> Connection {
        Connection::unix(&self.socket).expect("it listens on a Unix socket")
    }
}

impl Mixes {
    fn start() -> Option<Self> {
        let server = Mysql97::start(&[])?;
        for plugin in [CACHING_SHA2, SHA256] {
            let user = user(plugin);
            server.query(&format!(
                "CREATE USER {user}@'%' IDENTIFIED WITH {plugin} BY '{PASSWORD}'"
            ));
            server.query(&format!("GRANT ALL ON test.* TO {user}@'%'"));
        }
        let link = FaultLink::to(server.address());
        Some(Self {
            to_tcp: Sides::to(&link.address().to_string()),
            to_unix: Sides::to(&server.socket().display().to_string()),
            server,
            link,
        })
    }

    /// Nobody's password is remembered.
    fn forget_passwords(&self) {
        self.server.query("FLUSH PRIVILEGES");
    }

    fn was_sent_to_server(&self, text: &str) -> bool {
        let recorded = self.link.recorded(Direction::ToServer);
        recorded
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}

fn user(plugin: &str) -> String {
    format!("user_of_{plugin}")
}

fn login(plugin: &str) -> Login {
    Login::new(&user(plugin), PASSWORD).plugin(plugin.as_bytes())
}

/// How a session that has just been logged in was let in; it works.
fn path(client: Result<Client, ClientError>) -> AuthPath {
    let mut client = client.expect("the server lets it in");
    assert_eq!(client.value("SELECT 'a'").expect("it is a value"), "a");
    client.auth_path()
}

/// MySQL's own client, which sends the password itself through a Unix socket.
fn mysql_logs_in(socket: &Path, plugin: &str) {
    let mut mysql = process::command(Mysql97::prefix().join("bin/mysql"));
    mysql.args(["--no-defaults", "--batch", "--skip-column-names"]);
    mysql.arg(format!("--socket={}", socket.display()));
    mysql.arg(format!("--user={}", user(plugin)));
    mysql.arg(format!("--password={PASSWORD}"));
    mysql.arg("--execute=SELECT CURRENT_USER()");
    let said = process::run(mysql, DEADLINE).expect_success();
    assert_eq!(said, format!("{}@%\n", user(plugin)).into_bytes());
}

#[test]
fn a_unix_socket_before_tcp_encrypts_the_password() {
    let Some(mixes) = Mixes::start() else { return };
    let log_in = |login: Login| path(login.connect(mixes.to_tcp.unix()));
    mixes.forget_passwords();
    assert_eq!(log_in(login(CACHING_SHA2)), AuthPath::Clear);
    assert_eq!(log_in(login(CACHING_SHA2)), AuthPath::Fast);
    // It asks for the key on every transport, as PHP's client does.
    assert_eq!(log_in(login(SHA256)), AuthPath::Rsa);
    mixes.forget_passwords();
    let switched = [(CACHING_SHA2, AuthPath::Clear), (SHA256, AuthPath::Rsa)];
    for (plugin, path) in switched {
        let other = login(plugin).plugin(b"mysql_native_password");
        assert_eq!(log_in(other), path, "{plugin}");
    }
    mixes.forget_passwords();
    for plugin in [CACHING_SHA2, SHA256] {
        mysql_logs_in(&mixes.to_tcp.socket, plugin);
        let wrong = Login::new(&user(plugin), WRONG_PASSWORD).connect(mixes.to_tcp.unix());
        let wrong = wrong.expect_err("the password is wrong");
        assert_eq!(wrong.code(), Some(ACCESS_DENIED_ERROR), "{plugin}: {wrong}");
        assert!(mixes.was_sent_to_server(&user(plugin)), "{plugin}");
    }
    for password in [PASSWORD, WRONG_PASSWORD] {
        assert!(!mixes.was_sent_to_server(password));
        // It would have been found.
        let mut client = Client::connect(mixes.to_tcp.port.address(), "app", "app").unwrap();
        client.query(&format!("SELECT '{password}'")).unwrap();
        assert!(mixes.was_sent_to_server(password));
    }
}

#[test]
fn tcp_before_a_unix_socket_gets_a_key_of_the_proxys() {
    let Some(mixes) = Mixes::start() else { return };
    for plugin in [CACHING_SHA2, SHA256] {
        mixes.forget_passwords();
        let link = FaultLink::to(mixes.to_unix.port.address());
        let connect = |login: Login| {
            login.connect(Connection::tcp(link.address()).expect("it listens on a port"))
        };
        assert_eq!(path(connect(login(plugin))), AuthPath::Rsa, "{plugin}");
        let wrong = connect(Login::new(&user(plugin), WRONG_PASSWORD).plugin(plugin.as_bytes()));
        let wrong = wrong.expect_err("the password is wrong");
        assert_eq!(wrong.code(), Some(ACCESS_DENIED_ERROR), "{plugin}: {wrong}");
        let recorded = link.recorded(Direction::ToServer);
        for password in [PASSWORD, WRONG_PASSWORD] {
            let mut windows = recorded.windows(password.len());
            assert!(!windows.any(|window| window == password.as_bytes()));
        }
    }
    let connect = || path(login(CACHING_SHA2).connect(mixes.to_unix.tcp()));
    assert_eq!([connect(), connect()], [AuthPath::Rsa, AuthPath::Fast]);
}

#[test]
fn unix_sockets_on_both_sides_relay_the_password() {
    let Some(mixes) = Mixes::start() else { return };
    mixes.forget_passwords();
    let client = login(CACHING_SHA2).connect(mixes.to_unix.unix());
    assert_eq!(path(client), AuthPath::Clear);
    mixes.forget_passwords();
    for plugin in [CACHING_SHA2, SHA256] {
        mysql_logs_in(&mixes.to_unix.socket, plugin);
    }
}

#[test]
fn change_user_keeps_to_the_same_rules() {
    let Some(mixes) = Mixes::start() else { return };
    mixes.server.query("CREATE USER blank@'%'");
    let become_user = |connection: Connection, plugin: &str| {
        // An empty password needs no secrecy.
        let mut client = Login::new("blank", "").connect(connection)?;
        mixes.forget_passwords();
        login(plugin).change_user(&mut client)?;
        assert_eq!(client.value("SELECT 'a'")?, "a");
        Ok::<_, ClientError>(client.auth_path())
    };
    let (to_tcp, to_unix) = (&mixes.to_tcp, &mixes.to_unix);
    for (plugin, path) in [(CACHING_SHA2, AuthPath::Clear), (SHA256, AuthPath::Rsa)] {
        assert_eq!(become_user(to_tcp.tcp(), plugin).unwrap(), AuthPath::Rsa);
        assert_eq!(become_user(to_tcp.unix(), plugin).unwrap(), path);
        assert_eq!(become_user(to_unix.unix(), plugin).unwrap(), path);
        assert_eq!(become_user(to_unix.tcp(), plugin).unwrap(), AuthPath::Rsa);
        assert!(mixes.was_sent_to_server(&user(plugin)));
    }
    assert!(!mixes.was_sent_to_server(PASSWORD));
}
