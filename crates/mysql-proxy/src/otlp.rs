//! Traces to a collector: OTLP over HTTP, in Protocol Buffers, by a thread of its own.
//!
//! What the collector does not take in time is counted and lost: nothing is sent twice, and no client waits. Which commands are traced
//! is the proxy's business, what a span looks like [`span`]'s. TLS is left to a collector on this host.

mod span;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
#[cfg(test)]
use protocol::limits::{Bound, Limit};
use proxy::{Control, TracedCommand, TracedCommands};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tracing::{error, info};

/// Between two requests, while what comes is gathered.
const GATHERING: Duration = Duration::from_millis(200);
/// A command's own are never torn apart, so there may be a few more.
const SPANS_PER_REQUEST: usize = 512;
/// For a request, from looking up the collector's name to its answer's end.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// A collector has little to say.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What is still in the queue at the end of the process has so long to be sent.
const END: Duration = Duration::from_secs(2);
/// Of OTLP over HTTP, without a number in the URL.
const PORT: u16 = 4318;

/// As operators read of them.
#[cfg(test)]
pub(crate) const LIMITS: [Limit; 4] = [
    Limit {
        what: "Spans in a request to the collector of `--otlp-endpoint`",
        bound: Bound::Number(SPANS_PER_REQUEST as u64),
        reason: "some 100 KB, as a rule; collectors take megabytes",
        beyond: "the next request has them; those of a command stay together",
    },
    Limit {
        what: "A request to that collector",
        bound: Bound::Time(EXPORT_TIMEOUT),
        reason: "it is near, and has only to take them",
        beyond: "its spans are lost and counted",
    },
    Limit {
        what: "That collector's answer",
        bound: Bound::Bytes(ANSWER_BYTES_MAX as u64),
        reason: "it has a sentence to say at most",
        beyond: "its spans count as lost",
    },
    Limit {
        what: "For the last traces to be sent, at the end of the process",
        bound: Bound::Time(END),
        reason: "a restart waits for it",
        beyond: "they are lost",
    },
];

/// Where traces go, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector {
    host: String,
    port: u16,
    path: String,
    service: String,
}

impl Collector {
    /// `url` is what all of OTLP starts with: `http://127.0.0.1:4318`.
    pub(crate) fn new(url: &str, service: &str) -> Result<Self> {
        let parsed: Uri = url
            .parse()
            .map_err(|reason| anyhow!("--otlp-endpoint: `{url}` is not a URL: {reason}"))?;
        match parsed.scheme_str() {
            Some("http") => {}
            Some("https") => bail!(
                "--otlp-endpoint: `{url}` wants TLS, which traces are not sent with; give the http:// address of a collector on \
                 this host, and let that one forward them"
            ),
            _ => bail!(
                "--otlp-endpoint: `{url}` does not begin with http://; give a URL like http://127.0.0.1:4318"
            ),
        }
        ensure!(
            !parsed
                .authority()
                .is_some_and(|it| it.as_str().contains('@')),
            "--otlp-endpoint: the URL names a user, and the proxy logs in to no collector; leave that out"
        );
        let host = parsed.host().unwrap_or_default();
        ensure!(
            !host.is_empty() && parsed.query().is_none(),
            "--otlp-endpoint: `{url}` is not a URL of a host, a port and a path"
        );
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port_u16().unwrap_or(PORT),
            path: format!("{}/v1/traces", parsed.path().trim_end_matches('/')),
            service: service.to_owned(),
        })
    }

    /// Starts the thread that sends.
    pub(crate) fn start(&self, commands: TracedCommands) -> Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let exporter = Exporter {
            collector: self.clone(),
            commands,
            runtime: runtime.context("--otlp-endpoint: the system gives no event queue")?,
            lost: 0,
        };
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(|| exporter.run())
            .context("--otlp-endpoint: cannot start a thread for it")?;
        Ok(())
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// How many spans the collector did not take, and why.
    async fn send(&self, body: Vec<u8>) -> Result<Option<(u64, String)>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        tokio::spawn(connection);
        let request = Request::post(&self.path)
            .header(HOST, self.authority())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        ensure!(status.is_success(), "it answers {status}");
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|reason| anyhow!(reason))?;
        // What is no answer in its words is none that refuses anything.
        let answer = ExportTraceServiceResponse::decode(body.to_bytes()).unwrap_or_default();
        let refused = answer.partial_success.and_then(|refused| {
            let spans = u64::try_from(refused.rejected_spans).unwrap_or_default();
            (spans > 0).then_some((spans, refused.error_message))
        });
        Ok(refused)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

