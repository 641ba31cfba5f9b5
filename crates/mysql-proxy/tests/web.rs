//! The web page without a browser: who gets in, what is refused, and that its numbers are those of the admin interface.

mod scripted;
mod web_client;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use testkit::{Client, MariaDb, ProxyProcess, ScratchDirectory, Server, wait};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, plugin_address, rows};
use web_client::{ACCOUNT, Web, start};

fn operator(proxy: &ProxyProcess) -> Client {
    Client::connect(plugin_address(proxy, "admin"), "root", "secret").expect("the operator may")
}

/// A proxy with one server, and an operator who is logged in.
fn logged_in(server: &Server) -> (ProxyProcess, Web) {
    let proxy = start(&[server], "127.0.0.1:0", &[]);
    let mut web = Web::of(&proxy);
    web.log_in("root", "secret");
    (proxy, web)
}

#[test]
fn without_an_account_the_page_says_how_to_turn_it_on() {
    let server = MariaDb::start(&[]);
    let backend = format!("--proxy-backend-addresses={}", server.address());
    for account in [&ACCOUNT[..0], &ACCOUNT[..1], &ACCOUNT[1..]] {
        let arguments = [&[backend.as_str(), "--http-address=127.0.0.1:0"], account].concat();
        let proxy = ProxyProcess::start(BINARY, &arguments);
        let web = Web::of(&proxy);
        let page = web.get("/");
        assert_eq!(page.status, 200);
        assert!(page.body.contains("--admin-username=NAME"), "{}", page.body);
        for path in ["/login", "/api/overview", "/api/stream"] {
            assert_eq!(web.get(path).status, 404, "{path}");
        }
        assert_eq!(web.get("/live").body, "alive\n");
    }
}

#[test]
fn nobody_is_let_in_without_name_and_password() {
    let server = MariaDb::start(&[]);
    let proxy = start(&[&server], "127.0.0.1:0", &[]);
    let mut web = Web::of(&proxy);
    let page = web.get("/");
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("/login"))
    );
    assert_eq!(web.get("/login").status, 200);
    for path in [
        "/api/overview",
        "/api/stream",
        "/api/sessions",
        "/api/settings",
        "/api/events",
    ] {
        assert_eq!(web.get(path).status, 401, "{path}");
    }
    assert_eq!(web.post("/api/sessions/1/kill").status, 401);
    for body in [
        "username=root&password=wrong",
        "username=admin&password=secret",
        "username=root",
        "",
        "%%%=&&&&",
    ] {
        let lines = proxy.log().len();
        let refused = web.send("POST", "/login", &[], body);
        assert_eq!(refused.status, 401, "{body}");
        assert!(refused.body.contains("Wrong name or password."));
        assert_eq!(refused.header("set-cookie"), None);
        let line = proxy.wait_for_log_after(lines, "login from 127.0.0.1:", DEADLINE);
        assert!(line.contains("failed: wrong name or password"), "{line}");
    }
    for path in ["/metrics", "/live", "/ready"] {
        assert_eq!(web.get(path).status, 200, "{path}");
    }

    let answer = web.log_in("root", "secret");
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    assert_eq!(web.get("/").status, 200);
    assert_eq!(web.get("/api/overview").status, 200);
    let other = Web {
        cookie: Some(format!(
            "mysql-proxy-{}={}",
            web.address.port(),
            "0".repeat(64)
        )),
        ..Web::of(&proxy)
    };
    assert_eq!(other.get("/api/overview").status, 401);

    assert_eq!(web.post("/logout").status, 303);
    assert_eq!(web.get("/api/overview").status, 401);
}

