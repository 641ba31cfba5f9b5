//! Short connections: connect, log in, one statement, quit.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::log_in;
use crate::{
    client::Endpoint,
    metric::{Quantity, Results},
    process_usage,
    proxy::Instance,
    target::Target,
    traffic::Traffic,
};

/// Clients at once.
const CLIENTS: usize = 8;
/// Connections that each of them makes. Bounded by count and not by time, because each leaves a port in TIME_WAIT.
const CONNECTIONS_PER_CLIENT: usize = 200;

/// What one target did.
struct Measured {
    elapsed: Duration,
    cpu: Option<Duration>,
    /// Connections that went on with the keys of an earlier one.
    resumed: usize,
}

pub(super) fn pass(order: &[&Target], traffic: Traffic, results: &mut Results) -> Result<()> {
    for target in order {
        let Some(instance) = target.instance(traffic) else {
            continue;
        };
        let measured = measure(instance).with_context(|| target.name.clone())?;
        let connections = (CLIENTS * CONNECTIONS_PER_CLIENT) as f64;
        let mut record = |quantity: Quantity, value| {
            results.record(quantity.of(traffic, CLIENTS), &target.name, value);
        };
        record(
            Quantity::ConnectionsPerSecond,
            connections / measured.elapsed.as_secs_f64(),
        );
        if traffic == Traffic::TlsResumed {
            let percent = 100.0 * measured.resumed as f64 / connections;
            record(Quantity::ResumedConnections, percent);
        }
        if let Some(cpu) = measured.cpu {
            record(
                Quantity::CpuPerConnection,
                cpu.as_secs_f64() * 1e6 / connections,
            );
        }
    }
    Ok(())
}

fn measure(instance: &Instance) -> Result<Measured> {
    let endpoint = &instance.endpoint;
    let cpu_time = || instance.pid.map(process_usage::cpu_time).transpose();
    let (start, cpu_before) = (Instant::now(), cpu_time()?);
    let resumed = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| connect_repeatedly(endpoint)))
            .collect();
        clients.into_iter().try_fold(0, |sum, client| {
            let resumed = client.join().map_err(|_| anyhow!("a client panicked"))?;
            Ok::<_, anyhow::Error>(sum + resumed?)
        })
    })?;
    let (elapsed, cpu_after) = (start.elapsed(), cpu_time()?);
    Ok(Measured {
        elapsed,
        cpu: cpu_after
            .zip(cpu_before)
            .map(|(after, before)| after - before),
        resumed,
    })
}

/// How many of them went on with the keys of an earlier one.
fn connect_repeatedly(endpoint: &Endpoint) -> Result<usize> {
    let mut resumed = 0;
    for _ in 0..CONNECTIONS_PER_CLIENT {
        for mut client in log_in(endpoint, 1)? {
            resumed += usize::from(client.stream().is_resumed());
            client.quit()?;
        }
    }
    Ok(resumed)
}