/// Waits for what is queued to be sent, but not for long.
pub(crate) fn finish(control: &Control) {
    let deadline = Instant::now() + END;
    let is_behind = || control.traces().is_some_and(|spans| spans.is_behind());
    while is_behind() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

struct Exporter {
    collector: Collector,
    commands: TracedCommands,
    runtime: Runtime,
    /// Spans since the collector took none any more.
    lost: u64,
}

impl Exporter {
    fn run(mut self) {
        while let Some(first) = self.commands.wait() {
            let mut next = Some(first);
            while let Some(command) = next {
                next = self.export_from(command);
            }
            thread::sleep(GATHERING);
        }
    }

    /// Sends `first` and those behind it. The next one, where it is too many.
    fn export_from(&mut self, first: TracedCommand) -> Option<TracedCommand> {
        let mut spans = Vec::new();
        let mut next = Some(first);
        while spans.len() < SPANS_PER_REQUEST
            && let Some(command) = next.take()
        {
            span::add(&command, &mut spans);
            next = self.commands.next_at_once();
        }
        self.export(spans);
        next
    }

    fn export(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: vec![span::of_service(&self.collector.service, spans)],
        };
        let send = self.collector.send(request.encode_to_vec());
        let sent = self.runtime.block_on(async {
            let sent = timeout(EXPORT_TIMEOUT, send).await;
            sent.unwrap_or_else(|_| bail!("no answer within {EXPORT_TIMEOUT:?}"))
        });
        let (lost, reason) = match sent {
            Ok(None) => (0, String::new()),
            Ok(Some((refused, reason))) => (refused.min(count), format!("it refuses: {reason:?}")),
            Err(reason) => (count, format!("{reason:#}")),
        };
        self.commands.count(count - lost, lost);
        let collector = &self.collector;
        match lost {
            0 => {
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    info!(
                        "--otlp-endpoint: the collector at {collector} takes traces again; {lost} spans were lost"
                    );
                }
            }
            _ if self.lost == 0 => error!(
                "--otlp-endpoint: cannot send traces to {collector}: {reason}; they are lost until it takes them again"
            ),
            _ => {}
        }
        self.lost += lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_beginning_of_a_url() {
        for (url, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://otel", "http://otel:4318/v1/traces"),
            ("http://otel:80/a/b/", "http://otel:80/a/b/v1/traces"),
            ("http://[::1]:99/", "http://[::1]:99/v1/traces"),
        ] {
            let collector = Collector::new(url, "mysql-proxy").unwrap();
            assert_eq!(collector.to_string(), whole);
        }
    }

    #[test]
    fn other_urls_are_refused_in_one_line() {
        for (url, reason) in [
            ("https://otel:4318", "on this host"),
            ("grpc://otel:4317", "does not begin with http://"),
            ("otel:4318", "does not begin with http://"),
            ("/v1/traces", "does not begin with http://"),
            ("http://", "is not a URL"),
            ("http://otel/?a=b", "a host, a port and a path"),
            ("", "is not a URL"),
            ("http://user:secret@otel", "names a user"),
        ] {
            let error = Collector::new(url, "x").unwrap_err().to_string();
            assert!(
                error.contains(reason) && !error.contains('\n') && !error.contains("secret"),
                "{url}: {error}"
            );
        }
    }
}
