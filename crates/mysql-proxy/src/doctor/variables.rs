//! What of a server's settings matters behind a proxy.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use backend::Role;
use proxy::{ClientTlsMode, ServerTlsMode};

use super::client::{Client, ClientError};
use super::examination::{Examined, Expectations};
use crate::diagnosis::Report;

/// Seconds that clocks may differ.
const CLOCK_TOLERANCE: f64 = 2.0;
/// Fewer, and one bad quarter of an hour of the network locks out everybody.
const CONNECT_ERRORS_MIN: u64 = 100;

const NAMES: [&str; 12] = [
    "character_set_server",
    "collation_server",
    "connect_timeout",
    "hostname",
    "max_connect_errors",
    "max_connections",
    "port",
    "read_only",
    "require_secure_transport",
    "super_read_only",
    "wait_timeout",
    "server_id",
];

/// A server's settings, and what time it has.
pub(super) struct Variables {
    values: HashMap<String, String>,
    /// Seconds that its clock is ahead of ours.
    clock_ahead: f64,
    /// Whom it takes us for.
    user: String,
}

impl Variables {
    pub(super) async fn read(client: &mut Client) -> Result<Self, ClientError> {
        let began = now();
        let row = client
            .rows("SELECT USER(), UNIX_TIMESTAMP(NOW(6))")
            .await?
            .into_iter()
            .next();
        let middle = f64::midpoint(began, now());
        let mut row = row.unwrap_or_default().into_iter();
        let mut next = || row.next().flatten().unwrap_or_default();
        let (user, time) = (next(), next());
        let names = NAMES.map(|name| format!("'{name}'")).join(", ");
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})");
        let rows = client.rows(&sql).await?.into_iter();
        let pair = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().flatten();
            Some((row.next()?, row.next()?))
        };
        Ok(Self {
            values: rows.filter_map(pair).collect(),
            clock_ahead: time.parse().map_or(0.0, |time: f64| time - middle),
            user,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn is_on(&self, name: &str) -> bool {
        // MariaDB's `read_only` has more levels than two.
        let off = ["", "0", "OFF", "NO"];
        self.text(name)
            .is_some_and(|value| !off.contains(&value.to_uppercase().as_str()))
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// One server's settings beside the proxy's.
pub(super) fn examine(variables: &Variables, expectations: &Expectations, examined: &mut Examined) {
    let (name, role) = (examined.name.clone(), examined.role);
    let report = &mut examined.report;
    report.ok(format!("{name}: it takes us for {}", variables.user));
    connections(&name, role, variables, expectations, report);
    timeouts(&name, variables, expectations, report);
    writes(&name, role, variables, report);
    secure_transport(&name, variables, expectations, report);
    if variables.clock_ahead.abs() > CLOCK_TOLERANCE {
        report.warning(
            format!(
                "{name}: its clock is {:.1} s {} of this host's",
                variables.clock_ahead.abs(),
                if variables.clock_ahead > 0.0 { "ahead" } else { "behind" }
            ),
            "set both by NTP: logs cannot be compared, and certificates seem to expire early or late",
        );
    }
}

fn connections(
    name: &str,
    role: Role,
    variables: &Variables,
    expectations: &Expectations,
    report: &mut Report,
) {
    if let Some(max) = variables.number("max_connections") {
        let (ours, servers) = (
            expectations.connections_max,
            expectations.read_write().max(1) as u64,
        );
        let share = ours.div_ceil(servers);
        if role == Role::ReadWrite && share > max {
            report.warning(
                format!(
                    "{name}: max_connections is {max}, and --max-connections={ours} sends it up to {share} clients: those beyond \
                     get its ERROR 1040"
                ),
                format!("raise max_connections above {share}, or lower --max-connections to {}", max * servers),
            );
        } else {
            report.ok(format!(
                "{name}: max_connections is {max}, --max-connections {}",
                if ours == 0 {
                    "is not set".to_owned()
                } else {
                    format!("is {ours}")
                }
            ));
        }
    }
    if let Some(errors) = variables.number("max_connect_errors")
        && errors < CONNECT_ERRORS_MIN
    {
        report.warning(
            format!(
                "{name}: max_connect_errors is {errors}: after so many broken connects in a row it locks this host out, which is \
                 every client's"
            ),
            "raise it: 100 is the servers' own default, and behind a proxy far more is right",
        );
    }
}

fn timeouts(name: &str, variables: &Variables, expectations: &Expectations, report: &mut Report) {
    let settings = &expectations.proxy;
    if let Some(wait) = variables.number("wait_timeout") {
        let ours = settings.read_timeout.as_secs_f64();
        match ours < wait as f64 {
            true => report.warning(
                format!(
                    "{name}: wait_timeout is {wait} s, but the proxy ends silent clients after {ours} s already \
                     (--proxy-read-timeout), queries that run longer too"
                ),
                format!("let --proxy-read-timeout be {wait} or more"),
            ),
            false => report.ok(format!(
                "{name}: wait_timeout is {wait} s, --proxy-read-timeout is no shorter"
            )),
        }
    }
    if let Some(connect) = variables.number("connect_timeout")
        && settings.login_timeout.as_secs_f64() >= connect as f64
    {
        report.warning(
            format!(
                "{name}: connect_timeout is {connect} s: a client that is slow to log in is the server's to end, and counts as \
                 a connect error of this host"
            ),
            format!("let --proxy-login-timeout be less than {connect}, or raise connect_timeout"),
        );
    }
}

fn writes(name: &str, role: Role, variables: &Variables, report: &mut Report) {
    let is_read_only = variables.is_on("read_only") || variables.is_on("super_read_only");
    match (role, is_read_only) {
        (Role::ReadWrite, true) => report.warning(
            format!("{name}: it is read_only, but it is named as a server for all clients: their writes fail there"),
            "name it in --proxy-read-only-backend-addresses, or make it writable",
        ),
        (Role::ReadOnly, false) => report.warning(
            format!("{name}: it is not read_only, but it is named as a read-only server: what is written there by mistake is lost"),
            "set read_only (MySQL: super_read_only) there",
        ),
        (Role::ReadWrite, false) => report.ok(format!("{name}: it can be written to")),
        (Role::ReadOnly, true) => report.ok(format!("{name}: it is read_only")),
    }
}

fn secure_transport(
    name: &str,
    variables: &Variables,
    expectations: &Expectations,
    report: &mut Report,
) {
    let tls = &expectations.proxy.tls;
    let is_unix = name.starts_with('/');
    if !variables.is_on("require_secure_transport") || is_unix {
        return;
    }
    let advice =
        "let --server-ssl-mode be REQUIRED, or --client-ssl-mode be REQUIRED with AS_CLIENT";
    match (tls.server_mode, tls.client_mode) {
        (ServerTlsMode::Disabled, _)
        | (ServerTlsMode::AsClient, ClientTlsMode::Disabled) => report.error(
            format!("{name}: require_secure_transport is on, and the proxy would speak to it without TLS: every login fails"),
            advice,
        ),
        (ServerTlsMode::AsClient, ClientTlsMode::Preferred | ClientTlsMode::Passthrough) => report.warning(
            format!("{name}: require_secure_transport is on: logins of clients without TLS fail (--server-ssl-mode=AS_CLIENT)"),
            advice,
        ),
        _ => report.ok(format!("{name}: require_secure_transport is on, and it is spoken to under TLS")),
    }
}

/// What servers must have in common.
pub(super) fn compare(examined: &[Examined], expectations: &Expectations, report: &mut Report) {
    let greetings = || {
        examined
            .iter()
            .filter_map(|one| Some((&one.name, one.greeting.as_ref()?)))
    };
    let list = |names: Vec<&String>| {
        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
        names.join(", ")
    };
    let split = |is: fn(&super::examination::Greeting) -> bool| {
        let (yes, no): (Vec<_>, Vec<_>) = greetings().partition(|(_, greeting)| is(greeting));
        let names =
            |part: Vec<(&'_ String, _)>| list(part.into_iter().map(|(name, _)| name).collect());
        let is_mixed = !yes.is_empty() && !no.is_empty();
        is_mixed.then(|| (names(yes), names(no)))
    };
    if let Some((mariadb, mysql)) = split(|greeting| greeting.is_mariadb) {
        report.warning(
            format!(
                "{mariadb} are MariaDB, {mysql} are MySQL: clients meet now one, now the other"
            ),
            "let a script choose, or run a proxy for each",
        );
    }
    let is_as_client = expectations.proxy.tls.server_mode == ServerTlsMode::AsClient;
    if is_as_client && let Some((with, without)) = split(|greeting| greeting.has_tls) {
        report.warning(
            format!("{with} offer TLS, {without} do not: whether a client has TLS depends on the server that it gets"),
            "set up TLS on all, or let --server-ssl-mode be PREFERRED",
        );
    }
    for variable in ["character_set_server", "collation_server"] {
        let values = examined.iter().filter_map(|one| {
            let value = one.variables.as_ref()?.text(variable)?;
            Some(format!("{} has {value}", one.name))
        });
        let values: Vec<_> = values.collect();
        let value = |text: &String| text.rsplit(' ').next().map(str::to_owned);
        if values
            .windows(2)
            .any(|pair| value(&pair[0]) != value(&pair[1]))
        {
            report.warning(
                format!("servers differ in {variable}: {}", values.join(", ")),
                "let them have the same: new tables and string comparisons differ otherwise",
            );
        }
    }
    same_server(examined, report);
}

/// Two addresses of one server.
fn same_server(examined: &[Examined], report: &mut Report) {
    let identity = |one: &Examined| {
        let variables = one.variables.as_ref()?;
        let of = |name: &str| variables.text(name).map(str::to_owned);
        Some((of("hostname")?, of("port")?, of("server_id")))
    };
    for (index, one) in examined.iter().enumerate() {
        let same = examined[..index]
            .iter()
            .find(|other| identity(one).is_some() && identity(one) == identity(other));
        if let Some(other) = same {
            report.warning(
                format!("{} and {} are the same server", other.name, one.name),
                "name it once: it would get more clients than the others, and be counted twice",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::options::{self, Request};
    use crate::settings::Settings;

    /// What is found at a server whose clock is so many seconds ahead, and whose `read_only` says this.
    fn findings(clock_ahead: f64, read_only: &str) -> String {
        let Ok(Request::Run { options, .. }) = options::read(&[OsString::from("mysql-proxy")])
        else {
            panic!("there is nothing to print");
        };
        let settings = Settings::new(&options).unwrap();
        let (address, role) = settings.proxy.backends[0].clone();
        let backends = backend::Backends::new([(address, role)], backend::Balance::RoundRobin);
        let mut examined = Examined::new(&backends.get(0).unwrap());
        let expectations = Expectations::new(&options, settings.proxy, None);
        let variables = Variables {
            values: HashMap::from([("read_only".to_owned(), read_only.to_owned())]),
            clock_ahead,
            user: "app@proxy".to_owned(),
        };
        examine(&variables, &expectations, &mut examined);
        format!("{:?}", examined.report)
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert!(!findings(1.5, "OFF").contains("clock"));
        assert!(findings(3.0, "OFF").contains("3.0 s ahead"));
        assert!(findings(-60.0, "OFF").contains("60.0 s behind"));
    }

    #[test]
    fn read_only_has_many_words() {
        for (value, is_read_only) in [
            ("OFF", false),
            ("0", false),
            ("ON", true),
            ("NO_LOCK", true),
        ] {
            let found = findings(0.0, value).contains("it is read_only, but");
            assert_eq!(found, is_read_only, "{value}");
        }
    }
}
