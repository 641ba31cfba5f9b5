//! `cargo xtask fuzz`: builds the crate `fuzz` with libFuzzer on instrumented code, and runs one target after the other.
//!
//! Rust's stable compiler instruments as LLVM is told to; sanitizers, which it does not have, are left out.

use std::{
    fmt, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

use crate::packages;

/// Of a target, unless more are asked for.
pub(crate) const SECONDS: u64 = 60;

/// Edges of the control flow with counters, and operands of comparisons, which libFuzzer puts into inputs.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// One input may take so long, and need so much memory, and no more.
const INPUT_SECONDS_MAX: u64 = 10;
const MEGABYTES_MAX: u64 = 1024;

/// Lines of the fuzzer that are shown of a failure.
const FAILURE_LINES_MAX: usize = 30;

/// What one target did.
struct Outcome {
    target: String,
    progress: Progress,
    /// The input that failed, or why there is none.
    failed: Option<String>,
}

/// As libFuzzer counts.
#[derive(Default)]
struct Progress {
    executions: u64,
    /// Edges of the control flow that were reached.
    coverage: u64,
}

/// Instead of a target's name.
pub(crate) const ALL: &str = "all";

/// Runs the target, or each of them, for so long; with `keep`, what reached new code becomes part of its corpus.
pub(crate) fn run(target: &str, seconds: u64, keep: bool) -> Result<ExitCode> {
    packages::install_compiler()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let targets = targets(&root)?;
    let chosen: Vec<_> = match target {
        ALL => targets,
        name if targets.iter().any(|target| target == name) => vec![name.to_owned()],
        name => bail!("there is no target {name}: {}", targets.join(", ")),
    };
    let fuzzer = build(&root)?;
    let mut outcomes = Vec::new();
    for (number, target) in (1..).zip(&chosen) {
        println!("== {target} ({number} of {}), {seconds} s", chosen.len());
        let fuzzer = Fuzzer::new(&root, &fuzzer, target)?;
        outcomes.push(fuzzer.run(seconds)?);
        if keep {
            fuzzer.keep()?;
        }
    }
    println!("\n== Summary");
    for outcome in &outcomes {
        println!("{outcome}");
    }
    let all_passed = outcomes.iter().all(|outcome| outcome.failed.is_none());
    Ok(if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Each has a directory of inputs.
fn targets(root: &Path) -> Result<Vec<String>> {
    let corpus = root.join("fuzz/corpus");
    let mut targets = Vec::new();
    for entry in
        fs::read_dir(&corpus).with_context(|| format!("cannot read {}", corpus.display()))?
    {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}

/// The program. It has a place of its own under `target`: nothing that is compiled for it serves for anything else.
fn build(root: &Path) -> Result<PathBuf> {
    println!("building the fuzzer; the first time takes some minutes");
    let host = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output()?;
    let host = String::from_utf8(host.stdout)?;
    let host = host.trim();
    // With a target named, build scripts and macros are not instrumented.
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--profile",
            "fuzz",
            "--package",
            "fuzz",
            "--features",
            "engine",
        ])
        .args(["--target", host])
        .env("RUSTFLAGS", INSTRUMENTATION)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the fuzzer cannot be built");
    Ok(root.join("target").join(host).join("fuzz/fuzz"))
}

/// One target's fuzzer.
struct Fuzzer<'a> {
    program: &'a Path,
    target: &'a str,
    /// Inputs that every test run replays.
    corpus: PathBuf,
    /// Inputs that were found here, for the next run to start with.
    found: PathBuf,
}

impl<'a> Fuzzer<'a> {
    fn new(root: &Path, program: &'a Path, target: &'a str) -> Result<Self> {
        let found = root.join("target/fuzz-corpus").join(target);
        fs::create_dir_all(&found)?;
        Ok(Self {
            program,
            target,
            corpus: root.join("fuzz/corpus").join(target),
            found,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env("FUZZ_TARGET", self.target);
        command.arg(format!("-artifact_prefix={}/", self.corpus.display()));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, seconds: u64) -> Result<Outcome> {
        let mut fuzzer = self
            .command()
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEGABYTES_MAX}"))
            .args([&self.found, &self.corpus])
            .spawn()
            .context("cannot start the fuzzer")?;
        let start = Instant::now();
        let shown = progress::Progress::new(self.target, seconds);
        let mut reached = Progress::default();
        let mut failure = Vec::new();
        let mut artifact = None;
        let output = fuzzer
            .stderr
            .take()
            .context("the fuzzer's output is piped")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            match Progress::parse(&line) {
                Some(progress) => {
                    reached = progress;
                    shown.at(start.elapsed().as_secs(), &format!("s: {reached}"));
                }
                None if is_noise(&line) => {}
                None => failure.push(line.clone()),
            }
            if let Some((_, file)) = line.split_once("Test unit written to ") {
                artifact = Some(file.to_owned());
            }
        }
        let status = fuzzer.wait()?;
        drop(shown);
        let failed = (!status.success()).then(|| {
            failure.truncate(FAILURE_LINES_MAX);
            println!("{}", failure.join("\n"));
            artifact.unwrap_or_else(|| format!("the fuzzer ended with {status}"))
        });
        Ok(Outcome {
            target: self.target.to_owned(),
            progress: reached,
            failed,
        })
    }

    /// Adds what reaches code that the corpus does not reach.
    fn keep(&self) -> Result<()> {
        let status = self
            .command()
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .args([&self.corpus, &self.found])
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            status.success(),
            "{}: the corpus cannot be extended",
            self.target
        );
        Ok(())
    }
}

/// Of the fuzzer's lines what tells nobody anything: among them, that there are no sanitizers.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty()
        || line.starts_with("INFO:")
        || line.starts_with("WARNING: Failed to find")
}

impl Progress {
    /// Of a line as `#4711  NEW    cov: 123 ft: 456 corp: 7/89b`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix('#')?.split_whitespace();
        let executions = words.next()?.parse().ok()?;
        let coverage = words.skip_while(|word| *word != "cov:").nth(1);
        Some(Self {
            executions,
            coverage: coverage?.parse().ok()?,
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions, {} edges", self.executions, self.coverage)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, progress) = (&self.target, &self.progress);
        match &self.failed {
            None => write!(f, "passed  {target:<20} {progress}"),
            Some(input) => write!(
                f,
                "FAILED  {target:<20} {progress}\n        {input}\n        \
                 again: cargo test --package fuzz --test corpus {target}"
            ),
        }
    }
}
