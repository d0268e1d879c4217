//! Connects to ClickHouse, over TLS with a private authority where one is configured.

use std::path::Path;
use std::sync::Arc;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

use super::cluster;
use crate::config::ClickHouseConfig;

/// Returns a client that opens no connection yet.
pub(super) fn client(config: &ClickHouseConfig) -> Client {
    let client = match &config.ca_file {
        Some(path) => trusting(path),
        None => Client::default(),
    };
    let client = match &config.cluster {
        Some(_) => cluster::with_settings(client),
        None => client,
    };
    client
        .with_product_info("keywatch", env!("CARGO_PKG_VERSION"))
        .with_url(&config.url)
        .with_user(&config.user)
        .with_password(config.password.reveal())
        .with_database(&config.database)
}

/// Returns a client that trusts the certificates of this file and no others. The check of the
/// configuration reports a file that cannot be read; without its certificates, nobody is trusted.
fn trusting(path: &Path) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(path).unwrap_or_default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Ok(builder) =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    else {
        // The provider supports the default versions.
        return Client::default();
    };
    let tls = builder.with_root_certificates(roots).with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
    Client::with_http_client(HttpClient::builder(TokioExecutor::new()).build(connector))
}

/// # Errors
/// The file is not one with certificates in PEM.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}
