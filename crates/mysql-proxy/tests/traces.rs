//! `--otlp-endpoint`: what a collector gets of which commands, and that no client ever waits for it.

mod scripted;
mod statement_commands;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use protocol::{Capabilities, Command};
use testkit::{Client, Connection, Login, MariaDb, ProxyProcess, Server, wait};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, sharing};
use statement_commands::query;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";

/// Of a sampled trace, as sqlcommenter writes it.
fn comment() -> String {
    format!("/*traceparent='00-{TRACE_ID}-{PARENT_ID}-01'*/")
}

/// Takes traces, and says what it is told to say.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
    is_refusing: Arc<AtomicBool>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let collector = Self {
            address: listener.local_addr().expect("it is bound"),
            spans: Arc::default(),
            services: Arc::default(),
            is_refusing: Arc::default(),
        };
        let (spans, services) = (
            Arc::clone(&collector.spans),
            Arc::clone(&collector.services),
        );
        let is_refusing = Arc::clone(&collector.is_refusing);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let request = receive(&mut stream);
                let mut answer = ExportTraceServiceResponse::default();
                if is_refusing.load(Ordering::SeqCst) {
                    let rejected = count(&request);
                    answer.partial_success = Some(ExportTracePartialSuccess {
                        rejected_spans: i64::try_from(rejected).expect("few"),
                        error_message: "not today".to_owned(),
                    });
                } else {
                    for resource in request.resource_spans {
                        let attributes = resource.resource.expect("one").attributes;
                        let mut all = services.lock().expect("no panic");
                        all.push(text_of(&attributes, "service.name").expect("a name"));
                        let scopes = resource.scope_spans.into_iter();
                        let new = scopes.flat_map(|scope| scope.spans);
                        spans.lock().expect("no panic").extend(new);
                    }
                }
                let body = answer.encode_to_vec();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                // The proxy may be gone.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        collector
    }

    fn option(&self) -> String {
        endpoint(self.address)
    }

    fn spans(&self) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.clone()
    }

    /// All, once there are so many of the kind.
    #[track_caller]
    fn wait_for(&self, kind: SpanKind, count: usize) -> Vec<Span> {
        wait::until("the spans come", DEADLINE, || {
            let spans = self.spans();
            spans.iter().filter(|span| span.kind() == kind).count() >= count
        });
        self.spans()
    }
}

fn endpoint(address: SocketAddr) -> String {
    format!("--otlp-endpoint=http://{address}")
}

fn receive(stream: &mut TcpStream) -> ExportTraceServiceRequest {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).expect("a line");
    }
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/x-protobuf\r\n"),
        "{head}"
    );
    let (_, length) = head.split_once("content-length: ").expect("it is there");
    let length = length.split("\r\n").next().expect("a line");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    ExportTraceServiceRequest::decode(&*body).expect("a request")
}

