//! `caching_sha2_password`: SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce), which a server with a warm
//! cache accepts at once; with a cold one it asks for the password itself.
//! Follows MySQL's "Caching_sha2_password information".

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::SHA256;

use super::digest::{digest, xor};

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
    let once = sha256(&[password]);
    xor(&once, &sha256(&[&sha256(&[&once]), nonce])).to_vec()
}

/// A server's check of `response` to its `nonce`.
pub fn verify(password: &[u8], nonce: &[u8], response: &[u8]) -> bool {
    verify_slices_are_equal(&scramble(password, nonce), response).is_ok()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, parts)
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
