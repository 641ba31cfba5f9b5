//! A directory for one server or test, which is gone afterwards even if the test was killed.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Name of the file in each directory that its user keeps locked.
const OWNER: &str = "owner";

/// A new empty directory, removed on drop. Its path is short enough for Unix sockets.
#[derive(Debug)]
pub struct ScratchDirectory {
    directory: TempDir,
    /// Locked as long as this lives; an unlocked one tells others that the directory is a leftover.
    _owner: File,
}

impl ScratchDirectory {
    /// Creates it, and removes the directories of tests that were killed.
    ///
    /// # Panics
    /// When the temporary directory cannot be written.
    pub fn new() -> Self {
        Self::create().expect("a directory can be created in the temporary directory")
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn create() -> io::Result<Self> {
        let parent = env::temp_dir().join(format!("mysql-proxy-tests-{}", nix::unistd::geteuid()));
        fs::create_dir_all(&parent)?;
        // Between its creation and its lock a directory looks like a leftover.
        let gate = File::create(parent.join("lock"))?;
        gate.lock()?;
        remove_leftovers(&parent)?;
        let directory = tempfile::Builder::new().prefix("").tempdir_in(&parent)?;
        let owner = File::create(directory.path().join(OWNER))?;
        owner.lock()?;
        Ok(Self {
            directory,
            _owner: owner,
        })
    }
}

impl Default for ScratchDirectory {
    fn default() -> Self {
        Self::new()
    }
}

fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let directory = entry?.path();
        let Ok(owner) = File::open(directory.join(OWNER)) else {
            continue;
        };
        if owner.try_lock().is_ok() {
            // A process that is still dying may write into it; the next call removes what is left then.
            let _ = fs::remove_dir_all(&directory);
        }
    }
    Ok(())
}
