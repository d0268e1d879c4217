//! Configuration: one small struct a concern, one TOML file for all.

mod check;
mod clickhouse;
mod decode;
mod deliver;
mod deserialize;
mod detect;
mod enrich;
mod error;
mod load;
mod models;
mod monitor;
mod policy;
mod secret;
mod service;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod tree;

use serde::{Deserialize, Serialize};

pub use self::clickhouse::ClickHouseConfig;
pub use self::decode::DecodeConfig;
pub use self::deliver::{AlertFormat, AlertsTopicConfig, EmailConfig, SmtpTls, WebhookConfig};
pub use self::detect::DetectConfig;
pub use self::enrich::EnrichConfig;
pub use self::error::ConfigError;
pub use self::models::ModelsConfig;
pub use self::monitor::MonitorConfig;
pub use self::policy::PolicyConfig;
pub use self::secret::Secret;
pub use self::service::{LogConfig, LogFormat, ServiceConfig};
pub use self::source::{
    FileConfig, HttpConfig, KafkaConfig, SecurityProtocol, SourceConfig, SourceKind,
};
pub use self::state::StateConfig;

/// The whole of `keywatch.toml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub source: SourceConfig,
    pub decode: DecodeConfig,
    pub enrich: EnrichConfig,
    pub detect: DetectConfig,
    pub models: ModelsConfig,
    pub policy: PolicyConfig,
    pub monitor: MonitorConfig,
    pub clickhouse: ClickHouseConfig,
    pub state: StateConfig,
    /// E-mail is sent when present.
    pub email: Option<EmailConfig>,
    /// The webhook is called when present.
    pub webhook: Option<WebhookConfig>,
    /// Alerts go to a Kafka topic when present.
    pub alerts_topic: Option<AlertsTopicConfig>,
    pub service: ServiceConfig,
    pub log: LogConfig,
}

impl Config {
    /// For showing: passwords may also stand among the librdkafka properties.
    pub fn with_properties_masked(mut self) -> Self {
        const SENSITIVE: [&str; 4] = ["password", "secret", "token", "jaas"];
        for (name, value) in &mut self.source.kafka.properties {
            if SENSITIVE.iter().any(|word| name.contains(word)) {
                *value = "********".into();
            }
        }
        self
    }
}
