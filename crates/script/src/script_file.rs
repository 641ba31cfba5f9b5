//! The script's file: its versions, compiled once each, and which of them connections get.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua};
use tracing::{error, info};

use crate::LoadError;
use crate::callback;

/// A script's size in bytes. Far beyond any script; a path that leads to something else by mistake stops here.
pub(crate) const MAX_SCRIPT_BYTES: u64 = 16 * 1024 * 1024;

/// File systems note times as coarsely as this. A file that was read sooner after its last change may have changed
/// again without showing it, so until then its text is compared too.
const COARSEST_MTIME: Duration = Duration::from_secs(2);

/// Versions that are told of: those before are forgotten.
const REPORTED_MAX: usize = 8;

/// Versions whose texts are kept: what changed is asked about the latest one.
const TEXTS_MAX: usize = 2;

/// Of each of these texts.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Faults that are remembered as logged. More of them than this are different for each connection.
const LOGGED_MAX: usize = 64;

/// The file, the version that it has, and the last one that worked.
pub(crate) struct ScriptFile {
    path: PathBuf,
    logged: Arc<LoggedFaults>,
    current: Option<Version>,
    /// Set while `current` has not worked.
    last_good: Option<Version>,
    /// The latest versions, the one that connections get now last.
    reports: VecDeque<VersionReport>,
}

/// A version of a script, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionReport {
    /// Counts the file's versions from 1.
    pub version: u64,
    /// When the file was changed last; `None` for one that is not there.
    pub modified: Option<SystemTime>,
    /// Its size.
    pub bytes: u64,
    /// Its text, of the two latest versions, where it is not too long to be kept.
    pub text: Option<Arc<str>>,
    /// When it was read first.
    pub loaded: SystemTime,
    /// Connections that it serves or has served.
    pub connections: u64,
    /// Connections that could not get it.
    pub failures: u64,
    /// Why the last of these could not.
    pub fault: Option<String>,
    /// What its hooks did, by name. Those of connections whose version is forgotten are not counted.
    pub hooks: BTreeMap<&'static str, HookReport>,
}

/// What one hook did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookReport {
    /// How often it was called.
    pub calls: u64,
    /// How often it failed.
    pub errors: u64,
    /// How long it ran, all calls together.
    pub time: Duration,
}

struct Version {
    /// Of its report.
    number: u64,
    identity: Identity,
    source: Vec<u8>,
    read_at: SystemTime,
    /// The main function, or why there is none.
    main: Result<Function, String>,
    has_worked: bool,
    /// Connections that could not get it.
    failures: u64,
}

/// The faults that were logged since a version worked first, by whichever state met them first: states of one proxy have
/// one of these in common.
#[derive(Debug, Default)]
pub(crate) struct LoggedFaults(Mutex<Vec<LoggedFault>>);

#[derive(Debug, PartialEq, Eq)]
struct LoggedFault {
    path: PathBuf,
    identity: Identity,
    text: String,
}

/// Tells versions of a file apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    Missing(io::ErrorKind),
    File {
        /// Seconds and nanoseconds.
        modified: (i64, i64),
        size: u64,
        device: u64,
        inode: u64,
    },
}

