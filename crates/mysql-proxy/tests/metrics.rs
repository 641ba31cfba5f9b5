//! What machines ask over HTTP: metrics of what was really done, and whether the proxy lives and is ready.

mod scripted;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use testkit::{Client, Connection, FaultLink, Login, MariaDb, ProxyProcess, wait};

use scripted::{BINARY, DEADLINE, ScriptFile, connect};

fn http_address(proxy: &ProxyProcess) -> SocketAddr {
    let said = "http-server listening on port ";
    let line = proxy.wait_for_log(said, DEADLINE);
    let address = line.split_once(said).expect("the line has it").1;
    address.trim().parse().expect("an address")
}

/// Status line and body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

/// The value of the metric with these labels, as they are written.
#[track_caller]
fn value(address: SocketAddr, metric: &str) -> f64 {
    let (status, text) = get(address, "/metrics");
    assert!(status.contains("200"), "{status}");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{metric} ")));
    let line = line.unwrap_or_else(|| panic!("no {metric}:\n{text}"));
    line.parse().expect("a number")
}

#[test]
fn metrics_are_what_was_done() {
    let server = MariaDb::start(&[]);
    let backend = format!("--proxy-backend-addresses={}", server.address());
    let proxy = ProxyProcess::start(
        BINARY,
        &[&backend, "--http-address=127.0.0.1:0", "--event-threads=2"],
    );
    let http = http_address(&proxy);
    let mut clients: Vec<Client> = (0..4).map(|_| connect(&proxy)).collect();
    for client in &mut clients {
        for _ in 0..10 {
            client
                .query("SELECT 1 UNION ALL SELECT 2")
                .expect("two rows");
        }
        client
            .query("SELECT * FROM test.missing")
            .expect_err("there is none");
        client.ping().expect("it is there");
    }
    Client::connect(proxy.address(), "app", "wrong").expect_err("it is denied");
    let [address, role] = [server.address().to_string(), "rw".to_owned()];
    let labels = format!("{{backend=\"{address}\",role=\"{role}\"}}");
    let of_backend = |metric: &str| value(http, &format!("mysql_proxy_{metric}{labels}"));
    assert_eq!(
        value(http, "mysql_proxy_commands_total{command=\"COM_QUERY\"}"),
        44.0
    );
    assert_eq!(
        value(http, "mysql_proxy_commands_total{command=\"COM_PING\"}"),
        4.0
    );
    assert_eq!(value(http, "mysql_proxy_errors_total{code=\"1146\"}"), 4.0);
    assert_eq!(value(http, "mysql_proxy_rows_total"), 80.0);
    assert_eq!(value(http, "mysql_proxy_connections_total"), 5.0);
    assert_eq!(value(http, "mysql_proxy_sessions{phase=\"idle\"}"), 4.0);
    wait::until("the denied login is counted", DEADLINE, || {
        get(http, "/metrics")
            .1
            .contains("mysql_proxy_sessions_failed_total{reason=\"login_denied\"} 1")
    });
    assert_eq!(of_backend("backend_up"), 1.0);
    assert_eq!(of_backend("backend_clients"), 4.0);
    assert_eq!(of_backend("backend_errors_total"), 4.0);
    assert_eq!(of_backend("backend_response_seconds_count"), 48.0);
    assert_eq!(value(http, "mysql_proxy_answer_seconds_count"), 48.0);
    assert!(
        value(http, "mysql_proxy_answer_seconds_sum") >= of_backend("backend_response_seconds_sum")
    );
    assert!(of_backend("backend_response_seconds_sum") > 0.0);
    assert!(value(http, "mysql_proxy_process_open_files") > 8.0);
    let (_, text) = get(http, "/metrics");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for metric in [
        "uptime_seconds",
        "process_cpu_seconds",
        "backend_response_seconds",
        "row_bytes",
    ] {
        assert!(
            text.contains(&format!("# TYPE mysql_proxy_{metric} ")),
            "{metric}:\n{text}"
        );
    }
}

#[test]
fn injected_queries_and_errors_of_hooks_are_counted() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_query(packet)
            if packet:sub(2) == 'fail' then error('on purpose') end
            proxy.queries:append(1, packet, { resultset_is_needed = true })
            proxy.queries:append(2, packet, { resultset_is_needed = true })
            return proxy.PROXY_SEND_QUERY
         end
         function read_query_result(inj) if inj.id == 2 then return proxy.PROXY_IGNORE_RESULT end end",
    );
    let proxy = script.proxy(&[&server], &["--http-address=127.0.0.1:0"]);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    client
        .query("fail")
        .expect_err("the server does not know it");
    // A response is counted a moment after the client has it.
    wait::until("the queries are counted", DEADLINE, || {
        value(http, "mysql_proxy_commands_total{command=\"COM_QUERY\"}") == 3.0
    });
    let (_, text) = get(http, "/metrics");
    let errors = text
        .lines()
        .find(|line| line.starts_with("mysql_proxy_script_errors_total"));
    let errors = errors.expect("the hook failed");
    assert!(
        errors.contains("hook=\"read_query\"") && errors.ends_with(" 1.0"),
        "{errors}"
    );
    // Three queries of the server's were two answers to the client.
    assert_eq!(value(http, "mysql_proxy_answer_seconds_count"), 2.0);
    let version = format!("script=\"{}\",version=\"1\"", script.path.display());
    let of_hook =
        |metric: &str, hook: &str| value(http, &format!("{metric}{{{version},hook=\"{hook}\"}}"));
    let calls = "mysql_proxy_hook_calls_total";
    assert_eq!(of_hook(calls, "read_query"), 2.0);
    assert_eq!(of_hook(calls, "read_query_result"), 2.0);
    assert!(of_hook("mysql_proxy_hook_seconds_total", "read_query") > 0.0);
    assert!(!get(http, "/metrics").1.contains("hook=\"read_auth\""));
}

