//! Memory of connections that are logged in, have run a statement and wait.

use anyhow::{Context, Result};

use super::log_in;
use crate::{
    client::{Client, Endpoint},
    metric::{Quantity, Results},
    process_usage,
    target::Target,
    traffic::Traffic,
};

const CONNECTIONS: usize = 2_000;
/// Connections that come and go before, so that what a proxy allocates once is not counted.
const WARM_UP_CONNECTIONS: usize = 8;

/// A process that has served many clients has memory of theirs to give to new ones, so a new process is measured.
pub(super) fn pass(order: &[&Target], results: &mut Results) -> Result<()> {
    for target in order {
        let instance = target.fresh_instance()?;
        let Some((instance, pid)) = instance.and_then(|instance| {
            let pid = instance.pid?;
            Some((instance, pid))
        }) else {
            continue;
        };
        let kib = measure(&instance.endpoint, pid).with_context(|| target.name.clone())?;
        let metric = Quantity::KibPerIdleConnection.of(Traffic::Plain, CONNECTIONS);
        results.record(metric, &target.name, kib);
    }
    Ok(())
}

fn measure(endpoint: &Endpoint, pid: u32) -> Result<f64> {
    quit_all(log_in(endpoint, WARM_UP_CONNECTIONS)?)?;
    let before = process_usage::resident_kib_at_rest(pid)?;
    let clients = log_in(endpoint, CONNECTIONS)?;
    let after = process_usage::resident_kib_at_rest(pid)?;
    quit_all(clients)?;
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

fn quit_all(clients: Vec<Client>) -> Result<()> {
    clients.into_iter().try_for_each(Client::quit)
}
