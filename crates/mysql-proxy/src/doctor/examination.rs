//! One server: whether it is reached, what it greets with, TLS, the login.

use std::time::{Duration, Instant};

use backend::connector::connect;
use backend::{Backend, ConnectError, Greeted, Role, Timeouts};
use protocol::Capabilities;
use protocol::response::{ErrPacket, error_code};
use proxy::{ClientTlsMode, ServerTlsMode, server_name};
use transport::proxy_protocol::Header;
use transport::tls::Validity;

use super::account::Account;
use super::client::{Client, ClientError};
use super::role;
use super::variables::{self, Variables};
use crate::diagnosis::{Report, local};
use crate::options::{Options, ServerSslMode};

/// Everything that is asked of one server.
pub(super) const EXAMINATION_TIME: Duration = Duration::from_secs(30);
/// A greeting that takes longer makes clients wait at every connect.
const SLOW_GREETING: Duration = Duration::from_secs(1);

/// `ER_HOST_IS_BLOCKED`
const HOST_IS_BLOCKED: u16 = 1129;
/// `ER_HOST_NOT_PRIVILEGED`
const HOST_NOT_PRIVILEGED: u16 = 1130;

/// What the proxy would do, and whom to ask as.
pub(super) struct Expectations {
    pub(super) proxy: proxy::Settings,
    /// As it was given: 0 for as many as there are files for.
    pub(super) connections_max: u64,
    server_ssl_mode: ServerSslMode,
    account: Option<Account>,
}

impl Expectations {
    pub(super) fn new(options: &Options, proxy: proxy::Settings, account: Option<Account>) -> Self {
        Self {
            proxy,
            connections_max: options.proxy.max_connections,
            server_ssl_mode: options.tls.server_ssl_mode,
            account,
        }
    }

    /// How many servers share the clients.
    pub(super) fn read_write(&self) -> usize {
        let roles = self.proxy.backends.iter().map(|(_, role)| role);
        roles.filter(|role| **role == Role::ReadWrite).count()
    }
}

/// What was found at one server.
pub(super) struct Examined {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) report: Report,
    /// `None` where it did not greet.
    pub(super) greeting: Option<Greeting>,
    /// `None` where nobody logged in.
    pub(super) variables: Option<Variables>,
}

/// What a server says first.
pub(super) struct Greeting {
    pub(super) is_mariadb: bool,
    pub(super) has_tls: bool,
}

impl Examined {
    pub(super) fn new(backend: &Backend) -> Self {
        Self {
            name: backend.address().to_string(),
            role: backend.role(),
            report: Report::default(),
            greeting: None,
            variables: None,
        }
    }

    pub(super) fn too_slow(backend: &Backend) -> Self {
        let mut examined = Self::new(backend);
        examined.report.error(
            format!(
                "{}: it did not answer all questions within {} s",
                examined.name,
                EXAMINATION_TIME.as_secs()
            ),
            "see what it is busy with, or what is between",
        );
        examined
    }
}

/// Asks everything.
pub(super) async fn examine(backend: &Backend, expectations: &Expectations) -> Examined {
    let mut examined = Examined::new(backend);
    let settings = &expectations.proxy;
    let timeouts = Timeouts {
        connect: settings.connect_timeout,
        greeting: settings.greeting_timeout,
    };
    let header = settings.server_proxy_protocol;
    let header = header.map_or_else(Vec::new, |version| Header::Local.encode(version));
    let began = Instant::now();
    match connect(backend, timeouts, &header).await {
        Ok(greeted) => {
            see_greeting(&greeted, began.elapsed(), &mut examined);
            if see_tls_offer(&greeted, expectations, &mut examined) {
                talk(greeted, backend, expectations, &mut examined).await;
            }
        }
        Err(error) => {
            let (text, advice) = unreachable(&error);
            let (name, role) = (&examined.name, role(examined.role));
            let text = format!("{name} ({role}): {text}");
            examined.report.error(text, advice);
        }
    }
    examined
}

fn unreachable(error: &ConnectError) -> (String, &'static str) {
    let ConnectError::Refused(payload) = error else {
        let advice = unreachable_advice(error);
        return (format!("cannot be reached: {error}"), advice);
    };
    let code = ErrPacket::decode(payload).map_or(0, |error| error.code);
    let advice = match code {
        HOST_IS_BLOCKED => {
            "say FLUSH HOSTS there (TRUNCATE performance_schema.host_cache in MySQL 8.4), find out who breaks connections \
             off, and raise max_connect_errors: all clients share this host's count"
        }
        HOST_NOT_PRIVILEGED => {
            "no account may come from this host: servers see the proxy's address, not the client's; create accounts for it, \
             or see --server-proxy-protocol"
        }
        error_code::TOO_MANY_CONNECTIONS => "raise max_connections there, or see who holds them",
        _ => "the server's own words say why",
    };
    (error.to_string(), advice)
}

/// By the reason's words, which are the system's.
fn unreachable_advice(error: &ConnectError) -> &'static str {
    let text = error.to_string();
    let has = |words: &str| text.contains(words);
    match error {
        ConnectError::Shortage(_) => "this host lacks something: files, ports or memory",
        _ if has("lookup") || has("resolve") => {
            "write the name as it is known here, or repair DNS or /etc/hosts"
        }
        _ if has("refused") || has("No such file") => {
            "nobody listens there: is the server running, are address and port right, does it listen for other hosts (bind_address)?"
        }
        _ if has("timed out") || has("unreachable") || has("No route") => {
            "is the host up, is the address right, is a firewall between?"
        }
        _ => {
            "something listens there, but does not answer as a server does: is it the right port, is it overloaded, is a \
             firewall or another proxy between?"
        }
    }
}

