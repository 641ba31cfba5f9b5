//! Every metric, declared once: the page of metrics and the dashboard are made of this, too.

use std::collections::BTreeMap;

use backend::PoolHistory;
use protocol::Command;
use proxy::{Durations, HookReport, WorkerReport};

use crate::snapshot::{BackendSnapshot, Snapshot};

/// In front of every name.
pub const PREFIX: &str = "mysql_proxy";

/// One metric, as an operator reads of it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Without prefix, unit, and what the kind puts behind it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Of its values; empty for a number of something.
    pub unit: &'static str,
    /// What it means.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    pub(crate) samples: fn(&Snapshot) -> Vec<Sample>,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were how large.
    Histogram,
}

/// One of a metric's values: its labels', in the order of their names, and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<String>,
    pub(crate) value: Value,
}

/// A value of a metric's kind.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Number(f64),
    Durations(Durations),
}

impl Metric {
    /// As it is scraped, and queried.
    pub fn full_name(&self) -> String {
        let mut name = format!("{PREFIX}_{}", self.name);
        if !self.unit.is_empty() {
            name = format!("{name}_{}", self.unit);
        }
        match self.kind {
            Kind::Counter => name + "_total",
            Kind::Gauge | Kind::Histogram => name,
        }
    }
}

fn one(value: f64) -> Vec<Sample> {
    vec![Sample {
        labels: Vec::new(),
        value: Value::Number(value),
    }]
}

fn sample<const N: usize>(labels: [&str; N], value: f64) -> Sample {
    Sample {
        labels: labels.map(str::to_owned).into(),
        value: Value::Number(value),
    }
}

/// A sample for each backend.
fn by_backend(snapshot: &Snapshot, value: fn(&BackendSnapshot) -> Value) -> Vec<Sample> {
    let samples = snapshot.backends.iter().map(|backend| Sample {
        labels: vec![backend.address.clone(), backend.role.to_owned()],
        value: value(backend),
    });
    samples.collect()
}

const BACKEND: &[&str] = &["backend", "role"];
const HOOK: &[&str] = &["script", "version", "hook"];