fn count(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

type Attributes = [opentelemetry_proto::tonic::common::v1::KeyValue];

fn text_of(attributes: &Attributes, key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn text(span: &Span, key: &str) -> String {
    text_of(&span.attributes, key).unwrap_or_else(|| panic!("no {key}: {span:?}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| &*span.name).collect()
}

#[track_caller]
fn assert_within(child: &Span, parent: &Span) {
    assert_eq!(child.trace_id, parent.trace_id);
    assert_eq!(child.parent_span_id, parent.span_id);
    assert!(parent.start_time_unix_nano <= child.start_time_unix_nano);
    assert!(child.start_time_unix_nano <= child.end_time_unix_nano);
    assert!(
        child.end_time_unix_nano <= parent.end_time_unix_nano,
        "{child:?} {parent:?}"
    );
}

fn start(server: &Server, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[&*backend], options].concat())
}

#[test]
fn a_sampled_statement_is_a_span_with_its_backends_below() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let options = [&*collector.option(), "--otlp-service-name=shop-proxy"];
    let proxy = start(&server, &options);
    let login = Login::new("app", "app").database("test");
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut client = login.connect(connection).expect("the proxy serves");
    client.query("SELECT 'nobody asked'").expect("a row");
    let unsampled = comment().replace("-01'", "-00'");
    client
        .query(&format!("SELECT 'no' {unsampled}"))
        .expect("a row");
    client.ping().expect("it is there");
    let sql = format!("SELECT 'secret', SLEEP(0.05) {}", comment());
    client.query(&sql).expect("a row");
    client
        .query(&format!("select * from missing {}", comment()))
        .expect_err("no such table");
    let spans = collector.wait_for(SpanKind::Server, 2);
    assert_eq!(names(&spans), ["SELECT"; 4]);
    assert_eq!(
        collector.services.lock().expect("no panic")[0],
        "shop-proxy"
    );
    let (root, child) = (&spans[0], &spans[1]);
    assert_eq!(hex(&root.trace_id), TRACE_ID);
    assert_eq!(hex(&root.parent_span_id), PARENT_ID);
    assert_eq!((root.span_id.len(), root.status.as_ref()), (8, None));
    assert_eq!(child.kind(), SpanKind::Client);
    assert_within(child, root);
    assert!(child.end_time_unix_nano - child.start_time_unix_nano >= 50_000_000);
    for span in [root, child] {
        assert_eq!(text(span, "db.system.name"), "mysql");
        assert_eq!(text(span, "db.query.text"), "SELECT ?, SLEEP(?)");
        assert_eq!(text(span, "db.operation.name"), "SELECT");
        assert_eq!(text(span, "db.response.returned_rows"), "1");
        assert_eq!(text(span, "mysql_proxy.digest").len(), 16);
        let address = format!(
            "{}:{}",
            text(span, "server.address"),
            text(span, "server.port")
        );
        assert_eq!(address, server.address().to_string());
    }
    assert_eq!(text(root, "db.namespace"), "test");
    assert_eq!(text(root, "client.address"), "127.0.0.1");
    assert_eq!(text(root, "mysql_proxy.session"), "1");
    for span in &spans[2..] {
        assert_eq!(text(span, "db.response.status_code"), "1146");
        let status = span.status.as_ref().expect("an error");
        assert_eq!(status.message, "ERR 1146 (42S02)");
    }
    assert!(!format!("{spans:?}").contains("secret"));
}

#[test]
fn all_commands_are_traced_where_that_is_asked_for() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let proxy = start(&server, &[&*collector.option(), "--trace-sample=1"]);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    client.ping().expect("it is there");
    client
        .send_command(Command::STMT_PREPARE, b"SET @a = 5")
        .expect("it is sent");
    let prepared = client.read_payload().expect("it is prepared");
    let execute = [&prepared[1..5], &[0, 1, 0, 0, 0]].concat();
    client
        .send_command(Command::STMT_EXECUTE, &execute)
        .expect("it is sent");
    client.read_ok().expect("it is done");
    // It has no answer, and goes with the next one.
    client
        .send_command(Command::STMT_CLOSE, &prepared[1..5])
        .expect("it is sent");
    client.query("hello").expect_err("no statement");
    let spans = collector.wait_for(SpanKind::Server, 5);
    let roots = spans.iter().filter(|span| span.kind() == SpanKind::Server);
    let commands: Vec<_> = roots
        .clone()
        .map(|it| text(it, "mysql_proxy.command"))
        .collect();
    assert_eq!(
        commands,
        [
            "COM_QUERY",
            "COM_PING",
            "COM_STMT_PREPARE",
            "COM_STMT_EXECUTE",
            "COM_QUERY"
        ]
    );
    let names: Vec<_> = roots.clone().map(|root| &*root.name).collect();
    assert_eq!(names, ["SELECT", "COM_PING", "SET", "SET", "COM_QUERY"]);
    assert!(roots.clone().all(|root| root.parent_span_id.is_empty()));
    for (number, root) in roots.enumerate() {
        let children = spans.iter().filter(|it| it.parent_span_id == root.span_id);
        let children: Vec<_> = children.collect();
        assert_eq!(children.len(), 1, "{number}: {root:?}");
        assert_within(children[0], root);
    }
    let mut traces: Vec<_> = spans.iter().map(|span| &span.trace_id).collect();
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 5);
}

#[test]
fn executions_belong_to_the_trace_of_their_preparation() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let proxy = start(&server, &[&*collector.option()]);
    let mut client = connect(&proxy);
    let sql = format!("SET @a = 5 {}", comment());
    client
        .send_command(Command::STMT_PREPARE, sql.as_bytes())
        .expect("it is sent");
    let prepared = client.read_payload().expect("it is prepared");
    let execute = [&prepared[1..5], &[0, 1, 0, 0, 0]].concat();
    client
        .send_command(Command::STMT_EXECUTE, &execute)
        .expect("it is sent");
    client.read_ok().expect("it is done");
    let spans = collector.wait_for(SpanKind::Server, 2);
    assert_eq!(names(&spans), ["SET"; 4]);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE_ID));
}

