//! What is measured, in which unit, and what was measured in each round.

use std::collections::BTreeMap;

use crate::traffic::Traffic;

/// A figure. The table has its rows in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    /// CPU time of the proxy for each query.
    CpuPerQuery,
    /// The same, divided by the load generator's CPU time for each query.
    CpuPerGeneratorCpu,
    /// Answers in a second.
    QueriesPerSecond,
    /// Latency.
    LatencyP50,
    /// Latency.
    LatencyP95,
    /// Latency.
    LatencyP99,
    /// Latency minus that of the direct connection in the same round.
    AddedP50,
    /// Latency minus that of the direct connection in the same round.
    AddedP95,
    /// Latency minus that of the direct connection in the same round.
    AddedP99,
    /// CPU time of the proxy for the bytes of a large result of many rows.
    CpuPerGigabyteOfRows,
    /// CPU time of the proxy for the bytes of a large result of few huge rows.
    CpuPerGigabyteOfBlobs,
    /// CPU time of the proxy for the bytes, before compression, of a result that compresses as data do.
    CpuPerGigabyteOfDigits,
    /// Bytes of a large result of many rows in a second.
    GigabytesOfRowsPerSecond,
    /// Bytes of a large result of few huge rows in a second.
    GigabytesOfBlobsPerSecond,
    /// Bytes, before compression, of a result that compresses as data do, in a second.
    GigabytesOfDigitsPerSecond,
    /// Resident memory of the proxy.
    KibPerIdleConnection,
    /// Connect, log in, one query, quit.
    ConnectionsPerSecond,
    /// CPU time of the proxy for each of those.
    CpuPerConnection,
    /// How many of those went on with the keys of an earlier one.
    ResumedConnections,
}

impl Quantity {
    /// As a row.
    pub(crate) fn of(self, traffic: Traffic, connections: usize) -> Metric {
        Metric {
            traffic,
            quantity: self,
            connections,
        }
    }

    /// As the table says it, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::CpuPerQuery => "CPU per query, µs",
            Self::CpuPerGeneratorCpu => "CPU per query / load generator's",
            Self::QueriesPerSecond => "queries/s",
            Self::LatencyP50 => "latency p50, µs",
            Self::LatencyP95 => "latency p95, µs",
            Self::LatencyP99 => "latency p99, µs",
            Self::AddedP50 => "added latency p50, µs",
            Self::AddedP95 => "added latency p95, µs",
            Self::AddedP99 => "added latency p99, µs",
            Self::CpuPerGigabyteOfRows => "CPU s per GB, 100 MB in rows of 1 kB",
            Self::CpuPerGigabyteOfBlobs => "CPU s per GB, 100 MB in rows of 1 MB",
            Self::CpuPerGigabyteOfDigits => "CPU s per GB, 5 MB of digits in rows of 1 kB",
            Self::GigabytesOfRowsPerSecond => "GB/s, 100 MB in rows of 1 kB",
            Self::GigabytesOfBlobsPerSecond => "GB/s, 100 MB in rows of 1 MB",
            Self::GigabytesOfDigitsPerSecond => "GB/s, 5 MB of digits in rows of 1 kB",
            Self::KibPerIdleConnection => "resident KiB per idle connection",
            Self::ConnectionsPerSecond => "connections/s (connect, log in, SELECT 1, quit)",
            Self::CpuPerConnection => "CPU per such connection, µs",
            Self::ResumedConnections => "resumed connections, %",
        }
    }

    /// As JSON says it, with its unit.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::CpuPerQuery => "cpu_us_per_query",
            Self::CpuPerGeneratorCpu => "cpu_per_generator_cpu",
            Self::QueriesPerSecond => "queries_per_s",
            Self::LatencyP50 => "latency_p50_us",
            Self::LatencyP95 => "latency_p95_us",
            Self::LatencyP99 => "latency_p99_us",
            Self::AddedP50 => "added_latency_p50_us",
            Self::AddedP95 => "added_latency_p95_us",
            Self::AddedP99 => "added_latency_p99_us",
            Self::CpuPerGigabyteOfRows => "cpu_s_per_gb_of_1kb_rows",
            Self::CpuPerGigabyteOfBlobs => "cpu_s_per_gb_of_1mb_rows",
            Self::CpuPerGigabyteOfDigits => "cpu_s_per_gb_of_digits",
            Self::GigabytesOfRowsPerSecond => "gb_of_1kb_rows_per_s",
            Self::GigabytesOfBlobsPerSecond => "gb_of_1mb_rows_per_s",
            Self::GigabytesOfDigitsPerSecond => "gb_of_digits_per_s",
            Self::KibPerIdleConnection => "resident_kib_per_idle_connection",
            Self::ConnectionsPerSecond => "connections_per_s",
            Self::CpuPerConnection => "cpu_us_per_connection",
            Self::ResumedConnections => "resumed_percent",
        }
    }

    /// The best of the values: what the machine can do when nothing disturbs it. Differences and quotients have none:
    /// their smallest value is that of the round that disturbed the other part most.
    pub(crate) fn best(self, values: &[f64]) -> Option<f64> {
        let values = values.iter().copied();
        match self {
            Self::CpuPerGeneratorCpu | Self::ResumedConnections => None,
            _ if self.is_difference() => None,
            Self::QueriesPerSecond
            | Self::GigabytesOfRowsPerSecond
            | Self::GigabytesOfBlobsPerSecond
            | Self::GigabytesOfDigitsPerSecond
            | Self::ConnectionsPerSecond => values.reduce(f64::max),
            _ => values.reduce(f64::min),
        }
    }

    /// Is it a difference of two measured values? Those of single rounds may be below zero.
    pub(crate) fn is_difference(self) -> bool {
        matches!(self, Self::AddedP50 | Self::AddedP95 | Self::AddedP99)
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Metric {
    /// What is on the wire.
    pub(crate) traffic: Traffic,
    /// The figure.
    pub(crate) quantity: Quantity,
    /// Clients at once.
    pub(crate) connections: usize,
}

/// The rounds' values of each metric and target, as far as they could be measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: BTreeMap<Metric, BTreeMap<String, Vec<f64>>>,
}

