//! Whether a server's certificate is good enough, and if not, how to make one that is.
//!
//! Beyond rustls's own verifier: a name may be left unverified (VERIFY_CA), and a certificate that is itself in the CA file
//! is trusted, as OpenSSL does with those that servers sign themselves.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as RustlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Version};

use super::TlsError;

/// What is expected of a server.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` to expect nothing.
    expected: Option<Expected>,
}

#[derive(Debug)]
struct Expected {
    webpki: Arc<WebPkiServerVerifier>,
    /// As the CA file has them: one that a server shows itself is trusted.
    given: Vec<CertificateDer<'static>>,
    verifies_name: bool,
}

impl Verifier {
    pub(super) fn none(provider: &Arc<CryptoProvider>) -> Self {
        Self {
            provider: Arc::clone(provider),
            expected: None,
        }
    }

    pub(super) fn ca(
        provider: &Arc<CryptoProvider>,
        path: &Path,
        given: Vec<CertificateDer<'static>>,
        verifies_name: bool,
    ) -> Result<Self, TlsError> {
        let content = |reason| TlsError::Content {
            path: path.to_owned(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        for certificate in &given {
            roots
                .add(certificate.clone())
                .map_err(|error| content(error.to_string()))?;
        }
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| content(error.to_string()))?;
        Ok(Self {
            provider: Arc::clone(provider),
            expected: Some(Expected {
                webpki,
                given,
                verifies_name,
            }),
        })
    }
}

impl Expected {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), RustlsError> {
        let verified = self
            .webpki
            .verify_server_cert(end_entity, intermediates, name, &[], now);
        match verified {
            Ok(_) => Ok(()),
            // The chain was good: names come last.
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.verifies_name => Ok(()),
            Err(error) if self.given.contains(end_entity) => {
                self.verify_given(end_entity, name, error)
            }
            Err(error) => Err(error),
        }
    }

    /// One that is itself in the CA file.
    fn verify_given(
        &self,
        end_entity: &CertificateDer<'_>,
        name: &ServerName<'_>,
        error: RustlsError,
    ) -> Result<(), RustlsError> {
        let Ok((_, certificate)) = X509Certificate::from_der(end_entity) else {
            return Err(error);
        };
        if !certificate.validity().is_valid() {
            return Err(RustlsError::InvalidCertificate(CertificateError::Expired));
        }
        match self.verifies_name && !names(&certificate, name) {
            true => Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName,
            )),
            false => Ok(()),
        }
    }
}

/// Whether one of the certificate's subject alternative names is this one.
fn names(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let mut names = names.value.general_names.iter();
    names.any(|known| match (known, name) {
        (GeneralName::DNSName(known), ServerName::DnsName(name)) => {
            known.eq_ignore_ascii_case(name.as_ref())
        }
        (GeneralName::IPAddress(known), ServerName::IpAddress(name)) => {
            let name = std::net::IpAddr::from(*name);
            match name {
                std::net::IpAddr::V4(name) => *known == name.octets(),
                std::net::IpAddr::V6(name) => *known == name.octets(),
            }
        }
        _ => false,
    })
}

/// What is wrong with the certificate, for the one who made it.
fn explained(
    error: RustlsError,
    end_entity: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> RustlsError {
    let Ok((_, certificate)) = X509Certificate::from_der(end_entity) else {
        return error;
    };
    let RustlsError::InvalidCertificate(reason) = &error else {
        return error;
    };
    let has_names = matches!(certificate.subject_alternative_name(), Ok(Some(_)));
    let name = name.to_str();
    let text = match reason {
        _ if certificate.version() != X509Version::V3 => {
            "it is an X.509 certificate of version 1, which cannot be verified; make one of version 3 \
             (openssl x509 -req ... -extfile with basicConstraints=CA:FALSE and subjectAltName)"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            if !has_names =>
        {
            format!(
                "it names no host: VERIFY_IDENTITY needs a subjectAltName with {name}, and a common name is not enough; \
                 make one that has it, or use VERIFY_CA"
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is not for {name}")
        }
        // Of a CA of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no CA of the CA file vouches for it".to_owned()
        }
        CertificateError::Other(_) => {
            format!("{error}; a certificate that may itself sign others (CA:TRUE) is trusted only if it is in the CA file")
        }
        _ => return error,
    };
    let text = Explanation(text);
    RustlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(text))))
}

#[derive(Debug, Error)]
#[error("{0}")]
struct Explanation(String);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        if let Some(expected) = &self.expected {
            expected
                .verify(end_entity, intermediates, server_name, now)
                .map_err(|error| explained(error, end_entity, server_name))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    /// Where any certificate will do, a proof that the server holds its key says nothing; and old ones cannot be read.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        match &self.expected {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(expected) => {
                expected
                    .webpki
                    .verify_tls12_signature(message, certificate, signature)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        match &self.expected {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(expected) => {
                expected
                    .webpki
                    .verify_tls13_signature(message, certificate, signature)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
