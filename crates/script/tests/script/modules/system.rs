//! `lfs`, `posix`, `glib2`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Scope;

/// `directory` is a directory of the test's own.
fn scope() -> Scope {
    let mut scope = Scope::new();
    let directory = scope.bench.directory.path().display().to_string();
    scope.run(&format!(
        "directory = '{directory}/'
         function fails(text, ...)
           local succeeded, message = pcall(...)
           assert(not succeeded and message:find(text, 1, true), message)
         end
         function refuses(text, ...)
           local result, message = ...
           assert(result == nil and message:find(text, 1, true), message)
         end
         for _, name in ipairs {{ 'lfs', 'posix', 'glib2' }} do
           assert(getfenv(1)[name] == nil)
           local module = require(name)
           assert(module == _G[name] and module == package.loaded[name])
           assert(type(module._VERSION) == 'string')
         end"
    ));
    scope
}

#[test]
fn attributes_are_those_of_the_file() {
    let mut scope = scope();
    let file = scope.bench.directory.path().join("file");
    fs::write(&file, "12345").unwrap();
    let metadata = fs::metadata(&file).unwrap();
    let numbers = [
        ("dev", metadata.dev() as i64),
        ("ino", metadata.ino() as i64),
        ("nlink", 1),
        ("uid", metadata.uid().into()),
        ("gid", metadata.gid().into()),
        ("rdev", metadata.rdev() as i64),
        ("access", metadata.atime()),
        ("modification", metadata.mtime()),
        ("change", metadata.ctime()),
        ("size", 5),
        ("blocks", metadata.blocks() as i64),
        ("blksize", metadata.blksize() as i64),
    ];
    for (name, number) in numbers {
        scope.run(&format!(
            "local found = lfs.attributes(directory .. 'file')['{name}']
             assert(found == {number}, found)
             assert(lfs.attributes(directory .. 'file', '{name}') == found)"
        ));
    }
    scope.run(
        "local own = { mine = 1 }
         assert(lfs.attributes(directory .. 'file', own) == own)
         assert(own.mine == 1 and own.size == 5 and own.mode == 'file')",
    );
}

