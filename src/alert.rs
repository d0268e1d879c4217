//! Defines alerts and their evidence.

mod attacks;
mod guidance;
mod handling;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{IntoStaticStr, VariantArray};

pub use self::attacks::{ATTACK_VERSION, Attacks, References, TECHNIQUES};
pub use self::guidance::{Guidance, KeyTraits};
pub use self::handling::{CloseReason, Handling, IncidentState, OwnerAnswer, OwnerWord};
use crate::event::{EventTime, KeyId};

/// Stable ids of the detectors.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[strum(const_into_str)]
pub enum DetectorId {
    #[serde(rename = "rate.spike")]
    #[strum(serialize = "rate.spike")]
    RateSpike,
    #[serde(rename = "rate.error_burst")]
    #[strum(serialize = "rate.error_burst")]
    ErrorBurst,
    #[serde(rename = "limit.throttled_burst")]
    #[strum(serialize = "limit.throttled_burst")]
    ThrottledBurst,
    #[serde(rename = "auth.failure_burst")]
    #[strum(serialize = "auth.failure_burst")]
    AuthFailureBurst,
    #[serde(rename = "auth.credential_stuffing")]
    #[strum(serialize = "auth.credential_stuffing")]
    CredentialStuffing,
    #[serde(rename = "geo.impossible_travel")]
    #[strum(serialize = "geo.impossible_travel")]
    ImpossibleTravel,
    #[serde(rename = "geo.new_location")]
    #[strum(serialize = "geo.new_location")]
    NewLocation,
    #[serde(rename = "network.new_asn")]
    #[strum(serialize = "network.new_asn")]
    NewAsn,
    #[serde(rename = "replay.duplicate_nonce")]
    #[strum(serialize = "replay.duplicate_nonce")]
    DuplicateNonce,
    #[serde(rename = "replay.duplicate_signature")]
    #[strum(serialize = "replay.duplicate_signature")]
    DuplicateSignature,
    #[serde(rename = "replay.stale_timestamp")]
    #[strum(serialize = "replay.stale_timestamp")]
    StaleTimestamp,
    #[serde(rename = "replay.out_of_order_nonce")]
    #[strum(serialize = "replay.out_of_order_nonce")]
    OutOfOrderNonce,
    #[serde(rename = "replay.weak_nonce")]
    #[strum(serialize = "replay.weak_nonce")]
    WeakNonce,
    #[serde(rename = "policy.ip_not_allowed")]
    #[strum(serialize = "policy.ip_not_allowed")]
    IpNotAllowed,
    #[serde(rename = "policy.environment_mismatch")]
    #[strum(serialize = "policy.environment_mismatch")]
    EnvironmentMismatch,
    #[serde(rename = "scope.unexpected_endpoint")]
    #[strum(serialize = "scope.unexpected_endpoint")]
    UnexpectedEndpoint,
    #[serde(rename = "lifecycle.retired_key_use")]
    #[strum(serialize = "lifecycle.retired_key_use")]
    RetiredKeyUse,
    #[serde(rename = "lifecycle.expired_key_use")]
    #[strum(serialize = "lifecycle.expired_key_use")]
    ExpiredKeyUse,
    #[serde(rename = "lifecycle.revoked_key_use")]
    #[strum(serialize = "lifecycle.revoked_key_use")]
    RevokedKeyUse,
    #[serde(rename = "lifecycle.dormant_key_use")]
    #[strum(serialize = "lifecycle.dormant_key_use")]
    DormantKeyUse,
    #[serde(rename = "lifecycle.rotation_abuse")]
    #[strum(serialize = "lifecycle.rotation_abuse")]
    RotationAbuse,
    #[serde(rename = "behaviour.outlier")]
    #[strum(serialize = "behaviour.outlier")]
    BehaviourOutlier,
    #[serde(rename = "client.new_agent")]
    #[strum(serialize = "client.new_agent")]
    NewAgent,
    #[serde(rename = "client.new_fingerprint")]
    #[strum(serialize = "client.new_fingerprint")]
    NewFingerprint,
    #[serde(rename = "behaviour.bulk_export")]
    #[strum(serialize = "behaviour.bulk_export")]
    BulkExport,
    #[serde(rename = "access.enumeration")]
    #[strum(serialize = "access.enumeration")]
    Enumeration,
    #[serde(rename = "monitor.blind")]
    #[strum(serialize = "monitor.blind")]
    MonitorBlind,
    #[serde(rename = "monitor.promise_broken")]
    #[strum(serialize = "monitor.promise_broken")]
    PromiseBroken,
    #[serde(rename = "monitor.breaker_open")]
    #[strum(serialize = "monitor.breaker_open")]
    BreakerOpen,
    #[serde(rename = "lifecycle.leaked_key")]
    #[strum(serialize = "lifecycle.leaked_key")]
    LeakedKey,
    #[serde(rename = "lifecycle.canary_use")]
    #[strum(serialize = "lifecycle.canary_use")]
    CanaryUse,
    #[serde(rename = "monitor.degraded")]
    #[strum(serialize = "monitor.degraded")]
    MonitorDegraded,
}

