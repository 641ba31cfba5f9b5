//! TLS towards clients.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::certificate::{KeyPair, certificates};
use super::{Strength, TlsError};

/// What is expected of clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientVerification {
    /// Nothing: they prove themselves by their passwords.
    #[default]
    None,
    /// A certificate, if a client shows one, is vouched for by a CA of this PEM file.
    Ca(PathBuf),
}

/// Of a server that shows `key_pair`.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(
    key_pair: &KeyPair,
    verification: &ClientVerification,
    strength: &Strength,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(strength.provider()?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&strength.versions())?;
    let builder = match verification {
        ClientVerification::None => builder.with_no_client_auth(),
        ClientVerification::Ca(path) => {
            let mut roots = RootCertStore::empty();
            let content = |reason| TlsError::Content {
                path: path.clone(),
                reason,
            };
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| content(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| content(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let KeyPair { chain, key } = key_pair.clone();
    let config = builder.with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
