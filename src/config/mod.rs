//! Configuration: one small struct a concern, one TOML file for all.

mod clickhouse;
mod decode;
mod deliver;
mod detect;
mod enrich;
mod policy;
mod secret;
mod service;
mod source;

use serde::{Deserialize, Serialize};

pub use self::clickhouse::ClickHouseConfig;
pub use self::decode::DecodeConfig;
pub use self::deliver::{AlertsTopicConfig, EmailConfig, SmtpTls, WebhookConfig};
pub use self::detect::DetectConfig;
pub use self::enrich::EnrichConfig;
pub use self::policy::PolicyConfig;
pub use self::secret::Secret;
pub use self::service::{LogConfig, LogFormat, ServiceConfig};
pub use self::source::{
    FileConfig, HttpConfig, KafkaConfig, SecurityProtocol, SourceConfig, SourceKind,
};

/// The whole of `keywatch.toml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub source: SourceConfig,
    pub decode: DecodeConfig,
    pub enrich: EnrichConfig,
    pub detect: DetectConfig,
    pub policy: PolicyConfig,
    pub clickhouse: ClickHouseConfig,
    /// E-mail is sent when present.
    pub email: Option<EmailConfig>,
    /// The webhook is called when present.
    pub webhook: Option<WebhookConfig>,
    /// Alerts go to a Kafka topic when present.
    pub alerts_topic: Option<AlertsTopicConfig>,
    pub service: ServiceConfig,
    pub log: LogConfig,
}
