//! The results as a Markdown table and as JSON lines.

use std::fmt::{self, Write as _};

use serde_json::json;

use crate::{
    metric::{Metric, Results},
    statistics::{median, median_ratio},
    target::{BASELINE, DIRECT, WITH},
    traffic::Traffic,
};

/// A Markdown table: a row for each metric, a column for each target with its median and in parentheses its best
/// round, and a column for each proxy with its ratios to what it is compared with: of the rounds, and in parentheses of
/// the bests.
pub(crate) fn markdown(results: &Results, targets: &[&str]) -> String {
    let compared: Vec<_> = targets
        .iter()
        .filter_map(|name| Some((*name, baseline(targets, name)?)))
        .collect();
    let mut table = String::from("| |");
    for name in targets {
        let _ = write!(table, " {name} |");
    }
    for (name, baseline) in &compared {
        let _ = write!(table, " {name} / {baseline} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"--:|".repeat(targets.len() + compared.len()));
    for metric in results.metrics() {
        let _ = write!(table, "\n| {} |", title(metric));
        for name in targets {
            let _ = write!(table, " {} |", cell(metric, results.rounds(metric, name)));
        }
        for (name, baseline) in &compared {
            let ratio = Ratio::new(results, metric, name, baseline);
            let _ = write!(table, " {ratio} |");
        }
    }
    table.push('\n');
    table
}

/// A line for each metric and target, with every round's value.
pub(crate) fn json_lines(results: &Results, targets: &[&str]) -> String {
    let mut lines = String::new();
    for metric in results.metrics() {
        for name in targets {
            let rounds = results.rounds(metric, name);
            if rounds.is_empty() {
                continue;
            }
            let ratio =
                baseline(targets, name).map(|baseline| Ratio::new(results, metric, name, baseline));
            let line = json!({
                "traffic": metric.traffic.name(),
                "metric": metric.quantity.key(),
                "connections": metric.connections,
                "target": name,
                "median": median(rounds.iter().copied()),
                "best": metric.quantity.best(rounds),
                "rounds": rounds,
                "ratio": ratio.as_ref().and_then(|ratio| ratio.rounds),
                "ratio_of_bests": ratio.as_ref().and_then(|ratio| ratio.bests),
            });
            let _ = writeln!(lines, "{line}");
        }
    }
    lines
}

/// What a target is compared with: a proxy with the baseline, one with a script with itself without.
fn baseline<'a>(targets: &[&'a str], name: &'a str) -> Option<&'a str> {
    let plain = name.split_once(WITH).map_or(BASELINE, |(plain, _)| plain);
    let is_compared = targets.contains(&plain) && name != BASELINE && name != DIRECT;
    is_compared.then_some(plain)
}

/// What a target is in comparison with the baseline, where both were measured and can be divided.
struct Ratio {
    rounds: Option<f64>,
    bests: Option<f64>,
}

impl Ratio {
    fn new(results: &Results, metric: Metric, name: &str, baseline: &str) -> Self {
        let rounds = results.rounds(metric, name);
        let baseline = results.rounds(metric, baseline);
        let quantity = metric.quantity;
        let middle = |values: &[f64]| median(values.iter().copied());
        let of_rounds = if quantity.is_difference() {
            divide(middle(rounds), middle(baseline))
        } else {
            median_ratio(rounds, baseline)
        };
        Self {
            rounds: of_rounds,
            bests: divide(quantity.best(rounds), quantity.best(baseline)),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rounds) = self.rounds {
            write!(f, "{rounds:.2}")?;
        }
        if let Some(bests) = self.bests {
            write!(f, " ({bests:.2})")?;
        }
        Ok(())
    }
}

fn divide(value: Option<f64>, divisor: Option<f64>) -> Option<f64> {
    let divisor = divisor.filter(|divisor| *divisor > 0.0)?;
    Some(value? / divisor)
}

fn title(metric: Metric) -> String {
    let what = metric.quantity.title();
    let connections = match metric.connections {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    match metric.traffic {
        Traffic::Plain => format!("{what}; {connections}"),
        traffic => format!("{}: {what}; {connections}", traffic.name()),
    }
}

fn cell(metric: Metric, rounds: &[f64]) -> String {
    let mut cell = median(rounds.iter().copied()).map_or_else(String::new, figure);
    if let Some(best) = metric.quantity.best(rounds) {
        let _ = write!(cell, " ({})", figure(best));
    }
    cell
}

/// Three digits that count, which is more than the noise leaves.
fn figure(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        _ if magnitude >= 100.0 => 0,
        _ if magnitude >= 10.0 => 1,
        _ if magnitude >= 1.0 => 2,
        _ => 3,
    };
    if magnitude >= 10_000.0 {
        return format!("{:.1} k", value / 1000.0);
    }
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Quantity;

    fn plain(quantity: Quantity, connections: usize) -> Metric {
        quantity.of(Traffic::Plain, connections)
    }

    fn results() -> Results {
        let mut results = Results::default();
        for (direct, haproxy, ours) in [
            (50_100.0, 27_000.0, 27_000.0),
            (49_900.0, 20_000.0, 22_000.0),
        ] {
            results.record(plain(Quantity::QueriesPerSecond, 8), "direct", direct);
            results.record(plain(Quantity::QueriesPerSecond, 8), "haproxy", haproxy);
            results.record(plain(Quantity::QueriesPerSecond, 8), "mysql-proxy", ours);
        }
        results.record(plain(Quantity::CpuPerQuery, 1), "haproxy", 22.81);
        let encrypted = Quantity::CpuPerQuery.of(Traffic::Tls, 1);
        results.record(encrypted, "haproxy", 30.0);
        results
    }

    #[test]
    fn the_table_has_medians_bests_and_ratios() {
        let table = markdown(&results(), &["direct", "haproxy", "mysql-proxy"]);
        let expected = "\
| | direct | haproxy | mysql-proxy | mysql-proxy / haproxy |
|---|--:|--:|--:|--:|
| CPU per query, µs; 1 connection |  | 22.8 (22.8) |  |  |
| queries/s; 8 connections | 50.0 k (50.1 k) | 23.5 k (27.0 k) | 24.5 k (27.0 k) | 1.05 (1.00) |
| TLS: CPU per query, µs; 1 connection |  | 30.0 (30.0) |  |  |
";
        assert_eq!(table, expected);
    }

    #[test]
    fn differences_are_compared_by_their_medians() {
        let mut results = Results::default();
        for (haproxy, ours) in [(-1.0, 6.0), (10.0, 5.0), (20.0, -100.0)] {
            results.record(plain(Quantity::AddedP50, 1), "haproxy", haproxy);
            results.record(plain(Quantity::AddedP50, 1), "mysql-proxy", ours);
        }
        let table = markdown(&results, &["haproxy", "mysql-proxy"]);
        assert!(table.ends_with("| 10.0 | 5.00 | 0.50 |\n"), "{table}");
    }

    #[test]
    fn a_script_is_compared_with_none() {
        let mut results = results();
        results.record(plain(Quantity::CpuPerQuery, 1), "mysql-proxy", 20.0);
        results.record(plain(Quantity::CpuPerQuery, 1), "mysql-proxy + rows", 25.0);
        let table = markdown(&results, &["mysql-proxy", "mysql-proxy + rows"]);
        assert!(
            table.contains("| mysql-proxy + rows / mysql-proxy |"),
            "{table}"
        );
        assert!(
            table.contains("| 20.0 (20.0) | 25.0 (25.0) | 1.25 (1.25) |"),
            "{table}"
        );
    }

    #[test]
    fn without_the_baseline_there_are_no_ratios() {
        let table = markdown(&results(), &["direct", "mysql-proxy"]);
        assert!(
            table.starts_with("| | direct | mysql-proxy |\n|---|--:|--:|\n"),
            "{table}"
        );
    }

    #[test]
    fn json_has_a_line_for_each_measured_pair() {
        let text = json_lines(&results(), &["direct", "haproxy", "mysql-proxy"]);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4]["traffic"], "TLS");
        assert_eq!(lines[0]["metric"], "cpu_us_per_query");
        assert_eq!(lines[0]["ratio"], serde_json::Value::Null);
        assert_eq!(lines[3]["target"], "mysql-proxy");
        assert_eq!(lines[3]["rounds"], json!([27_000.0, 22_000.0]));
        assert_eq!(lines[3]["best"], 27_000.0);
        let ratio = lines[3]["ratio"].as_f64().unwrap();
        assert!((ratio - 1.05).abs() < 1e-9);
    }

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (0.1234, "0.123"),
            (3.333, "3.33"),
            (22.81, "22.8"),
            (812.4, "812"),
            (27_123.0, "27.1 k"),
            (-3.0, "-3.00"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
    }
}
