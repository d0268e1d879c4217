//! Labels the events that a detector should find, as `keywatch backtest --labels` reads them.

use std::net::IpAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId};

/// One attack. `start` is the event time of its first request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The attacked key. For stuffing with invented keys it is the key that the attack finally
    /// opens. `None` if the attack is against many keys at once.
    pub key_id: Option<KeyId>,
    /// Name of the attack.
    pub kind: CompactString,
    pub start: EventTime,
    pub end: EventTime,
    /// Ids of the detectors that count as finding it.
    pub detectors: Vec<CompactString>,
    /// The attacker's address, if the attack belongs to the source and not to the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<IpAddr>,
    /// The keys that an attack against many keys names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyId>,
    /// The strongest action that an alert about one of the keys may ask for, because the whole
    /// attack was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_action: Option<CompactString>,
    /// Whether the attack may go undetected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// The role of one key, as `keywatch generate --cast` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CastEntry {
    pub key_id: KeyId,
    pub character: CompactString,
    /// The confuser that the key plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confuser: Option<CompactString>,
    /// Attacks on the key, and attacks on many keys that name it.
    pub attacks: Vec<CompactString>,
    /// Number of days for which the key is in use.
    pub key_days: f64,
}
