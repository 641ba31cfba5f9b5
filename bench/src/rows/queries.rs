//! Point selects in a closed loop.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::Bench;
use crate::{
    closed_loop::{self, Measured, Plan},
    metric::{Quantity, Results},
    target::Target,
    traffic::Traffic,
};

/// Until caches are warm and the CPUs awake.
const WARM_UP: Duration = Duration::from_millis(50);

const PERCENTILES: [(f64, Quantity, Quantity); 3] = [
    (0.50, Quantity::LatencyP50, Quantity::AddedP50),
    (0.95, Quantity::LatencyP95, Quantity::AddedP95),
    (0.99, Quantity::LatencyP99, Quantity::AddedP99),
];

pub(super) fn pass(
    bench: &Bench,
    order: &[&Target],
    traffic: Traffic,
    connections: usize,
    results: &mut Results,
) -> Result<()> {
    let mut direct = None;
    for target in order {
        let Some(instance) = target.instance(traffic) else {
            continue;
        };
        let plan = Plan {
            endpoint: &instance.endpoint,
            connections,
            warm_up: WARM_UP,
            window: bench.window,
            process: instance.pid,
        };
        let measured =
            closed_loop::run(&plan, &bench.selects).with_context(|| target.name.clone())?;
        let mut record = |quantity: Quantity, value| {
            results.record(quantity.of(traffic, connections), &target.name, value);
        };
        record_load(&measured, &mut record);
        for (quantile, total, added) in PERCENTILES {
            let latency = microseconds(&measured.latency, quantile);
            record(total, latency);
            if let Some(direct) = &direct {
                record(added, latency - microseconds(direct, quantile));
            }
        }
        if target.is_direct() {
            direct = Some(measured.latency);
        }
    }
    Ok(())
}

fn record_load(measured: &Measured, record: &mut impl FnMut(Quantity, f64)) {
    let queries = measured.queries as f64;
    record(
        Quantity::QueriesPerSecond,
        queries / measured.elapsed.as_secs_f64(),
    );
    if let Some(cpu) = measured.process_cpu {
        record(Quantity::CpuPerQuery, cpu.as_secs_f64() * 1e6 / queries);
        record(
            Quantity::CpuPerGeneratorCpu,
            cpu.div_duration_f64(measured.generator_cpu),
        );
    }
}

fn microseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}