#[test]
fn a_reload_brings_another_account() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let path = directory.file("proxy.cnf");
    let write = |account: &str| {
        let backend = server.address();
        let text = format!("[mysql-proxy]\nproxy-backend-addresses={backend}\n{account}");
        fs::write(&path, text).expect("the directory is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    };
    write("");
    let file = format!("--defaults-file={}", path.display());
    let proxy = ProxyProcess::start(BINARY, &[&file, "--http-address=127.0.0.1:0"]);
    let reload = |account: &str| {
        let lines = proxy.log().len();
        write(account);
        proxy.signal(Signal::SIGHUP);
        proxy.wait_for_log_after(lines, "admin-password", DEADLINE);
    };
    let mut web = Web::of(&proxy);
    assert_eq!(web.get("/login").status, 404);
    reload("admin-username=root\nadmin-password=one\n");
    web.log_in("root", "one");
    assert_eq!(web.get("/api/overview").status, 200);
    reload("admin-username=root\nadmin-password=two\n");
    assert_eq!(web.get("/api/overview").status, 401);
    web.log_in("root", "two");
    assert_eq!(web.get("/api/overview").status, 200);
    reload("");
    assert_eq!(web.get("/api/overview").status, 404);
}

#[test]
fn a_browser_is_told_to_load_and_to_show_nothing_else() {
    let server = MariaDb::start(&[]);
    let (_proxy, web) = logged_in(&server);
    for path in [
        "/",
        "/login",
        "/style.css",
        "/js/main.js",
        "/api/overview",
        "/nonsense",
    ] {
        let answer = web.get(path);
        let policy = answer.header("content-security-policy").expect(path);
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; "),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(web.get("/js/views/../main.js").status, 404);
    assert_eq!(web.get("/nonsense").status, 404);
}

#[test]
fn what_another_site_sends_changes_nothing() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let mut client = connect(&proxy);
    let id = web.json("/api/sessions")["sessions"][0]["id"].clone();
    let kill = format!("/api/sessions/{id}/kill");
    let own = format!("http://{}", web.address);
    for headers in [
        &[][..],
        &[("Origin", "http://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", own.as_str())],
        &[("Sec-Fetch-Site", "same-site")],
    ] {
        for path in [&kill, "/api/backends/1/down", "/logout"] {
            let refused = web.send("POST", path, headers, "");
            assert_eq!(refused.status, 403, "{path} {headers:?}");
        }
        if !headers.is_empty() {
            let login = web.send("POST", "/login", headers, "username=root&password=secret");
            assert_eq!(login.status, 403, "{headers:?}");
        }
    }
    let looked = web.send("GET", &kill, &[("Origin", own.as_str())], "");
    assert_eq!(looked.status, 405, "looking kills nobody");
    client.ping().expect("it is there");
    assert_eq!(web.post(&kill).status, 200);
    client.ping().expect_err("it was killed");
    proxy.wait_for_log(&format!("ends session {id}"), DEADLINE);
    assert_eq!(web.post("/api/sessions/999/kill").status, 404);
    assert_eq!(web.post("/api/sessions/x/kill").status, 400);
}

/// As the admin interface's rows are printed.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn table(list: &Value, names: &[&str]) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    let row = |row: &Value| {
        names
            .iter()
            .map(|name| text(&row[name]))
            .collect::<Vec<_>>()
    };
    rows.map(|object| row(object).join(" ")).collect()
}

/// The first columns of rows.
fn first(columns: usize, rows: &[String]) -> Vec<String> {
    let first = |row: &String| row.split(' ').take(columns).collect::<Vec<_>>().join(" ");
    rows.iter().map(first).collect()
}

#[test]
fn numbers_are_those_of_the_admin_interface() {
    const BACKEND: [&str; 11] = [
        "number",
        "address",
        "resolved",
        "role",
        "state",
        "availability",
        "reason",
        "down_seconds",
        "clients",
        "idle_connections",
        "uuid",
    ];
    const SESSION: [&str; 5] = ["id", "user", "client", "backend_number", "backend"];
    let servers = [MariaDb::start(&[]), MariaDb::start(&[])];
    let proxy = start(&[&servers[0], &servers[1]], "127.0.0.1:0", &[]);
    let mut web = Web::of(&proxy);
    web.log_in("root", "secret");
    let mut operator = operator(&proxy);
    let mut clients: Vec<Client> = (0..3).map(|_| connect(&proxy)).collect();
    for client in &mut clients {
        client.ping().expect("its login is done");
    }

    let backends = rows(&mut operator, "SHOW BACKENDS");
    let shown = table(&web.json("/api/backends"), &BACKEND);
    // Behind these there are more columns.
    assert_eq!(shown.len(), backends.len());
    for (shown, backend) in shown.iter().zip(&backends) {
        assert!(backend.starts_with(shown), "{shown}: {backend}");
    }
    let sessions = rows(&mut operator, "SHOW SESSIONS");
    let list = web.json("/api/sessions");
    assert_eq!(table(&list["sessions"], &SESSION), first(5, &sessions));
    assert_eq!((&list["total"], &list["matching"]), (&json!(3), &json!(3)));
    let settings = web.json("/api/settings");
    let shown = rows(&mut operator, "SHOW SETTINGS");
    let columns = ["name", "value", "origin", "after_restart"];
    assert_eq!(table(&settings, &columns), shown);
    assert!(!settings.to_string().contains("secret"));
}

