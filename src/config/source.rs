//! Configures where access logs are read from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, TlsConfig};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    #[default]
    Kafka,
    File,
    Stdin,
    Http,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    pub kind: SourceKind,
    /// A batch is cut at this many records, ...
    pub batch_records: usize,
    /// ... this many bytes (also the bound of all batches in the making together), ...
    pub batch_bytes: usize,
    /// ... or after this many milliseconds, whichever comes first. A partition of Kafka with a
    /// backlog takes up to five times as many to fill its batch.
    pub batch_milliseconds: u64,
    pub kafka: KafkaConfig,
    pub file: FileConfig,
    pub http: HttpConfig,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            kind: SourceKind::Kafka,
            batch_records: 50_000,
            batch_bytes: 32 << 20,
            batch_milliseconds: 200,
            kafka: KafkaConfig::default(),
            file: FileConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

/// Encryption and authentication between Keywatch and the brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    pub topics: Vec<String>,
    /// Instances with the same group share the partitions.
    pub group_id: String,
    /// If set, records of `topics` are first written to this topic, partitioned by key id, and read
    /// from it: for producers that do not partition by key.
    pub repartition_topic: Option<String>,
    /// If set, records that cannot be decoded are copied to this topic, with secrets masked.
    pub dead_letter_topic: Option<String>,
    pub security_protocol: SecurityProtocol,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    pub sasl_username: Option<String>,
    pub sasl_password: Secret,
    pub sasl_password_file: Option<PathBuf>,
    /// Further librdkafka properties, such as `ssl.ca.location`, passed on unchanged.
    pub properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// The topics whose records are judged.
    pub fn judged_topics(&self) -> Vec<&str> {
        match &self.repartition_topic {
            Some(topic) => vec![topic],
            None => self.topics.iter().map(String::as_str).collect(),
        }
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            topics: vec!["api-access".into()],
            group_id: "keywatch".into(),
            repartition_topic: None,
            dead_letter_topic: None,
            security_protocol: SecurityProtocol::default(),
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: Secret::default(),
            sasl_password_file: None,
            properties: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Plain or compressed, read in this order.
    pub paths: Vec<PathBuf>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of `POST /v1/events`.
    pub listen: SocketAddr,
    /// When set, callers must send `Authorization: Bearer TOKEN`.
    pub token: Secret,
    pub token_file: Option<PathBuf>,
    /// Further tokens by name: `sha256:` and the hash of each.
    pub tokens: BTreeMap<String, String>,
    /// Names of this endpoint besides its address, such as that of a proxy in front of it. Requests
    /// for other hosts are refused.
    pub hosts: Vec<String>,
    pub tls: TlsConfig,
    /// Larger bodies are refused, measured after decompression.
    pub max_body_bytes: usize,
    /// Bodies with more records are refused.
    pub max_body_records: usize,
    /// Requests wait this long until their events are stored.
    pub store_timeout_seconds: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            token: Secret::default(),
            token_file: None,
            tokens: BTreeMap::new(),
            hosts: Vec::new(),
            tls: TlsConfig::default(),
            max_body_bytes: 16 << 20,
            max_body_records: 100_000,
            store_timeout_seconds: 30,
        }
    }
}
