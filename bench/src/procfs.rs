//! What the kernel says about a process: CPU time and resident memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// How long memory may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at memory that is coming to rest.
const REST_INTERVAL: Duration = Duration::from_millis(200);

/// CPU time of all threads that live now, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let directory = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&directory)
        .with_context(|| format!("cannot read {directory}: is process {pid} gone?"))?;
    let mut sum = Duration::ZERO;
    for thread in threads {
        // A thread that has ended between the two reads is none of those that live now.
        if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
            sum += parse_schedstat(&text)
                .with_context(|| format!("{directory}: schedstat says {text:?}"))?;
        }
    }
    Ok(sum)
}

/// The first of three numbers: nanoseconds on a CPU.
fn parse_schedstat(text: &str) -> Option<Duration> {
    let nanoseconds = text.split_ascii_whitespace().next()?;
    nanoseconds.parse().ok().map(Duration::from_nanos)
}

/// Resident KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {path}: is process {pid} gone?"))?;
    parse_rss(&text).with_context(|| format!("{path} has no Rss"))
}

fn parse_rss(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Resident KiB as soon as two looks give the same, or at the deadline.
pub(crate) fn resident_kib_at_rest(pid: u32) -> Result<u64> {
    let deadline = Instant::now() + REST_DEADLINE;
    let mut latest = resident_kib(pid)?;
    loop {
        std::thread::sleep(REST_INTERVAL);
        let before = std::mem::replace(&mut latest, resident_kib(pid)?);
        if latest == before || Instant::now() > deadline {
            return Ok(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_starts_with_nanoseconds() {
        assert_eq!(
            parse_schedstat("452544 4600 2\n"),
            Some(Duration::from_nanos(452_544))
        );
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_schedstat("none 1 2"), None);
    }

    #[test]
    fn rss_is_found_among_the_others() {
        let text = "55d0-7ffc ---p 00000000 00:00 0    [rollup]\nRss:                3412 kB\nPss:                 901 kB\n";
        assert_eq!(parse_rss(text), Some(3412));
        assert_eq!(parse_rss("Pss: 901 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(resident_kib(pid).unwrap() > 100);
        assert!(cpu_time(pid).unwrap() > Duration::ZERO);
        assert!(cpu_time(u32::MAX).is_err());
    }
}
