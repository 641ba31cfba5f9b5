//! Initialised data directories, made once per server version and copied for every server.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::process;

/// Downloads and initialised data directories: `MYSQL_PROXY_SERVERS`, set in `.cargo/config.toml`.
pub(crate) fn servers_directory() -> PathBuf {
    let directory = env::var_os("MYSQL_PROXY_SERVERS");
    directory
        .map(PathBuf::from)
        .expect("MYSQL_PROXY_SERVERS is set: cargo does so when it runs the tests")
}

/// A server program and how its data directory is made.
pub(crate) struct Software {
    /// Names the data directory.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// What every server of this kind is started with, in addition to what all servers are.
    pub(crate) options: &'static [&'static str],
    /// SQL that makes the accounts and databases, one statement a line.
    pub(crate) accounts: &'static str,
    /// Makes the data directory at this path with those accounts.
    pub(crate) initialise: fn(&Self, &Path),
}

impl Software {
    /// Copies the initialised data directory to `target`; the first caller on this machine makes it.
    pub(crate) fn copy_data_directory(&self, target: &Path) {
        let template = self
            .template()
            .expect("data directories can be kept in MYSQL_PROXY_SERVERS");
        let mut copy = process::command("cp");
        copy.args(["-r", "--sparse=always", "--reflink=auto"])
            .arg(template)
            .arg(target);
        process::run(copy, Duration::from_secs(60)).expect_success();
    }

    fn template(&self) -> io::Result<PathBuf> {
        let parent = servers_directory().join("datadirs");
        fs::create_dir_all(&parent)?;
        let template = parent.join(format!("{}-{:016x}", self.name, self.fingerprint()));
        let lock = File::create(template.with_extension("lock"))?;
        lock.lock()?;
        if !template.exists() {
            let unfinished = template.with_extension("unfinished");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            (self.initialise)(self, &unfinished);
            fs::rename(&unfinished, &template)?;
        }
        Ok(template)
    }

    /// Changes with whatever makes another data directory.
    fn fingerprint(&self) -> u64 {
        let mut version = process::command(&self.program);
        version.arg("--version");
        let version = process::run(version, Duration::from_secs(30)).expect_success();
        let mut hasher = DefaultHasher::new();
        (version, self.options, self.accounts).hash(&mut hasher);
        hasher.finish()
    }
}
