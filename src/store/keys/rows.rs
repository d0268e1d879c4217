//! The rows of registrations and of events.

use clickhouse::Row;
use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyHash};
use crate::registry::{KeyEvent, KeyEventKind, KeyStatus, Leak, RegisteredKey};

#[derive(Clone, Row, Serialize, Deserialize)]
pub(super) struct KeyRow {
    pub change: String,
    pub key_id: String,
    owner: String,
    tenant: String,
    environment: String,
    class: String,
    tags: Vec<String>,
    scopes: Vec<String>,
    allowed_cidrs: Vec<String>,
    created_at: Option<i64>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    rotated_to: String,
    grace_ends_at: Option<i64>,
    status: String,
    canary: bool,
    key_hash: String,
}

#[derive(Clone, Row, Serialize, Deserialize)]
pub(super) struct KeyEventRow {
    change: String,
    key_id: String,
    kind: String,
    time: i64,
    source: String,
    url: String,
    text: String,
}

impl KeyRow {
    pub fn new(change: &str, key: &RegisteredKey) -> Self {
        let texts = |list: &[CompactString]| list.iter().map(ToString::to_string).collect();
        let networks = key.allowed_cidrs.as_slice().iter();
        Self {
            change: change.into(),
            key_id: key.key_id.to_string(),
            owner: key.owner.to_string(),
            tenant: key.tenant.to_string(),
            environment: key.environment.to_string(),
            class: key.class.to_string(),
            tags: texts(&key.tags),
            scopes: texts(&key.scopes),
            allowed_cidrs: networks.map(ToString::to_string).collect(),
            created_at: key.created_at.map(EventTime::as_micros),
            expires_at: key.expires_at.map(EventTime::as_micros),
            revoked_at: key.revoked_at.map(EventTime::as_micros),
            rotated_to: key.rotated_to.as_deref().unwrap_or_default().into(),
            grace_ends_at: key.grace_ends_at.map(EventTime::as_micros),
            status: key.status.as_str().into(),
            canary: key.canary,
            key_hash: key.key_hash.map(|hash| hash.to_key_id().to_string()).unwrap_or_default(),
        }
    }

    /// A status that only a newer version knows counts as active: it must not block a customer.
    pub fn read(self) -> RegisteredKey {
        let networks = self.allowed_cidrs.iter().filter_map(|net| net.parse::<IpNet>().ok());
        RegisteredKey {
            key_id: self.key_id.into(),
            owner: self.owner.into(),
            tenant: self.tenant.into(),
            environment: self.environment.into(),
            class: self.class.into(),
            tags: self.tags.into_iter().map(Into::into).collect(),
            scopes: self.scopes.into_iter().map(Into::into).collect(),
            allowed_cidrs: networks.collect::<Vec<_>>().into(),
            created_at: self.created_at.map(EventTime::from_micros),
            expires_at: self.expires_at.map(EventTime::from_micros),
            revoked_at: self.revoked_at.map(EventTime::from_micros),
            rotated_to: Some(self.rotated_to).filter(|id| !id.is_empty()).map(Into::into),
            grace_ends_at: self.grace_ends_at.map(EventTime::from_micros),
            status: KeyStatus::named(&self.status).unwrap_or_default(),
            canary: self.canary,
            key_hash: KeyHash::parse(&self.key_hash),
        }
    }
}

impl KeyEventRow {
    pub fn new(change: &str, event: &KeyEvent) -> Self {
        Self {
            change: change.into(),
            key_id: event.key_id.to_string(),
            kind: event.kind.as_str().into(),
            time: event.time.as_micros(),
            source: event.source.clone(),
            url: event.url.clone(),
            text: event.text.clone(),
        }
    }

    /// The event; `None` for a kind that only a newer version knows.
    pub fn read(self) -> Option<KeyEvent> {
        Some(KeyEvent {
            key_id: self.key_id.into(),
            kind: KeyEventKind::named(&self.kind)?,
            time: EventTime::from_micros(self.time),
            source: self.source,
            url: self.url,
            text: self.text,
        })
    }

    pub fn leak(self) -> Leak {
        Leak {
            key_id: self.key_id.into(),
            since: EventTime::from_micros(self.time),
            source: self.source.into(),
            url: self.url.into(),
        }
    }
}

pub(super) const KEY_COLUMNS: &str = "change, key_id, owner, tenant, environment, class, tags, scopes, \
    allowed_cidrs, toUnixTimestamp64Micro(created_at) AS created_at, \
    toUnixTimestamp64Micro(expires_at) AS expires_at, \
    toUnixTimestamp64Micro(revoked_at) AS revoked_at, rotated_to, \
    toUnixTimestamp64Micro(grace_ends_at) AS grace_ends_at, status, canary, key_hash";
pub(super) const EVENT_COLUMNS: &str =
    "change, key_id, kind, toUnixTimestamp64Micro(time) AS time, source, url, text";
