//! A password on a plain connection: XORed with the nonce, then RSA-OAEP (SHA-1) under the server's public key.
//! Used by `caching_sha2_password` and `sha256_password`.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
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
    /// What a client sent was not encrypted with the key that it was given.
    #[error("it is not encrypted with the key that was offered")]
    NotOurs,
    /// The system has no key to give.
    #[error("no RSA key could be made")]
    NoKey,
}

/// A server's own key: clients encrypt passwords with its public half.
#[derive(Debug)]
pub struct PasswordKey {
    private: OaepPrivateDecryptingKey,
    public_pem: String,
}

impl PasswordKey {
    /// Of 2048 bits, as servers make theirs. Takes a good part of a second.
    ///
    /// # Errors
    /// [`RsaPasswordError::NoKey`]
    pub fn generate() -> Result<Self, RsaPasswordError> {
        let no_key = |_| RsaPasswordError::NoKey;
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(no_key)?;
        let public = private.public_key();
        let der = AsDer::as_der(&public).map_err(no_key)?;
        let pem = pem::Pem::new("PUBLIC KEY", der.as_ref());
        Ok(Self {
            private: OaepPrivateDecryptingKey::new(private).map_err(no_key)?,
            public_pem: pem::encode(&pem),
        })
    }

    /// `PUBLIC KEY`, in PEM, as AuthMoreData holds it.
    pub fn public_pem(&self) -> &[u8] {
        self.public_pem.as_bytes()
    }

    /// The password, with its closing zero, that a client hid behind `nonce` and the public key.
    ///
    /// # Errors
    /// [`RsaPasswordError::NotOurs`]
    pub fn decrypt(&self, encrypted: &[u8], nonce: &[u8]) -> Result<Vec<u8>, RsaPasswordError> {
        if nonce.is_empty() {
            return Err(RsaPasswordError::NoNonce);
        }
        let mut clear = vec![0; self.private.min_output_size()];
        let masked = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, encrypted, &mut clear, None)
            .map_err(|_| RsaPasswordError::NotOurs)?;
        let password: Vec<u8> = masked
            .iter()
            .zip(nonce.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        match password.last() {
            Some(0) => Ok(password),
            _ => Err(RsaPasswordError::NotOurs),
        }
    }
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
    use super::*;

    #[test]
    fn the_server_reads_what_the_client_wrote() {
        let key = PasswordKey::generate().unwrap();
        let nonce: Vec<u8> = (1..=20).collect();
        let encrypted = encrypt_password(b"secret", &nonce, key.public_pem()).unwrap();
        assert_eq!(key.decrypt(&encrypted, &nonce).unwrap(), b"secret\0");
        let other = key.decrypt(&encrypted, b"another nonce");
        assert_eq!(other, Err(RsaPasswordError::NotOurs));
        let garbage = key.decrypt(&encrypted[1..], &nonce);
        assert_eq!(garbage, Err(RsaPasswordError::NotOurs));
        assert_eq!(
            encrypt_password(&[b'x'; 215], &nonce, key.public_pem()),
            Err(RsaPasswordError::TooLong)
        );
    }

    #[test]
    fn garbage_is_no_key() {
        let error = encrypt_password(b"secret", &[1], b"-----BEGIN NOTHING");
        assert_eq!(error, Err(RsaPasswordError::BadKey));
    }
}
