//! OpenMetrics' text format, which a library writes.

use std::fmt;
use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use proxy::{DURATION_BUCKETS, Durations};

use crate::metric::{Kind, METRICS, Metric, PREFIX, Value};
use crate::snapshot::Snapshot;

/// What it is called in HTTP.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of one moment.
///
/// # Errors
/// None that a string in memory has.
pub(crate) fn text(snapshot: Snapshot) -> io::Result<String> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(All(snapshot)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(io::Error::other)?;
    Ok(text)
}

#[derive(Debug)]
struct All(Snapshot);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in METRICS {
            encode_metric(metric, &self.0, &mut encoder)?;
        }
        Ok(())
    }
}

fn encode_metric(
    metric: &Metric,
    snapshot: &Snapshot,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let unit = match metric.unit {
        "" => None,
        unit => Some(Unit::Other(unit.to_owned())),
    };
    let kind = match metric.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut encoder = encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), kind)?;
    for sample in (metric.samples)(snapshot) {
        let labels: Vec<_> = metric.labels.iter().copied().zip(sample.labels).collect();
        let value = Encoded(metric.kind, &sample.value);
        match labels.as_slice() {
            [] => value.encode(encoder.encode_family::<[(&str, String); 0]>(&[])?)?,
            labels => value.encode(encoder.encode_family(&labels)?)?,
        }
    }
    Ok(())
}

/// A value with its metric's kind.
struct Encoded<'a>(Kind, &'a Value);

impl EncodeMetric for Encoded<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.1 {
            Value::Number(number) if self.0 == Kind::Counter => {
                encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
            }
            Value::Number(number) => encoder.encode_gauge(number),
            Value::Durations(durations) => encoder.encode_histogram::<NoLabelSet>(
                durations.sum.as_secs_f64(),
                durations.counts.iter().sum(),
                &buckets(durations),
                None,
            ),
        }
    }

    fn metric_type(&self) -> MetricType {
        match self.0 {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

/// Upper bounds in seconds and how many fell between them; the last one has no bound.
fn buckets(durations: &Durations) -> Vec<(f64, u64)> {
    let bounds = DURATION_BUCKETS.iter().map(|micros| *micros as f64 / 1e6);
    bounds.chain([f64::MAX]).zip(durations.counts).collect()
}