impl DetectorId {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether it watches Keywatch itself.
    pub const fn is_of_monitor(self) -> bool {
        matches!(
            self,
            Self::MonitorBlind | Self::MonitorDegraded | Self::PromiseBroken | Self::BreakerOpen
        )
    }

    /// The detector with this public name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|detector| detector.as_str() == name)
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The severity with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|severity| severity.as_str() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The advised action, mildest first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Action {
    Observe,
    Notify,
    Throttle,
    Suspend,
    Revoke,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The action with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|action| action.as_str() == name)
    }

    /// The type of the request for it; `None` for an action that Keywatch does not request.
    pub const fn request(self) -> Option<AlertType> {
        match self {
            Self::Suspend => Some(AlertType::SuspensionRequested),
            Self::Revoke => Some(AlertType::RevocationRequested),
            Self::Observe | Self::Notify | Self::Throttle => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[strum(const_into_str)]
pub enum AlertType {
    #[serde(rename = "alert.opened")]
    #[strum(serialize = "alert.opened")]
    Opened,
    #[serde(rename = "alert.updated")]
    #[strum(serialize = "alert.updated")]
    Updated,
    #[serde(rename = "alert.resolved")]
    #[strum(serialize = "alert.resolved")]
    Resolved,
    #[serde(rename = "key.revocation_requested")]
    #[strum(serialize = "key.revocation_requested")]
    RevocationRequested,
    #[serde(rename = "key.suspension_requested")]
    #[strum(serialize = "key.suspension_requested")]
    SuspensionRequested,
}

impl AlertType {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether it asks the holder of the keys for something, and brings no evidence.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::RevocationRequested | Self::SuspensionRequested)
    }
}

/// The reason why an action is milder than the evidence asks.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Restraint {
    /// The key or its tenant is exempt by policy.
    Exempt,
    /// A rule of the policy bounds the action.
    Rule,
    /// The requests only name the key: nothing shows that their sender holds it.
    AttemptsOnly,
    /// Too little of the key's past is known.
    YoungKey,
    /// The requests came from a place where the key is established.
    KnownAddress,
    /// The evidence has an ordinary explanation that cannot be told apart from theft.
    OrdinaryCause,
    /// All evidence is of one kind, and no other kind supports it.
    SingleSign,
    /// The family of detectors gives more false alerts than promised.
    PromiseBroken,
    /// The hour's budget of such actions is spent.
    Budget,
    /// A breaker is open: Keywatch acts on too many keys.
    Breaker,
    /// A person must approve the action first.
    ApprovalPending,
}

