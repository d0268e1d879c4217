//! Defines the configuration: one small struct for each concern, one TOML file for all.

mod clickhouse;
mod console;
mod costs;
mod decode;
mod deliver;
mod detect;
mod drill;
mod enrich;
mod error;
mod finding;
mod leaks;
mod models;
mod monitor;
mod owner;
mod policy;
mod read;
mod registry;
mod rule_faults;
mod rules;
mod secret;
mod service;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::clickhouse::ClickHouseConfig;
pub use self::console::ConsoleConfig;
pub use self::costs::{Cost, Costs};
pub use self::decode::DecodeConfig;
pub use self::deliver::{
    AlertFormat, AlertsTopicConfig, ChannelConfig, ChannelKind, EmailConfig, SmtpTls, WebhookConfig,
};
pub use self::detect::DetectConfig;
pub use self::drill::DrillConfig;
pub use self::enrich::EnrichConfig;
pub use self::error::ConfigError;
pub use self::finding::{Finding, Findings};
pub use self::leaks::LeaksConfig;
pub use self::models::ModelsConfig;
pub use self::monitor::{MonitorConfig, OnBrokenPromise};
pub use self::owner::OwnerConfig;
pub use self::policy::{ApprovalConfig, PolicyConfig};
pub use self::registry::RegistryConfig;
pub use self::rules::{DetectorPattern, Exempt, Match, MonitorRoute, Rule, Rulebook};
pub use self::secret::Secret;
pub use self::service::{LogConfig, LogFormat, ServiceConfig};
pub use self::source::{
    FileConfig, HttpConfig, KafkaConfig, SecurityProtocol, SourceConfig, SourceKind,
};
pub use self::state::StateConfig;
pub use self::tls::TlsConfig;

/// The channel by which owners are asked. A rule must name it: it is none of "all channels".
pub const OWNER_CHANNEL: &str = "owner";

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
    /// Channels that send JSON, by their names.
    pub channel: BTreeMap<String, ChannelConfig>,
    /// Alerts go to a Kafka topic when present.
    pub alerts_topic: Option<AlertsTopicConfig>,
    /// The registered owners of keys are asked "Was it you?" when present.
    pub owner: Option<OwnerConfig>,
    pub service: ServiceConfig,
    pub console: ConsoleConfig,
    pub drill: DrillConfig,
    pub registry: RegistryConfig,
    /// Reports of leaked keys are taken over HTTP when present.
    pub leaks: Option<LeaksConfig>,
    pub log: LogConfig,
}

impl Config {
    /// The names of the channels that are set up.
    pub fn channel_names(&self) -> Vec<&str> {
        let email = self.email.as_ref().map(|_| "email");
        let webhook = self.webhook.as_ref().map(|_| "webhook");
        let topic = self.alerts_topic.as_ref().map(|_| "topic");
        let named = self.channel.keys().map(String::as_str);
        [email, webhook, topic].into_iter().flatten().chain(named).collect()
    }

    /// The names that rules of the policy may give as channels. `owner` tells no team of an incident:
    /// it asks the owner of the key.
    pub fn route_names(&self) -> Vec<&str> {
        let owner = self.owner.as_ref().map(|_| OWNER_CHANNEL);
        self.channel_names().into_iter().chain(owner).collect()
    }

    /// The configuration for display: librdkafka properties may hold passwords too, so they are
    /// masked.
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
