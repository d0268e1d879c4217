//! Defines one key's registration, and bounds what a registration may hold.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::Networks;
use crate::event::{EventTime, KeyHash, KeyId};

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum KeyStatus {
    #[default]
    Active,
    Retired,
    Suspended,
    Revoked,
}

impl KeyStatus {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The status with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|status| status.as_str() == name)
    }
}

/// One key's registration. Only `key_id` is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegisteredKey {
    pub key_id: KeyId,
    #[serde(default)]
    pub owner: CompactString,
    #[serde(default)]
    pub tenant: CompactString,
    #[serde(default)]
    pub environment: CompactString,
    /// The operator's own class of keys, for reports: `partner`, `internal`, `mobile`.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub class: CompactString,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<CompactString>,
    #[serde(default)]
    pub scopes: Vec<CompactString>,
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub allowed_cidrs: Networks,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ends_at: Option<EventTime>,
    #[serde(default)]
    pub status: KeyStatus,
    /// A trap: nobody may use this key, so any request that names it is worth an alert.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The hash of the raw key, by which a log of raw keys is joined to the public id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hash: Option<KeyHash>,
}

/// Longest id and text, in bytes. Events with longer ids are rejected.
pub(super) const MAX_TEXT_BYTES: usize = 256;
const MAX_SCOPES: usize = 1_000;
const MAX_TAGS: usize = 64;
/// A key with more networks than this is open to a cloud and not to a list of machines.
const MAX_NETWORKS: usize = 10_000;
/// 1970 and 2200: the dates that ClickHouse stores, and nobody means others.
const DATES: std::ops::Range<i64> = 0..7_258_118_400;

impl RegisteredKey {
    /// Whether the registration is within bounds. Returns the reason if it is not.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.key_id.trim().is_empty() {
            return Err("field `key_id` is empty".into());
        }
        for (name, text) in self.texts() {
            if text.len() > MAX_TEXT_BYTES || text.contains(char::is_control) {
                return Err(format!(
                    "field `{name}`: expected at most {MAX_TEXT_BYTES} bytes without control \
                     characters"
                ));
            }
        }
        for (name, count, most) in [
            ("scopes", self.scopes.len(), MAX_SCOPES),
            ("tags", self.tags.len(), MAX_TAGS),
            ("allowed_cidrs", self.allowed_cidrs.as_slice().len(), MAX_NETWORKS),
        ] {
            if count > most {
                return Err(format!("field `{name}`: {count} values, expected at most {most}"));
            }
        }
        for (name, date) in self.dates() {
            let seconds = date.map_or(0, |date| date.as_micros().div_euclid(1_000_000));
            if !DATES.contains(&seconds) {
                return Err(format!("field `{name}`: expected a date from 1970 to 2199"));
            }
        }
        if self.rotated_to.as_ref() == Some(&self.key_id) {
            return Err("field `rotated_to`: the key is rotated to itself".into());
        }
        Ok(())
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let singles = [
            ("key_id", self.key_id.as_str()),
            ("owner", &self.owner),
            ("tenant", &self.tenant),
            ("environment", &self.environment),
            ("class", &self.class),
            ("rotated_to", self.rotated_to.as_deref().unwrap_or_default()),
        ];
        let scopes = self.scopes.iter().map(|scope| ("scopes", scope.as_str()));
        let tags = self.tags.iter().map(|tag| ("tags", tag.as_str()));
        singles.into_iter().chain(scopes).chain(tags)
    }

    fn dates(&self) -> [(&'static str, Option<EventTime>); 4] {
        [
            ("created_at", self.created_at),
            ("expires_at", self.expires_at),
            ("revoked_at", self.revoked_at),
            ("grace_ends_at", self.grace_ends_at),
        ]
    }

    /// Whether the registration says that the key is revoked, now or later.
    pub fn is_revoked(&self) -> bool {
        self.revoked_at.is_some() || self.status == KeyStatus::Revoked
    }

    /// Whether the key is a trap, by its flag or its tag.
    pub fn is_canary(&self) -> bool {
        self.canary || self.tags.iter().any(|tag| tag == "canary")
    }
}
