//! TLS on either side of the proxy: who is offered it, who gets it, whose certificates count, and what becomes of
//! passwords where only one side has it.

mod scripted;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use protocol::connection_phase::SslRequest;
use protocol::{Capabilities, Command};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use testkit::{
    AuthPath, Client, ClientError, Connection, Direction, FaultLink, Finished, Login, MariaDb,
    Mysql97, ProxyProcess, ScratchDirectory, Server, command, process, wait,
};

use scripted::{BINARY, DEADLINE, ScriptFile};

const CACHING_SHA2: &str = "caching_sha2_password";
const SHA256: &str = "sha256_password";
/// Long and unlike anything else, so that finding it, or not, says something.
const PASSWORD: &str = "correct horse battery staple";

fn proxy(backend: SocketAddr, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={backend}");
    ProxyProcess::start(BINARY, &[&[backend.as_str()], options].concat())
}

fn log_in(login: &Login, proxy: &ProxyProcess) -> Result<Client, ClientError> {
    login.connect(Connection::tcp(proxy.address())?)
}

/// Whether the server's side of the session is encrypted.
fn is_server_side_encrypted(client: &mut Client) -> bool {
    let status = client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
    let cipher = status.expect("a status").text().remove(0).remove(1);
    cipher.is_some_and(|cipher| !cipher.is_empty())
}

