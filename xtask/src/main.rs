//! `cargo xtask COMMAND`: whatever is longer than one cargo command.
//!
//! It prepares the machine (packages, private servers) and runs the checks. What the checks and the
//! benchmarks do is in the crates they belong to.
#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

mod bench;
mod checks;
mod fuzz;
mod gauge;
mod package;
mod packages;
mod private_prefix;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the project that take more than one command.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then check format, lints, documentation, tests and licences
    Test,
    /// Measure what the proxy costs, side by side with HAProxy; --help tells more
    #[command(disable_help_flag = true)]
    Bench {
        /// Options of the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// Search for inputs that break a decoder, the tokenizer, the pool, ...: coverage-guided, on instrumented code
    ///
    /// An input that fails is put into the target's directory in fuzz/corpus, which `cargo test -p fuzz` replays.
    Fuzz {
        /// One target, or all of them in turn
        #[arg(default_value = fuzz::ALL)]
        target: String,
        /// How long each one runs
        #[arg(default_value_t = fuzz::SECONDS)]
        seconds: u64,
        /// Keep inputs that reach code which none in fuzz/corpus reaches
        #[arg(long)]
        keep: bool,
    },
    /// Count the instructions of the proxy for each query and login, and compare them with the baseline
    Gauge {
        /// They are the baseline from now on
        #[arg(long)]
        update: bool,
    },
    /// Build the program as it is released, and the Debian package of it
    Package {
        /// Of an unoptimized program, and install it in an overlay of this machine, as `test` does
        #[arg(long)]
        test: bool,
    },
    /// Put a server or client libraries into the private prefix without installing them
    Fetch {
        /// Which ones
        what: Fetched,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Fetched {
    /// MySQL 9.7, for the tests of its logins
    Mysql,
    /// MariaDB 11.8, for the tests of clients that verify certificates by default
    #[value(name = "mariadb118")]
    MariaDb118,
    /// Client libraries for Python and Node.js, for the matrix of clients and servers
    Clients,
    /// HAProxy, the yardstick of the benchmarks
    Haproxy,
    /// MySQL Router 9.7, a peer in the benchmarks
    Router,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Test => checks::run_all(),
        Task::Bench { options } => bench::run(options),
        Task::Gauge { update } => gauge::run(*update),
        Task::Package { test: true } => {
            if let Some(reason) = package::test()? {
                println!("SKIPPED: {reason}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Package { test: false } => {
            println!("{}", package::release()?.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Fuzz {
            target,
            seconds,
            keep,
        } => fuzz::run(target, *seconds, *keep),
        Task::Fetch { what } => {
            let path = match what {
                Fetched::Mysql => private_prefix::fetch_mysql()?,
                Fetched::MariaDb118 => private_prefix::fetch_mariadb118()?,
                Fetched::Clients => {
                    private_prefix::fetch_clients("python")?;
                    private_prefix::fetch_clients("node")?
                }
                Fetched::Haproxy => private_prefix::fetch_haproxy()?,
                Fetched::Router => private_prefix::fetch_router()?,
            };
            println!("ready: {}", path.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
