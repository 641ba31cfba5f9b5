//! Digests: no byte of a literal is in a normalised text, which has the digest of what it is made of, and reading takes no memory.

use sql::{Digest, Reading, normalised};

use crate::memory::{bounded, free};

/// Input: how to read, then a text.
pub(crate) fn run(input: &[u8]) {
    let Some((flags, text)) = input.split_first() else {
        return;
    };
    let reading = Reading {
        backslash_escapes: flags & 1 == 0,
        is_cut: flags & 2 != 0,
    };
    let digest = free(|| Digest::of(text, reading));
    let once = bounded(text, || normalised(text, reading));
    assert!(once.len() <= 3 * text.len() + 4);
    assert!(!has_strings(&once));
    if !reading.is_cut {
        let shown = once.escape_ascii();
        assert_eq!(Digest::of(&once, reading), digest, "{shown}");
        assert_eq!(normalised(&once, reading), once, "{shown}");
    }
}

/// Outside of names in backquotes.
fn has_strings(text: &[u8]) -> bool {
    let outside = text.split(|byte| *byte == b'`').step_by(2);
    outside.flatten().any(|byte| matches!(byte, b'\'' | b'"'))
}
