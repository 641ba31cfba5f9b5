//! SIGHUP and RELOAD: the defaults file is read again while clients are served.

mod scripted;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use protocol::Capabilities;
use testkit::{
    Client, ClientError, Connection, Login, MariaDb, ProxyProcess, ScratchDirectory, Server, wait,
};

use scripted::{BINARY, DEADLINE, SHARING, connect, plugin_address};

/// A defaults file, and the proxy that it is for.
struct Place {
    directory: ScratchDirectory,
    /// What every version of the file has.
    head: String,
}

impl Place {
    fn new(servers: &[&Server]) -> Self {
        let head = "admin-username = root\nplugins = proxy,admin\nadmin-address = 127.0.0.1:0";
        let place = Self {
            directory: ScratchDirectory::new(),
            head: head.to_owned(),
        };
        place.write(&format!("admin-password = secret\n{}", backends(servers)));
        place
    }

    fn file(&self) -> PathBuf {
        self.directory.file("proxy.cnf")
    }

    /// What stands behind the head, from line 5 on.
    fn write(&self, text: &str) {
        let text = format!("[mysql-proxy]\n{}\n{text}\n", self.head);
        fs::write(self.file(), text).expect("the directory is ours");
        fs::set_permissions(self.file(), Permissions::from_mode(0o600)).expect("the file is ours");
    }

    /// The same with the usual password and these servers.
    fn write_with(&self, servers: &[&Server], text: &str) {
        self.write(&format!(
            "admin-password = secret\n{}\n{text}",
            backends(servers)
        ));
    }

    fn start(&self, more: &[&str]) -> ProxyProcess {
        let file = format!("--defaults-file={}", self.file().display());
        ProxyProcess::start(BINARY, &[&[file.as_str()], more].concat())
    }
}

fn backends(servers: &[&Server]) -> String {
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    format!("proxy-backend-addresses = {}", addresses.join(", "))
}

fn operator(proxy: &ProxyProcess) -> Client {
    Client::connect(plugin_address(proxy, "admin"), "root", "secret").expect("the operator may")
}

/// Rows as text, NULL as `NULL`, values separated by `|`.
fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let result = client
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let row = |row: Vec<Option<String>>| {
        let values = row.into_iter();
        let values = values.map(|value| value.unwrap_or_else(|| "NULL".to_owned()));
        values.collect::<Vec<_>>().join("|")
    };
    result.text().into_iter().map(row).collect()
}

fn reload(operator: &mut Client) -> Vec<String> {
    rows(operator, "RELOAD")
}

fn value_of(operator: &mut Client, setting: &str) -> String {
    rows(operator, &format!("SHOW SETTINGS LIKE '{setting}'")).remove(0)
}

/// Address, availability, type, origin, configured.
fn shown_backends(operator: &mut Client) -> Vec<[String; 5]> {
    let result = operator.query("SHOW BACKENDS").expect("rows");
    let at = |name: &str| {
        let place = result.columns.iter().position(|column| column == name);
        place.expect("the column is there")
    };
    let columns = ["address", "availability", "type", "origin", "configured"].map(at);
    let row = |row: Vec<Option<String>>| columns.map(|at| row[at].clone().unwrap_or_default());
    result.text().into_iter().map(row).collect()
}

fn code(result: Result<impl Sized, ClientError>) -> Option<u16> {
    result.err().and_then(|error| error.code())
}

fn error_of(result: Result<impl Sized, ClientError>) -> String {
    let error = result.err().map(|error| error.to_string());
    error.unwrap_or_default()
}

fn port(client: &mut Client) -> String {
    client.value("SELECT @@port").expect("a value")
}