#[test]
fn events_are_those_of_the_admin_interface_and_of_the_log() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let mut operator = operator(&proxy);
    proxy.wait_for_log("operator 1 logged in", DEADLINE);
    let events = web.json("/api/events");
    let shown = rows(&mut operator, "SHOW EVENTS");
    assert_eq!(table(&events, &["number"]), first(1, &shown));
    let latest = web.json("/api/overview")["latest_event"].clone();
    assert_eq!(events[0]["number"], latest);
    let log = proxy.log();
    assert!(
        log.last()
            .is_some_and(|line| line.ends_with(&text(&events[0]["text"])))
    );
    let before = latest.as_u64().expect("a number") - 1;
    let news = web.json(&format!("/api/events?after={before}"));
    assert_eq!(news, json!([events[0]]));
}

#[test]
fn sessions_are_filtered_and_sorted_where_they_are() {
    let servers = [MariaDb::start(&[]), MariaDb::start(&[])];
    let proxy = start(&[&servers[0], &servers[1]], "127.0.0.1:0", &[]);
    let mut web = Web::of(&proxy);
    web.log_in("root", "secret");
    let mut apps = [connect(&proxy), connect(&proxy)];
    let mut busy = Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves");
    for client in apps.iter_mut().chain([&mut busy]) {
        client.ping().expect("its login is done");
    }
    let ids = |query: &str| -> Vec<u64> {
        let list = web.json(&format!("/api/sessions?{query}"));
        let sessions = list["sessions"].as_array().expect("a list").iter();
        sessions
            .filter_map(|session| session["id"].as_u64())
            .collect()
    };
    assert_eq!(ids(""), [1, 2, 3]);
    assert_eq!(ids("filter=ADM"), [3]);
    assert!(ids("filter=nobody").is_empty());
    assert_eq!(ids(&format!("filter={}", servers[1].address())), [2]);
    assert_eq!(ids("sort=user"), [3, 1, 2]);
    assert_eq!(ids("sort=backend&descending=1"), [2, 3, 1]);
    assert_eq!(ids("sort=age"), [3, 2, 1]);
    assert!(ids("sort=%00&phase=%ff&filter=").is_empty());
    busy.send_query("SELECT SLEEP(600)").expect("it is sent");
    wait::until("it is busy", DEADLINE, || ids("phase=command") == [3]);
    assert_eq!(ids("phase=idle"), [1, 2]);
    assert_eq!(ids("filter=com_query"), [3]);
}

#[test]
fn backends_are_taken_out_and_put_back() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let mut client = connect(&proxy);
    let availability = || web.json("/api/backends")[0]["availability"].clone();
    assert_eq!(web.post("/api/backends/1/drain").status, 200);
    assert_eq!(availability(), "draining");
    client.ping().expect("it stays");
    let taken_out = web.post("/api/backends/1/down");
    assert_eq!(taken_out.body, "{\"closed_sessions\":1}\n");
    assert_eq!(availability(), "out of service");
    client.ping().expect_err("it is closed");
    assert_eq!(web.post("/api/backends/1/up").status, 200);
    connect(&proxy).ping().expect("it is back");
    for path in [
        "/api/backends/0/up",
        "/api/backends/2/up",
        "/api/backends/1/removed",
    ] {
        assert_eq!(web.post(path).status, 404, "{path}");
    }
}

