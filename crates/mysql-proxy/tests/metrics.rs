//! What machines ask over HTTP: metrics of what was really done, and whether the proxy lives and is ready.

mod scripted;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use testkit::{Client, FaultLink, MariaDb, ProxyProcess, wait};

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
    assert_eq!(
        value(http, "mysql_proxy_commands_total{command=\"COM_QUERY\"}"),
        3.0
    );
    let (_, text) = get(http, "/metrics");
    let errors = text
        .lines()
        .find(|line| line.starts_with("mysql_proxy_script_errors_total"));
    let errors = errors.expect("the hook failed");
    assert!(
        errors.contains("hook=\"read_query\"") && errors.ends_with(" 1.0"),
        "{errors}"
    );
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
    assert!(get(http, "/").0.contains("404"));
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
