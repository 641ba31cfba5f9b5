//! `mysql-proxy check FILE`: what is wrong with a script, without serving anyone.
//!
//! The script is loaded and its body runs as it does for a connection; no hook is called. What its text alone tells is the
//! business of the crate `lint`.

mod imagined_backend;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use backend::Role;
use clap::Parser;
use clap::error::ErrorKind;
use lint::{Finding, Severity, Surroundings};
use script::{BackendView, Connection, Endpoint, LoadError, Options, Peer, ScriptFault, State};

use self::imagined_backend::ImaginedBackend;
use crate::options::{ScriptOptions, one_line};
use crate::settings;

/// Reads a script, runs its body as for a connection, and says what is wrong with it. No port is opened, no server is
/// asked, no hook is called, and a proxy that runs does not notice.
#[derive(Debug, Parser)]
#[command(name = "check", bin_name = "mysql-proxy check", max_term_width = 100, after_help = LEGEND)]
pub(crate) struct Arguments {
    /// The script
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As for the proxy: where Lua modules are looked for [default: LUA_PATH, else BASEDIR/lib/mysql-proxy/lua/?.lua]
    #[arg(long, value_name = "TEMPLATES")]
    lua_path: Option<String>,
    /// As for the proxy: where Lua modules in C are looked for [default: LUA_CPATH, else BASEDIR/lib/mysql-proxy/lua/?.so]
    #[arg(long, value_name = "TEMPLATES")]
    lua_cpath: Option<String>,
    /// As for the proxy: absolute [default: the parent of the program's directory]
    #[arg(long, value_name = "DIRECTORY")]
    basedir: Option<PathBuf>,
}

const LEGEND: &str = "\
A line for each finding on standard output, FILE:LINE: error|warning|note: ..., and a last one that counts them.
  error    it does not work
  warning  it looks like a mistake
  note     it worked in another way in MySQL Proxy 0.8.5, or holds up other connections
The exit code is 1 if there is an error, else 0. What the body itself prints comes first.";

/// Of each role: more than any script asks for in its body.
const IMAGINED_BACKENDS: usize = 16;

/// The number of the connection that the body runs for.
const CONNECTION: u64 = 1;

/// `arguments` start with the word `check`.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return crate::print(&format!("{}\n", error.to_string().trim_end()));
        }
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            bail!("check needs a script: mysql-proxy check FILE");
        }
        Err(error) => bail!(one_line(&error)),
    };
    let findings = findings(&arguments)?;
    let written = io::stdout().write_all(report(&arguments.file, &findings).as_bytes());
    written.context("cannot write to standard output")?;
    let is_faulty = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(is_faulty)))
}

/// What is wrong with a script of the proxy's, an absolute path.
pub(crate) fn script(file: &Path, options: &ScriptOptions, base: &Path) -> Result<Vec<Finding>> {
    findings(&Arguments {
        file: file.to_owned(),
        lua_path: options.lua_path.clone(),
        lua_cpath: options.lua_cpath.clone(),
        basedir: Some(base.to_owned()),
    })
}

fn report(file: &Path, findings: &[Finding]) -> String {
    let file = file.display();
    let mut report = String::new();
    for Finding {
        line,
        severity,
        text,
    } in findings
    {
        let _ = writeln!(report, "{file}:{line}: {severity}: {text}");
    }
    let count = |severity, name: &str| {
        let number = findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count();
        format!("{number} {name}{}", if number == 1 { "" } else { "s" })
    };
    let _ = writeln!(
        report,
        "{file}: {}, {}, {}",
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
        count(Severity::Note, "note")
    );
    report
}

fn findings(arguments: &Arguments) -> Result<Vec<Finding>> {
    let script = path::absolute(&arguments.file).context("cannot find the working directory")?;
    let mut state = state(arguments)?;
    let loaded = state.try_open(&script, &mut connection(Vec::new()));
    if let Err(fault) = &loaded
        && fault.what == LoadError::Load
    {
        let introduction = match fault.message.starts_with("[string ") {
            true => "",
            false => "it cannot be read: ",
        };
        return Ok(vec![located(fault, Severity::Error, introduction)]);
    }
    let source = fs::read(&script).context("cannot read the script again")?;
    // What is not UTF-8 stands in strings and comments.
    let source = String::from_utf8_lossy(&source);
    let mut findings = lint::check(&source, &Around(&state));
    if let Err(fault) = &loaded {
        let is_told = fault.message.contains("module '")
            && findings
                .iter()
                .any(|finding| finding.text.starts_with("module `"));
        match runs_with_backends(arguments, &script)? {
            true => findings.push(located(
                fault,
                Severity::Warning,
                "the script's body fails while there are no backends: ",
            )),
            false if is_told => {}
            false => findings.push(located(fault, Severity::Error, "the script's body fails: ")),
        }
    }
    findings.sort();
    Ok(findings)
}

fn state(arguments: &Arguments) -> Result<State> {
    let mut options = Options::new();
    options.lua_path.clone_from(&arguments.lua_path);
    options.lua_cpath.clone_from(&arguments.lua_cpath);
    let base = settings::base_directory(arguments.basedir.as_deref())?;
    (options.default_lua_path, options.default_lua_cpath) = settings::module_templates(&base);
    Ok(State::new(options)?)
}

/// A client that has just connected.
fn connection(backends: Vec<Arc<dyn BackendView>>) -> Box<Connection> {
    let local = |port| Some(Endpoint::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    Box::new(Connection {
        id: CONNECTION,
        client: Peer {
            src: local(50_000),
            dst: local(4040),
            ..Peer::default()
        },
        backends,
        ..Connection::default()
    })
}

fn runs_with_backends(arguments: &Arguments, script: &Path) -> Result<bool> {
    let of_role = |role| (0..IMAGINED_BACKENDS).map(move |_| role);
    let roles = of_role(Role::ReadWrite).chain(of_role(Role::ReadOnly));
    let backends = roles.map(|role| {
        let backend: Arc<dyn BackendView> = Arc::new(ImaginedBackend::new(role));
        backend
    });
    let mut connection = connection(backends.collect());
    let loaded = state(arguments)?.try_open(script, &mut connection);
    Ok(loaded.is_ok())
}

/// What Lua says, at the line that it names; the first line for what has none.
fn located(fault: &ScriptFault, severity: Severity, introduction: &str) -> Finding {
    let message = fault.message.lines().next().unwrap_or_default();
    // `[string "/path/script.lua"]:48: ...`; another file's name stays in the text.
    let place = message.strip_prefix("[string ").and_then(|rest| {
        let (_, rest) = rest.split_once("\"]:")?;
        let (line, text) = rest.split_once(": ")?;
        Some((line.parse().ok()?, text))
    });
    let (line, text) = place.unwrap_or((1, message));
    Finding {
        line,
        severity,
        text: format!("{introduction}{text}"),
    }
}

/// What the script found when its body ran.
struct Around<'a>(&'a State);

impl Surroundings for Around<'_> {
    fn has_global(&self, name: &str) -> bool {
        self.0.has_global(CONNECTION, name)
    }

    fn find_module(&self, name: &str) -> Result<(), Vec<String>> {
        self.0.find_module(name)
    }
}
