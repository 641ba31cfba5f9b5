//! What the kernel says about a process: CPU time and resident memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};

/// How long memory may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at memory that is coming to rest.
const REST_INTERVAL: Duration = Duration::from_millis(200);

/// CPU time of a process in user and kernel space, to the nanosecond, with its threads that have ended.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
        .and_then(ClockId::now)
        .with_context(|| format!("no CPU time of process {pid}: is it gone?"))?;
    Ok(clock.into())
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
    fn rss_is_found_among_the_others() {
        let text = "55d0-7ffc ---p 00000000 00:00 0    [rollup]\nRss:                3412 kB\nPss:                 901 kB\n";
        assert_eq!(parse_rss(text), Some(3412));
        assert_eq!(parse_rss("Pss: 901 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        assert!(resident_kib(u32::MAX).is_err());
    }

    #[test]
    fn cpu_time_passes_and_outlives_threads() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let spent = Duration::from_millis(5);
        let work = move || while cpu_time(pid).unwrap() < before + spent {};
        std::thread::spawn(work).join().unwrap();
        assert!(cpu_time(pid).unwrap() >= before + spent);
    }

    #[test]
    fn a_process_that_is_gone_has_no_cpu_time() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(cpu_time(child.id()).is_err());
    }
}
