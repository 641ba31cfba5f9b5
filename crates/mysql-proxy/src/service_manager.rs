//! What systemd is told of the process, as `sd_notify(3)` has it. Nothing where no service manager asks.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use sd_notify::NotifyState;

/// Clients are served from now on.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The process ends, as soon as its clients have.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Another process goes on for this one.
pub(crate) fn main_process(id: u32) {
    notify(&[NotifyState::MainPid(id)]);
}

/// Tells again and again that `is_alive`, while it is, where the service manager kills what is silent for too long.
pub(crate) fn watch(is_alive: impl Fn(Duration) -> bool + Send + 'static) -> Result<()> {
    let Some(silence) = sd_notify::watchdog_enabled() else {
        return Ok(());
    };
    let pause = silence / 3;
    let watch = move || {
        loop {
            if is_alive(silence) {
                notify(&[NotifyState::Watchdog]);
            }
            thread::sleep(pause);
        }
    };
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(watch)
        .context("cannot start the thread that tells the service manager of life")?;
    Ok(())
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told of this process: {error}");
    }
}