/// All of them, in the order of the page.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "build_info",
        kind: Kind::Gauge,
        unit: "",
        help: "Always 1; the label says which version runs.",
        labels: &["version"],
        samples: |_| vec![sample([env!("CARGO_PKG_VERSION")], 1.0)],
    },
    Metric {
        name: "uptime",
        kind: Kind::Gauge,
        unit: "seconds",
        help: "Since the start of the process.",
        labels: &[],
        samples: |snapshot| one(snapshot.status.uptime.as_secs_f64()),
    },
    Metric {
        name: "sessions",
        kind: Kind::Gauge,
        unit: "",
        help: "Clients by what they do: they log in, are idle, or wait for the answer to a command.",
        labels: &["phase"],
        samples: |snapshot| {
            let sessions = snapshot.sessions.iter();
            sessions
                .map(|(phase, count)| sample([phase], *count as f64))
                .collect()
        },
    },
    Metric {
        name: "connections",
        kind: Kind::Counter,
        unit: "",
        help: "Clients that were let in.",
        labels: &[],
        samples: |snapshot| one(snapshot.status.accepted as f64),
    },
    Metric {
        name: "connections_refused",
        kind: Kind::Counter,
        unit: "",
        help: "Clients that were turned away by --max-connections or --max-connection-rate.",
        labels: &[],
        samples: |snapshot| one(snapshot.status.refused as f64),
    },
    Metric {
        name: "sessions_failed",
        kind: Kind::Counter,
        unit: "",
        help: "Sessions that ended otherwise than by their client's goodbye, by the reason; the log has one line for each.",
        labels: &["reason"],
        samples: |snapshot| {
            let failed = snapshot.work.failed_sessions.iter();
            failed
                .map(|(reason, count)| sample([reason], *count as f64))
                .collect()
        },
    },
    Metric {
        name: "sessions_panicked",
        kind: Kind::Counter,
        unit: "",
        help: "Sessions that ended by a fault of the proxy itself; the log has it, please report it.",
        labels: &[],
        samples: |snapshot| one(snapshot.status.panicked as f64),
    },
    Metric {
        name: "commands",
        kind: Kind::Counter,
        unit: "",
        help: "Commands that a server has answered.",
        labels: &["command"],
        samples: |snapshot| {
            let commands = snapshot.work.commands.iter();
            let named = commands.map(|(byte, count)| {
                let name = Command(*byte).name().unwrap_or("unknown");
                sample([name], *count as f64)
            });
            named.collect()
        },
    },
    Metric {
        name: "errors",
        kind: Kind::Counter,
        unit: "",
        help: "Answers of servers that were an ERR, or ended with one, by its code.",
        labels: &["code"],
        samples: |snapshot| {
            let errors = snapshot.work.errors.iter();
            errors
                .map(|(code, count)| sample([&code.to_string()], *count as f64))
                .collect()
        },
    },
    Metric {
        name: "answer",
        kind: Kind::Histogram,
        unit: "seconds",
        help: "As clients see it: from a command to its answer's last byte, with all that a script, a pool and servers took.",
        labels: &[],
        samples: |snapshot| {
            vec![Sample {
                labels: Vec::new(),
                value: Value::Durations(snapshot.work.answers.clone()),
            }]
        },
    },
    Metric {
        name: "rows",
        kind: Kind::Counter,
        unit: "",
        help: "Rows that servers have sent.",
        labels: &[],
        samples: |snapshot| one(snapshot.work.rows.0 as f64),
    },
    Metric {
        name: "row",
        kind: Kind::Counter,
        unit: "bytes",
        help: "Bytes of these rows as MySQL packets, before compression and TLS.",
        labels: &[],
        samples: |snapshot| one(snapshot.work.rows.1 as f64),
    },
    Metric {
        name: "tls_handshakes",
        kind: Kind::Counter,
        unit: "",
        help: "TLS handshakes with clients and backends, by the version that was agreed on, or `failed`.",
        labels: &["peer", "outcome"],
        samples: |snapshot| {
            let handshakes = snapshot.work.tls_handshakes.iter();
            handshakes
                .map(|((peer, outcome), count)| sample([peer, outcome], *count as f64))
                .collect()
        },
    },
    Metric {
        name: "backend_up",
        kind: Kind::Gauge,
        unit: "",
        help: "1 while the server answers, 0 while it is marked down.",
        labels: BACKEND,
        samples: |snapshot| by_backend(snapshot, |backend| Value::Number(f64::from(backend.is_up))),
    },
    Metric {
        name: "backend_takes_clients",
        kind: Kind::Gauge,
        unit: "",
        help: "1 where new clients may go: up, and not taken out of service by the operator or a script.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Number(f64::from(backend.takes_clients))
            })
        },
    },
    Metric {
        name: "backend_clients",
        kind: Kind::Gauge,
        unit: "",
        help: "Clients that have a connection to it, or get one.",
        labels: BACKEND,
        samples: |snapshot| by_backend(snapshot, |backend| Value::Number(backend.clients as f64)),
    },
    Metric {
        name: "backend_idle_connections",
        kind: Kind::Gauge,
        unit: "",
        help: "Connections in its pool.",
        labels: BACKEND,
        samples: |snapshot| by_backend(snapshot, |backend| Value::Number(backend.idle as f64)),
    },
    Metric {
        name: "backend_waiting_clients",
        kind: Kind::Gauge,
        unit: "",
        help: "Commands that wait for a connection of its pool.",
        labels: BACKEND,
        samples: |snapshot| by_backend(snapshot, |backend| Value::Number(backend.waiting as f64)),
    },
    Metric {
        name: "backend_errors",
        kind: Kind::Counter,
        unit: "",
        help: "Its answers that were an ERR, or ended with one.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Number(backend.work.errors as f64)
            })
        },
    },
    Metric {
        name: "backend_response",
        kind: Kind::Histogram,
        unit: "seconds",
        help: "From a command's last byte to the server to its answer's last byte to the client, or to the script that keeps it.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Durations(backend.work.durations.clone())
            })
        },
    },
    Metric {
        name: "backend_downs",
        kind: Kind::Counter,
        unit: "",
        help: "How often it was marked down, by the reason that the log gives.",
        labels: &["backend", "role", "reason"],
        samples: |snapshot| {
            let backends = snapshot.backends.iter();
            let downs = backends.flat_map(|backend| {
                let downs = backend.history.downs.iter();
                downs.map(|(reason, count)| {
                    sample([&backend.address, backend.role, reason], *count as f64)
                })
            });
            downs.collect()
        },
    },
    Metric {
        name: "backend_ups",
        kind: Kind::Counter,
        unit: "",
        help: "How often it was taken back.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Number(backend.history.ups as f64)
            })
        },
    },
    Metric {
        name: "backend_probes",
        kind: Kind::Counter,
        unit: "",
        help: "How often it was tried while it was down.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Number(backend.history.probes as f64)
            })
        },
    },
    Metric {
        name: "backend_last_probe",
        kind: Kind::Gauge,
        unit: "seconds",
        help: "What the latest of these took, up to the greeting or the failure.",
        labels: BACKEND,
        samples: |snapshot| {
            by_backend(snapshot, |backend| {
                Value::Number(backend.history.last_probe.as_secs_f64())
            })
        },
    },
    Metric {
        name: "pool_requests",
        kind: Kind::Counter,
        unit: "",
        help: "Requests for a connection of its pool: `hit` had one, `miss` found none, `wait` waited for one, `timeout` in vain.",
        labels: &["backend", "role", "outcome"],
        samples: |snapshot| {
            pool_counts(snapshot, |pool| {
                [
                    ("hit", pool.hits),
                    ("miss", pool.misses),
                    ("wait", pool.waits),
                    ("timeout", pool.timeouts),
                ]
            })
        },
    },
    Metric {
        name: "pool_connections",
        kind: Kind::Counter,
        unit: "",
        help: "What became of its pool's connections: `return` came back, `reset` was reset for its next client, `dead` was closed by                the server.",
        labels: &["backend", "role", "event"],
        samples: |snapshot| {
            pool_counts(snapshot, |pool| {
                [
                    ("return", pool.returns),
                    ("reset", pool.resets),
                    ("dead", pool.dead),
                ]
            })
        },
    },
    Metric {
        name: "pins",
        kind: Kind::Counter,
        unit: "",
        help: "How often a script wanted to give a client's connection away and could not, by what it is needed for.",
        labels: &["reason"],
        samples: |snapshot| {
            let pins = snapshot.work.pins.iter();
            pins.map(|(reason, count)| sample([reason], *count as f64))
                .collect()
        },
    },
    Metric {
        name: "hook_calls",
        kind: Kind::Counter,
        unit: "",
        help: "Calls of a script's hooks, by the script's version and the hook.",
        labels: HOOK,
        samples: |snapshot| by_hook(snapshot, |hook| hook.calls as f64),
    },
    Metric {
        name: "hook",
        kind: Kind::Counter,
        unit: "seconds",
        help: "How long these ran, all together.",
        labels: HOOK,
        samples: |snapshot| by_hook(snapshot, |hook| hook.time.as_secs_f64()),
    },
    Metric {
        name: "script_errors",
        kind: Kind::Counter,
        unit: "",
        help: "Errors of a script's hooks, by the script's version and the hook.",
        labels: HOOK,
        samples: |snapshot| by_hook(snapshot, |hook| hook.errors as f64),
    },
    Metric {
        name: "buffer",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Memory of the buffers that a worker's sessions hold for bytes on their way.",
        labels: &["worker"],
        samples: |snapshot| by_worker(snapshot, |worker| worker.buffer_bytes as f64),
    },
    Metric {
        name: "worker_lag",
        kind: Kind::Gauge,
        unit: "seconds",
        help: "How late a worker lately got to what was due: hooks of scripts and other sessions went first.",
        labels: &["worker"],
        samples: |snapshot| by_worker(snapshot, |worker| worker.lag.as_secs_f64()),
    },
    Metric {
        name: "query_log_lines",
        kind: Kind::Counter,
        unit: "",
        help: "Statements that were written to --slow-query-log (slow) and to --query-log (query).",
        labels: &["log"],
        samples: |snapshot| {
            let logs = snapshot.query_logs.iter();
            logs.map(|log| sample([log.kind.name()], log.counts.written as f64))
                .collect()
        },
    },
    Metric {
        name: "query_log_lost",
        kind: Kind::Counter,
        unit: "",
        help: "Statements that are in none of these logs though they should be: the file took them too slowly (queue_full), or not at all (write_error).",
        labels: &["log", "reason"],
        samples: |snapshot| {
            let logs = snapshot.query_logs.iter();
            logs.flat_map(|log| {
                [
                    ("queue_full", log.counts.dropped),
                    ("write_error", log.counts.failed),
                ]
                .map(|(reason, lost)| sample([log.kind.name(), reason], lost as f64))
            })
            .collect()
        },
    },
    Metric {
        name: "trace_spans_exported",
        kind: Kind::Counter,
        unit: "",
        help: "Spans that the collector at --otlp-endpoint has taken.",
        labels: &[],
        samples: |snapshot| {
            let spans = snapshot.traces.iter();
            spans
                .map(|spans| sample([], spans.written as f64))
                .collect()
        },
    },
    Metric {
        name: "trace_spans_lost",
        kind: Kind::Counter,
        unit: "",
        help: "Spans that the collector at --otlp-endpoint has not: it takes them too slowly (queue_full), or not at all (export_error).",
        labels: &["reason"],
        samples: |snapshot| {
            let spans = snapshot.traces.iter();
            spans
                .flat_map(|spans| {
                    [
                        ("queue_full", spans.dropped),
                        ("export_error", spans.failed),
                    ]
                    .map(|(reason, lost)| sample([reason], lost as f64))
                })
                .collect()
        },
    },
    Metric {
        name: "process_resident_memory",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Memory of the process.",
        labels: &[],
        samples: |snapshot| one(snapshot.process.resident_bytes as f64),
    },
    Metric {
        name: "process_open_files",
        kind: Kind::Gauge,
        unit: "",
        help: "Files that the process has open; --max-open-files bounds it.",
        labels: &[],
        samples: |snapshot| one(snapshot.process.open_files as f64),
    },
    Metric {
        name: "process_cpu",
        kind: Kind::Counter,
        unit: "seconds",
        help: "CPU time of the process, all threads.",
        labels: &[],
        samples: |snapshot| one(snapshot.process.cpu_seconds),
    },
];

