//! `caching_sha2_password`: SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce), which a server with a warm
//! cache accepts at once; with a cold one it asks for the password itself.
//! Follows MySQL's "Caching_sha2_password information".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256, digest};

/// In AuthMoreData: the scramble was right, OK follows.
pub const FAST_AUTH_SUCCESS: &[u8] = &[3];
/// In AuthMoreData: the password is wanted, in clear on a secure transport, else encrypted.
pub const PERFORM_FULL_AUTHENTICATION: &[u8] = &[4];
/// A client's packet: send your public key.
pub const REQUEST_PUBLIC_KEY: &[u8] = &[2];

/// The client's answer to `nonce` (20 bytes): 32 bytes, or none for an empty password.
pub fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = digest(&SHA256, password);
    let twice = digest(&SHA256, once.as_ref());
    let mut salted = Context::new(&SHA256);
    salted.update(twice.as_ref());
    salted.update(nonce);
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
        let answer = scramble(b"secret", &nonce);
        assert_eq!(
            answer,
            b"\x74\x6e\xbe\x20\x5d\x56\xa0\x70\x7a\xcb\x3e\x79\x6e\x83\x4e\x0d\
              \xd7\xb1\xd6\x17\x43\xb2\x6b\xd5\x20\x2c\x7a\x62\x32\x30\xc7\xc9"
        );
        assert!(verify(b"secret", &nonce, &answer));
        assert!(!verify(b"secret", &nonce[..19], &answer));
        assert!(verify(b"", &nonce, &[]));
    }
}