fn text(result: Result<impl Sized, ClientError>) -> String {
    result
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// MySQL 9.7 with an account for each method that needs the password itself.
fn server() -> Option<Server> {
    let server = Mysql97::start(&["--performance-schema=ON"])?;
    for plugin in [CACHING_SHA2, SHA256] {
        let sql = format!("CREATE USER {plugin} IDENTIFIED WITH {plugin} BY '{PASSWORD}'");
        server.query(&sql);
    }
    Some(server)
}

fn login(plugin: &str) -> Login {
    Login::new(plugin, PASSWORD).plugin(plugin.as_bytes())
}

fn was_sent(link: &FaultLink, direction: Direction, text: &str) -> bool {
    let recorded = link.recorded(direction);
    let mut windows = recorded.windows(text.len());
    windows.any(|window| window == text.as_bytes())
}

#[test]
fn logins_work_in_every_mix_of_encrypted_and_plain_sides() {
    let Some(server) = server() else { return };
    for (mode, with_plain, with_tls) in [
        ("DISABLED", false, false),
        ("PREFERRED", true, true),
        ("REQUIRED", true, true),
        ("AS_CLIENT", false, true),
    ] {
        let to_server = FaultLink::to(server.address());
        let proxy = proxy(to_server.address(), &[&format!("--server-ssl-mode={mode}")]);
        let to_proxy = FaultLink::to(proxy.address());
        for plugin in [CACHING_SHA2, SHA256] {
            for (login, expected) in [(login(plugin), with_plain), (login(plugin).tls(), with_tls)]
            {
                server.query("FLUSH PRIVILEGES");
                for is_warm in [false, true] {
                    let connection = Connection::tcp(to_proxy.address()).expect("it listens");
                    let client = login.connect(connection);
                    let mut client =
                        client.unwrap_or_else(|error| panic!("{mode} {login:?}: {error}"));
                    if is_warm && plugin == CACHING_SHA2 {
                        assert_eq!(client.auth_path(), AuthPath::Fast, "{mode} {login:?}");
                    }
                    assert_eq!(
                        is_server_side_encrypted(&mut client),
                        expected,
                        "{mode} {login:?}"
                    );
                }
                let wrong = Login::new(plugin, "wrong").plugin(plugin.as_bytes());
                let refused = log_in(&wrong, &proxy).expect_err("the password is wrong");
                assert_eq!(refused.code(), Some(1045), "{mode} {login:?}: {refused}");
            }
        }
        for (link, direction) in [
            (&to_server, Direction::ToServer),
            (&to_proxy, Direction::ToServer),
        ] {
            assert!(!was_sent(link, direction, PASSWORD), "{mode}");
            assert!(!link.recorded(direction).is_empty());
        }
    }
}

#[test]
fn an_account_that_requires_tls_is_let_in_with_it_alone() {
    let Some(server) = server() else { return };
    let as_client = proxy(server.address(), &[]);
    let account = Login::new("appssl", "app");
    assert_eq!(
        log_in(&account, &as_client)
            .expect_err("it is plain")
            .code(),
        Some(1045)
    );
    log_in(&account.clone().tls(), &as_client).expect("both sides have TLS");
    let required = proxy(server.address(), &["--server-ssl-mode=REQUIRED"]);
    log_in(&account, &required).expect("the server's side has TLS");
}

#[test]
fn clients_are_offered_tls_as_the_mode_says() {
    let Some(server) = server() else { return };
    let plain = Login::new("app", "app");
    let tls = plain.clone().tls();

    let disabled = proxy(server.address(), &["--client-ssl-mode=DISABLED"]);
    log_in(&plain, &disabled).expect("plain is all there is");
    assert!(text(log_in(&tls, &disabled)).contains("no TLS is offered"));

    let directory = ScratchDirectory::new();
    let socket = directory.file("s");
    let listen = format!("--proxy-address={}", socket.display());
    let required = proxy(server.address(), &["--client-ssl-mode=required"]);
    let on_socket = proxy(server.address(), &["--client-ssl-mode=REQUIRED", &listen]);
    let refused = log_in(&plain, &required).expect_err("it is plain");
    assert_eq!(refused.code(), Some(3159), "{refused}");
    log_in(&tls, &required).expect("it has TLS");
    // A Unix socket is as good.
    Client::connect_unix(&socket, "app", "app").expect("nobody can listen");
    drop(on_socket);

    // Where the backend has none, and both sides are to be alike, nobody is offered any.
    let mariadb = MariaDb::start(&[]);
    let as_client = proxy(mariadb.address(), &[]);
    assert!(text(log_in(&tls, &as_client)).contains("no TLS is offered"));
    let one_sided = proxy(mariadb.address(), &["--server-ssl-mode=DISABLED"]);
    log_in(&tls, &one_sided).expect("the client's side has TLS");
    let impossible = proxy(mariadb.address(), &["--server-ssl-mode=REQUIRED"]);
    let refused = text(log_in(&plain, &impossible));
    assert!(refused.contains("it offers no TLS"), "{refused}");
}

/// Certificates in a directory of their own.
struct Certificates {
    directory: ScratchDirectory,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA");
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let directory = ScratchDirectory::new();
        fs::write(directory.file("ca.pem"), ca.pem()).expect("the directory is ours");
        Self { directory, ca }
    }

    fn ca(&self) -> PathBuf {
        self.directory.file("ca.pem")
    }

    /// A certificate of this name that the CA signs; the files of it and of its key.
    fn signed(&self, name: &str, is_for_loopback: bool) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        if is_for_loopback {
            let address = SanType::IpAddress([127, 0, 0, 1].into());
            params.subject_alt_names.push(address);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.ca).expect("a certificate");
        self.write(name, &certificate.pem(), &key.serialize_pem())
    }

    /// One that signs itself, and may sign others.
    fn self_signed(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write(name, &certificate.pem(), &key.serialize_pem())
    }

    /// Of version 1, as the recipe of old manuals makes it.
    fn version_1(&self) -> (PathBuf, PathBuf) {
        let fixture = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
            fs::read_to_string(path.join(name)).expect("it is there")
        };
        fs::write(self.ca(), fixture("v1-ca.pem")).expect("the directory is ours");
        self.write("v1", &fixture("v1-cert.pem"), &fixture("v1-key.pem"))
    }

    fn write(&self, name: &str, certificate: &str, key: &str) -> (PathBuf, PathBuf) {
        let files = (
            self.directory.file(&format!("{name}-cert.pem")),
            self.directory.file(&format!("{name}-key.pem")),
        );
        fs::write(&files.0, certificate).expect("the directory is ours");
        fs::write(&files.1, key).expect("the directory is ours");
        files
    }
}

