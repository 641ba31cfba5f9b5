//! The programmable MySQL proxy: its command line, its configuration file, its log and its life as a process.
//!
//! How it serves clients is the business of the crate `proxy`.

mod angel;
mod daemon;
mod defaults_file;
mod fork;
mod limits;
mod log;
mod options;
mod pid_file;
mod privileges;
mod service;
mod settings;
mod signals;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::options::Request;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    let result = match options::read(&arguments) {
        Ok(Request::Print(text)) => print(&text),
        Ok(Request::Run { options, warnings }) => service::start(&options, &warnings),
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
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