#[test]
fn query_attributes_may_name_the_trace() {
    let Some(server) = testkit::Mysql97::start(&[]) else {
        return;
    };
    let collector = Collector::start();
    let proxy = start(&server, &[&*collector.option()]);
    let login = Login::new("app", "app").with(Capabilities::QUERY_ATTRIBUTES);
    let connection = Connection::tcp(proxy.address()).expect("it listens");
    let mut client = login.connect(connection).expect("the proxy serves");
    let parent = format!("00-{TRACE_ID}-{PARENT_ID}-01");
    let value = [&[parent.len() as u8], parent.as_bytes()].concat();
    let attributes = [("traceparent", (0xfe, 0, Some(&*value)))];
    let payload = query(client.capabilities(), b"SELECT 1", &attributes);
    client
        .send_command(Command::QUERY, &payload[1..])
        .expect("it is sent");
    client.read_results().expect("a row");
    let spans = collector.wait_for(SpanKind::Server, 1);
    assert_eq!(hex(&spans[0].trace_id), TRACE_ID);
    assert_eq!(hex(&spans[0].parent_span_id), PARENT_ID);
}

#[test]
fn hooks_and_the_queries_of_scripts_are_spans() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let script = ScriptFile::new(
        "
        function read_query(packet)
          if packet:byte() ~= proxy.COM_QUERY then return end
          if packet:find('answered') then
            proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = 'no', errcode = 1234 }
            return proxy.PROXY_SEND_RESULT
          end
          if not packet:find('twice') then return end
          proxy.queries:append(1, string.char(proxy.COM_QUERY) .. 'SET @a = 1', { resultset_is_needed = true })
          proxy.queries:append(2, packet, { resultset_is_needed = true })
          return proxy.PROXY_SEND_QUERY
        end
        function read_query_result(inj)
          if inj.id == 1 then return proxy.PROXY_IGNORE_RESULT end
        end
        ",
    );
    let proxy = script.proxy(&[&server], &[&*collector.option()]);
    let mut client = connect(&proxy);
    client.query("SELECT 'untraced'").expect("a row");
    let traced = |client: &mut Client, what: &str| {
        let sql = format!("SELECT '{what}' {}", comment());
        client.query(&sql).map(drop)
    };
    traced(&mut client, "passed").expect("a row");
    traced(&mut client, "twice").expect("a row");
    traced(&mut client, "answered").expect_err("the script says so");
    let spans = collector.wait_for(SpanKind::Server, 3);
    assert_eq!(
        names(&spans),
        [
            "SELECT",
            "script read_query",
            "SELECT",
            "SELECT",
            "script read_query",
            "SET",
            "script read_query_result",
            "SELECT",
            "script read_query_result",
            "SELECT",
            "script read_query",
        ]
    );
    for command in [&spans[..3], &spans[3..9], &spans[9..]] {
        let (root, children) = command.split_first().expect("a root");
        assert_eq!(root.kind(), SpanKind::Server);
        children.iter().for_each(|child| assert_within(child, root));
    }
    assert_eq!(spans[1].kind(), SpanKind::Internal);
    assert_eq!(spans[5].kind(), SpanKind::Client);
    assert_eq!(text(&spans[5], "db.query.text"), "SET @a = ?");
    assert_eq!(text(&spans[9], "db.response.status_code"), "1234");
    assert_eq!(spans[3].status, None);
}

#[test]
fn the_wait_for_an_idle_connection_is_a_span() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let options = [&*collector.option(), "--http-address=127.0.0.1:0"];
    let (_script, proxy) = sharing(&server, &options);
    let http = http_address(&proxy);
    let (mut one, mut other) = (connect(&proxy), connect(&proxy));
    one.query("BEGIN").expect("it begins");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let sql = format!("SELECT 1 {}", comment());
            other.query(&sql).map(drop)
        });
        let waits = format!(
            "mysql_proxy_backend_waiting_clients{{backend=\"{}\",role=\"rw\"}}",
            server.address()
        );
        wait::until("it waits", DEADLINE, || metric(http, &waits) == 1);
        one.query("COMMIT").expect("it ends");
        let waited = waiting.join().expect("no panic");
        waited.expect("it got the connection");
    });
    let spans = collector.wait_for(SpanKind::Server, 1);
    let (root, children) = spans.split_first().expect("one");
    children.iter().for_each(|child| assert_within(child, root));
    assert_eq!(
        names(children),
        [
            "script read_query",
            "pool wait",
            "SELECT",
            "script read_query_result"
        ]
    );
    assert_eq!(children[1].kind(), SpanKind::Internal);
    let port = server.address().to_string();
    assert!(port.ends_with(&text(&children[1], "server.port")), "{port}");
}

