//! What a detector ought to find, as `keywatch backtest --labels` reads it.

use std::net::IpAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId};

/// One attack. `start` is the event time of its first request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The key attacked; for an attack by one source on many keys, the key it opens at last.
    pub key_id: KeyId,
    /// Name of the attack.
    pub kind: CompactString,
    pub start: EventTime,
    pub end: EventTime,
    /// Ids of the detectors any of which counts.
    pub detectors: Vec<CompactString>,
    /// The attacker's address when the attack is the source's rather than the key's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<IpAddr>,
}
