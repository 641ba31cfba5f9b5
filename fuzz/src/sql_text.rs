//! SQL: tokens cover every byte in order, and what a text leaves behind is found in linear time and memory.

use sql::{SessionEffects, TokenId, tokenize};

use crate::memory::bounded;

/// Long enough that quadratic time is noticed.
const REPEATED_BYTES_MAX: usize = 64 * 1024;

/// Input: a text.
pub(crate) fn run(text: &[u8]) {
    // The table of keywords is made once, and no input's doing.
    TokenId::keyword(b"select");
    tokens(text);
    effects(text);
    if is_chosen(text) {
        let text = text.repeat(REPEATED_BYTES_MAX / text.len().max(1));
        bounded(&text, || tokenize(&text).for_each(drop));
        bounded(&text, || SessionEffects::of(&text));
    }
}

/// One in a thousand, which no fuzzer can aim at: long texts look interesting to it, and take long.
fn is_chosen(text: &[u8]) -> bool {
    let hash = text.iter().fold(0_u32, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.is_multiple_of(1024)
}

fn tokens(text: &[u8]) {
    let mut rest = text;
    bounded(text, || tokenize(text).for_each(drop));
    for token in tokenize(text) {
        assert!(!token.raw.is_empty());
        assert!(token.text.len() <= token.raw.len());
        assert!(token.id.name().is_some());
        let at = token.raw.as_ptr().addr() - rest.as_ptr().addr();
        assert!(are_blanks(&rest[..at]), "bytes are in no token");
        rest = &rest[at + token.raw.len()..];
    }
    assert!(are_blanks(rest), "the last bytes are in no token");
}

/// As C's `isspace` has it.
fn are_blanks(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | 0x09..=0x0d))
}

fn effects(text: &[u8]) {
    let effects = bounded(text, || SessionEffects::of(text));
    assert!(effects.settings.len() <= 64);
    for setting in &effects.settings {
        assert!(!setting.name.is_empty());
        let again = SessionEffects::of(&setting.sql);
        assert_eq!(again.pin, None, "{:?}", setting.sql.escape_ascii());
        assert_eq!(again.settings.as_slice(), std::slice::from_ref(setting));
    }
}
