//! Short connections: connect, log in, one statement, quit.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::log_in;
use crate::{
    client::Client,
    metric::{Quantity, Results},
    process_usage,
    target::{Instance, Target},
};

/// Clients at once.
const CLIENTS: usize = 8;
/// Connections that each of them makes. Bounded by count and not by time, because each leaves a port in TIME_WAIT.
const CONNECTIONS_PER_CLIENT: usize = 200;

pub(super) fn pass(order: &[&Target], results: &mut Results) -> Result<()> {
    for target in order {
        let (elapsed, cpu) = measure(target.instance()).with_context(|| target.name.clone())?;
        let connections = (CLIENTS * CONNECTIONS_PER_CLIENT) as f64;
        let mut record = |quantity, value| results.record(quantity, CLIENTS, &target.name, value);
        record(
            Quantity::ConnectionsPerSecond,
            connections / elapsed.as_secs_f64(),
        );
        if let Some(cpu) = cpu {
            record(
                Quantity::CpuPerConnection,
                cpu.as_secs_f64() * 1e6 / connections,
            );
        }
    }
    Ok(())
}

fn measure(instance: &Instance) -> Result<(Duration, Option<Duration>)> {
    let cpu_time = || instance.pid.map(process_usage::cpu_time).transpose();
    let (start, cpu_before) = (Instant::now(), cpu_time()?);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| connect_repeatedly(instance.address)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    let (elapsed, cpu_after) = (start.elapsed(), cpu_time()?);
    Ok((
        elapsed,
        cpu_after
            .zip(cpu_before)
            .map(|(after, before)| after - before),
    ))
}

fn connect_repeatedly(address: SocketAddr) -> Result<()> {
    for _ in 0..CONNECTIONS_PER_CLIENT {
        log_in(address, 1)?.into_iter().try_for_each(Client::quit)?;
    }
    Ok(())
}
