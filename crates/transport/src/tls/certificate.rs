//! Certificates and keys, as PEM files hold them, and one that is made where there is none.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::TlsError;

/// Of one that was made.
const COMMON_NAME: &str = "mysql-proxy_Auto_Generated_Server_Certificate";
const CERTIFICATE_FILE: &str = "server-cert.pem";
const KEY_FILE: &str = "server-key.pem";
/// A file that holds certificates or a key is far smaller.
pub(crate) const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// What one side shows of itself, and the proof that it may.
#[derive(Debug)]
pub struct KeyPair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Clone for KeyPair {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl KeyPair {
    /// From two PEM files: the certificate with those that vouch for it behind it, and its key.
    ///
    /// # Errors
    /// A file that cannot be read, or has not what it should have.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pem = read(key)?;
        let key_der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::Content {
            path: key.to_owned(),
            reason: "there is no private key in it, in PEM and without a password".to_owned(),
        })?;
        Ok(Self {
            chain: certificates(certificate)?,
            key: key_der,
        })
    }
}

/// From when to when a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub not_before: SystemTime,
    /// Nor after.
    pub not_after: SystemTime,
}

impl Validity {
    /// Of the certificate in a PEM file that ends first.
    ///
    /// # Errors
    /// The file cannot be read, or has no certificate in it.
    pub fn of_file(path: &Path) -> Result<Self, TlsError> {
        let certificates = certificates(path)?;
        let all = certificates.iter().filter_map(|der| Self::of(der));
        all.min_by_key(|validity| validity.not_after)
            .ok_or_else(|| TlsError::Content {
                path: path.to_owned(),
                reason: "there is no certificate in it that can be understood".to_owned(),
            })
    }

    /// Of a certificate in DER. `None` where it cannot be understood.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let time = |timestamp: i64| {
            let seconds = Duration::from_secs(timestamp.unsigned_abs());
            match timestamp < 0 {
                true => SystemTime::UNIX_EPOCH.checked_sub(seconds),
                false => SystemTime::UNIX_EPOCH.checked_add(seconds),
            }
        };
        Some(Self {
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        })
    }
}

/// All certificates of a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::Content {
            path: path.to_owned(),
            reason: "there is no certificate in it, in PEM".to_owned(),
        }),
        Err(error) => Err(TlsError::Content {
            path: path.to_owned(),
            reason: format!("not PEM: {error}"),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(error)?.len();
    if length > PEM_BYTES_MAX {
        return Err(error(io::Error::other("it is too large")));
    }
    fs::read(path).map_err(error)
}

/// The certificate that was made in `directory` before; else a new one, which is kept there for the next start.
/// `None` for one that is not kept. It is self-signed: a client that verifies needs it as its CA.
///
/// # Errors
/// The directory cannot be written to, or what lies there cannot be read.
pub fn generated_key_pair(directory: Option<&Path>) -> Result<KeyPair, TlsError> {
    let Some(directory) = directory else {
        let (certificate, key) = generate()?;
        return parse(&certificate, &key);
    };
    let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
    let is_there = || key.exists() && certificate.exists();
    if !is_there() {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| TlsError::Read { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        // Of several that start at once one makes it.
        let lock = File::open(directory).map_err(failed(directory))?;
        lock.lock().map_err(failed(directory))?;
        if !is_there() {
            let (certificate_pem, key_pem) = generate()?;
            write_new(&key, &key_pem, 0o600).map_err(failed(&key))?;
            write_new(&certificate, &certificate_pem, 0o644).map_err(failed(&certificate))?;
        }
    }
    KeyPair::read(&certificate, &key)
}

fn generate() -> Result<(String, String), TlsError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn parse(certificate: &str, key: &str) -> Result<KeyPair, TlsError> {
    let content = |_| TlsError::Content {
        path: PathBuf::from("a certificate that was just made"),
        reason: "it cannot be read".to_owned(),
    };
    let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(content)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(content)?;
    Ok(KeyPair {
        chain: vec![chain],
        key,
    })
}

/// Appears as a whole or not at all.
fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_certificate_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let first = generated_key_pair(Some(&path)).unwrap();
        let second = generated_key_pair(Some(&path)).unwrap();
        assert_eq!(first.chain, second.chain);
        let mode = |name: &str| {
            let metadata = fs::metadata(path.join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode(KEY_FILE), mode(CERTIFICATE_FILE)), (0o600, 0o644));
        let other = generated_key_pair(None).unwrap();
        assert_ne!(first.chain, other.chain);
    }

    #[test]
    fn those_who_start_at_once_have_the_same_certificate() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let files = thread::scope(|scope| {
                let starts = [(); 4].map(|()| {
                    scope.spawn(|| {
                        generated_key_pair(Some(directory.path())).unwrap();
                        let read = |name| fs::read(directory.path().join(name)).unwrap();
                        (read(KEY_FILE), read(CERTIFICATE_FILE))
                    })
                });
                starts.map(|start| start.join().unwrap())
            });
            assert!(files.iter().all(|file| *file == files[0]));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pem");
        let error = |path: &Path| KeyPair::read(path, path).unwrap_err().to_string();
        assert!(error(&path).contains("No such file"), "{}", error(&path));
        fs::write(&path, "nothing").unwrap();
        assert!(error(&path).contains("no private key"), "{}", error(&path));
    }
}
