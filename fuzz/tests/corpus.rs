//! Every input in `corpus`, on its target.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! targets {
    ($($target:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($target)),*];

        $(#[test] fn $target() { replay(stringify!($target)); })*
    };
}

targets! {
    packets connection_phase commands responses response_tracker rsa compression proxy_header operator_text sql_text
    digests script_packets script_text pool
}

#[test]
fn every_target_is_replayed() {
    let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, NAMES);
    let mut sorted: Vec<_> = NAMES.iter().map(|name| corpus().join(name)).collect();
    sorted.sort();
    assert_eq!(files(&corpus()), sorted);
}

/// Those that nobody saw too: Lua's `pcall` catches what panics below it.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn replay(name: &str) {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tell(info);
    }));
    let target = fuzz::target(name).expect("a target's name");
    let inputs = files(&corpus().join(name));
    assert!(!inputs.is_empty());
    for path in inputs {
        let input = fs::read(&path).expect("a file to read");
        let outcome = panic::catch_unwind(|| target(&input));
        let panics = PANICS.load(Ordering::Relaxed);
        assert!(outcome.is_ok() && panics == 0, "{} fails", path.display());
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory to read");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a directory to read").path())
        .collect();
    paths.sort();
    paths
}