#[test]
fn pools_and_pins_are_counted() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        "function read_auth_result(auth)
            if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
         end
         function read_query(packet)
            if packet:byte() == proxy.COM_QUIT then return end
            if proxy.connection.backend_ndx == 0 then proxy.connection.backend_ndx = 1 end
            proxy.queries:append(1, packet, { resultset_is_needed = true })
            return proxy.PROXY_SEND_QUERY
         end
         function read_query_result()
            proxy.connection.backend_ndx = 0
         end",
    );
    let proxy = script.proxy(&[&server], &["--http-address=127.0.0.1:0"]);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    client.query("SELECT 2").expect("a row");
    client.query("BEGIN").expect("a transaction");
    client.query("SELECT 3").expect("a row");
    let [address, role] = [server.address().to_string(), "rw".to_owned()];
    let of_pool = |metric: &str, label: &str| {
        let labels = format!("{{backend=\"{address}\",role=\"{role}\",{label}}}");
        value(http, &format!("mysql_proxy_{metric}_total{labels}"))
    };
    assert_eq!(of_pool("pool_requests", "outcome=\"hit\""), 3.0);
    assert_eq!(of_pool("pool_connections", "event=\"return\""), 3.0);
    assert_eq!(of_pool("pool_connections", "event=\"reset\""), 0.0);
    assert_eq!(of_pool("pool_connections", "event=\"dead\""), 0.0);
    let (_, text) = get(http, "/metrics");
    let pins = text
        .lines()
        .find(|line| line.starts_with("mysql_proxy_pins_total{"));
    assert!(
        pins.is_some_and(|pins| pins.contains("transaction")),
        "{text}"
    );
}

#[test]
fn tls_handshakes_are_counted() {
    let server = MariaDb::start(&[]);
    let backend = format!("--proxy-backend-addresses={}", server.address());
    let options = ["--http-address=127.0.0.1:0", "--server-ssl-mode=DISABLED"];
    let proxy = ProxyProcess::start(BINARY, &[&backend, options[0], options[1]]);
    let http = http_address(&proxy);
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let login = Login::new("app", "app").tls();
    login.connect(connection).expect("a client is served");
    connect(&proxy).ping().expect("another without");
    let labels = "{peer=\"client\",outcome=\"TLSv1.3\"}";
    let count = value(http, &format!("mysql_proxy_tls_handshakes_total{labels}"));
    assert_eq!(count, 1.0);
}

#[test]
fn ready_is_who_has_a_backend() {
    let server = MariaDb::start(&[]);
    let link = FaultLink::to(server.address());
    let backend = format!("--proxy-backend-addresses={}", link.address());
    let proxy = ProxyProcess::start(BINARY, &[&backend, "--http-address=127.0.0.1:0"]);
    let http = http_address(&proxy);
    assert_eq!(
        get(http, "/live"),
        ("HTTP/1.1 200 OK".to_owned(), "alive\n".to_owned())
    );
    assert_eq!(get(http, "/ready").1, "ready\n");
    link.refuse();
    Client::connect(proxy.address(), "app", "app").expect_err("nobody is there");
    let (status, reason) = get(http, "/ready");
    assert!(status.contains("503"), "{status}");
    assert!(
        reason.contains("no read/write backend takes clients"),
        "{reason}"
    );
    assert!(reason.contains(&link.address().to_string()), "{reason}");
    link.accept();
    wait::until("it is ready again", DEADLINE, || {
        get(http, "/ready").1 == "ready\n"
    });
    let [address, reason] = [link.address().to_string(), "Connection refused".to_owned()];
    let labels = format!("backend=\"{address}\",role=\"rw\"");
    let downs = format!("mysql_proxy_backend_downs_total{{{labels},reason=\"{reason}\"}}");
    assert_eq!(value(http, &downs), 1.0);
    let of_backend =
        |metric: &str| value(http, &format!("mysql_proxy_backend_{metric}{{{labels}}}"));
    assert_eq!(of_backend("ups_total"), 1.0);
    assert!(of_backend("probes_total") >= 1.0);
    assert!(of_backend("last_probe_seconds") > 0.0);
    assert!(
        get(http, "/").0.contains("200"),
        "it says how to get a page"
    );
    assert!(get(http, "/nothing").0.contains("404"));
}

/// Whoever opens a connection and says nothing, or speaks garbage, does not keep others from asking.
#[test]
fn who_asks_badly_harms_nobody() {
    let server = MariaDb::start(&[]);
    let backend = format!("--proxy-backend-addresses={}", server.address());
    let proxy = ProxyProcess::start(BINARY, &[&backend, "--http-address=127.0.0.1:0"]);
    let http = http_address(&proxy);
    let silent: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(http).expect("it listens"))
        .collect();
    for garbage in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET /metrics\r\n\r\n",
        &[b'a'; 1 << 20],
    ] {
        let mut stream = TcpStream::connect(http).expect("it listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("it is a socket");
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert_eq!(get(http, "/live").1, "alive\n");
    // The silent ones are sent away before long.
    let mut last = &silent[0];
    last.set_read_timeout(Some(DEADLINE))
        .expect("it is a socket");
    let mut answer = Vec::new();
    last.read_to_end(&mut answer).expect("the connection ends");
    connect(&proxy).ping().expect("clients notice nothing");
    assert!(proxy.resident_bytes() < 200 << 20);
    assert!(
        DEADLINE > Duration::from_secs(10),
        "longer than the head of a request may take"
    );
}