#[test]
fn modes_are_told_apart() {
    let mut scope = scope();
    let directory = scope.bench.directory.path().to_owned();
    fs::write(directory.join("file"), "").unwrap();
    std::os::unix::fs::symlink("file", directory.join("link")).unwrap();
    std::os::unix::fs::symlink("nothing", directory.join("broken")).unwrap();
    let _socket = UnixListener::bind(directory.join("socket")).unwrap();
    nix::unistd::mkfifo(&directory.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    scope.run(
        "for name, mode in pairs { file = 'file', link = 'file', socket = 'socket', fifo = 'named pipe', ['.'] = 'directory' } do
           local found = lfs.attributes(directory .. name, 'mode')
           assert(found == mode, found)
         end
         assert(lfs.attributes('/dev/null', 'mode') == 'char device')
         for _, name in ipairs { 'broken', 'nothing', 'file/x', 'nul\\0' } do
           refuses(\"cannot obtain information from file `\" .. directory .. name, lfs.attributes(directory .. name))
         end
         fails(\"there is no member 'nonsense'\", lfs.attributes, directory, 'nonsense')
         fails('string expected, got nil', lfs.attributes)
         fails('string expected, got boolean', lfs.attributes, directory, true)",
    );
}

#[test]
fn directories_are_made_listed_and_removed() {
    let mut scope = scope();
    scope.run(
        "assert(lfs.mkdir(directory .. 'new') == true)
         refuses('File exists', lfs.mkdir(directory .. 'new'))
         local function names(path)
           local names = {}
           for name in lfs.dir(path) do names[#names + 1] = name end
           table.sort(names)
           return table.concat(names, ' ')
         end
         assert(names(directory .. 'new') == '. ..')
         io.open(directory .. 'new/a', 'w'):close()
         lfs.mkdir(directory .. 'new/b')
         assert(names(directory .. 'new') == '. .. a b')
         refuses('not empty', lfs.rmdir(directory .. 'new'))
         os.remove(directory .. 'new/a')
         assert(lfs.rmdir(directory .. 'new/b') == true and lfs.rmdir(directory .. 'new') == true)
         refuses('No such file', lfs.rmdir(directory .. 'new'))
         fails('cannot open ' .. directory .. 'new: No such file', lfs.dir, directory .. 'new')
         local next_name = lfs.dir(directory)
         while next_name() do end
         assert(next_name() == nil)",
    );
}

/// Of the whole process: only to where it is.
#[test]
fn the_working_directory() {
    let mut scope = scope();
    let here = std::env::current_dir().unwrap().display().to_string();
    scope.run(&format!(
        "assert(lfs.currentdir() == '{here}')
         assert(lfs.chdir('.') == true)
         assert(lfs.currentdir() == '{here}')
         refuses('No such file', lfs.chdir(directory .. 'nothing'))"
    ));
}

#[test]
fn touch_sets_times() {
    let mut scope = scope();
    scope.run(
        "local path = directory .. 'file'
         refuses('No such file', lfs.touch(path))
         io.open(path, 'w'):close()
         assert(lfs.touch(path, 1000, 2000.5) == true)
         assert(lfs.attributes(path, 'access') == 1000 and lfs.attributes(path, 'modification') == 2000)
         assert(lfs.touch(path, 3000) == true)
         assert(lfs.attributes(path, 'access') == 3000 and lfs.attributes(path, 'modification') == 3000)
         local before = os.time()
         assert(lfs.touch(path) == true)
         assert(lfs.attributes(path, 'access') >= before - 1)
         assert(lfs.attributes(path, 'modification') >= before - 1)
         fails('number expected, got table', lfs.touch, path, {})",
    );
}

/// Locks of a process do not stand in its own way. Those of an open file, which the test takes, do.
#[test]
fn locks_keep_others_out() {
    let mut scope = scope();
    let path = scope.bench.directory.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let is_free = |kind: i32, start: i64, length: i64| {
        let lock = |kind: i32| libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: start,
            l_len: length,
            l_pid: 0,
        };
        let is_free = fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(kind))).is_ok();
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_UNLCK))).unwrap();
        is_free
    };
    let (read, write) = (libc::F_RDLCK, libc::F_WRLCK);
    scope.run("file = io.open(directory .. 'file', 'r+')");
    assert!(is_free(write, 0, 0));
    scope.run("assert(lfs.lock(file, 'w') == true)");
    assert!(!is_free(read, 0, 0));
    scope.run("assert(lfs.lock(file, 'r') == true)");
    assert!(is_free(read, 0, 0) && !is_free(write, 9, 1));
    scope.run("assert(lfs.unlock(file, 5) == true)");
    assert!(is_free(write, 5, 5) && !is_free(write, 4, 1));
    scope.run("assert(lfs.unlock(file) == true and lfs.lock(file, 'w', 2, 3) == true)");
    assert!(is_free(write, 0, 2) && !is_free(write, 4, 1) && is_free(write, 5, 0));
    scope.run("assert(lfs.unlock(file, 2, 3) == true)");
    assert!(is_free(write, 0, 0));
    scope.run(
        "local reader = io.open(directory .. 'file', 'r')
         refuses('Bad file descriptor', lfs.lock(reader, 'w'))
         refuses('Invalid argument', lfs.lock(file, 'w', -1))
         file:close()
         fails(\"bad argument #1 to 'lock' (open file expected\", lfs.lock, file, 'w')
         fails(\"bad argument #1 to 'unlock' (open file expected, got table\", lfs.unlock, {})
         fails('open file expected', lfs.lock, proxy.queries, 'w')
         fails('open file expected', lfs.lock, nil, 'w')
         fails('\"r\" or \"w\" expected', lfs.lock, reader, 'x')
         fails('number expected, got table', lfs.lock, reader, 'r', {})",
    );
}

#[test]
fn posix_knows_processes_and_users() {
    let mut scope = scope();
    let pid = std::process::id();
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).unwrap().unwrap();
    scope.run(&format!(
        "assert(posix.getpid() == {pid} and posix.getuid() == {uid})
         local user = posix.getpwuid({uid})
         assert(user.name == '{}' and user.uid == {uid} and user.gid == {} and user.dir == '{}' and user.shell == '{}')
         for _, uid in ipairs {{ -1, 4123456789, 2 ^ 40 }} do assert(posix.getpwuid(uid) == nil) end
         assert(posix.kill({pid}, 0) == 0 and posix.kill('{pid}', '0') == 0)
         assert(posix.kill(2 ^ 31 - 2, 0) == -1 and posix.kill({pid}, 1000) == -1 and posix.kill(2 ^ 40, 0) == -1)
         fails(\"bad argument #2 to 'kill' (number expected, got nil)\", posix.kill, 1)
         fails('number expected, got nil', posix.getpwuid)",
        user.name,
        user.gid,
        user.dir.display(),
        user.shell.display()
    ));
}

#[test]
fn glib2_sums_tells_the_time_and_sleeps() {
    let mut scope = scope();
    scope.run(
        "assert(glib2.md5('') == 'd41d8cd98f00b204e9800998ecf8427e')
         assert(glib2.md5('abc') == '900150983cd24fb0d6963f7d28e17f72')
         assert(glib2.md5('a\\0b') == '70350f6027bce3713f6b76473084309b')
         assert(glib2.md5(42) == 'a1d0c6e83f027327d8461063f4ac58a6')
         fails('string expected, got nil', glib2.md5)
         local function now()
           local time = glib2.get_current_time()
           assert(time.tv_usec >= 0 and time.tv_usec < 1e6)
           return time.tv_sec + time.tv_usec / 1e6
         end
         assert(math.abs(now() - os.time()) < 2)
         local before = now()
         glib2.usleep(2000)
         assert(now() - before >= 0.002)
         glib2.usleep(-1)
         fails('number expected, got nil', glib2.usleep)",
    );
}