#[test]
fn a_reload_under_load_loses_no_query() {
    let (first, second) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let place = Place::new(&[&first, &second]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let (is_over, queries) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reloads = 20;
    thread::scope(|scope| {
        for number in 0..4 {
            let (proxy, is_over, queries) = (&proxy, &is_over, &queries);
            scope.spawn(move || {
                let mut client = connect(proxy);
                while !is_over.load(Ordering::Relaxed) {
                    // Half of them come anew for each query.
                    if number % 2 == 0 {
                        client = connect(proxy);
                    }
                    assert_eq!(client.value("SELECT 1").expect("an answer"), "1");
                    queries.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..reloads {
            let before = queries.load(Ordering::Relaxed);
            let (servers, text): (&[&Server], _) = match number % 3 {
                0 => (&[&first], "proxy-balance = least-connections"),
                1 => (
                    &[&second, &first],
                    "proxy-login-timeout = 5\nlog-level = info",
                ),
                _ => (
                    &[&second],
                    "max-connections = 100\nclient-compression = off",
                ),
            };
            place.write_with(servers, text);
            match number % 2 {
                0 => assert!(!reload(&mut operator).is_empty()),
                _ => {
                    let lines = proxy.log().len();
                    proxy.signal(Signal::SIGHUP);
                    proxy.wait_for_log_after(lines, "SIGHUP: proxy-backend-addresses", DEADLINE);
                }
            }
            wait::until("queries go on", DEADLINE, || {
                queries.load(Ordering::Relaxed) > before + 8
            });
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let wanted = format!("{}|up", second.address());
    assert!(
        rows(&mut operator, "SELECT * FROM backends")
            .iter()
            .any(|row| row.contains(&wanted)),
        "the last file counts"
    );
}

#[test]
fn a_bad_file_changes_nothing_and_the_error_says_where() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let good = "max-connections = 7\n";
    let file = place.file();
    for (bad, line, reason) in [
        (
            "proxy-balance = sideways",
            8,
            "--proxy-balance: `sideways` is not one of",
        ),
        ("nonsense", 8, "`nonsense` is no [section]"),
        ("proxy-connect-timeout = 0", 8, "--proxy-connect-timeout"),
        (
            "\nssl-cert = /nowhere/cert.pem\nssl-key = /nowhere/key.pem",
            9,
            "/nowhere/key.pem",
        ),
        ("http-address = 0.0.0.0:9", 8, "--http-allow-remote"),
    ] {
        place.write_with(&[&server], &format!("{good}{bad}"));
        let error = error_of(operator.query("RELOAD"));
        let place = format!("{}:{line}", file.display());
        assert!(error.contains(&place), "{bad}: {error}");
        assert!(error.contains(reason), "{bad}: {error}");
        assert!(error.contains("nothing has changed"), "{bad}: {error}");
        let lines = proxy.log().len();
        proxy.signal(Signal::SIGHUP);
        let said = proxy.wait_for_log_after(lines, "(critical) SIGHUP: ", DEADLINE);
        assert!(said.contains(reason), "{said}");
        assert_eq!(
            value_of(&mut operator, "max-connections"),
            "max-connections|0|default|NULL"
        );
    }
    fs::remove_file(&file).expect("it is there");
    let error = error_of(operator.query("RELOAD"));
    assert!(error.contains("No such file"), "{error}");
    place.write_with(&[&server], good);
    assert_eq!(
        reload(&mut operator),
        ["max-connections|0|7|changed: counts for new connections"]
    );
    assert_eq!(
        value_of(&mut operator, "max-connections"),
        "max-connections|7|file|NULL"
    );
    assert!(reload(&mut operator).is_empty());
    proxy.wait_for_log("RELOAD: the options are what they were", DEADLINE);
}

#[test]
fn backends_come_leave_and_change_their_role() {
    let (first, second) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let (a, b) = (first.address().to_string(), second.address().to_string());
    let place = Place::new(&[&first]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let mut client = connect(&proxy);

    place.write_with(&[&second], "");
    assert_eq!(
        reload(&mut operator),
        [
            format!(
                "proxy-backend-addresses|{a}|{b}|changed: {a} takes no new clients and is removed after those who have it (1 now), \
                 {b} added"
            ),
            format!(
                "proxy-backend-addresses|{a}|{a}|is not named any more: removed after those who have it"
            ),
        ]
    );
    assert_eq!(port(&mut client), first.port().to_string());
    for _ in 0..3 {
        assert_eq!(port(&mut connect(&proxy)), second.port().to_string());
    }
    let row = |address: &str, more: [&str; 4]| {
        let [availability, role, origin, configured] = more.map(str::to_owned);
        [address.to_owned(), availability, role, origin, configured]
    };
    let named = row(&b, ["in service", "rw", "file", "yes"]);
    assert_eq!(
        shown_backends(&mut operator),
        [row(&a, ["leaving", "rw", "file", "no"]), named.clone()]
    );
    client.quit().expect("it leaves");
    wait::until("its last client is gone", DEADLINE, || {
        shown_backends(&mut operator) == [named.clone()]
    });

    let read_only = format!("proxy-read-only-backend-addresses = {a}");
    place.write_with(&[&second], &read_only);
    reload(&mut operator);
    place.write_with(
        &[&first],
        &format!("proxy-read-only-backend-addresses = {b}"),
    );
    reload(&mut operator);
    assert_eq!(
        shown_backends(&mut operator),
        [
            row(&a, ["in service", "rw", "file", "yes"]),
            row(&b, ["in service", "ro", "file", "yes"])
        ]
    );
    assert_eq!(port(&mut connect(&proxy)), first.port().to_string());
}

#[test]
fn what_the_operator_did_to_backends_is_kept_and_shown() {
    let (first, second) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let (a, b) = (first.address().to_string(), second.address().to_string());
    let place = Place::new(&[&first]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    operator
        .query(&format!("ADD BACKEND '{b}'"))
        .expect("it is added");
    operator
        .query("SET BACKEND 1 DRAIN")
        .expect("it is drained");
    let shown = |operator: &mut Client| -> Vec<_> {
        let shown = shown_backends(operator).into_iter();
        shown
            .map(|[_, availability, _, origin, configured]| {
                format!("{availability}, {origin}, {configured}")
            })
            .collect()
    };
    let kept = ["draining, file, changed", "in service, operator, no"];
    assert_eq!(shown(&mut operator), kept);
    let told = reload(&mut operator);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("the operator drains it"), "{told:?}");
    assert!(told[1].contains("the operator wants it"), "{told:?}");
    assert_eq!(shown(&mut operator), kept);

    // Once it stands in the file it is the file's.
    place.write_with(&[&first, &second], "");
    let told = reload(&mut operator);
    assert!(told[0].contains("was there already"), "{told:?}");
    assert_eq!(
        shown(&mut operator),
        ["draining, file, changed", "in service, file, yes"]
    );
    operator.query("REMOVE BACKEND 1").expect("it is removed");
    let told = reload(&mut operator);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(&a) && told[0].contains("the operator removed it"),
        "{told:?}"
    );
    assert_eq!(shown(&mut operator), ["in service, file, yes"]);
}

#[test]
fn limits_timeouts_compression_and_balance_change_for_new_clients() {
    let (first, second) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let servers = [&first, &second];
    let place = Place::new(&servers);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let mut old = connect(&proxy);
    let change = |operator: &mut Client, text: &str| {
        place.write_with(&servers, text);
        let told = reload(operator);
        assert!(!told.is_empty(), "{text}");
    };
    let try_login = || Client::connect(proxy.address(), "app", "app");

    change(&mut operator, "max-connections = 1");
    assert_eq!(code(try_login()), Some(1040));
    old.ping().expect("who is there stays");
    change(&mut operator, "max-connection-rate = 1");
    let refused = (0..100).any(|_| code(try_login()) == Some(1040));
    assert!(
        refused,
        "nobody logs in a hundred times in a hundred seconds"
    );
    change(
        &mut operator,
        "proxy-read-timeout = 0.2\nclient-compression = off",
    );
    let mut hasty = connect(&proxy);
    assert!(
        !hasty
            .greeting()
            .capabilities
            .contains(Capabilities::COMPRESS)
    );
    assert!(old.greeting().capabilities.contains(Capabilities::COMPRESS));
    let (_, told) = hasty.connection().read_packet().expect("its last words");
    assert_eq!(told[..3], [0xff, 0x87, 0x04], "ERR 1159: it was silent");
    old.ping().expect("its time is the old one");
    drop(old);
    change(&mut operator, "proxy-balance = least-connections");
    wait::until("nobody is there", DEADLINE, || {
        let rows = rows(&mut operator, "SELECT * FROM backends");
        rows.iter().all(|row| row.ends_with("|0"))
    });
    let one = connect(&proxy);
    let mut next = connect(&proxy);
    drop(one);
    assert_eq!(port(&mut next), second.port().to_string());
}

#[test]
fn tls_modes_change_and_idle_connections_of_before_are_of_no_use() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let mut old = connect(&proxy);
    place.write_with(
        &[&server],
        "client-ssl-mode = REQUIRED\nserver-ssl-mode = DISABLED",
    );
    assert_eq!(reload(&mut operator).len(), 2);
    let plain = Client::connect(proxy.address(), "app", "app");
    assert!(plain.is_err(), "it has no TLS");
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut secure = Login::new("app", "app")
        .tls()
        .connect(connection)
        .expect("it has TLS");
    secure.ping().expect("it is served");
    old.ping().expect("who is there stays");
    place.write_with(&[&server], "");
    assert_eq!(reload(&mut operator).len(), 2);
    connect(&proxy).ping().expect("as before");
}

#[test]
fn scripts_come_change_their_limits_and_go() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let mut old = connect(&proxy);
    let script = |name: &str, text: &str| {
        let path = place.directory.file(name);
        fs::write(&path, text).expect("the directory is ours");
        path.display().to_string()
    };
    let answering = |answer: &str| {
        format!(
            "local started
             function read_query(packet)
                 if packet:sub(2) == 'SELECT 1' then
                     local n = 0
                     while {answer} < 0 do n = n + 1 end
                     proxy.response = {{ type = proxy.MYSQLD_PACKET_OK, resultset = {{
                         fields = {{ {{ name = 'a', type = proxy.MYSQL_TYPE_STRING }} }}, rows = {{ {{ '{answer}' }} }} }} }}
                     return proxy.PROXY_SEND_RESULT
                 end
             end"
        )
    };
    let (two, three) = (
        script("two.lua", &answering("2")),
        script("three.lua", &answering("3")),
    );
    let endless = script("endless.lua", &answering("-1"));
    let select = |client: &mut Client| client.value("SELECT 1");

    place.write_with(&[&server], &format!("proxy-lua-script = {two}"));
    assert_eq!(
        reload(&mut operator),
        [format!(
            "proxy-lua-script|NULL|{two}|changed: counts for new connections"
        )]
    );
    let mut with_two = connect(&proxy);
    assert_eq!(select(&mut with_two).expect("the script's"), "2");
    assert_eq!(select(&mut old).expect("the server's"), "1");
    place.write_with(&[&server], &format!("proxy-lua-script = {three}"));
    reload(&mut operator);
    assert_eq!(select(&mut connect(&proxy)).expect("the script's"), "3");
    assert_eq!(select(&mut with_two).expect("the script's"), "2");

    place.write_with(
        &[&server],
        &format!("proxy-lua-script = {endless}\nlua-hook-timeout = 0.1"),
    );
    reload(&mut operator);
    let stopped = select(&mut connect(&proxy));
    assert_eq!(code(stopped), Some(1105));
    proxy.wait_for_log("--lua-hook-timeout=0.1 s", DEADLINE);

    place.write_with(&[&server], "");
    reload(&mut operator);
    assert_eq!(select(&mut connect(&proxy)).expect("the server's"), "1");
    assert_eq!(select(&mut with_two).expect("the script's"), "2");
}

#[test]
fn the_log_and_the_operators_account_change() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let address = plugin_address(&proxy, "admin");
    place.write(&format!(
        "admin-password = better\n{}\nlog-level = info\nlog-format = json",
        backends(&[&server])
    ));
    let told = reload(&mut operator);
    assert_eq!(
        told,
        [
            "log-level|message|info|changed: counts now",
            "log-format|text|json|changed: counts now",
            "admin-password|***|***|changed, is not shown: counts for new connections",
        ]
    );
    proxy.wait_for_log("\"message\":\"RELOAD: log-level: message -> info", DEADLINE);
    let refused = Client::connect(address, "root", "secret");
    assert_eq!(code(refused), Some(1045));
    Client::connect(address, "root", "better").expect("the new password");
    operator.ping().expect("who is there stays");
    let (_, second) = (
        connect(&proxy),
        Client::connect(proxy.address(), "app", "wrong"),
    );
    assert!(second.is_err());
    let log = proxy.log().join("\n");
    assert!(!log.contains("secret") && !log.contains("better"), "{log}");
    proxy.wait_for_log("\"level\":\"info\"", DEADLINE);
}

#[test]
fn what_needs_a_restart_is_named_and_stays_and_the_command_line_wins() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&["--event-threads=2", "--max-connections=9"]);
    let mut operator = operator(&proxy);
    place.write_with(
        &[&server],
        "pid-file = /nowhere/pid\nevent-threads = 3\nmax-connections = 1\nadmin-address = 127.0.0.1:1\n\
         proxy-read-timeout = 77\nlua-states = 2",
    );
    let mut told = reload(&mut operator);
    told.sort();
    let needs = "needs a restart: stays as it is until then";
    assert_eq!(
        told,
        [
            format!("admin-address|127.0.0.1:0|127.0.0.1:1|{needs}"),
            format!("lua-states|1|2|{needs}"),
            format!("pid-file|NULL|/nowhere/pid|{needs}"),
            "proxy-read-timeout|28800|77|changed: counts for new connections".to_owned(),
        ]
    );
    proxy.wait_for_log(
        "(warning) RELOAD: lua-states: 1 -> 2: needs a restart",
        DEADLINE,
    );
    for (setting, shown) in [
        ("lua-states", "lua-states|1|default|2"),
        ("pid-file", "pid-file|NULL|default|/nowhere/pid"),
        ("proxy-read-timeout", "proxy-read-timeout|77|file|NULL"),
        ("event-threads", "event-threads|2|command line|NULL"),
        ("max-connections", "max-connections|9|command line|NULL"),
    ] {
        assert_eq!(value_of(&mut operator, setting), shown);
    }
    // It is told again as long as it is so.
    assert_eq!(reload(&mut operator).len(), 3);
    connect(&proxy).ping().expect("it is served");
    place.write_with(&[&server], "proxy-read-timeout = 77");
    assert!(reload(&mut operator).is_empty());
    place.write_with(
        &[&server],
        "proxy-read-timeuot = 7\nproxy-read-timeout = 77",
    );
    let told = reload(&mut operator);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(":7: unknown key proxy-read-timeuot"),
        "{told:?}"
    );
}

#[test]
fn a_worker_that_the_angel_starts_again_has_what_the_file_says_now() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let pid_file = place.directory.file("pid");
    let option = format!("--pid-file={}", pid_file.display());
    let mut proxy = place.start(&["--keepalive", &option]);
    place.write_with(&[&server], "max-connections = 7");
    let id = fs::read_to_string(&pid_file).expect("it is written");
    let id = id.trim().parse().expect("a number");
    kill(Pid::from_raw(id), Signal::SIGKILL).expect("the worker runs");
    proxy.wait_for_log("restart by the angel: max-connections: 0 -> 7", DEADLINE);
    // The worker is in no group of the test's.
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[test]
fn idle_connections_stay_with_the_sessions_of_their_settings() {
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let script = place.directory.file("sharing.lua");
    fs::write(&script, SHARING).expect("the directory is ours");
    let script = format!("proxy-lua-script = {}", script.display());
    place.write_with(&[&server], &script);
    let proxy = place.start(&[]);
    let mut operator = operator(&proxy);
    let idle = |operator: &mut Client| {
        let result = operator.query("SHOW BACKENDS").expect("rows");
        let at = result
            .columns
            .iter()
            .position(|column| column == "idle_connections");
        let at = at.expect("the column is there");
        let rows = result.text().into_iter();
        rows.map(|row| row[at].clone().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let id = |client: &mut Client| client.value("SELECT CONNECTION_ID()").expect("a value");
    let mut old = connect(&proxy);
    let olds = id(&mut old);
    place.write_with(&[&server], &format!("{script}\nserver-compression = zlib"));
    assert_eq!(reload(&mut operator).len(), 1);
    let mut new = connect(&proxy);
    let news = id(&mut new);
    assert_ne!(olds, news, "it is of another kind");
    assert_eq!(id(&mut old), olds, "its own is still there");
    let compressed = new.query("SHOW STATUS LIKE 'Compression'").expect("a row");
    assert_eq!(compressed.text()[0][1].as_deref(), Some("ON"));

    // It leaves the list, and those who have it go on; with the last of them it is gone.
    let other = MariaDb::start(&[]);
    place.write_with(&[&other], &format!("{script}\nserver-compression = zlib"));
    reload(&mut operator);
    assert_eq!(id(&mut new), news);
    assert_eq!(idle(&mut operator).len(), 2);
    drop((old, new));
    wait::until("the one that left is gone", DEADLINE, || {
        idle(&mut operator) == ["0"]
    });
}

#[test]
fn one_that_may_not_read_its_file_any_more_still_reads_certificates() {
    if !Uid::effective().is_root() {
        return testkit::skip("only root can become another user");
    }
    let server = MariaDb::start(&[]);
    let place = Place::new(&[&server]);
    let proxy = place.start(&["--user=nobody"]);
    let mut operator = operator(&proxy);
    place.write_with(&[&server], "max-connections = 7");
    let error = error_of(operator.query("RELOAD"));
    assert!(error.contains("Permission denied"), "{error}");
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("SIGHUP: loading config from", DEADLINE);
    proxy.wait_for_log("SIGHUP: certificates and keys were read again", DEADLINE);
    assert_eq!(
        value_of(&mut operator, "max-connections"),
        "max-connections|0|default|NULL"
    );
}
