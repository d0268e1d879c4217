//! Reads the certificate with which an endpoint proves who it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{Findings, TlsConfig};

/// The certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: {path}: {reason}; give a PEM file", path = path.display())]
    File { key: &'static str, path: PathBuf, reason: pem::Error },
    #[error("{key}: the certificate and its key do not fit: {reason}")]
    Pair { key: &'static str, reason: rustls::Error },
}

/// Returns the acceptor of the setting `key`; `None` for an endpoint without encryption.
///
/// # Errors
/// Files that cannot be read, or do not hold a certificate and its key.
pub fn acceptor(key: &'static str, config: &TlsConfig) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(certificate), Some(private_key)) = (&config.certificate_file, &config.key_file)
    else {
        return Ok(None);
    };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |reason| TlsError::File { key, path, reason }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(private_key).map_err(unreadable(private_key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|reason| TlsError::Pair { key, reason })?;
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

/// Reports a certificate without its key, and files that cannot be used.
pub fn check(key: &'static str, config: &TlsConfig, findings: &mut Findings) {
    let is_whole = config.certificate_file.is_some() == config.key_file.is_some();
    findings.require(is_whole, key, "needs both `certificate_file` and `key_file`");
    if let Err(error) = acceptor(key, config) {
        findings.require(false, key, without_key(key, &error));
    }
}

fn without_key(key: &str, error: &TlsError) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{key}: ")).unwrap_or(&text).to_owned()
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
