//! Alerts and their evidence: what leaves the house.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{EventTime, KeyId};

/// Stable ids of the detectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DetectorId {
    #[serde(rename = "rate.spike")]
    RateSpike,
    #[serde(rename = "rate.error_burst")]
    ErrorBurst,
    #[serde(rename = "limit.throttled_burst")]
    ThrottledBurst,
    #[serde(rename = "auth.failure_burst")]
    AuthFailureBurst,
    #[serde(rename = "auth.credential_stuffing")]
    CredentialStuffing,
    #[serde(rename = "geo.impossible_travel")]
    ImpossibleTravel,
    #[serde(rename = "geo.new_location")]
    NewLocation,
    #[serde(rename = "network.new_asn")]
    NewAsn,
    #[serde(rename = "replay.duplicate_nonce")]
    DuplicateNonce,
    #[serde(rename = "replay.duplicate_signature")]
    DuplicateSignature,
    #[serde(rename = "replay.stale_timestamp")]
    StaleTimestamp,
    #[serde(rename = "replay.out_of_order_nonce")]
    OutOfOrderNonce,
    #[serde(rename = "replay.weak_nonce")]
    WeakNonce,
    #[serde(rename = "policy.ip_not_allowed")]
    IpNotAllowed,
    #[serde(rename = "policy.environment_mismatch")]
    EnvironmentMismatch,
    #[serde(rename = "scope.unexpected_endpoint")]
    UnexpectedEndpoint,
    #[serde(rename = "lifecycle.retired_key_use")]
    RetiredKeyUse,
    #[serde(rename = "lifecycle.expired_key_use")]
    ExpiredKeyUse,
    #[serde(rename = "lifecycle.revoked_key_use")]
    RevokedKeyUse,
    #[serde(rename = "lifecycle.dormant_key_use")]
    DormantKeyUse,
    #[serde(rename = "lifecycle.rotation_abuse")]
    RotationAbuse,
    #[serde(rename = "behaviour.outlier")]
    BehaviourOutlier,
    #[serde(rename = "monitor.blind")]
    MonitorBlind,
}

impl DetectorId {
    pub const ALL: [Self; 23] = [
        Self::RateSpike,
        Self::ErrorBurst,
        Self::ThrottledBurst,
        Self::AuthFailureBurst,
        Self::CredentialStuffing,
        Self::ImpossibleTravel,
        Self::NewLocation,
        Self::NewAsn,
        Self::DuplicateNonce,
        Self::DuplicateSignature,
        Self::StaleTimestamp,
        Self::OutOfOrderNonce,
        Self::WeakNonce,
        Self::IpNotAllowed,
        Self::EnvironmentMismatch,
        Self::UnexpectedEndpoint,
        Self::RetiredKeyUse,
        Self::ExpiredKeyUse,
        Self::RevokedKeyUse,
        Self::DormantKeyUse,
        Self::RotationAbuse,
        Self::BehaviourOutlier,
        Self::MonitorBlind,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateSpike => "rate.spike",
            Self::ErrorBurst => "rate.error_burst",
            Self::ThrottledBurst => "limit.throttled_burst",
            Self::AuthFailureBurst => "auth.failure_burst",
            Self::CredentialStuffing => "auth.credential_stuffing",
            Self::ImpossibleTravel => "geo.impossible_travel",
            Self::NewLocation => "geo.new_location",
            Self::NewAsn => "network.new_asn",
            Self::DuplicateNonce => "replay.duplicate_nonce",
            Self::DuplicateSignature => "replay.duplicate_signature",
            Self::StaleTimestamp => "replay.stale_timestamp",
            Self::OutOfOrderNonce => "replay.out_of_order_nonce",
            Self::WeakNonce => "replay.weak_nonce",
            Self::IpNotAllowed => "policy.ip_not_allowed",
            Self::EnvironmentMismatch => "policy.environment_mismatch",
            Self::UnexpectedEndpoint => "scope.unexpected_endpoint",
            Self::RetiredKeyUse => "lifecycle.retired_key_use",
            Self::ExpiredKeyUse => "lifecycle.expired_key_use",
            Self::RevokedKeyUse => "lifecycle.revoked_key_use",
            Self::DormantKeyUse => "lifecycle.dormant_key_use",
            Self::RotationAbuse => "lifecycle.rotation_abuse",
            Self::BehaviourOutlier => "behaviour.outlier",
            Self::MonitorBlind => "monitor.blind",
        }
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What to do about it, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Observe,
    Notify,
    Throttle,
    Suspend,
    Revoke,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Notify => "notify",
            Self::Throttle => "throttle",
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AlertType {
    #[serde(rename = "alert.opened")]
    Opened,
    #[serde(rename = "alert.updated")]
    Updated,
    #[serde(rename = "alert.resolved")]
    Resolved,
    #[serde(rename = "key.revocation_requested")]
    RevocationRequested,
}

impl AlertType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "alert.opened",
            Self::Updated => "alert.updated",
            Self::Resolved => "alert.resolved",
            Self::RevocationRequested => "key.revocation_requested",
        }
    }
}

/// One detector's reason, with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub detector: DetectorId,
    /// Surprise in [0, 100]: `-10 log10(p_value)`, capped.
    pub score: f64,
    /// Probability of something at least this unusual from the key's own behaviour.
    pub p_value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// What a person would check, by detector: places, times, addresses, counts.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The records behind an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPosition {
    pub topic: Arc<str>,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
}

/// One revision of one incident. `id` is the same for all revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: String,
    pub revision: u32,
    #[serde(rename = "type")]
    pub alert_type: AlertType,
    /// `None` for incidents about a source, the monitor or the whole fleet.
    pub key_id: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affected_keys: Vec<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub severity: Severity,
    /// 0 to 100.
    pub risk: f64,
    /// 0 to 1: the share of such alerts that are true.
    pub confidence: f64,
    pub action: Action,
    /// True when the action was only recorded, not requested.
    pub dry_run: bool,
    pub title: String,
    pub explanation: String,
    /// Strongest first.
    pub detectors: Vec<DetectorId>,
    pub evidence: Vec<Evidence>,
    pub first_event_time: EventTime,
    pub last_event_time: EventTime,
    /// Event time of the request that tripped it.
    pub detected_event_time: EventTime,
    /// Wall clock.
    pub detected_at: EventTime,
    pub position: AlertPosition,
    pub policy_version: String,
    pub model_version: String,
}