#[test]
fn digests_are_those_of_the_admin_interface() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let mut operator = operator(&proxy);
    let mut client = connect(&proxy);
    for number in 1..=3 {
        let sql = format!("SELECT {number} UNION ALL SELECT 'literal'");
        client.query(&sql).expect("two rows");
    }
    client.query("SELECT nothing").expect_err("there is none");
    const COLUMNS: [&str; 7] = [
        "digest",
        "user",
        "database",
        "count",
        "errors",
        "rows",
        "statement",
    ];
    // An answer is counted when it is on its way.
    wait::until("all are counted", DEADLINE, || {
        web.json("/api/digests")["total"] == 2
    });
    let list = web.json("/api/digests?sort=count&descending=1");
    let shown = operator
        .query("SHOW DIGESTS ORDER BY count DESC")
        .expect("rows");
    let at = COLUMNS.map(|name| {
        shown
            .columns
            .iter()
            .position(|column| column == name)
            .expect(name)
    });
    let shown = shown.text().into_iter();
    let shown: Vec<String> = shown
        .map(|row| at.map(|at| row[at].clone().unwrap_or_default()).join(" "))
        .collect();
    assert_eq!(table(&list["digests"], &COLUMNS), shown);
    assert_eq!(
        (&list["total"], &list["digests"][0]["rows"]),
        (&json!(2), &json!(6))
    );
    assert!(!list.to_string().contains("literal"), "{list}");
    let of_session = &web.json("/api/sessions")["sessions"][0]["digest"];
    assert_eq!(*of_session, list["digests"][1]["digest"]);
    assert_eq!(
        column(&mut operator, "SHOW SESSIONS", "digest"),
        [text(of_session)]
    );
    let found = web.json(&format!("/api/digests?filter={}", text(of_session)));
    assert_eq!(found["digests"], json!([list["digests"][1]]));
    assert_eq!(web.send("POST", "/api/digests/reset", &[], "").status, 403);
    assert_eq!(web.post("/api/digests/reset").status, 200);
    assert_eq!(web.json("/api/digests")["total"], 0);
}

/// The values of one column.
fn column(operator: &mut Client, sql: &str, name: &str) -> Vec<String> {
    let result = operator.query(sql).expect("rows");
    let at = result.columns.iter().position(|column| column == name);
    let at = at.expect("it is a column");
    let rows = result.text().into_iter();
    rows.map(|mut row| row.swap_remove(at).unwrap_or_else(|| "NULL".to_owned()))
        .collect()
}

#[test]
fn scripts_are_shown_with_their_faults() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new("function read_query() error('on purpose') end");
    let more = [
        format!("--proxy-lua-script={}", script.path.display()),
        "--lua-states=1".to_owned(),
    ];
    let proxy = start(
        &[&server],
        "127.0.0.1:0",
        &more.each_ref().map(String::as_str),
    );
    let mut web = Web::of(&proxy);
    web.log_in("root", "secret");
    assert_eq!(web.json("/api/scripts"), json!([]));
    connect(&proxy).ping().expect("it is there");
    script.edit("this is no Lua");
    connect(&proxy).ping().expect("the version before serves");
    let versions = web.json("/api/scripts");
    assert_eq!(versions[0]["version"], 1);
    assert!(
        versions[0]["hooks"]["read_query"]["errors"].as_u64() > Some(0),
        "{versions}"
    );
    assert_eq!(versions[1]["failures"], 1);
    let fault = versions[1]["fault"].as_str().expect("a fault");
    assert!(fault.contains("script.lua\"]:1:"), "{fault}");
    assert_eq!(
        [&versions[0]["has_changes"], &versions[1]["has_changes"]],
        [false, true]
    );
    let path = script.path.display();
    let changes =
        |version| format!("/api/scripts/changes?script={path}&lua_state=1&version={version}");
    assert_eq!(
        web.json(&changes(2)),
        json!([
            "@@ -1 +1 @@",
            "-function read_query() error('on purpose') end",
            "+this is no Lua"
        ])
    );
    assert_eq!(web.get(&changes(1)).status, 404);
    let events = web.json("/api/events");
    let levels = events
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| &event["level"]);
    assert!(
        levels.into_iter().any(|level| level == "critical"),
        "{events}"
    );
}

