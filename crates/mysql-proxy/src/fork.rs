//! `fork(2)`.
#![expect(
    unsafe_code,
    reason = "after fork the child has one thread, and whatever lock another thread held stays locked in it. \
              Every caller runs in `main`'s thread before the program starts its first other thread: `daemon` and \
              `angel` come before `Proxy::bind` (which starts none) and before the signal thread"
)]

use anyhow::{Context, Result};
use nix::unistd::ForkResult;

/// Splits the process in two. No thread but the caller's may exist.
pub(crate) fn fork() -> Result<ForkResult> {
    // SAFETY: the process has one thread, see the head of this file.
    unsafe { nix::unistd::fork() }.context("cannot start another process")
}
