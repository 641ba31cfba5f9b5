//! Spans as OTLP has them, named by OpenTelemetry's conventions for databases.
//!
//! What is not known is left out. Names are few: a statement's first keyword where it is one of those, or else the command's name.

use std::time::{Duration, SystemTime};

use backend::{Address, Target};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use protocol::Command;
use proxy::{ChildSpan, SpanWork, TracedCommand, TracedError, TracedQuery, TracedStatement};

/// `SPAN_FLAGS_TRACE_FLAGS_MASK`: the trace is sampled.
const SAMPLED: u32 = 0x001;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`
const HAS_IS_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`
const IS_REMOTE: u32 = 0x200;

/// What statements may begin with to give a span its name.
const KEYWORDS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "INSERT",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
    "XA",
];

/// All of one service.
pub(super) fn of_service(name: &str, spans: Vec<Span>) -> ResourceSpans {
    let mut resource = Attributes::default();
    resource.text("service.name", name);
    resource.text("service.version", env!("CARGO_PKG_VERSION"));
    resource.number("process.pid", u64::from(std::process::id()));
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(Resource {
            attributes: resource.0,
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

/// Appends a command's span and its children.
pub(super) fn add(command: &TracedCommand, spans: &mut Vec<Span>) {
    spans.push(of_command(command));
    let children = command.children.iter();
    spans.extend(children.map(|child| of_child(command, child)));
}

fn of_command(command: &TracedCommand) -> Span {
    let mut attributes = Attributes::default();
    attributes.statement(command.command, command.statement.as_ref());
    if !command.database.is_empty() {
        attributes.text("db.namespace", &command.database);
    }
    attributes.server(command.backend());
    if let Some(client) = command.client {
        attributes.text("client.address", &client.ip().to_string());
        attributes.number("client.port", client.port().into());
    }
    attributes.number("mysql_proxy.session", command.session);
    if let Some(rows) = command.rows {
        attributes.number("db.response.returned_rows", rows);
    }
    if command.left_out > 0 {
        attributes.number("mysql_proxy.spans_left_out", command.left_out);
    }
    let status = attributes.outcome(command.error, command.failure);
    Span {
        parent_span_id: command.parent.map_or_else(Vec::new, id),
        flags: SAMPLED | HAS_IS_REMOTE | command.parent.map_or(0, |_| IS_REMOTE),
        name: name(command.command, command.statement.as_ref()),
        kind: SpanKind::Server.into(),
        attributes: attributes.0,
        status,
        ..span(command, command.span_id, (Duration::ZERO, command.time))
    }
}

fn of_child(command: &TracedCommand, child: &ChildSpan) -> Span {
    let mut attributes = Attributes::default();
    let mut status = None;
    let (name, kind) = match &child.work {
        SpanWork::Hook(hook) => (format!("script {hook}"), SpanKind::Internal),
        SpanWork::PoolWait(backend) => {
            attributes.server(Some(backend));
            ("pool wait".to_owned(), SpanKind::Internal)
        }
        SpanWork::Synchronise(backend) => {
            attributes.server(backend.as_ref());
            ("pool synchronise".to_owned(), SpanKind::Internal)
        }
        SpanWork::Query(query) => {
            status = attributes.query(query);
            let name = name(query.command, query.statement.as_ref());
            (name, SpanKind::Client)
        }
    };
    Span {
        parent_span_id: id(command.span_id),
        flags: SAMPLED | HAS_IS_REMOTE,
        name,
        kind: kind.into(),
        attributes: attributes.0,
        status,
        ..span(command, child.span_id, (child.began_after, child.time))
    }
}

/// What all spans of a command have.
fn span(command: &TracedCommand, span_id: u64, (after, time): (Duration, Duration)) -> Span {
    let began = command.began_at.duration_since(SystemTime::UNIX_EPOCH);
    let began = began.unwrap_or_default() + after;
    Span {
        trace_id: command.trace_id.to_be_bytes().to_vec(),
        span_id: id(span_id),
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: nanos(began + time),
        ..Span::default()
    }
}

fn name(command: Command, statement: Option<&TracedStatement>) -> String {
    let keyword = statement.and_then(keyword);
    keyword.map_or_else(|| command.to_string(), str::to_owned)
}

fn keyword(statement: &TracedStatement) -> Option<&'static str> {
    let text = statement.text.trim_start_matches([' ', '(']);
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    let word = &text[..end.unwrap_or(text.len())];
    let mut known = KEYWORDS.iter().copied();
    known.find(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn id(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Debug, Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn text(&mut self, key: &str, text: &str) {
        self.add(key, Value::StringValue(text.to_owned()));
    }

    fn number(&mut self, key: &str, number: u64) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.add(key, Value::IntValue(number));
    }

    fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn statement(&mut self, command: Command, statement: Option<&TracedStatement>) {
        self.text("db.system.name", "mysql");
        self.text("mysql_proxy.command", &command.to_string());
        if let Some(statement) = statement {
            self.text("db.query.text", &statement.text);
            self.text("mysql_proxy.digest", &statement.digest.to_string());
            if let Some(keyword) = keyword(statement) {
                self.text("db.operation.name", keyword);
            }
        }
    }

    fn server(&mut self, backend: Option<&Address>) {
        let (host, port) = match backend.map(Address::target) {
            Some(Target::Ip(ip, port)) => (ip.to_string(), Some(*port)),
            Some(Target::Name(name, port)) => (name.clone(), Some(*port)),
            Some(Target::Unix(path)) => (path.display().to_string(), None),
            None => return,
        };
        self.text("server.address", &host);
        if let Some(port) = port {
            self.number("server.port", port.into());
        }
    }

    fn query(&mut self, query: &TracedQuery) -> Option<Status> {
        self.statement(query.command, query.statement.as_ref());
        self.server(query.backend.as_ref());
        self.number("db.response.returned_rows", query.rows);
        self.outcome(query.error, query.failure)
    }

    /// An ERR, or no answer.
    fn outcome(
        &mut self,
        error: Option<TracedError>,
        failure: Option<&'static str>,
    ) -> Option<Status> {
        let mut message = String::new();
        if let Some((code, sql_state)) = error {
            message = format!("ERR {code}");
            self.text("db.response.status_code", &code.to_string());
            if let Some(state) = sql_state {
                let state = String::from_utf8_lossy(&state);
                self.text("mysql_proxy.sql_state", &state);
                message = format!("{message} ({state})");
            }
            self.text("error.type", &code.to_string());
        }
        if let Some(failure) = failure {
            failure.clone_into(&mut message);
            self.text("error.type", failure);
        }
        (!message.is_empty()).then(|| Status {
            message,
            code: StatusCode::Error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few() {
        let name = |text: &str| {
            let digest = sql::Digest(7);
            let text = text.into();
            name(Command::QUERY, Some(&TracedStatement { digest, text }))
        };
        assert_eq!(name("select ?"), "SELECT");
        assert_eq!(name("(SELECT ?) UNION (SELECT ?)"), "SELECT");
        assert_eq!(name("WITH t AS (SELECT ?) SELECT ?"), "WITH");
        for text in ["", "hello world", "selected", "sélect", "42"] {
            assert_eq!(name(text), "COM_QUERY", "{text}");
        }
        assert_eq!(super::name(Command::PING, None), "COM_PING");
    }

    #[test]
    fn an_error_is_said_once() {
        let mut attributes = Attributes::default();
        let status = attributes.outcome(Some((1146, Some(*b"42S02"))), None);
        let status = status.unwrap();
        assert_eq!(status.message, "ERR 1146 (42S02)");
        assert_eq!(status.code, i32::from(StatusCode::Error));
        let keys: Vec<_> = attributes.0.iter().map(|it| &*it.key).collect();
        assert_eq!(
            keys,
            [
                "db.response.status_code",
                "mysql_proxy.sql_state",
                "error.type"
            ]
        );
        assert_eq!(Attributes::default().outcome(None, None), None);
    }
}
