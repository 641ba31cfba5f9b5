//! `lfs`: files and directories, as LuaFileSystem 1.2 has them. What cannot be done is nil and a message.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mlua::{Error, Function, IntoLua, Lua, LuaString, Result, Table, Value};
use nix::fcntl::{self, AT_FDCWD, FcntlArg};
use nix::sys::stat::{self, UtimensatFlags};
use nix::sys::time::TimeSpec;

use crate::api::{Field, Object};
use crate::builtin_module::{self, integer, string};
use crate::callback::{self, bad_argument};
use crate::lua_file;

/// `lfs`
pub(crate) const MODULE: Object = Object {
    path: "require(\"lfs\")",
    class: "mysql_proxy.Lfs",
    text: "Files and directories, as LuaFileSystem 1.2 has them; what cannot be done is nil and a message. Also the global \
           `lfs` once it is required.",
    fields: &[
        Field::read(
            "attributes",
            "fun(path: string, member_or_table?: string|table): table|string|number|nil, string?",
            "What a path leads to, as a table, in the given table, or one member of it: `mode` (`file`, `directory`, `socket`, \
             `named pipe`, `char device`, `block device`, `other`), `size`, `dev`, `ino`, `nlink`, `uid`, `gid`, `rdev`, \
             `blocks`, `blksize`, and in seconds since 1970 `access`, `modification`, `change`.",
        ),
        Field::read(
            "chdir",
            "fun(path: string): true|nil, string?",
            "Changes the working directory, of the whole process.",
        ),
        Field::read(
            "currentdir",
            "fun(): string|nil, string?",
            "The working directory.",
        ),
        Field::read(
            "dir",
            "fun(path: string): fun(): string|nil",
            "An iterator over the names in a directory, `.` and `..` among them. Raises an error where it cannot be read.",
        ),
        Field::read("mkdir", PATH_FUNCTION, "Makes a directory."),
        Field::read("rmdir", PATH_FUNCTION, "Removes an empty directory."),
        Field::read(
            "touch",
            "fun(path: string, access?: number, modification?: number): true|nil, string?",
            "Sets a file's times, in seconds since 1970: now unless given, both to the first one where the second is left out.",
        ),
        Field::read(
            "lock",
            "fun(file: file*, mode: \"r\"|\"w\", start?: integer, length?: integer): true|nil, string?",
            "Locks an open file, or some bytes of it, against other processes; `r` shares it. It does not wait.",
        ),
        Field::read(
            "unlock",
            "fun(file: file*, start?: integer, length?: integer): true|nil, string?",
            "Unlocks it.",
        ),
    ],
};

const PATH_FUNCTION: &str = "fun(path: string): true|nil, string?";

/// `true`, or nil and a message.
type Done = (Option<bool>, Option<String>);

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "files and directories")?;
    module.raw_set("attributes", callback::create(lua, attributes)?)?;
    module.raw_set("currentdir", callback::create(lua, currentdir)?)?;
    module.raw_set("dir", callback::create(lua, dir)?)?;
    module.raw_set("touch", callback::create(lua, touch)?)?;
    module.raw_set("lock", callback::create(lua, lock)?)?;
    module.raw_set("unlock", callback::create(lua, unlock)?)?;
    path_function(lua, &module, "chdir", |path| env::set_current_dir(path))?;
    path_function(lua, &module, "mkdir", |path| DirBuilder::new().create(path))?;
    path_function(lua, &module, "rmdir", |path| fs::remove_dir(path))?;
    Ok(module)
}

fn path_function(
    lua: &Lua,
    module: &Table,
    name: &'static str,
    act: fn(&Path) -> io::Result<()>,
) -> Result<()> {
    let function = callback::create(lua, move |lua, path: Value| {
        let path = path_argument(lua, name, &path)?;
        Ok(done(act(&path), &path))
    })?;
    module.raw_set(name, function)
}

fn path_argument(lua: &Lua, function: &str, value: &Value) -> Result<PathBuf> {
    let bytes = string(lua, 1, function, value)?;
    Ok(OsStr::from_bytes(&bytes).into())
}

fn done(result: io::Result<()>, path: &Path) -> Done {
    match result {
        Ok(()) => (Some(true), None),
        Err(error) => (None, Some(format!("{}: {error}", path.display()))),
    }
}

type Attribute = fn(&Metadata) -> i64;

/// What `attributes` tells, by name.
const ATTRIBUTES: &[(&str, Attribute)] = &[
    ("dev", |file| file.dev().cast_signed()),
    ("ino", |file| file.ino().cast_signed()),
    ("nlink", |file| file.nlink().cast_signed()),
    ("uid", |file| file.uid().into()),
    ("gid", |file| file.gid().into()),
    ("rdev", |file| file.rdev().cast_signed()),
    ("access", MetadataExt::atime),
    ("modification", MetadataExt::mtime),
    ("change", MetadataExt::ctime),
    ("size", |file| file.size().cast_signed()),
    ("blocks", |file| file.blocks().cast_signed()),
    ("blksize", |file| file.blksize().cast_signed()),
];

/// `attributes(path[, member | table])`
fn attributes(lua: &Lua, (path, what): (Value, Value)) -> Result<(Value, Option<String>)> {
    let path = path_argument(lua, "attributes", &path)?;
    let Ok(file) = fs::metadata(&path) else {
        let path = path.display();
        let message = format!("cannot obtain information from file `{path}'");
        return Ok((Value::Nil, Some(message)));
    };
    let attributes = match what {
        Value::Table(table) => all_attributes(&file, table)?.into_lua(lua),
        Value::Nil => all_attributes(&file, lua.create_table()?)?.into_lua(lua),
        member => attribute(lua, &file, &string(lua, 2, "attributes", &member)?),
    };
    Ok((attributes?, None))
}

