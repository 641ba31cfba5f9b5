//! TLS towards servers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

use super::certificate::{KeyPair, certificates};
use super::verifier::Verifier;
use super::{Strength, TlsError};

/// What is expected of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerVerification {
    /// Nothing: bytes are hidden from those who listen, and from nobody who stands between.
    None,
    /// It is vouched for by a CA of this PEM file, or is in it.
    Ca(PathBuf),
    /// The same, and it is for the host that was connected to.
    Identity(PathBuf),
}

/// Of a client that shows `key_pair`, if a server asks for one.
///
/// # Errors
/// See [`TlsError`].
pub fn client_config(
    verification: &ServerVerification,
    key_pair: Option<&KeyPair>,
    strength: &Strength,
) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(strength.provider()?);
    let verifier = match verification {
        ServerVerification::None => Verifier::none(&provider),
        ServerVerification::Ca(path) => Verifier::ca(&provider, path, certificates(path)?, false)?,
        ServerVerification::Identity(path) => {
            Verifier::ca(&provider, path, certificates(path)?, true)?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&strength.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match key_pair.cloned() {
        Some(KeyPair { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    // Servers of ours are named by numbers as often as not.
    config.enable_sni = false;
    Ok(TlsConnector::from(Arc::new(config)))
}