fn metric(address: SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let value = answer.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.trim().parse::<f64>().ok());
    value.unwrap_or_default() as u64
}

const FAILED: &str = "mysql_proxy_trace_spans_lost_total{reason=\"export_error\"}";
const DROPPED: &str = "mysql_proxy_trace_spans_lost_total{reason=\"queue_full\"}";
const EXPORTED: &str = "mysql_proxy_trace_spans_exported_total";

fn http_address(proxy: &ProxyProcess) -> SocketAddr {
    scripted::plugin_address(proxy, "http")
}

#[test]
fn a_collector_that_refuses_costs_traces_and_no_client_anything() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    collector.is_refusing.store(true, Ordering::SeqCst);
    let options = [
        &*collector.option(),
        "--trace-sample=1",
        "--http-address=127.0.0.1:0",
    ];
    let proxy = start(&server, &options);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    for batch in 1..=3 {
        for _ in 0..10 {
            client.query("SELECT 1").expect("a row");
        }
        wait::until("they are lost", DEADLINE, || {
            metric(http, FAILED) == 20 * batch
        });
    }
    assert_eq!(proxy.count_in_log("cannot send traces"), 1);
    collector.is_refusing.store(false, Ordering::SeqCst);
    client.query("SELECT 2").expect("a row");
    collector.wait_for(SpanKind::Server, 1);
    proxy.wait_for_log("takes traces again; 60 spans were lost", DEADLINE);
    assert_eq!((metric(http, EXPORTED), metric(http, DROPPED)), (2, 0));
}

#[test]
fn a_collector_that_is_down_is_said_once() {
    let server = MariaDb::start(&[]);
    // Nobody listens on a port that was just free.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free");
    let options = [
        &*endpoint(address),
        "--trace-sample=1",
        "--http-address=127.0.0.1:0",
    ];
    let mut proxy = start(&server, &options);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    client.query("SELECT 1").expect("a row");
    proxy.wait_for_log("cannot send traces", DEADLINE);
    client.query("SELECT 1").expect("a row");
    wait::until("they are lost", DEADLINE, || metric(http, FAILED) == 4);
    assert_eq!(proxy.count_in_log("cannot send traces"), 1);
    drop(client);
    assert!(proxy.terminate().success());
}

#[test]
fn a_collector_that_stalls_holds_up_no_client() {
    let server = MariaDb::start(&[]);
    // Connections wait in its backlog, and no byte ever comes back.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let options = [
        &*endpoint(address),
        "--trace-sample=1",
        "--http-address=127.0.0.1:0",
    ];
    let mut proxy = start(&server, &options);
    let http = http_address(&proxy);
    let mut client = connect(&proxy);
    let mut said = 0;
    while metric(http, DROPPED) < 100 {
        for _ in 0..500 {
            client.query("SELECT 1").expect("a row");
            said += 1;
        }
        assert!(said < 100_000, "none was dropped");
    }
    assert_eq!(proxy.count_in_log("are dropped"), 1);
    drop(client);
    assert!(proxy.terminate().success());
}

#[test]
fn what_was_traced_last_is_sent_before_the_end() {
    let server = MariaDb::start(&[]);
    let collector = Collector::start();
    let mut proxy = start(&server, &[&*collector.option(), "--trace-sample=1"]);
    let mut client = connect(&proxy);
    for _ in 0..1000 {
        client.query("SELECT 1").expect("a row");
    }
    drop(client);
    assert!(proxy.terminate().success());
    assert_eq!(collector.spans().len(), 2000);
}

#[test]
fn a_statement_without_an_answer_says_why() {
    let mut server = MariaDb::start(&[]);
    let collector = Collector::start();
    let proxy = start(&server, &[&*collector.option()]);
    let mut client = connect(&proxy);
    let sql = format!("SELECT SLEEP(60) {}", comment());
    client.send_query(&sql).expect("it is sent");
    wait::until("it runs", DEADLINE, || {
        let list = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        !server.query(list).is_empty()
    });
    server.kill9();
    client.read_results().expect_err("there is no answer");
    let spans = collector.wait_for(SpanKind::Server, 1);
    assert_eq!(names(&spans), ["SELECT"; 2]);
    for span in &spans {
        assert_eq!(text(span, "error.type"), "backend_lost");
    }
    assert_within(&spans[1], &spans[0]);
}

#[test]
fn what_is_wrong_is_said_at_the_start() {
    let output = std::process::Command::new(BINARY)
        .arg("--otlp-endpoint=https://otel:4318")
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("--otlp-endpoint: `https://otel:4318` wants TLS"),
        "{said}"
    );
}