impl Restraint {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The restraint with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|restraint| restraint.as_str() == name)
    }

    /// Whether the action is only put off.
    pub const fn is_wait(self) -> bool {
        matches!(self, Self::Budget | Self::Breaker | Self::ApprovalPending)
    }

    /// The reason as a clause for people.
    pub const fn because(self) -> &'static str {
        match self {
            Self::Exempt => "the key or its tenant is exempt by policy",
            Self::Rule => "a rule of the policy bounds it",
            Self::AttemptsOnly => {
                "these requests only name the key and do not prove that their sender holds it"
            }
            Self::YoungKey => "too little of the key's past is known",
            Self::KnownAddress => "the requests came from a place where the key is usually used",
            Self::OrdinaryCause => "the evidence also has an ordinary explanation",
            Self::SingleSign => "all the evidence is of one kind",
            Self::PromiseBroken => "this family of detectors gives more false alerts than promised",
            Self::Budget => "the hour's budget of such actions is spent",
            Self::Breaker => "the breaker is open, since Keywatch has acted on many keys",
            Self::ApprovalPending => "a person must approve it first",
        }
    }
}

/// The strongest action that one item of evidence may lead to, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    pub most: Action,
    pub reason: Restraint,
}

impl Ceiling {
    /// Whether evidence under this ceiling is of a proven use, and not of requests that only name
    /// the key.
    pub fn is_of_proven_use(ceiling: Option<Self>) -> bool {
        ceiling.is_none_or(|ceiling| ceiling.reason != Restraint::AttemptsOnly)
    }
}

/// The finding of one detector, with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub detector: DetectorId,
    /// Surprise in [0, 100]: `-10 log10(p_value)`, capped.
    pub score: f64,
    /// Probability that the key's own behaviour is at least this unusual.
    pub p_value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// Facts that a person would check: places, times, addresses, counts. They depend on the
    /// detector.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The field of [`Evidence::fields`] with the p-value that a sign has by itself.
pub const ALONE_P_VALUE: &str = "alone_p_value";

impl Evidence {
    /// The p-value of the sign by itself, also where `p_value` is that of several signs together.
    pub fn alone_p_value(&self) -> f64 {
        let alone = self.fields.get(ALONE_P_VALUE).and_then(Value::as_f64);
        alone.unwrap_or(self.p_value)
    }
}

/// Position of the records behind an alert.
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
    /// `None` for incidents about a source or the monitor itself.
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
    /// The reason why the action is milder than the evidence asks, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restraint: Option<Restraint>,
    /// True when the action was only recorded, not requested.
    pub dry_run: bool,
    pub title: String,
    pub explanation: String,
    /// Strongest first.
    pub detectors: Vec<DetectorId>,
    pub evidence: Vec<Evidence>,
    pub first_event_time: EventTime,
    pub last_event_time: EventTime,
    /// Event time of the request that caused this revision.
    pub detected_event_time: EventTime,
    /// Wall clock time of the detection.
    pub detected_at: EventTime,
    pub position: AlertPosition,
    pub policy_version: String,
    pub model_version: String,
    #[serde(flatten)]
    pub guidance: Guidance,
    #[serde(flatten)]
    pub handling: Handling,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for severity in Severity::ALL {
            assert_eq!(Severity::named(severity.as_str()), Some(*severity));
        }
        for reason in CloseReason::VARIANTS {
            assert_eq!(CloseReason::named(reason.as_str()), Some(*reason));
        }
        assert_eq!(IncidentState::named("acknowledged"), Some(IncidentState::Acknowledged));
        assert_eq!(CloseReason::named("stolen"), None);
    }

    #[test]
    fn enum_names_equal_their_json_names() {
        fn check<T: Copy + Serialize + VariantArray>(name: fn(T) -> &'static str) {
            for value in T::VARIANTS {
                assert_eq!(serde_json::to_value(value).ok(), Some(name(*value).into()));
            }
        }
        check(DetectorId::as_str);
        check(Severity::as_str);
        check(Action::as_str);
        check(AlertType::as_str);
        check(IncidentState::as_str);
        check(CloseReason::as_str);
        check(Restraint::as_str);
    }
}