impl ScriptFile {
    /// Reads nothing.
    pub(crate) fn new(path: &Path, logged: &Arc<LoggedFaults>) -> Self {
        Self {
            path: path.to_owned(),
            logged: Arc::clone(logged),
            current: None,
            last_good: None,
            reports: VecDeque::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The latest versions, the oldest first.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &VersionReport> {
        self.reports.iter()
    }

    /// That of one version; `None` when it is forgotten.
    pub(crate) fn report(&mut self, version: u64) -> Option<&mut VersionReport> {
        let mut reports = self.reports.iter_mut();
        reports.find(|report| report.version == version)
    }

    /// The main function of the version that the file has now, or why there is none.
    pub(crate) fn main(&mut self, lua: &Lua) -> Result<Function, String> {
        let version = match self.current.take() {
            Some(current) if !current.is_outdated(&self.path) => current,
            outdated => {
                let next = Version::load(lua, &self.path);
                match outdated {
                    Some(current) if next.is_same(&current) => Version {
                        read_at: next.read_at,
                        ..current
                    },
                    outdated => {
                        if let Some(current) = outdated {
                            self.retire(current);
                        }
                        self.announce(next)
                    }
                }
            }
        };
        self.current.insert(version).main.clone()
    }

    /// The version is a new one.
    fn announce(&mut self, version: Version) -> Version {
        let number = self.reports.back().map_or(1, |last| last.version + 1);
        if self.reports.len() == REPORTED_MAX {
            self.reports.pop_front();
        }
        let outdated = self.reports.iter_mut().rev().skip(TEXTS_MAX - 1);
        outdated.for_each(|report| report.text = None);
        self.reports.push_back(VersionReport {
            version: number,
            modified: version.identity.modified(),
            bytes: version.source.len() as u64,
            text: version.text(),
            loaded: version.read_at,
            connections: 0,
            failures: 0,
            fault: None,
            hooks: BTreeMap::new(),
        });
        Version { number, ..version }
    }

    /// The current version's main function ran to its end. Its number.
    pub(crate) fn worked(&mut self) -> u64 {
        let Some(current) = &mut self.current else {
            return 0;
        };
        if !current.has_worked {
            self.logged.forget(&self.path);
        }
        current.has_worked = true;
        self.last_good = None;
        let number = current.number;
        self.served(number)
    }

    /// One more connection has the version.
    fn served(&mut self, number: u64) -> u64 {
        if let Some(report) = self.report(number) {
            report.connections += 1;
        }
        number
    }

    /// The current version's main function had to be stopped: no other connection is to wait for it.
    pub(crate) fn never_run_again(&mut self, message: &str) {
        if let Some(current) = &mut self.current {
            current.main = Err(message.to_owned());
        }
    }

    /// A connection could not get the current version. Logged once for each version and fault.
    pub(crate) fn failed(&mut self, what: &LoadError, message: &str, instead: &str) {
        if let Some(current) = &mut self.current {
            current.failures += 1;
            let number = current.number;
            if self.logged.is_new(&self.path, &current.identity, message) {
                log(&self.path, what, message, instead);
            }
            if let Some(report) = self.report(number) {
                report.failures += 1;
                report.fault = Some(message.to_owned());
            }
        }
    }

    /// A connection got the last version that worked. Its number.
    pub(crate) fn last_good_worked(&mut self) -> u64 {
        let number = self.last_good.as_ref().map_or(0, |version| version.number);
        self.served(number)
    }

    /// The last version that worked, where that is not the current one.
    pub(crate) fn last_good(&self) -> Option<Function> {
        self.last_good.as_ref()?.main.clone().ok()
    }

    /// [`Self::failed`] for the version of [`Self::last_good`].
    pub(crate) fn last_good_failed(&mut self, message: &str, instead: &str) {
        if let Some(version) = &mut self.last_good {
            version.failures += 1;
            if self.logged.is_new(&self.path, &version.identity, message) {
                log(&self.path, &LoadError::Execute, message, instead);
            }
        }
    }

    fn retire(&mut self, version: Version) {
        if version.failures > 0 {
            info!(
                "the version of {} that failed is replaced; it touched {} connection(s)",
                self.path.display(),
                version.failures
            );
        }
        if version.has_worked {
            self.last_good = Some(version);
        }
    }
}

impl Version {
    fn load(lua: &Lua, path: &Path) -> Self {
        let read_at = SystemTime::now();
        let (identity, source) = match read(path) {
            Ok((metadata, source)) => (Identity::of(&metadata), Ok(source)),
            Err(error) => (Identity::Missing(error.kind()), Err(error.to_string())),
        };
        let main = source
            .as_ref()
            .map_err(String::clone)
            .and_then(|source| compile(lua, path, source));
        Self {
            number: 0,
            identity,
            source: source.unwrap_or_default(),
            read_at,
            main,
            has_worked: false,
            failures: 0,
        }
    }

    fn text(&self) -> Option<Arc<str>> {
        let is_kept = self.source.len() <= TEXT_BYTES_MAX;
        is_kept.then(|| String::from_utf8_lossy(&self.source).into())
    }

    fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.source == other.source
    }

    fn is_outdated(&self, path: &Path) -> bool {
        let found = match fs::metadata(path) {
            Ok(metadata) => Identity::of(&metadata),
            Err(error) => Identity::Missing(error.kind()),
        };
        found != self.identity || self.identity.is_younger_than(COARSEST_MTIME, self.read_at)
    }
}

impl LoggedFaults {
    fn is_new(&self, path: &Path, identity: &Identity, message: &str) -> bool {
        let fault = LoggedFault {
            path: path.to_owned(),
            identity: identity.clone(),
            text: message.to_owned(),
        };
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !logged.contains(&fault);
        if is_new {
            if logged.len() == LOGGED_MAX {
                logged.clear();
            }
            logged.push(fault);
        }
        is_new
    }

    /// What was said of this script.
    fn forget(&self, path: &Path) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|fault| fault.path != path);
    }
}

fn log(path: &Path, what: &LoadError, message: &str, instead: &str) {
    let path = path.display();
    match what {
        LoadError::Load => error!("lua_load_file({path}) failed: {message}; {instead}"),
        LoadError::Execute => error!("(lua-error) [{path}] {message}; {instead}"),
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self::File {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        let Self::File {
            modified: (seconds, nanoseconds),
            ..
        } = self
        else {
            return None;
        };
        let seconds = u64::try_from(*seconds).ok()?;
        let nanoseconds = u32::try_from(*nanoseconds).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
    }

    fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        let Self::File { modified, .. } = self else {
            return false;
        };
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, nanoseconds) = modified;
        let modified = i128::from(*seconds) * 1_000_000_000 + i128::from(*nanoseconds);
        now.as_nanos().cast_signed() < modified + age.as_nanos().cast_signed()
    }
}

fn read(path: &Path) -> io::Result<(Metadata, Vec<u8>)> {
    // Opening a named pipe waits for a writer, so what is no file is turned away before.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut source = Vec::new();
    file.take(MAX_SCRIPT_BYTES + 1).read_to_end(&mut source)?;
    if source.len() as u64 > MAX_SCRIPT_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_SCRIPT_BYTES} bytes"
        )));
    }
    Ok((metadata, source))
}

/// The chunk is named by the bare path, so that messages begin with `[string "/path/script.lua"]:LINE:`.
fn compile(lua: &Lua, path: &Path, source: &[u8]) -> Result<Function, String> {
    lua.load(source)
        .set_name(path.to_string_lossy())
        .set_mode(ChunkMode::Text)
        .into_function()
        .map_err(|error| callback::text(&error))
}