fn all_attributes(file: &Metadata, table: Table) -> Result<Table> {
    table.set("mode", mode(file.file_type()))?;
    for (name, attribute) in ATTRIBUTES {
        table.set(*name, attribute(file))?;
    }
    Ok(table)
}

fn attribute(lua: &Lua, file: &Metadata, member: &[u8]) -> Result<Value> {
    if member == b"mode" {
        return mode(file.file_type()).into_lua(lua);
    }
    let mut attributes = ATTRIBUTES.iter();
    match attributes.find(|(name, _)| name.as_bytes() == member) {
        Some((_, attribute)) => attribute(file).into_lua(lua),
        None => Err(Error::runtime(format!(
            "bad argument #2 to 'attributes' (there is no member '{}')",
            String::from_utf8_lossy(member)
        ))),
    }
}

fn mode(file: FileType) -> &'static str {
    match file {
        file if file.is_file() => "file",
        file if file.is_dir() => "directory",
        file if file.is_socket() => "socket",
        file if file.is_fifo() => "named pipe",
        file if file.is_char_device() => "char device",
        file if file.is_block_device() => "block device",
        _ => "other",
    }
}

/// `currentdir()`
fn currentdir(lua: &Lua, (): ()) -> Result<(Option<LuaString>, Option<String>)> {
    match env::current_dir() {
        Ok(path) => Ok((Some(lua.create_string(path.as_os_str().as_bytes())?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `dir(path)`
fn dir(lua: &Lua, path: Value) -> Result<Function> {
    let path = path_argument(lua, "dir", &path)?;
    let entries = fs::read_dir(&path)
        .map_err(|error| Error::runtime(format!("cannot open {}: {error}", path.display())))?;
    let entries = entries.map_while(|entry| Some(entry.ok()?.file_name().into_vec()));
    let own_and_parent = [b".".to_vec(), b"..".to_vec()];
    let names = Mutex::new(own_and_parent.into_iter().chain(entries).fuse());
    callback::create(lua, move |lua, ()| {
        let name = names.lock().unwrap_or_else(PoisonError::into_inner).next();
        name.map(|name| lua.create_string(name)).transpose()
    })
}

/// `touch(path[, access[, modification]])`
fn touch(lua: &Lua, (path, access, modification): (Value, Value, Value)) -> Result<Done> {
    let path = path_argument(lua, "touch", &path)?;
    let access = time(lua, 2, &access)?;
    let modification = time(lua, 3, &modification)?.or(access);
    let result = stat::utimensat(
        AT_FDCWD,
        &path,
        &access.unwrap_or(TimeSpec::UTIME_NOW),
        &modification.unwrap_or(TimeSpec::UTIME_NOW),
        UtimensatFlags::FollowSymlink,
    );
    Ok(done(result.map_err(io::Error::from), &path))
}

fn time(lua: &Lua, position: usize, value: &Value) -> Result<Option<TimeSpec>> {
    if value.is_nil() {
        return Ok(None);
    }
    let seconds = lua.coerce_number(value.clone())?;
    let seconds = seconds.ok_or_else(|| bad_argument(position, "touch", "number", value))?;
    let fraction = (seconds - seconds.floor()) * 1e9;
    Ok(Some(TimeSpec::new(seconds.floor() as i64, fraction as i64)))
}

/// `lock(file, mode[, start[, length]])`
fn lock(lua: &Lua, (file, mode, start, length): (Value, Value, Value, Value)) -> Result<Done> {
    let kind = match string(lua, 2, "lock", &mode)?.as_slice() {
        b"r" => libc::F_RDLCK,
        b"w" => libc::F_WRLCK,
        _ => {
            let message = "bad argument #2 to 'lock' (\"r\" or \"w\" expected)";
            return Err(Error::runtime(message));
        }
    };
    let range = (
        optional(lua, 3, "lock", &start)?,
        optional(lua, 4, "lock", &length)?,
    );
    set_lock(lua, "lock", &file, kind, range)
}

/// `unlock(file[, start[, length]])`
fn unlock(lua: &Lua, (file, start, length): (Value, Value, Value)) -> Result<Done> {
    let range = (
        optional(lua, 2, "unlock", &start)?,
        optional(lua, 3, "unlock", &length)?,
    );
    set_lock(lua, "unlock", &file, libc::F_UNLCK, range)
}

/// 0 unless given.
fn optional(lua: &Lua, position: usize, function: &str, value: &Value) -> Result<i64> {
    match value {
        Value::Nil => Ok(0),
        value => integer(lua, position, function, value),
    }
}

fn set_lock(
    lua: &Lua,
    function: &str,
    file: &Value,
    kind: libc::c_int,
    (start, length): (i64, i64),
) -> Result<Done> {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    let result = lua_file::with_descriptor(lua, file, |descriptor| {
        fcntl::fcntl(descriptor, FcntlArg::F_SETLK(&lock))
    });
    match result {
        None => Err(bad_argument(1, function, "open file", file)),
        Some(Ok(_)) => Ok((Some(true), None)),
        Some(Err(errno)) => Ok((None, Some(io::Error::from(errno).to_string()))),
    }
}