/// A MariaDB with this certificate.
fn mariadb((certificate, key): &(PathBuf, PathBuf)) -> Server {
    let certificate = format!("--ssl-cert={}", certificate.display());
    let key = format!("--ssl-key={}", key.display());
    MariaDb::start(&[&certificate, &key])
}

/// Logging in where the proxy verifies the server's certificate: nothing, or the error.
fn verified(server: &Server, mode: &str, ca: &Path) -> String {
    let mode = format!("--server-ssl-mode={mode}");
    let ca = format!("--server-ssl-ca={}", ca.display());
    let proxy = proxy(server.address(), &[&mode, &ca]);
    let client = log_in(&Login::new("app", "app"), &proxy);
    text(client.map(|mut client| assert!(is_server_side_encrypted(&mut client))))
}

#[test]
fn a_servers_certificate_is_verified_as_the_mode_says() {
    let certificates = Certificates::new();
    let named = mariadb(&certificates.signed("named", true));
    assert_eq!(verified(&named, "VERIFY_IDENTITY", &certificates.ca()), "");
    assert_eq!(verified(&named, "VERIFY_CA", &certificates.ca()), "");

    let nameless = mariadb(&certificates.signed("127.0.0.1", false));
    assert_eq!(verified(&nameless, "VERIFY_CA", &certificates.ca()), "");
    let refused = verified(&nameless, "VERIFY_IDENTITY", &certificates.ca());
    assert!(refused.contains("subjectAltName"), "{refused}");

    let stranger = Certificates::new();
    let refused = verified(&named, "VERIFY_CA", &stranger.ca());
    assert!(
        refused.contains("no CA of the CA file vouches"),
        "{refused}"
    );
    assert_eq!(verified(&named, "REQUIRED", &stranger.ca()), "");
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_where_it_is_the_ca() {
    let certificates = Certificates::new();
    let files = certificates.self_signed("self");
    let server = mariadb(&files);
    assert_eq!(verified(&server, "VERIFY_CA", &files.0), "");
    let refused = verified(&server, "VERIFY_IDENTITY", &files.0);
    assert!(refused.contains("subjectAltName"), "{refused}");
    let refused = verified(&server, "VERIFY_CA", &certificates.ca());
    assert!(refused.contains("TLS with backend"), "{refused}");
}

#[test]
fn a_certificate_of_version_1_can_be_had_and_not_verified() {
    let certificates = Certificates::new();
    let server = mariadb(&certificates.version_1());
    assert_eq!(verified(&server, "REQUIRED", &certificates.ca()), "");
    let refused = verified(&server, "VERIFY_CA", &certificates.ca());
    assert!(refused.contains("version 1"), "{refused}");
}

#[test]
fn the_automatic_certificates_of_mysql_are_verified_by_their_ca() {
    let Some(server) = server() else { return };
    let ca = server.directory().join("ca.pem");
    let ca = [ca, server.directory().join("data/ca.pem")]
        .into_iter()
        .find(|path| path.exists())
        .expect("it made one");
    assert_eq!(verified(&server, "VERIFY_CA", &ca), "");
    let refused = verified(&server, "VERIFY_IDENTITY", &ca);
    assert!(refused.contains("subjectAltName"), "{refused}");
}

/// MySQL's own client, with these options.
fn mysql(address: SocketAddr, options: &[String]) -> Finished {
    let mut mysql = command::mysql97(address);
    mysql.args(["--user=app", "--password=app", "-e", "SELECT 'served'"]);
    mysql.args(options);
    process::run(mysql, DEADLINE)
}

#[test]
fn clients_verify_the_proxys_certificate_and_the_proxy_theirs() {
    let Some(server) = server() else { return };
    let certificates = Certificates::new();
    let (certificate, key) = certificates.signed("proxy", true);
    let options = [
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
        format!("--ssl-ca={}", certificates.ca().display()),
    ];
    let proxy = proxy(server.address(), &options.each_ref().map(String::as_str));
    let verify = [
        "--ssl-mode=VERIFY_IDENTITY".to_owned(),
        format!("--ssl-ca={}", certificates.ca().display()),
    ];
    assert_eq!(mysql(proxy.address(), &verify).text(), "served\n");
    let with_certificate = |(certificate, key): (PathBuf, PathBuf)| {
        let own = [
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ];
        mysql(proxy.address(), &[&verify[..], &own].concat())
    };
    let known = with_certificate(certificates.signed("client", false));
    assert_eq!(known.text(), "served\n", "{}", known.stderr);
    let unknown = with_certificate(Certificates::new().signed("stranger", false));
    assert!(!unknown.status.success());
    proxy.wait_for_log("TLS with client failed", DEADLINE);

    // A client that does not trust us says so, and the log what helps.
    let stranger = [
        "--ssl-mode=VERIFY_CA".to_owned(),
        format!("--ssl-ca={}", Certificates::new().ca().display()),
    ];
    assert!(!mysql(proxy.address(), &stranger).status.success());
    proxy.wait_for_log("--client-ssl-mode=PASSTHROUGH", DEADLINE);
}

#[test]
fn the_clients_own_tls_passes_through() {
    let Some(server) = server() else { return };
    let script = ScriptFile::new(
        "function read_query(packet) print('seen: ' .. packet:sub(2)) end
         function connect_server() print('connected') end",
    );
    let proxy = script.proxy(&[&server], &["--client-ssl-mode=PASSTHROUGH"]);
    assert_eq!(
        proxy.count_in_log("the script sees the connection and nothing else"),
        1
    );
    let ca = fs::read_dir(server.directory()).expect("a directory");
    let ca = ca
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| [path.join("ca.pem"), path])
        .find(|path| path.ends_with("ca.pem") && path.exists())
        .expect("it made one");
    // Of the server's certificate, which nobody else has the key of.
    let verify = [
        "--ssl-mode=VERIFY_CA".to_owned(),
        format!("--ssl-ca={}", ca.display()),
    ];
    let finished = mysql(proxy.address(), &verify);
    assert_eq!(finished.text(), "served\n", "{}", finished.stderr);
    let mut client = log_in(&Login::new("app", "app").tls(), &proxy).expect("TLS with the server");
    assert!(is_server_side_encrypted(&mut client));
    let long = client
        .value("SELECT REPEAT('x', 5000000)")
        .expect("a value");
    assert_eq!(long.len(), 5_000_000);
    client.quit().expect("a goodbye");
    assert_eq!(proxy.count_in_log("seen: "), 0);
    assert!(proxy.count_in_log("connected") >= 2);
    // Without TLS it is a session as any.
    let mut plain = log_in(&Login::new("app", "app"), &proxy).expect("it is served");
    plain.query("SELECT 1").expect("a result");
    proxy.wait_for_log("seen: SELECT 1", DEADLINE);
}

