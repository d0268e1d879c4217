//! Configures the response to an incident.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Rulebook;
use crate::alert::Action;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// A name for this policy; every alert carries it.
    pub version: String,
    /// Revocations are requested only when this is false.
    pub dry_run: bool,
    /// The most that evidence without proof may ask for, however strong and of however many kinds.
    /// Proof is a signed request that was captured, an address that the registry does not allow, a
    /// revoked key in use, a leaked key or a canary.
    pub most_without_proof: Action,
    /// The response to incidents of these keys never goes beyond `notify`.
    pub exempt_keys: Vec<String>,
    pub exempt_tenants: Vec<String>,
    /// The largest number of revocations an hour, over all processes; further ones wait.
    pub max_revocations_per_hour: u32,
    pub max_suspensions_per_hour: u32,
    /// The same for the keys of one tenant.
    pub max_revocations_per_hour_of_tenant: u32,
    pub max_suspensions_per_hour_of_tenant: u32,
    /// The part of each budget, 0 to 1, that is kept for the most certain incidents.
    pub kept_for_certain: f64,
    /// The breaker opens when this part of the keys in use was acted upon within a day, ...
    pub breaker_key_share: f64,
    /// ... or when this many actions within an hour rest on one kind of evidence.
    pub breaker_same_evidence: u32,
    pub approval: ApprovalConfig,
    /// A request that could not be sent for so long is withdrawn.
    pub request_deadline_minutes: f64,
    /// The length of a suspension.
    pub suspend_hours: f64,
    /// An incident without new evidence closes after this long.
    pub quiet_close_seconds: f64,
    /// When people have closed an incident, evidence of the same kind is kept quiet for this long.
    pub quiet_hours_after_close: f64,
    /// A file of rules: which incidents may lead to what, and who is told.
    pub rules_file: Option<PathBuf>,
    /// As read from `rules_file`.
    #[serde(skip)]
    pub rules: Rulebook,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            version: "default".into(),
            dry_run: true,
            most_without_proof: Action::Throttle,
            exempt_keys: Vec::new(),
            exempt_tenants: Vec::new(),
            max_revocations_per_hour: 10,
            max_suspensions_per_hour: 20,
            max_revocations_per_hour_of_tenant: 3,
            max_suspensions_per_hour_of_tenant: 6,
            kept_for_certain: 0.2,
            breaker_key_share: 0.02,
            breaker_same_evidence: 12,
            approval: ApprovalConfig::default(),
            request_deadline_minutes: 60.0,
            suspend_hours: 24.0,
            quiet_close_seconds: 1_800.0,
            quiet_hours_after_close: 24.0,
            rules_file: None,
            rules: Rulebook::default(),
        }
    }
}

/// The keys whose suspension or revocation a person must approve.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalConfig {
    /// Keys with more accepted requests than this within the last day; 0 for none.
    pub above_requests_per_day: u64,
    pub tenants: Vec<String>,
    /// Keys whose last accepted request was in one of these environments.
    pub environments: Vec<String>,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self { above_requests_per_day: 100_000, tenants: Vec::new(), environments: Vec::new() }
    }
}
