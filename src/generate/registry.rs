//! Rows of the key registry, as [`crate::registry`] reads them.

use compact_str::CompactString;
use ipnet::IpNet;
use serde::Serialize;

use crate::event::{EventTime, KeyId};
pub use crate::registry::KeyStatus;

/// What is registered about a key at the end of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegisteredKey {
    pub key_id: KeyId,
    pub owner: CompactString,
    pub tenant: CompactString,
    pub environment: &'static str,
    pub scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_cidrs: Vec<IpNet>,
    pub created_at: EventTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ends_at: Option<EventTime>,
    pub status: KeyStatus,
}