#[test]
fn what_follows_the_request_for_tls_is_never_read_as_a_login() {
    let Some(server) = server() else { return };
    let proxy = proxy(server.address(), &[]);
    let mut connection = Connection::tcp(proxy.address()).expect("it listens");
    connection.read_packet().expect("a greeting");
    let flags = Capabilities::PROTOCOL_41 | Capabilities::SSL | Capabilities::SECURE_CONNECTION;
    let mut request = flags.low().to_le_bytes().to_vec();
    request.resize(SslRequest::BYTES, 0);
    let mut login = request.clone();
    login.extend_from_slice(b"app\0\0");
    let mut bytes = Vec::new();
    protocol::packet::put_payload(&mut bytes, 1, &request);
    protocol::packet::put_payload(&mut bytes, 2, &login);
    connection.send_bytes(&bytes).expect("it is sent");
    let answer = connection.read_to_end(10_000).expect("it closes");
    // An alert at the most, and no packet.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    proxy.wait_for_log("TLS with client failed", DEADLINE);
}

/// What stands in the place of a client's first record of TLS.
#[test]
fn tls_that_breaks_off_ends_its_session_and_no_other() {
    let Some(server) = server() else { return };
    let proxy = proxy(server.address(), &["--proxy-login-timeout=2"]);
    let mut other = log_in(&Login::new("app", "app").tls(), &proxy).expect("it is served");
    let files = proxy.open_files();
    let fatal_alert = b"\x15\x03\x03\x00\x02\x02\x28".as_slice();
    let warning = b"\x15\x03\x03\x00\x02\x01\x00";
    let too_long = b"\x16\x03\x01\xff\xff";
    let garbage = b"SELECT 1; DROP TABLE students";
    let unfinished = b"\x16\x03\x01\x01\x00\x01";
    for (bytes, reason) in [
        (fatal_alert, "TLS with client failed"),
        (too_long, "TLS with client failed"),
        (garbage, "TLS with client failed"),
        (warning, "client sent nothing for 2s"),
        (unfinished, "client sent nothing for 2s"),
        (b"", "client sent nothing for 2s"),
    ] {
        let lines = proxy.log().len();
        let mut connection = Connection::tcp(proxy.address()).expect("it listens");
        connection.read_packet().expect("a greeting");
        let flags = Capabilities::PROTOCOL_41 | Capabilities::SSL | Capabilities::SECURE_CONNECTION;
        let mut request = flags.low().to_le_bytes().to_vec();
        request.resize(SslRequest::BYTES, 0);
        connection.send_payload(1, &request).expect("it is sent");
        connection.send_bytes(bytes).expect("it is sent");
        let answer = connection.read_to_end(10_000).expect("it closes");
        // An alert at the most, and no packet that could be taken for an answer.
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        proxy.wait_for_log_after(lines, reason, DEADLINE);
        other.ping().expect("the other session goes on");
    }
    wait::until("the files are closed", DEADLINE, || {
        proxy.open_files() <= files
    });
}

