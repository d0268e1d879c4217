//! Defines the rules of the policy, as their file holds them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use strum::VariantArray;

use super::costs::Costs;
use super::read::hint;
use crate::alert::{Action, DetectorId, Severity};

/// The file of `policy.rules_file`. The default has no rule and the usual costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rulebook {
    pub exempt: Exempt,
    pub costs: Costs,
    pub monitor: MonitorRoute,
    /// In order: the first that matches an incident applies, and no other.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Exemptions beside those of `[policy]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exempt {
    pub keys: Vec<String>,
    pub tenants: Vec<String>,
}

/// Where alerts about the monitor itself go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorRoute {
    /// Empty for all channels.
    pub channels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// Without it the rule matches every incident.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// The strongest action that may follow.
    pub action: Option<Action>,
    /// The channels that tell people; empty for all.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Whether a person must approve a suspension or revocation, whatever `[policy.approval]` says.
    #[serde(default)]
    pub approval: bool,
    /// The address of the page with the steps to take.
    pub playbook: Option<String>,
}

/// All conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// All evidence of the incident is of these detectors.
    pub detectors: Vec<DetectorPattern>,
    pub min_severity: Option<Severity>,
    pub min_confidence: Option<f64>,
    pub tenants: Vec<String>,
    pub environments: Vec<String>,
    pub classes: Vec<String>,
    /// The key has at least one of these tags.
    pub tags: Vec<String>,
    pub min_requests_per_day: Option<u64>,
    pub max_requests_per_day: Option<u64>,
}

/// The id of a detector, or a family such as `geo.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DetectorPattern(String);

impl DetectorPattern {
    /// Whether the detector is the one, or of the family, that is meant.
    pub fn matches(&self, detector: DetectorId) -> bool {
        match self.0.strip_suffix('*') {
            Some(family) => detector.as_str().starts_with(family),
            None => detector.as_str() == self.0,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for DetectorPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pattern = Self(String::deserialize(deserializer)?);
        if DetectorId::VARIANTS.iter().any(|detector| pattern.matches(*detector)) {
            return Ok(pattern);
        }
        let known: Vec<&str> = DetectorId::VARIANTS.iter().map(|it| it.as_str()).collect();
        let hint = hint(&pattern.0, &known);
        Err(D::Error::custom(format!("unknown detector \"{}\"; {hint}", pattern.0)))
    }
}

impl Rulebook {
    /// The rule of this name.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}