fn see_greeting(greeted: &Greeted, took: Duration, examined: &mut Examined) {
    let handshake = &greeted.handshake;
    let version = String::from_utf8_lossy(&handshake.server_version).into_owned();
    let is_mariadb = version.contains("MariaDB");
    // MariaDB's older versions hide behind this one.
    let shown = version.strip_prefix("5.5.5-").unwrap_or(&version);
    let product = if is_mariadb { "" } else { "MySQL " };
    let (name, role) = (examined.name.clone(), role(examined.role));
    let report = &mut examined.report;
    report.ok(format!("{name} ({role}): {product}{shown} greets"));
    if took > SLOW_GREETING {
        report.warning(
            format!("{name}: it took {:.1} s to greet", took.as_secs_f64()),
            "every client waits as long: servers without skip_name_resolve look up the proxy's name first; set it, or repair DNS",
        );
    }
    let needed = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
    if !handshake.capabilities.contains(needed) {
        report.error(
            format!("{name}: it does not speak the protocol of MySQL 4.1 and later"),
            "it is too old for current clients, with the proxy and without",
        );
    } else if !handshake.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        report.warning(
            format!("{name}: it knows no authentication plugins"),
            "clients of today may refuse to log in there",
        );
    }
    examined.greeting = Some(Greeting {
        is_mariadb,
        has_tls: handshake.capabilities.contains(Capabilities::SSL),
    });
}

/// False where it makes no sense to go on.
fn see_tls_offer(greeted: &Greeted, expectations: &Expectations, examined: &mut Examined) -> bool {
    let (name, tls) = (&examined.name, &expectations.proxy.tls);
    let is_able = greeted.handshake.capabilities.contains(Capabilities::SSL);
    if is_able || greeted.stream.is_unix() {
        return true;
    }
    let always = match tls.server_mode {
        ServerTlsMode::Required => Some("--server-ssl-mode wants TLS with servers"),
        ServerTlsMode::AsClient if tls.client_mode == ClientTlsMode::Required => Some(
            "all clients have TLS, and --server-ssl-mode=AS_CLIENT wants the same with servers",
        ),
        _ => None,
    };
    let Some(always) = always else {
        return true;
    };
    let text = format!("{name}: it offers no TLS, but {always}");
    let advice = "set ssl_cert and ssl_key there, or another --server-ssl-mode";
    examined.report.error(text, advice);
    false
}

/// Logs in, or leaves as a client would that nobody holds anything against.
async fn talk(
    greeted: Greeted,
    backend: &Backend,
    expectations: &Expectations,
    examined: &mut Examined,
) {
    let has_tls = greeted.handshake.capabilities.contains(Capabilities::SSL);
    let is_unix = greeted.stream.is_unix();
    let tls = &expectations.proxy.tls;
    let mut client = Client::new(greeted);
    let name = server_name(backend.address());
    if let (Some(connector), Some(server_name), true) = (&tls.connector, name, has_tls && !is_unix)
    {
        match client.secure(connector, server_name).await {
            Ok(certificate) => see_certificate(certificate, expectations, examined),
            Err(error) => {
                let text = format!("{}: no TLS with it: {error}", examined.name);
                let advice = "see docs/operations.md#tls: its certificate, --server-ssl-ca, --tls-version, --ssl-cipher";
                return examined.report.error(text, advice);
            }
        }
    }
    let Some(account) = &expectations.account else {
        return client.leave().await;
    };
    match client.log_in(account).await {
        Ok(()) => {}
        Err(error) => {
            let text = format!("{}: login as {}: {error}", examined.name, account.username);
            return examined.report.error(text, login_advice(&error));
        }
    }
    match Variables::read(&mut client).await {
        Ok(found) => {
            variables::examine(&found, expectations, examined);
            examined.variables = Some(found);
        }
        Err(error) => {
            let text = format!("{}: its settings cannot be read: {error}", examined.name);
            examined.report.error(text, "");
        }
    }
    client.quit().await;
}

fn login_advice(error: &ClientError) -> &'static str {
    match error {
        ClientError::Server { code, .. } if *code == error_code::ACCESS_DENIED => {
            "check the password, and that the account may come from the proxy's host, which is what the server sees"
        }
        ClientError::Server { code, .. } if *code == error_code::SECURE_TRANSPORT_REQUIRED => {
            "the server wants TLS (require_secure_transport): let --server-ssl-mode be AS_CLIENT, with clients that have TLS, or \
             REQUIRED"
        }
        _ => "",
    }
}

fn see_certificate(
    certificate: Option<Vec<u8>>,
    expectations: &Expectations,
    examined: &mut Examined,
) {
    let validity = certificate.and_then(|der| Validity::of(&der));
    let Some(validity) = validity else { return };
    let what = format!("{}: TLS", examined.name);
    let mode = expectations.server_ssl_mode;
    let is_verified = matches!(
        mode,
        ServerSslMode::VerifyCa | ServerSslMode::VerifyIdentity
    );
    // Nobody looks at it otherwise.
    if is_verified {
        local::expiry(&what, validity, &mut examined.report);
    } else if validity.not_after < std::time::SystemTime::now() {
        examined.report.warning(
            format!("{what}: its certificate has expired"),
            "nobody verifies it with this --server-ssl-mode, but clients that connect there directly may",
        );
    } else {
        examined.report.ok(format!("{what} works"));
    }
}