#[test]
fn sighup_reads_certificates_again_and_a_bad_file_changes_nothing() {
    let Some(server) = server() else { return };
    let certificates = Certificates::new();
    let (certificate, key) = certificates.signed("proxy", true);
    let options = [
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
    ];
    let proxy = proxy(server.address(), &options.each_ref().map(String::as_str));
    let verify = |certificates: &Certificates| {
        let ca = certificates.ca();
        let options = [
            "--ssl-mode=VERIFY_CA".to_owned(),
            format!("--ssl-ca={}", ca.display()),
        ];
        mysql(proxy.address(), &options).status.success()
    };
    assert!(verify(&certificates));
    let mut running = log_in(&Login::new("app", "app").tls(), &proxy).expect("it is served");

    fs::write(&certificate, "no certificate").expect("the directory is ours");
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("nothing has changed; correct it and reload again", DEADLINE);
    assert!(verify(&certificates));

    let other = Certificates::new();
    let (new_certificate, new_key) = other.signed("proxy", true);
    fs::copy(new_certificate, &certificate).expect("the directory is ours");
    fs::copy(new_key, &key).expect("the directory is ours");
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("certificates and keys were read again", DEADLINE);
    assert!(verify(&other));
    assert!(!verify(&certificates));
    running.ping().expect("who is there stays");
}

