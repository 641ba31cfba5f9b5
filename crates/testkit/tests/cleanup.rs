//! Nothing outlives a test, however it ends.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use testkit::{MariaDb, Process, ScratchDirectory, process, wait};

const SOON: Duration = Duration::from_secs(10);
/// Set for the process that plays the killed test.
const VICTIM: &str = "TESTKIT_VICTIM";

#[test]
fn a_killed_test_leaves_no_server_and_no_directory() {
    if env::var_os(VICTIM).is_some() {
        let server = MariaDb::start(&[]);
        println!("server {} {}", server.id(), server.directory().display());
        wait::poll(6 * SOON, || None::<()>);
        return;
    }
    let mut victim = process::command(env::current_exe().unwrap());
    victim
        .args([
            "--exact",
            "a_killed_test_leaves_no_server_and_no_directory",
            "--nocapture",
        ])
        .env(VICTIM, "yes")
        .stdout(Stdio::piped());
    let mut victim = victim.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let line = lines
        .find_map(|line| Some(line.split_once("server ")?.1.to_owned()))
        .unwrap();
    let (server, directory) = line.split_once(' ').unwrap();
    let (server, directory) = (PathBuf::from("/proc").join(server), Path::new(directory));
    assert!(server.exists() && directory.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    wait::until("the server is gone", SOON, || !is_alive(&server));
    wait::until("the directory is gone", SOON, || {
        drop(ScratchDirectory::new());
        !directory.exists()
    });
}

#[test]
fn a_dropped_process_takes_its_children_with_it() {
    let mut shell = process::command("sh");
    let directory = ScratchDirectory::new();
    let child = directory.file("child");
    shell
        .args(["-c", "sleep 1000 & echo $! > $0; wait"])
        .arg(&child);
    let shell = Process::spawn(shell);
    let id = wait::poll(SOON, || {
        fs::read_to_string(&child).ok()?.trim().parse::<u32>().ok()
    })
    .unwrap();
    let child = PathBuf::from("/proc").join(id.to_string());
    assert!(is_alive(&child));
    drop(shell);
    wait::until("the shell's child is gone", SOON, || !is_alive(&child));
}

/// A zombie that nobody waits for is as good as gone.
fn is_alive(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
