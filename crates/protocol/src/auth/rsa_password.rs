//! A password on a plain connection: XORed with the nonce, then RSA-OAEP (SHA-1) under the server's public key.
//! Used by `caching_sha2_password` and `sha256_password`.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

/// Why a password could not be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RsaPasswordError {
    /// What the server sent is no RSA public key in PEM.
    #[error("the server's public key is not an RSA key in PEM")]
    BadKey,
    /// RSA with OAEP holds 41 bytes less than the key is long.
    #[error("the password is longer than the server's public key can encrypt")]
    TooLong,
    /// Without a nonce there is nothing to hide a replay behind.
    #[error("the server sent no nonce")]
    NoNonce,
}

/// `password` without its closing zero; `nonce` as the server sent it; `pem` a `PUBLIC KEY`.
pub fn encrypt_password(
    password: &[u8],
    nonce: &[u8],
    pem: &[u8],
) -> Result<Vec<u8>, RsaPasswordError> {
    if nonce.is_empty() {
        return Err(RsaPasswordError::NoNonce);
    }
    let spki =
        SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| RsaPasswordError::BadKey)?;
    let key = PublicEncryptingKey::from_der(spki.as_ref()).map_err(|_| RsaPasswordError::BadKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| RsaPasswordError::BadKey)?;
    let terminated = password.iter().chain(&[0]);
    let masked: Vec<u8> = terminated
        .zip(nonce.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let mut encrypted = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA1_MGF1SHA1, &masked, &mut encrypted, None)
        .map_err(|_| RsaPasswordError::TooLong)?;
    Ok(encrypted)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;

    fn pem(der: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
        for chunk in der.chunks(3) {
            let mut group = [0; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for i in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * i) & 63) as usize];
                text.push(if i <= chunk.len() { digit as char } else { '=' });
            }
        }
        text + "\n-----END PUBLIC KEY-----\n"
    }

    #[test]
    fn the_server_reads_what_the_client_wrote() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public = private.public_key();
        let pem = pem(AsDer::as_der(&public).unwrap().as_ref());
        let nonce: Vec<u8> = (1..=20).collect();
        let encrypted = encrypt_password(b"secret", &nonce, pem.as_bytes()).unwrap();

        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut clear = vec![0; private.min_output_size()];
        let clear = private
            .decrypt(&OAEP_SHA1_MGF1SHA1, &encrypted, &mut clear, None)
            .unwrap();
        let unmasked: Vec<u8> = clear.iter().zip(&nonce).map(|(a, b)| a ^ b).collect();
        assert_eq!(unmasked, b"secret\0");

        assert_eq!(
            encrypt_password(&[b'x'; 215], &nonce, pem.as_bytes()),
            Err(RsaPasswordError::TooLong)
        );
    }

    #[test]
    fn garbage_is_no_key() {
        let error = encrypt_password(b"secret", &[1], b"-----BEGIN NOTHING");
        assert_eq!(error, Err(RsaPasswordError::BadKey));
    }
}
