//! `mysql_native_password`: SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))).
//! Follows MySQL's "Native Authentication".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, digest};

/// The client's answer to `nonce` (20 bytes): 20 bytes, or none for an empty password.
pub fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref());
    let mut salted = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    salted.update(nonce);
    salted.update(twice.as_ref());
    let salted = salted.finish();
    let pairs = once.as_ref().iter().zip(salted.as_ref());
    pairs.map(|(a, b)| a ^ b).collect()
}

/// A server's check of `response` to its `nonce`.
pub fn verify(password: &[u8], nonce: &[u8], response: &[u8]) -> bool {
    verify_slices_are_equal(&scramble(password, nonce), response).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        let nonce: Vec<u8> = (1..=20).collect();
        let expected =
            b"\xb3\x2b\xb3\xa5\x83\xe1\x34\x0c\x0a\x11\x08\xd5\x8b\x1b\xe4\x97\x81\xad\x8c\x2f";
        let answer = scramble(b"secret", &nonce);
        assert_eq!(answer, expected);
        assert!(verify(b"secret", &nonce, &answer));
        assert!(!verify(b"Secret", &nonce, &answer));
        assert!(!verify(b"secret", &nonce, &[]));
        assert!(verify(b"", &nonce, &[]));
    }
}
