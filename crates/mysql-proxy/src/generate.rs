//! `mysql-proxy generate`: man pages and shell completions, made from the declarations of the options. Packages have them.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::options::{self, one_line};
use crate::{check, doctor, playground};

/// Makes man pages or shell completions from the declarations of the options.
#[derive(Debug, Parser)]
#[command(
    name = "generate",
    bin_name = "mysql-proxy generate",
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write mysql-proxy.1 and the pages of its commands into a directory
    Man {
        /// It is made if it is not there
        directory: PathBuf,
    },
    /// Print what completes options in a shell
    Completions {
        /// Which one
        shell: Shell,
    },
}

/// `arguments` start with the word `generate`.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return crate::print(&error.to_string());
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            bail!("generate what? See mysql-proxy generate --help");
        }
        Err(error) => bail!(one_line(&error)),
    };
    match arguments.what {
        What::Man { directory } => {
            fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(command(), &directory))
                .with_context(|| format!("cannot write into {}", directory.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "mysql-proxy", &mut text);
            crate::print(&String::from_utf8_lossy(&text))
        }
    }
}

/// The options of a start, and the program's commands.
fn command() -> Command {
    let commands = [
        check::Arguments::command(),
        doctor::command().name("doctor"),
        playground::Options::command().name("playground"),
        Arguments::command(),
    ];
    options::command()
        // A page's head has one line for it.
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommands(commands)
}
