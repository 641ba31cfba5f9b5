//! What is said about a line.

use std::fmt;

/// Something to say about a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// From 1.
    pub line: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what to write instead. One line.
    pub text: String,
}

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does not work.
    Error,
    /// It looks like a mistake.
    Warning,
    /// It is worth knowing: it differs from MySQL Proxy 0.8.5, or holds others up.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Findings on their way to a list.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn error(&mut self, line: usize, text: String) {
        self.add(line, Severity::Error, text);
    }

    pub(crate) fn warning(&mut self, line: usize, text: String) {
        self.add(line, Severity::Warning, text);
    }

    pub(crate) fn note(&mut self, line: usize, text: String) {
        self.add(line, Severity::Note, text);
    }

    pub(crate) fn add(&mut self, line: usize, severity: Severity, text: String) {
        self.0.push(Finding {
            line,
            severity,
            text,
        });
    }

    /// By line, each once.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