/// Summed over the Lua states.
fn by_hook(snapshot: &Snapshot, value: fn(&HookReport) -> f64) -> Vec<Sample> {
    let mut sums = BTreeMap::new();
    for report in &snapshot.scripts {
        let (script, version) = (report.script.display().to_string(), &report.version);
        for (hook, report) in &version.hooks {
            let key = (script.clone(), version.version, *hook);
            *sums.entry(key).or_insert(0.0) += value(report);
        }
    }
    let samples = sums.into_iter();
    samples
        .map(|((script, version, hook), sum)| sample([&script, &version.to_string(), hook], sum))
        .collect()
}

fn by_worker(snapshot: &Snapshot, value: fn(&WorkerReport) -> f64) -> Vec<Sample> {
    let workers = snapshot.workers.iter().enumerate();
    workers
        .map(|(index, worker)| sample([&index.to_string()], value(worker)))
        .collect()
}

/// Of those backends whose pool was ever used: few scripts use one.
fn pool_counts<const N: usize>(
    snapshot: &Snapshot,
    counts: fn(&PoolHistory) -> [(&'static str, u64); N],
) -> Vec<Sample> {
    let used = snapshot
        .backends
        .iter()
        .filter(|backend| backend.pool != PoolHistory::default());
    let samples = used.flat_map(|backend| {
        let counts = counts(&backend.pool).into_iter();
        counts.map(|(name, count)| sample([&backend.address, backend.role, name], count as f64))
    });
    samples.collect()
}