impl Results {
    /// Adds one round's value.
    pub(crate) fn record(&mut self, metric: Metric, target: &str, value: f64) {
        let targets = self.values.entry(metric).or_default();
        targets.entry(target.to_owned()).or_default().push(value);
    }

    /// The metrics in the table's order.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.values.keys().copied()
    }

    /// The rounds of a target; empty when this could not be measured.
    pub(crate) fn rounds(&self, metric: Metric, target: &str) -> &[f64] {
        let targets = self.values.get(&metric);
        targets
            .and_then(|targets| targets.get(target))
            .map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_depends_on_the_figure() {
        assert_eq!(Quantity::QueriesPerSecond.best(&[1.0, 3.0, 2.0]), Some(3.0));
        assert_eq!(Quantity::CpuPerQuery.best(&[3.0, 1.0, 2.0]), Some(1.0));
        assert_eq!(Quantity::CpuPerQuery.best(&[]), None);
        assert_eq!(Quantity::AddedP50.best(&[1.0, -3.0]), None);
    }

    #[test]
    fn rounds_are_kept_by_metric_and_target() {
        let mut results = Results::default();
        results.record(
            Quantity::QueriesPerSecond.of(Traffic::Plain, 64),
            "direct",
            2.0,
        );
        results.record(
            Quantity::QueriesPerSecond.of(Traffic::Plain, 8),
            "direct",
            1.0,
        );
        results.record(
            Quantity::QueriesPerSecond.of(Traffic::Plain, 8),
            "direct",
            3.0,
        );
        results.record(Quantity::CpuPerQuery.of(Traffic::Plain, 64), "haproxy", 9.0);
        results.record(Quantity::CpuPerQuery.of(Traffic::Tls, 8), "haproxy", 9.0);
        let metrics: Vec<_> = results
            .metrics()
            .map(|metric| (metric.traffic, metric.quantity, metric.connections))
            .collect();
        let expected = [
            (Traffic::Plain, Quantity::CpuPerQuery, 64),
            (Traffic::Plain, Quantity::QueriesPerSecond, 8),
            (Traffic::Plain, Quantity::QueriesPerSecond, 64),
            (Traffic::Tls, Quantity::CpuPerQuery, 8),
        ];
        assert_eq!(metrics, expected);
        let metric = Quantity::QueriesPerSecond.of(Traffic::Plain, 8);
        assert_eq!(results.rounds(metric, "direct"), [1.0, 3.0]);
        assert!(results.rounds(metric, "haproxy").is_empty());
    }
}
