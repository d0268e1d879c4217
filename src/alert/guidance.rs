//! Defines what the policy says about an incident, as its alerts tell it.

use serde::{Deserialize, Serialize};

use super::Attacks;

/// What is known of a key, registered or else learned from its proven uses before the incident.
/// The request at hand has no say in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyTraits {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// The operator's own class of keys, as registered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// As registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Proven uses of a usual day, when the incident began; 0 while no hour is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub requests_per_day: u64,
}

impl KeyTraits {
    /// Fills what is not known from `other`.
    #[must_use]
    pub fn or_else(self, other: &Self) -> Self {
        let text = |new: String, old: &String| if new.is_empty() { old.clone() } else { new };
        Self {
            environment: text(self.environment, &other.environment),
            class: text(self.class, &other.class),
            tags: if self.tags.is_empty() { other.tags.clone() } else { self.tags },
            requests_per_day: match self.requests_per_day {
                0 => other.requests_per_day,
                known => known,
            },
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What is known of the key, the rule that applies, and what people need beside the action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guidance {
    #[serde(default, skip_serializing_if = "KeyTraits::is_empty")]
    pub key: KeyTraits,
    /// The name of the rule; `None` when no rule matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the steps to take are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// What the signs are signs of, in public catalogues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attacks: Option<Attacks>,
    /// The channels that tell people of the incident; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
}
