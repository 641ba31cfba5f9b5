//! TLS as the options ask for it: certificates and keys are read at the start, and again with every reload.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use proxy::{ClientTlsMode, ServerTlsMode, TlsSettings};
use telemetry::TlsAcceptor;
use transport::tls::{
    ClientVerification, KeyPair, MinimumVersion, ServerVerification, Strength, client_config,
    generated_key_pair, server_config,
};

use crate::options::{ClientSslMode, OperatorOptions, ServerSslMode, TlsOptions};

/// Reads what the options name.
///
/// # Errors
/// One line that names the option.
pub(crate) fn load(options: &TlsOptions) -> Result<TlsSettings> {
    load_with(options, own_certificate)
}

/// [`load`], where nothing is to be written.
pub(crate) fn check(options: &TlsOptions) -> Result<TlsSettings> {
    load_with(options, |options| {
        let given = given_certificate(options)?;
        given.map_or_else(|| Ok(generated_key_pair(None)?), Ok)
    })
}

fn load_with(
    options: &TlsOptions,
    own_certificate: fn(&TlsOptions) -> Result<KeyPair>,
) -> Result<TlsSettings> {
    let strength = strength(options)?;
    let client_mode = match options.client_ssl_mode {
        ClientSslMode::Disabled => ClientTlsMode::Disabled,
        ClientSslMode::Preferred => ClientTlsMode::Preferred,
        ClientSslMode::Required => ClientTlsMode::Required,
        ClientSslMode::Passthrough => ClientTlsMode::Passthrough,
    };
    let acceptor = match client_mode {
        ClientTlsMode::Disabled | ClientTlsMode::Passthrough => None,
        ClientTlsMode::Preferred | ClientTlsMode::Required => {
            let verification = match &options.ssl_ca {
                Some(path) => ClientVerification::Ca(path.clone()),
                None => ClientVerification::None,
            };
            let config = server_config(&own_certificate(options)?, &verification, &strength);
            Some(config.context("--ssl-cert, --ssl-key, --ssl-ca")?)
        }
    };
    let (server_mode, verification) = server_side(options)?;
    let connector = match server_mode {
        ServerTlsMode::Disabled => None,
        _ => {
            let pair = given_pair(
                ("--server-ssl-cert", &options.server_ssl_cert),
                ("--server-ssl-key", &options.server_ssl_key),
            )?;
            let config = client_config(&verification, pair.as_ref(), &strength);
            Some(config.context("--server-ssl-ca, --server-ssl-cert, --server-ssl-key")?)
        }
    };
    Ok(TlsSettings {
        client_mode,
        server_mode,
        acceptor,
        connector,
        server_fingerprint: server_fingerprint(options),
    })
}

/// Of the texts and of the files' contents. A file that cannot be read was an error before.
fn server_fingerprint(options: &TlsOptions) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mode = options.server_ssl_mode as u8;
    (mode, &options.ssl_cipher, &options.tls_version).hash(&mut hasher);
    for path in [&options.server_ssl_ca, &options.server_ssl_cert] {
        path.as_ref()
            .map(|path| fs::read(path).ok())
            .hash(&mut hasher);
    }
    hasher.finish()
}

/// What is spoken at `--http-address`; `None` for plain HTTP.
///
/// # Errors
/// One line that names the option.
pub(crate) fn load_http(
    operator: &OperatorOptions,
    options: &TlsOptions,
) -> Result<Option<TlsAcceptor>> {
    let pair = given_pair(
        ("--http-ssl-cert", &operator.http_ssl_cert),
        ("--http-ssl-key", &operator.http_ssl_key),
    )?;
    let Some(pair) = pair else {
        return Ok(None);
    };
    let config = server_config(&pair, &ClientVerification::None, &strength(options)?);
    config.context("--http-ssl-cert, --http-ssl-key").map(Some)
}

fn server_side(options: &TlsOptions) -> Result<(ServerTlsMode, ServerVerification)> {
    let ca = || {
        let path = options.server_ssl_ca.clone();
        path.context("--server-ssl-mode=VERIFY_CA and VERIFY_IDENTITY need --server-ssl-ca")
    };
    Ok(match options.server_ssl_mode {
        ServerSslMode::Disabled => (ServerTlsMode::Disabled, ServerVerification::None),
        ServerSslMode::Preferred => (ServerTlsMode::Preferred, ServerVerification::None),
        ServerSslMode::Required => (ServerTlsMode::Required, ServerVerification::None),
        ServerSslMode::VerifyCa => (ServerTlsMode::Required, ServerVerification::Ca(ca()?)),
        ServerSslMode::VerifyIdentity => {
            (ServerTlsMode::Required, ServerVerification::Identity(ca()?))
        }
        ServerSslMode::AsClient => (ServerTlsMode::AsClient, ServerVerification::None),
    })
}

/// The one that is given, else one that is made.
fn own_certificate(options: &TlsOptions) -> Result<KeyPair> {
    if let Some(pair) = given_certificate(options)? {
        return Ok(pair);
    }
    let directory = &options.ssl_dir;
    generated_key_pair(Some(directory)).or_else(|error| {
        tracing::info!(
            "a certificate for clients cannot be kept in --ssl-dir={}: {error}; one is made for this run alone",
            directory.display()
        );
        generated_key_pair(None).context("no certificate for clients")
    })
}

fn given_certificate(options: &TlsOptions) -> Result<Option<KeyPair>> {
    given_pair(
        ("--ssl-cert", &options.ssl_cert),
        ("--ssl-key", &options.ssl_key),
    )
}

/// Both files or none.
fn given_pair(
    certificate: (&str, &Option<PathBuf>),
    key: (&str, &Option<PathBuf>),
) -> Result<Option<KeyPair>> {
    let read = |certificate: &Path, key: &Path| KeyPair::read(certificate, key);
    match (certificate, key) {
        ((_, None), (_, None)) => Ok(None),
        ((name, Some(certificate)), (_, Some(key))) => {
            let pair = read(certificate, key).with_context(|| name.to_owned())?;
            Ok(Some(pair))
        }
        ((name, _), (other, _)) => bail!("{name} and {other} go together; give both, or neither"),
    }
}

fn strength(options: &TlsOptions) -> Result<Strength> {
    let versions: Vec<_> = options.tls_version.split(',').map(str::trim).collect();
    ensure!(
        versions
            .iter()
            .all(|version| ["TLSv1.2", "TLSv1.3"].contains(version)),
        "--tls-version: `{}` is not a list of TLSv1.2 and TLSv1.3, which are spoken",
        options.tls_version
    );
    let ciphers = options.ssl_cipher.iter();
    let ciphers = ciphers.flat_map(|list| list.split([':', ',']));
    Ok(Strength {
        minimum_version: match versions.contains(&"TLSv1.2") {
            true => MinimumVersion::Tls12,
            false => MinimumVersion::Tls13,
        },
        ciphers: ciphers.map(|name| name.trim().to_owned()).collect(),
    })
}
