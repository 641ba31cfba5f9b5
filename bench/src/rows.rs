//! The groups of rows of the table, each measured in its own way. A pass measures each target once, one
//! after the other.

mod connections;
mod idle;
mod queries;
mod streaming;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{client::Client, metric::Results, point_select::PointSelects, target::Target};

/// A group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// Point selects: CPU time, throughput, latency
    Queries,
    /// A large result: CPU time, throughput
    Streaming,
    /// Memory of connections that wait
    Idle,
    /// Short connections: throughput, CPU time
    Connections,
}

impl Rows {
    /// How often they are measured in a round. With few connections the scheduler's choice of CPUs decides how much
    /// a query costs, and lasts as long as the connections: many short windows meet all choices.
    fn passes(self) -> usize {
        match self {
            Self::Queries => 5,
            Self::Streaming | Self::Connections => 3,
            // Memory does not vary.
            Self::Idle => 1,
        }
    }
}

/// What all measurements share.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The columns, the direct one first.
    pub(crate) targets: Vec<Target>,
    /// Clients at once in the point selects.
    pub(crate) connections: Vec<usize>,
    /// How long each of them is measured.
    pub(crate) window: Duration,
    /// The statements.
    pub(crate) selects: PointSelects,
}

impl Bench {
    /// Measures one round.
    pub(crate) fn round(&self, round: usize, rows: Rows, results: &mut Results) -> Result<()> {
        let passes = rows.passes();
        (0..passes).try_for_each(|pass| {
            let order = self.order(round * passes + pass);
            self.pass(rows, &order, results)
        })
    }

    /// The direct one first, so that others can be compared with it. The others take turns: whoever follows a busy one
    /// finds the machine in another state.
    fn order(&self, turn: usize) -> Vec<&Target> {
        let mut order: Vec<_> = self.targets.iter().collect();
        if let [_, others @ ..] = &mut order[..]
            && !others.is_empty()
        {
            others.rotate_left(turn % others.len());
        }
        order
    }

    fn pass(&self, rows: Rows, order: &[&Target], results: &mut Results) -> Result<()> {
        match rows {
            Rows::Queries => self.connections.iter().try_for_each(|&connections| {
                queries::pass(self, order, connections, results)
                    .with_context(|| format!("point selects over {connections} connections"))
            }),
            Rows::Streaming => streaming::pass(order, results).context("streaming"),
            Rows::Idle => idle::pass(order, results).context("idle connections"),
            Rows::Connections => connections::pass(order, results).context("short connections"),
        }
    }
}

/// Logs in so many clients and lets each run one statement.
fn log_in(address: SocketAddr, clients: usize) -> Result<Vec<Client>> {
    let client = || {
        let mut client = Client::login(address)?;
        client.query("SELECT 1")?;
        Ok(client)
    };
    (0..clients).map(|_| client()).collect()
}