/// Events of a stream until `count` of them have come, or its end.
fn events(stream: &mut impl BufRead, count: usize) -> Vec<(String, Value)> {
    let (mut events, mut name) = (Vec::new(), String::new());
    for line in stream.lines().map_while(Result::ok) {
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let value = serde_json::from_str(data).expect("JSON");
            events.push((name.clone(), value));
            if events.len() == count {
                break;
            }
        }
    }
    events
}

#[test]
fn a_page_is_told_each_second_as_long_as_somebody_is_logged_in() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let mut client = connect(&proxy);
    let mut stream = BufReader::new(web.open("/api/stream"));
    let told = events(&mut stream, 3);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["history", "overview", "overview"]);
    assert_eq!(told[2].1["clients"], 1);
    (0..10).for_each(|_| client.ping().expect("it is there"));
    client.query("SELECT 1").expect("a row");
    let mut said = || events(&mut stream, 1).remove(0).1;
    wait::until("the query is counted", DEADLINE, || {
        said()["sample"]["queries_per_second"].as_f64() > Some(0.0)
    });
    assert!(web.json("/api/history").as_array().map(Vec::len) > Some(1));
    web.post("/logout");
    events(&mut stream, usize::MAX);
}

#[test]
fn pages_that_are_too_many_are_told_so() {
    let server = MariaDb::start(&[]);
    let (_proxy, web) = logged_in(&server);
    let streams: Vec<TcpStream> = (0..24)
        .map(|_| {
            let stream = web.open("/api/stream");
            events(&mut BufReader::new(&stream), 1);
            stream
        })
        .collect();
    let refused = web.get("/api/stream");
    assert_eq!(refused.status, 503);
    assert!(
        refused.body.contains("24 pages are open"),
        "{}",
        refused.body
    );
    assert_eq!(web.get("/api/overview").status, 200, "the rest is served");
    drop(streams);
    wait::until("there is room again", DEADLINE, || {
        let mut stream = BufReader::new(web.open("/api/stream"));
        let mut line = String::new();
        stream.read_line(&mut line).expect("an answer");
        line.contains("200")
    });
}

#[test]
fn a_form_that_is_none_is_refused() {
    let server = MariaDb::start(&[]);
    let (proxy, web) = logged_in(&server);
    let long = format!("username=root&password={}", "x".repeat(5000));
    assert_eq!(web.send("POST", "/login", &[], &long).status, 413);
    // One that says to be longer than it is.
    let mut stream = TcpStream::connect(web.address).expect("it listens");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    write!(
        stream,
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nusername="
    )
    .expect("it is sent");
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .expect("an answer");
    assert!(line.contains("408"), "{line}");
    connect(&proxy).ping().expect("clients notice nothing");
}

/// What comes to a request over TLS, of a server with this certificate.
fn https(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    request: &str,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn under_tls_any_address_will_do_and_the_cookie_stays_under_it() {
    const FORM: &str = "username=root&password=secret";
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let files = ["cert.pem", "key.pem"].map(|name| directory.file(name));
    let write = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(&files[0], made.cert.pem()).expect("the directory is ours");
        fs::write(&files[1], made.signing_key.serialize_pem()).expect("the directory is ours");
        made.cert.der().clone()
    };
    let first = write();
    let certificate = format!("--http-ssl-cert={}", files[0].display());
    let key = format!("--http-ssl-key={}", files[1].display());
    let proxy = start(&[&server], "0.0.0.0:0", &[&certificate, &key]);
    let address = SocketAddr::from(([127, 0, 0, 1], plugin_address(&proxy, "http").port()));
    let log_in = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{FORM}",
        FORM.len()
    );
    let answer = https(address, &first, &log_in).expect("an answer");
    assert!(answer.contains("; Secure"), "{answer}");

    // Who speaks no TLS is told nothing, and harms nobody.
    let mut plain = TcpStream::connect(address).expect("it listens");
    plain
        .set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    plain
        .write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("it is sent");
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert!(!alert.starts_with(b"HTTP"), "{alert:?}");

    let second = write();
    https(address, &second, &log_in).expect_err("it is not read yet");
    proxy.signal(Signal::SIGHUP);
    proxy.wait_for_log("certificates and keys were read again", DEADLINE);
    let answer = https(address, &second, &log_in).expect("an answer");
    assert!(answer.contains(" 303 "), "{answer}");
}
