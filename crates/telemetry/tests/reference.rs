//! The page of metrics and the dashboard, made of what the code declares. A test that finds a file different writes it, and
//! fails: run it again and commit the file.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use telemetry::metric::{Kind, METRICS, Metric};

const HEAD: &str = "\
# Metrics

With `--http-address=127.0.0.1:9104` the proxy answers over HTTP, beside its [web page](web.md):

| path | |
|---|---|
| `/metrics` | all of these, in OpenMetrics' text format, which Prometheus and most others read |
| `/live` | 200 as long as the process answers |
| `/ready` | 200 while a read/write backend takes clients and the proxy is not shutting down; 503 and the reason otherwise: for load balancers and Kubernetes |

There is no login. An address that other hosts reach needs TLS (`--http-ssl-cert`, `--http-ssl-key`), or `--http-allow-remote`. Queries are counted by the worker that
serves them and summed up when somebody asks. [grafana.json](grafana.json) is a dashboard for Grafana.

This page is made from the source.

| metric | kind | labels | |
|---|---|---|---|
";

#[track_caller]
fn check(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    if fs::read_to_string(&path).ok().as_deref() != Some(expected) {
        fs::write(&path, expected).expect("the directory is there");
        panic!("{file} was not what the code declares; it has been written anew, commit it");
    }
}

#[test]
fn the_page_is_what_the_code_declares() {
    let mut page = HEAD.to_owned();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, labels) = (metric.full_name(), labels.join(", "));
        writeln!(page, "| `{name}` | {kind} | {labels} | {} |", metric.help)
            .expect("a string takes all");
    }
    check("docs/metrics.md", &page);
}

#[test]
fn names_are_well_formed_and_no_two_are_the_same() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric.full_name();
        assert!(
            name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')),
            "{name}"
        );
        assert!(
            metric.help.ends_with('.') && !metric.help.contains('|'),
            "{name}"
        );
        assert!(names.insert(name), "{metric:?}");
    }
}

#[test]
fn the_dashboard_is_what_the_code_declares() {
    let panels: Vec<_> = METRICS
        .iter()
        .enumerate()
        .map(|(index, metric)| panel(index, metric))
        .collect();
    let dashboard = json!({
        "title": "mysql-proxy",
        "uid": "mysql-proxy",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" },
            { "name": "instance", "type": "query", "label": "Proxy", "includeAll": true, "multi": true,
              "datasource": { "type": "prometheus", "uid": "${datasource}" },
              "query": "label_values(mysql_proxy_uptime_seconds, instance)" },
        ] },
        "panels": panels,
    });
    let text = serde_json::to_string_pretty(&dashboard).expect("it is JSON");
    check("docs/grafana.json", &format!("{text}\n"));
}

/// Two in a row.
fn panel(index: usize, metric: &Metric) -> Value {
    let (width, height) = (12, 8);
    let unit = match (metric.unit, metric.kind) {
        ("seconds", Kind::Counter) => "percentunit",
        ("seconds", _) => "s",
        ("bytes", Kind::Counter) => "Bps",
        ("bytes", _) => "bytes",
        (_, Kind::Counter) => "ops",
        _ => "short",
    };
    json!({
        "id": index + 1,
        "type": "timeseries",
        "title": metric.full_name(),
        "description": metric.help,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "gridPos": { "x": index % 2 * width, "y": index / 2 * height, "w": width, "h": height },
        "fieldConfig": { "defaults": { "unit": unit }, "overrides": [] },
        "targets": targets(metric),
    })
}

/// Counters as what they grow in a second, histograms as the median and the 99th percentile.
fn targets(metric: &Metric) -> Vec<Value> {
    let name = metric.full_name();
    let selected = format!("{name}{{instance=~\"$instance\"}}");
    let mut by: Vec<_> = metric.labels.to_vec();
    let legend = by
        .iter()
        .map(|label| format!("{{{{{label}}}}}"))
        .collect::<Vec<_>>()
        .join(" ");
    let target =
        |expression: String, legend: String| json!({ "expr": expression, "legendFormat": legend });
    match metric.kind {
        Kind::Gauge => vec![target(
            format!("sum by ({}) ({selected})", by.join(", ")),
            legend,
        )],
        Kind::Counter => {
            let rate = format!(
                "sum by ({}) (rate({selected}[$__rate_interval]))",
                by.join(", ")
            );
            vec![target(rate, legend)]
        }
        Kind::Histogram => {
            by.push("le");
            let quantile = |quantile: &str| {
                let buckets = format!("{name}_bucket{{instance=~\"$instance\"}}");
                let rate = format!(
                    "sum by ({}) (rate({buckets}[$__rate_interval]))",
                    by.join(", ")
                );
                target(
                    format!("histogram_quantile({quantile}, {rate})"),
                    format!("p{} {legend}", &quantile[2..]),
                )
            };
            vec![quantile("0.50"), quantile("0.99")]
        }
    }
}
