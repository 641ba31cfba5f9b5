//! What is found when a configuration is examined, and how it is said: `--check-config` and `mysql-proxy doctor`.

pub(crate) mod local;

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use anyhow::{Context, Result};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// As it should be.
    Ok,
    /// It works, and somebody will be surprised.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// What there is to say, with who or what it is about in front.
    pub(crate) text: String,
    /// What to do about it; empty where there is nothing to do, or the text says so.
    pub(crate) advice: String,
}

/// All findings, in the order in which things were looked at.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "OK",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl Report {
    pub(crate) fn ok(&mut self, text: impl Into<String>) {
        self.add(Severity::Ok, text, "");
    }

    pub(crate) fn warning(&mut self, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Severity::Warning, text, advice);
    }

    pub(crate) fn error(&mut self, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Severity::Error, text, advice);
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding {
            severity,
            text: text.into(),
            advice: advice.into(),
        });
    }

    /// Behind those that there are.
    pub(crate) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        let of = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(of).count()
    }

    /// A line for each finding, at least as bad as `least`, with its advice below; and a last one that counts them.
    pub(crate) fn print(&self, least: Severity) -> Result<()> {
        let mut text = String::new();
        let shown = |finding: &&Finding| finding.severity as u8 >= least as u8;
        for finding in self.findings.iter().filter(shown) {
            let _ = writeln!(text, "{:7}  {}", finding.severity, one_line(&finding.text));
            if !finding.advice.is_empty() {
                let _ = writeln!(text, "         -> {}", one_line(&finding.advice));
            }
        }
        let count = |severity, name: &str| match self.count(severity) {
            1 => format!("1 {name}"),
            n => format!("{n} {name}s"),
        };
        let errors = count(Severity::Error, "error");
        let warnings = count(Severity::Warning, "warning");
        let _ = writeln!(text, "{errors}, {warnings}");
        let written = io::stdout().write_all(text.as_bytes());
        written.context("cannot write to standard output")
    }
}

/// Servers' texts are among it.
fn one_line(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}
