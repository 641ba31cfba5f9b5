//! `cargo xtask bench`: what a proxy costs, side by side with HAProxy and with no proxy at all.
//!
//! Starts a server of its own and the proxies, measures them in interleaved rounds, and prints a Markdown table.
//! `docs/benchmark.md` says what its rows mean.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(
    clippy::print_stderr,
    reason = "progress does not belong into the table"
)]

mod client;
mod closed_loop;
mod encryption;
mod machine;
mod metric;
mod options;
mod point_select;
mod process_usage;
mod proxy;
mod report;
mod rows;
mod statistics;
mod stream;
mod target;
mod traffic;

use std::{fs, net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use progress::Progress;
use rustix::process::{Resource, getrlimit, setrlimit};
use testkit::{MariaDb, Mysql97, Server};

use crate::{
    client::{Client, Endpoint},
    encryption::{Begin, CIPHER_SUITE, Certificate},
    metric::Results,
    options::{Options, ServerSoftware},
    point_select::PointSelects,
    rows::{Bench, streaming},
    traffic::Traffic,
};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let machine = machine::describe();
    raise_open_files_limit()?;
    let selects = PointSelects::new();
    let certificate = Certificate::generate()?;
    let (_server, address) = start_server(options, &certificate)?;
    // Encrypted, so that MySQL learns the password and takes it by its cache from now on.
    let mut client = Client::login(&Endpoint::new(address, Traffic::Tls, Begin::InBand)?)?;
    selects.create_table(&mut client)?;
    streaming::create_table(&mut client)?;
    let bench = Bench {
        targets: options.start_targets(address, certificate)?,
        connections: options.connections.clone(),
        window: options.window(),
        selects,
    };
    let results = measure(&bench, options)?;
    let names: Vec<_> = bench
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    println!("{machine}\n");
    for line in options.describe()? {
        println!("{line}");
    }
    println!("\n{}", report::markdown(&results, &names));
    if let Some(path) = &options.json {
        fs::write(path, report::json_lines(&results, &names))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(bench: &Bench, options: &Options) -> Result<Results> {
    let mut results = Results::default();
    let total = options.rounds() * options.rows.len();
    let progress = Progress::new("bench", total as u64);
    let mut done = 0;
    for round in 0..options.rounds() {
        for &rows in &options.rows {
            let (number, rounds) = (round + 1, options.rounds());
            progress.at(done, &format!("rows, round {number} of {rounds}: {rows:?}"));
            done += 1;
            bench.round(round, rows, &mut results)?;
        }
    }
    Ok(results)
}

/// A private server that takes enough connections.
fn start_server(options: &Options, certificate: &Certificate) -> Result<(Server, SocketAddr)> {
    let mut arguments = vec!["--max-connections=4000".to_owned()];
    arguments.extend(certificate.options());
    // Not every proxy can be told.
    let suite_option = match options.server {
        ServerSoftware::MariaDb => "ssl-cipher",
        ServerSoftware::Mysql => "tls-ciphersuites",
    };
    arguments.push(format!("--{suite_option}={CIPHER_SUITE}"));
    arguments.extend(options.server_port.map(|port| format!("--port={port}")));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let server = match options.server {
        ServerSoftware::MariaDb => MariaDb::start(&arguments),
        ServerSoftware::Mysql => {
            Mysql97::start(&arguments).context("there is no MySQL: `cargo xtask fetch mysql`")?
        }
    };
    let mut address = server.address();
    if let Some(port) = options.server_port {
        address.set_port(port);
    }
    Ok((server, address))
}

/// Thousands of connections need as many descriptors, here and in every process started here.
fn raise_open_files_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
