//! The programmable MySQL proxy: its command line, its configuration file, its log and its life as a process.
//!
//! How it serves clients is the business of the crate `proxy`.

mod angel;
mod check;
mod check_config;
mod configuration;
mod daemon;
mod defaults_file;
mod diagnosis;
mod doctor;
mod fork;
mod generate;
mod log;
mod open_files;
mod options;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp/absent.rs"]
mod otlp;
mod pid_file;
mod playground;
mod privileges;
mod query_log;
mod service;
mod service_manager;
mod settings;
mod signals;
mod tls;
mod upgrade;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::options::{Request, Source};
use crate::upgrade::Inheritance;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    let result = match arguments.get(1) {
        Some(command) if command == "check" => check::run(&arguments[1..]),
        Some(command) if command == "doctor" => doctor::run(&arguments[1..]),
        Some(command) if command == "playground" => playground::run(&arguments[1..]),
        Some(command) if command == "generate" => generate::run(&arguments[1..]),
        _ => run(&arguments),
    };
    result.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let mut inheritance = Inheritance::accept()?;
    let request = options::read(arguments);
    if let Err(error) = &request
        && options::is_check(arguments)
    {
        return check_config::unreadable(error);
    }
    let result = request.and_then(|request| match request {
        Request::Print(text) => print(&text),
        Request::Run { options, warnings } => {
            let source = Source {
                arguments: arguments.to_owned(),
                // Relative paths are read as they are where there is no working directory any more.
                directory: env::current_dir().unwrap_or_default(),
            };
            if options.process.check_config {
                return check_config::run(&options, &source.directory, &warnings);
            }
            service::start((Arc::new(*options), source), &warnings, &mut inheritance)
        }
    });
    result.inspect_err(|error| inheritance.fail(error))
}

fn print(text: &str) -> Result<ExitCode> {
    let written = io::stdout().write_all(text.as_bytes());
    written.context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// One line on standard error, if that is still there.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "mysql-proxy: {text}");
}
