//! Configures the question to the registered owners of keys: "Was it you?"

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Owners are asked when this section is present, about incidents for which a rule of the policy
/// names the channel `owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnerConfig {
    /// Signs the links, the same for all processes. Several are separated by spaces: the first
    /// signs, all are accepted.
    pub secret: Secret,
    pub secret_file: Option<PathBuf>,
    /// The time for which the links may be used.
    pub answer_hours: f64,
    pub max_per_owner_per_day: u32,
    pub max_per_key_per_day: u32,
    /// The most questions to all owners together.
    pub max_per_hour: u32,
    /// Instead of mails: a service of yours that knows how to reach owners.
    pub webhook_url: Option<String>,
    /// As `webhook.secret`.
    pub webhook_secret: Secret,
    pub webhook_secret_file: Option<PathBuf>,
}

impl Default for OwnerConfig {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            secret_file: None,
            answer_hours: 72.0,
            max_per_owner_per_day: 3,
            max_per_key_per_day: 1,
            max_per_hour: 20,
            webhook_url: None,
            webhook_secret: Secret::default(),
            webhook_secret_file: None,
        }
    }
}
