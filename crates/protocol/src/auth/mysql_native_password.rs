//! `mysql_native_password`: SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))).
//! Follows MySQL's "Native Authentication".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;

use super::digest::{digest, xor};

/// Bytes of a hash, and of a scramble.
pub const HASH_BYTES: usize = 20;

/// SHA1(`password`), as scrambles start from; twice hashed it is what servers store.
pub fn hash(password: &[u8]) -> [u8; HASH_BYTES] {
    sha1(&[password])
}

/// The client's answer to `nonce` (20 bytes): 20 bytes, or none for an empty password.
pub fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    scramble_hash(&hash(password), nonce).to_vec()
}

/// The client's answer to `nonce` when only the password's [`hash`] is known.
pub fn scramble_hash(hash: &[u8; HASH_BYTES], nonce: &[u8]) -> [u8; HASH_BYTES] {
    xor(hash, &sha1(&[nonce, &sha1(&[hash])]))
}

/// The [`hash`] that a client's `response` to `nonce` was made from, if `double_hash` is its account's.
pub fn unscramble(
    response: &[u8; HASH_BYTES],
    nonce: &[u8],
    double_hash: &[u8; HASH_BYTES],
) -> [u8; HASH_BYTES] {
    xor(response, &sha1(&[nonce, double_hash]))
}

/// A server's check of `response` to its `nonce` when it stores the password hashed twice.
pub fn verify_double_hash(
    response: &[u8; HASH_BYTES],
    nonce: &[u8],
    double_hash: &[u8; HASH_BYTES],
) -> bool {
    let hash = unscramble(response, nonce, double_hash);
    verify_slices_are_equal(&sha1(&[&hash]), double_hash).is_ok()
}

/// A server's check of `response` to its `nonce`.
pub fn verify(password: &[u8], nonce: &[u8], response: &[u8]) -> bool {
    verify_slices_are_equal(&scramble(password, nonce), response).is_ok()
}

fn sha1(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, parts)
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

    #[test]
    fn what_servers_store_is_enough_to_check_and_hashes_are_enough_to_answer() {
        let nonce: Vec<u8> = (1..=20).collect();
        let once = hash(b"secret");
        let twice = hash(&once);
        let answer = scramble_hash(&once, &nonce);
        assert_eq!(answer.to_vec(), scramble(b"secret", &nonce));
        assert_eq!(unscramble(&answer, &nonce, &twice), once);
        assert!(verify_double_hash(&answer, &nonce, &twice));
        assert!(!verify_double_hash(&answer, &nonce, &hash(b"other")));
        assert!(!verify_double_hash(&once, &nonce, &twice));
    }
}
