//! A proxy with a script, for tests of what scripts do.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use testkit::{Client, ProxyProcess, ScratchDirectory, Server};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A script file that can be edited.
pub(crate) struct ScriptFile {
    _directory: ScratchDirectory,
    pub(crate) path: PathBuf,
}

impl ScriptFile {
    pub(crate) fn new(text: &str) -> Self {
        let directory = ScratchDirectory::new();
        let script = Self {
            path: directory.file("script.lua"),
            _directory: directory,
        };
        script.edit(text);
        script
    }

    pub(crate) fn edit(&self, text: &str) {
        fs::write(&self.path, text).expect("the directory is ours");
    }

    /// A proxy in front of `servers` that runs this script.
    pub(crate) fn proxy(&self, servers: &[&Server], more: &[&str]) -> ProxyProcess {
        let mut arguments = vec![format!("--proxy-lua-script={}", self.path.display())];
        for server in servers {
            arguments.push(format!("--proxy-backend-addresses={}", server.address()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ProxyProcess::start(BINARY, &[&arguments, more].concat())
    }
}

pub(crate) fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("the proxy serves")
}

pub(crate) fn value(client: &mut Client, sql: &str) -> String {
    client.value(sql).expect("a value")
}
