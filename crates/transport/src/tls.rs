//! TLS as MySQL's and MySQL Router's options name it: who wants it, whose certificates count.
//!
//! By rustls, versions 1.2 and 1.3. What a certificate has to be is told where one is refused.

pub(crate) mod certificate;
mod client_config;
mod server_config;
mod verifier;

use std::io;
use std::path::PathBuf;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use thiserror::Error;

pub use certificate::{KeyPair, Validity, generated_key_pair};
pub use client_config::{ServerVerification, client_config};
pub use server_config::{ClientVerification, server_config};

/// Why there is no TLS to be had with these files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has not what it should have.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A cipher suite that there is not.
    #[error("there is no cipher suite {name}; there are {known}")]
    Cipher {
        /// As it was given.
        name: String,
        /// All that there are.
        known: String,
    },
    /// rustls refuses.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// No certificate can be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinimumVersion {
    /// TLS 1.2
    #[default]
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strength {
    /// The oldest version.
    pub minimum_version: MinimumVersion,
    /// Names of cipher suites, IANA's or OpenSSL's; empty for all that rustls holds to be safe.
    pub ciphers: Vec<String>,
}

impl Strength {
    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match self.minimum_version {
            MinimumVersion::Tls12 => vec![&TLS13, &TLS12],
            MinimumVersion::Tls13 => vec![&TLS13],
        }
    }

    /// # Errors
    /// A name that is none.
    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = aws_lc_rs::default_provider();
        if self.ciphers.is_empty() {
            return Ok(provider);
        }
        let all = std::mem::take(&mut provider.cipher_suites);
        for wanted in &self.ciphers {
            let found = all.iter().find(|suite| {
                let name = iana_name(suite.suite());
                name == *wanted || openssl_name(&name) == *wanted
            });
            let suite = found.ok_or_else(|| TlsError::Cipher {
                name: wanted.clone(),
                known: all
                    .iter()
                    .map(|suite| openssl_name(&iana_name(suite.suite())))
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            provider.cipher_suites.push(*suite);
        }
        Ok(provider)
    }
}

/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`
fn iana_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    name.replace("TLS13_", "TLS_")
}

/// `ECDHE-RSA-AES128-GCM-SHA256`, as OpenSSL and MySQL name it; those of TLS 1.3 have one name only.
fn openssl_name(iana: &str) -> String {
    if !iana.contains("_WITH_") {
        return iana.to_owned();
    }
    iana.trim_start_matches("TLS_")
        .replace("_WITH_", "-")
        .replace("AES_", "AES")
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305")
        .replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_that_operators_know() {
        let suites = |names: &[&str]| {
            let strength = Strength {
                ciphers: names.iter().map(|name| (*name).to_owned()).collect(),
                ..Strength::default()
            };
            strength
                .provider()
                .map(|provider| provider.cipher_suites.len())
        };
        assert_eq!(
            suites(&[
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS_AES_128_GCM_SHA256",
            ])
            .unwrap(),
            4
        );
        let error = suites(&["RC4-MD5"]).unwrap_err().to_string();
        assert!(error.contains("RC4-MD5"), "{error}");
        assert!(error.contains("ECDHE-RSA-AES256-GCM-SHA384"), "{error}");
    }
}