#[test]
fn connections_under_tls_are_pooled_apart_where_the_client_decides() {
    let Some(server) = server() else { return };
    let script = ScriptFile::new(
        "local reuses
         function connect_server()
             proxy.connection.backend_ndx = 1
             if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
         end
         function read_query(packet)
             if packet:byte() == proxy.COM_QUIT then
                 proxy.response = { type = proxy.MYSQLD_PACKET_OK }
                 return proxy.PROXY_SEND_RESULT
             end
         end
         function disconnect_client() proxy.connection.backend_ndx = 0 end",
    );
    let plain = Login::new("app", "app");
    let tls = plain.clone().tls();
    let id = |client: &mut Client| client.value("SELECT CONNECTION_ID()").expect("a value");
    let leave = |mut client: Client| {
        let id = id(&mut client);
        client.send_command(Command::QUIT, &[]).expect("a goodbye");
        let sql = format!(
            "SELECT COUNT(*) FROM performance_schema.processlist WHERE command = 'Sleep' AND id = {id}"
        );
        let idle = wait::poll(DEADLINE, || {
            (server.query(&sql)[0][0].as_deref() == Some("1")).then_some(())
        });
        idle.expect("the connection is idle");
        id
    };
    for mode in ["AS_CLIENT", "REQUIRED"] {
        let proxy = script.proxy(&[&server], &[&format!("--server-ssl-mode={mode}")]);
        let first = leave(log_in(&tls, &proxy).expect("it is served"));
        let mut second = log_in(&plain, &proxy).expect("it is served");
        let is_shared = id(&mut second) == first;
        assert!(
            !is_shared || mode == "REQUIRED",
            "a plain client has a connection under TLS"
        );
        assert_eq!(is_server_side_encrypted(&mut second), mode == "REQUIRED");
        leave(second);
        let mut third = log_in(&tls, &proxy).expect("it is served");
        assert!(is_server_side_encrypted(&mut third));
        let value = third.value("SELECT REPEAT('y', 100000)").expect("a value");
        assert_eq!(value.len(), 100_000);
    }
}

#[test]
fn large_and_small_packets_cross_two_layers_of_tls() {
    let Some(server) = server() else { return };
    let proxy = proxy(server.address(), &["--server-ssl-mode=REQUIRED"]);
    let mut client = log_in(&Login::new("adm", "adm").tls(), &proxy).expect("it is served");
    client
        .query("SET GLOBAL max_allowed_packet = 1 << 30")
        .expect("an OK");
    let mut client = log_in(&Login::new("adm", "adm").tls(), &proxy).expect("it is served");
    for bytes in [0, 1, 16_000, 16_384, 1 << 20, (1 << 24) - 2, (1 << 24) + 5] {
        let sql = format!("SELECT '{}'", "z".repeat(bytes));
        assert_eq!(client.value(&sql).expect("a value").len(), bytes, "{bytes}");
        let rows = client.query(&format!(
            "SELECT REPEAT('r', {}) FROM (VALUES ROW(1), ROW(2), ROW(3)) t",
            bytes / 4
        ));
        assert_eq!(rows.expect("rows").rows.len(), 3);
    }
    for _ in 0..2_000 {
        client.ping().expect("it goes on");
    }
}

#[test]
fn what_is_wrong_with_the_options_is_told_before_a_port_is_open() {
    let complaint = |options: &[&str]| {
        let mut command = process::command(BINARY);
        command.args(options);
        let finished = process::run(command, DEADLINE);
        assert_eq!(finished.status.code(), Some(1), "{options:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        finished.stderr
    };
    for (options, expected) in [
        (&["--ssl-cert=/nowhere/x"][..], "go together"),
        (
            &["--ssl-cert=/nowhere/x", "--ssl-key=/nowhere/y"],
            "/nowhere/y",
        ),
        (&["--server-ssl-mode=VERIFY_CA"], "need --server-ssl-ca"),
        (
            &["--server-ssl-ca=/nowhere/x", "--server-ssl-mode=VERIFY_CA"],
            "/nowhere/x",
        ),
        (&["--client-ssl-mode=MAYBE"], "--client-ssl-mode"),
        (
            &["--ssl-cipher=RC4-MD5"],
            "there is no cipher suite RC4-MD5",
        ),
        (&["--tls-version=TLSv1.1"], "--tls-version"),
    ] {
        let said = complaint(options);
        assert!(said.contains(expected), "{options:?}: {said}");
    }
}
