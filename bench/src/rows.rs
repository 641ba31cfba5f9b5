//! The groups of rows of the table, each measured in its own way. A pass measures each target once, one
//! after the other.

mod connections;
mod idle;
mod queries;
pub(crate) mod streaming;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    client::{Client, Endpoint},
    metric::Results,
    point_select::PointSelects,
    target::Target,
    traffic::Traffic,
};

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
    /// Point selects and large results, encrypted
    Tls,
    /// Short connections, encrypted
    Handshakes,
    /// Point selects and a large result, compressed
    Compression,
}

impl Rows {
    /// What they are measured with.
    pub(crate) fn traffics(self) -> &'static [Traffic] {
        match self {
            Self::Queries | Self::Streaming | Self::Idle | Self::Connections => &[Traffic::Plain],
            Self::Tls => &[Traffic::Tls, Traffic::TlsPassthrough],
            Self::Handshakes => &[Traffic::Tls, Traffic::TlsResumed],
            Self::Compression => &[Traffic::Zlib, Traffic::Zstd],
        }
    }

    /// How often they are measured in a round. With few connections the scheduler's choice of CPUs decides how much
    /// a query costs, and lasts as long as the connections: many short windows meet all choices.
    fn passes(self) -> usize {
        match self {
            Self::Queries => 5,
            Self::Streaming | Self::Connections | Self::Tls => 3,
            // Memory does not vary; the others take long enough.
            Self::Idle | Self::Handshakes | Self::Compression => 1,
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
        rows.traffics().iter().try_for_each(|&traffic| {
            self.pass_of(rows, traffic, order, results)
                .with_context(|| format!("{rows:?}, {}", traffic.name()))
        })
    }

    fn pass_of(
        &self,
        rows: Rows,
        traffic: Traffic,
        order: &[&Target],
        results: &mut Results,
    ) -> Result<()> {
        if matches!(rows, Rows::Queries | Rows::Tls | Rows::Compression) {
            for &connections in &self.connections {
                queries::pass(self, order, traffic, connections, results)
                    .with_context(|| format!("point selects over {connections} connections"))?;
            }
        }
        match rows {
            Rows::Queries => Ok(()),
            Rows::Streaming | Rows::Tls | Rows::Compression => {
                streaming::pass(order, traffic, results).context("streaming")
            }
            Rows::Idle => idle::pass(order, results),
            Rows::Connections | Rows::Handshakes => connections::pass(order, traffic, results),
        }
    }
}

/// Logs in so many clients and lets each run one statement.
fn log_in(endpoint: &Endpoint, clients: usize) -> Result<Vec<Client>> {
    let client = || {
        let mut client = Client::login(endpoint)?;
        client.query("SELECT 1")?;
        Ok(client)
    };
    (0..clients).map(|_| client()).collect()
}
