//! A program that was built without traces.

use anyhow::{Result, bail};
use proxy::{Control, TracedCommands};

/// As operators read of them.
#[cfg(test)]
pub(crate) const LIMITS: [protocol::limits::Limit; 0] = [];

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum Collector {}

impl Collector {
    pub(crate) fn new(_url: &str, _service: &str) -> Result<Self> {
        bail!(
            "--otlp-endpoint: this program was built without traces; build it with the feature `otlp`, which is in the default ones"
        )
    }

    pub(crate) fn start(&self, _commands: TracedCommands) -> Result<()> {
        match *self {}
    }
}

pub(crate) fn finish(_control: &Control) {}
