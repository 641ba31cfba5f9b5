//! Memory of connections that are logged in, have run a statement and wait.

use anyhow::{Context, Result};

use super::log_in;
use crate::{
    client::Client,
    metric::{Quantity, Results},
    process_usage,
    target::Target,
};

const CONNECTIONS: usize = 2_000;
/// Connections that come and go before, so that what a proxy allocates once is not counted.
const WARM_UP_CONNECTIONS: usize = 8;

/// A process that has served many clients has memory of theirs to give to new ones, so a new process is measured.
pub(super) fn pass(order: &[&Target], results: &mut Results) -> Result<()> {
    for target in order {
        let instance = target.fresh_instance()?;
        let Some(pid) = instance.pid else {
            continue;
        };
        let kib = measure(instance.address, pid).with_context(|| target.name.clone())?;
        results.record(
            Quantity::KibPerIdleConnection,
            CONNECTIONS,
            &target.name,
            kib,
        );
    }
    Ok(())
}

fn measure(address: std::net::SocketAddr, pid: u32) -> Result<f64> {
    quit_all(log_in(address, WARM_UP_CONNECTIONS)?)?;
    let before = process_usage::resident_kib_at_rest(pid)?;
    let clients = log_in(address, CONNECTIONS)?;
    let after = process_usage::resident_kib_at_rest(pid)?;
    quit_all(clients)?;
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

fn quit_all(clients: Vec<Client>) -> Result<()> {
    clients.into_iter().try_for_each(Client::quit)
}
