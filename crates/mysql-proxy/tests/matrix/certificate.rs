//! Certificates for servers and for the proxy, for 127.0.0.1 and 127.0.0.2.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// Node.js takes a peer without a name for the last.
const NAMES: [&str; 3] = ["127.0.0.1", "127.0.0.2", "localhost"];

/// A certificate, its key and who vouches for it, as files.
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl Certificate {
    /// One that a CA of its own signs.
    pub(crate) fn signed(directory: &Path, name: &str) -> Self {
        let mut ca = CertificateParams::new([]).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages.push(KeyUsagePurpose::KeyCertSign);
        ca.distinguished_name.push(DnType::CommonName, "a CA");
        let ca_key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(ca, ca_key).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let mut server = CertificateParams::new(NAMES.map(str::to_owned)).expect("parameters");
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &ca).expect("a certificate");
        let pem = certificate.pem();
        Self::write(directory, name, &pem, &key.serialize_pem(), &ca.pem())
    }

    /// One that nobody vouches for.
    pub(crate) fn self_signed(directory: &Path, name: &str) -> Self {
        let certified = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned));
        let certified = certified.expect("a certificate");
        let pem = certified.cert.pem();
        let key = certified.signing_key.serialize_pem();
        Self::write(directory, name, &pem, &key, &pem)
    }

    fn write(directory: &Path, name: &str, certificate: &str, key: &str, ca: &str) -> Self {
        let file = |kind: &str, pem: &str| {
            let path = directory.join(format!("{name}-{kind}.pem"));
            fs::write(&path, pem).expect("the directory is ours");
            path
        };
        Self {
            certificate: file("cert", certificate),
            key: file("key", key),
            ca: file("ca", ca),
        }
    }

    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// The servers' options, which are the proxy's as well.
    pub(crate) fn options(&self) -> [String; 2] {
        [
            format!("--ssl-cert={}", self.certificate.display()),
            format!("--ssl-key={}", self.key.display()),
        ]
    }
}
