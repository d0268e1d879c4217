//! Tests encryption of the endpoints and towards ClickHouse, with a private authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywatch::config::{ClickHouseConfig, Secret};
use keywatch::store::Store;
use reqwest::{Certificate, Client};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::clickhouse::unmigrated;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::settings::Settings;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn with_tls(settings: Settings, section: &str) -> Settings {
    let path = |name: &str| fixture(name).to_str().unwrap().to_owned();
    settings
        .set(&format!("{section}.tls.certificate_file"), path("server.pem"))
        .set(&format!("{section}.tls.key_file"), path("server.key"))
}

fn trusting() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = std::fs::read(fixture("ca.pem")).unwrap();
    let authority = Certificate::from_pem(&authority).unwrap();
    Client::builder().tls_certs_only([authority]).build().unwrap()
}

#[tokio::test]
async fn every_endpoint_can_be_encrypted() {
    let database = unmigrated().await;
    let settings = Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0");
    let sections = ["service", "console", "source.http"];
    let settings = sections.iter().fold(settings, |settings, section| with_tls(settings, section));
    let service = Service::start(&settings);
    let intake = service.logged_address("accepting events at POST /v1/events");
    let console = service.logged_address("serving the console");
    let client = trusting();
    let status = async |address: &str, path: &str| {
        let answer = client.get(format!("https://{address}{path}")).send().await.unwrap();
        answer.status().as_u16()
    };
    eventually("ready", LIMIT, async || status(&service.address, "/readyz").await == 200).await;
    assert_eq!(status(&console, "/").await, 200);
    let request = client.post(format!("https://{intake}/v1/events"));
    let request = request.header("content-type", "application/json").body("{}");
    assert_eq!(request.send().await.unwrap().status(), 200);
    for address in [&service.address, &console, &intake] {
        let plain = Client::new().get(format!("http://{address}/")).send().await;
        assert!(plain.is_err(), "{address} answers without encryption");
    }
}

/// Accepts TLS in front of the server, as a proxy or ClickHouse itself does.
async fn encrypted(to: String) -> String {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    format!("https://{address}")
}

#[tokio::test]
async fn clickhouse_may_have_a_certificate_of_a_private_authority() {
    let database = unmigrated().await;
    let server = database.config.url.trim_start_matches("http://").to_owned();
    let url = encrypted(server).await;
    let config = ClickHouseConfig { url, ..database.config.clone() };
    let trusting = ClickHouseConfig { ca_file: Some(fixture("ca.pem")), ..config.clone() };
    Store::new(&trusting).migrate().await.unwrap();
    let error = Store::new(&config).ping().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let wrong = ClickHouseConfig { password: Secret::new("wrong"), ..trusting };
    assert!(Store::new(&wrong).ping().await.is_err());
}
