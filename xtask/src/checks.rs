//! `cargo xtask test`: every check, in the order of how soon it fails, and a summary as the last lines.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{gauge, package, packages, private_prefix};

/// A check that ran: what it was, how long it took, and the command when it failed.
struct Outcome {
    name: &'static str,
    took: Duration,
    failed: Option<String>,
}

/// Prepares the machine, runs every check even when an earlier one failed, and sums up.
pub(crate) fn run_all() -> Result<ExitCode> {
    let start = Instant::now();
    println!(
        "This checks format, lints, documentation, tests, instructions for each query, the package and licences.\n\
         The tests start private servers on free ports; what is missing for that is installed (packages, without\n\
         services) or put into a private directory.\n"
    );
    packages::install_missing()?;
    let fetched = [
        ("MySQL 9.7", private_prefix::fetch_mysql()),
        ("MariaDB 11.8", private_prefix::fetch_mariadb118()),
        (
            "client libraries for Python",
            private_prefix::fetch_clients("python"),
        ),
        (
            "client libraries for Node.js",
            private_prefix::fetch_clients("node"),
        ),
    ];
    for (name, fetched) in &fetched {
        match fetched {
            Ok(prefix) => println!("{name}: {}", prefix.display()),
            Err(reason) => {
                println!("{name}: not to be had, the tests will be skipped: {reason:#}");
            }
        }
    }
    let skips = SkippedTests::new()?;
    let checks = checks(&skips.file).into_iter();
    let mut outcomes: Vec<Outcome> = checks.map(|(name, command)| run(name, command)).collect();
    outcomes.push(check_instructions());
    let (package, not_done) = check_package();
    outcomes.push(package);
    outcomes.push(check_licences());
    println!("\n== Summary after {} s", start.elapsed().as_secs());
    for outcome in &outcomes {
        println!("{outcome}");
    }
    for (name, fetched) in fetched {
        if let Err(reason) = fetched {
            println!("SKIPPED: the tests with {name}, not to be had here: {reason:#}");
        }
    }
    if let Some(reason) = not_done {
        println!("SKIPPED: the package's test: {reason}");
    }
    skips.print()?;
    Ok(verdict(&outcomes))
}

/// The checks that need nothing but cargo.
fn checks(skipped_tests: &Path) -> Vec<(&'static str, Command)> {
    let mut documentation = cargo("doc --quiet --workspace --no-deps --document-private-items");
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    let lints = cargo("clippy --quiet --workspace --all-targets -- -D warnings");
    let lean = cargo("check --quiet --package mysql-proxy --no-default-features");
    let mut checks = vec![
        ("format", cargo("fmt --all --check")),
        ("lints", lints),
        ("without features", lean),
        ("documentation", documentation),
    ];
    let mut tests = cargo("test --workspace --no-fail-fast");
    if packages::is_installed("cargo-nextest") {
        // It runs tests better, but not those in the documentation.
        let examples = cargo("test --quiet --workspace --doc");
        checks.push(("examples in docs", examples));
        tests = cargo("nextest run --workspace --no-fail-fast");
    }
    tests.env("SKIPPED_TESTS", skipped_tests);
    checks.push(("tests", tests));
    checks
}

/// No query costs more instructions than before.
fn check_instructions() -> Outcome {
    println!("\n== {INSTRUCTIONS}");
    let start = Instant::now();
    let failed = match gauge::run(false) {
        Ok(ExitCode::SUCCESS) => None,
        Ok(_) => Some("cargo xtask gauge".to_owned()),
        Err(reason) => Some(format!("{reason:#}")),
    };
    Outcome {
        name: INSTRUCTIONS,
        took: start.elapsed(),
        failed,
    }
}

const INSTRUCTIONS: &str = "instructions";

/// The Debian package can be made and installed. Why not all of that was done, where the machine does not allow it.
fn check_package() -> (Outcome, Option<&'static str>) {
    println!("\n== {PACKAGE}");
    let start = Instant::now();
    let (failed, not_done) = match package::test() {
        Ok(not_done) => (None, not_done),
        Err(reason) => (Some(format!("{reason:#}")), None),
    };
    let outcome = Outcome {
        name: PACKAGE,
        took: start.elapsed(),
        failed,
    };
    (outcome, not_done)
}

const PACKAGE: &str = "package";

/// Last, because its program may have to be built first.
fn check_licences() -> Outcome {
    let start = Instant::now();
    match private_prefix::install_cargo_tool("cargo-deny") {
        Ok(program) => {
            let mut command = Command::new(program);
            command.args(["check", "licenses", "bans", "sources"]);
            run(LICENCES, command)
        }
        Err(reason) => Outcome {
            name: LICENCES,
            took: start.elapsed(),
            failed: Some(format!("{reason:#}")),
        },
    }
}

const LICENCES: &str = "licences";

fn cargo(arguments: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments.split_whitespace());
    command
}

fn run(name: &'static str, mut command: Command) -> Outcome {
    let line = format!("{command:?}").replace('"', "");
    println!("\n== {name}: {line}");
    let start = Instant::now();
    let failed = match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{status}: {line}")),
        Err(error) => Some(format!("{error}: {line}")),
    };
    Outcome {
        name,
        took: start.elapsed(),
        failed,
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.took.as_secs();
        match &self.failed {
            None => write!(f, "passed  {:<20} {seconds:>4} s", self.name),
            Some(reason) => write!(f, "FAILED  {:<20} {seconds:>4} s  {reason}", self.name),
        }
    }
}

fn verdict(outcomes: &[Outcome]) -> ExitCode {
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.failed.is_some())
        .map(|outcome| outcome.name)
        .collect();
    if failed.is_empty() {
        println!("cargo xtask test: all checks passed");
        ExitCode::SUCCESS
    } else {
        println!("cargo xtask test: FAILED: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

/// The tests that could not run here. Test runners hide what a passing test prints, so each such test
/// also writes a line into a file.
struct SkippedTests {
    file: PathBuf,
}

impl SkippedTests {
    fn new() -> Result<Self> {
        let file =
            env::temp_dir().join(format!("mysql-proxy-skipped-tests.{}", std::process::id()));
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file })
    }

    fn print(&self) -> Result<()> {
        let lines = fs::read_to_string(&self.file)?;
        for line in lines.lines() {
            println!("SKIPPED: {line}");
        }
        Ok(())
    }
}

impl Drop for SkippedTests {
    fn drop(&mut self) {
        // A file left in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.file);
    }
}
