//! Stores changes of the key registry, and reads them back by their numbers.

use std::collections::HashMap;

use clickhouse::Row;
use clickhouse::query::Query;
use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::event::{EventTime, KeyHash};
use crate::instance::InstanceId;
use crate::registry::{
    Deed, DeedKind, KeyChange, KeyEvent, KeyNews, KeyStatus, Leak, RegisteredKey, Stored,
};

/// Rows of one insert. A million keys go in as ten blocks.
const BLOCK_ROWS: usize = 100_000;
/// Another process takes the same number at most this often before something is wrong.
const MAX_ATTEMPTS: u64 = 1_000;

/// Who makes a change, and by which way.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub who: &'a str,
    /// `command_line` or `api`.
    pub origin: &'a str,
}

#[derive(Row, Serialize)]
struct ChangeRow<'a> {
    number: u64,
    change: &'a str,
    who: &'a str,
    origin: &'a str,
}

#[derive(Row, Serialize, Deserialize)]
struct KeyRow {
    change: String,
    key_id: String,
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

#[derive(Row, Serialize, Deserialize)]
struct KeyEventRow {
    change: String,
    key_id: String,
    kind: String,
    time: i64,
    source: String,
    url: String,
    text: String,
}

impl KeyRow {
    fn new(change: &str, key: &RegisteredKey) -> Self {
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
    fn read(self) -> RegisteredKey {
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
    fn new(change: &str, event: &KeyEvent) -> Self {
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

    fn leak(self) -> Leak {
        Leak {
            key_id: self.key_id.into(),
            since: EventTime::from_micros(self.time),
            source: self.source.into(),
            url: self.url.into(),
        }
    }
}

const KEY_COLUMNS: &str = "change, key_id, owner, tenant, environment, class, tags, scopes, \
    allowed_cidrs, toUnixTimestamp64Micro(created_at) AS created_at, \
    toUnixTimestamp64Micro(expires_at) AS expires_at, \
    toUnixTimestamp64Micro(revoked_at) AS revoked_at, rotated_to, \
    toUnixTimestamp64Micro(grace_ends_at) AS grace_ends_at, status, canary, key_hash";
const EVENT_COLUMNS: &str =
    "change, key_id, kind, toUnixTimestamp64Micro(time) AS time, source, url, text";
const DEEDS: &str = "SELECT key_id, toString(kind) AS kind, toUnixTimestamp64Micro(time) AS time";
const ARE_DEEDS: &str = "kind IN ('suspended', 'revoked', 'rotated', 'resumed')";
/// Requests of so many days are known when a process starts.
const ASKED_DAYS: u32 = 30;
/// Leaks and ends of keys of so many days are known when a process starts.
const LEAKS_KEPT_DAYS: u32 = 365;

impl Store {
    /// The number of the latest change; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_key_change(&self) -> Result<u64, StoreError> {
        let number = self.client.query("SELECT max(number) FROM key_changes").fetch_one().await;
        number.map_err(|error| self.error("reading key_changes", &error))
    }

    /// Stores a change that was made in the knowledge of all changes up to `after`. Returns its
    /// number, or `None`, and stores nothing, if another change came first: the caller then makes
    /// the change again in the knowledge of that one.
    ///
    /// # Errors
    /// [`StoreError`]; after one, the change may or may not be stored.
    pub async fn change_keys(
        &self,
        change: &KeyChange,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        let name = InstanceId::random().to_string();
        for (block, keys) in change.keys.chunks(BLOCK_ROWS).enumerate() {
            let rows = keys.iter().map(|key| KeyRow::new(&name, key));
            let token = format!("keys/{name}/{block}");
            self.insert::<KeyRow>("api_key_rows", &token, rows.collect::<Vec<_>>()).await?;
        }
        for (block, events) in change.events.chunks(BLOCK_ROWS).enumerate() {
            let rows = events.iter().map(|event| KeyEventRow::new(&name, event));
            let token = format!("keys/{name}/{block}");
            self.insert::<KeyEventRow>("key_event_rows", &token, rows.collect::<Vec<_>>()).await?;
        }
        self.take_number(&name, author, after).await
    }

    /// A number that is taken and has no row was lost with its server. It is skipped.
    async fn take_number(
        &self,
        name: &str,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        for number in after + 1..after + MAX_ATTEMPTS {
            if self.latest_key_change().await? > after {
                return Ok(None);
            }
            let row = ChangeRow { number, change: name, who: author.who, origin: author.origin };
            self.insert::<ChangeRow<'_>>("key_changes", &format!("keys/{number}"), [row]).await?;
            let first = "SELECT change FROM key_changes WHERE number > ? ORDER BY number LIMIT 1";
            let first = self.client.query(first).bind(after).fetch_optional::<String>().await;
            match first.map_err(|error| self.error("reading key_changes", &error))? {
                Some(change) if change == name => return Ok(Some(number)),
                Some(_) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    /// The changes after `number`. With 0: all registrations as they are now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_news(&self, number: u64) -> Result<KeyNews, StoreError> {
        let changes = "SELECT change, number FROM key_changes WHERE number > ?";
        let changes: Result<Vec<(String, u64)>, _> =
            self.client.query(changes).bind(number).fetch_all().await;
        let changes = changes.map_err(|error| self.error("reading key_changes", &error))?;
        let Some(latest) = changes.iter().map(|(_, number)| *number).max() else {
            return Ok(KeyNews { number, ..KeyNews::default() });
        };
        if number == 0 {
            return self.all_keys(latest).await;
        }
        let numbers: HashMap<String, u64> = changes.into_iter().collect();
        let names: Vec<&str> = numbers.keys().map(String::as_str).collect();
        let sql = format!("SELECT {KEY_COLUMNS} FROM api_key_rows WHERE change IN ?");
        let mut keys = self.read_keys(self.client.query(&sql).bind(names.as_slice())).await?;
        keys.sort_by_key(|row| numbers.get(&row.change).copied());
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM key_event_rows WHERE kind = 'leaked' AND change IN ? \
             ORDER BY time"
        );
        let leaks = self.read_leaks(self.client.query(&sql).bind(names.as_slice())).await?;
        let sql = format!("{DEEDS} FROM key_event_rows WHERE {ARE_DEEDS} AND change IN ?");
        let deeds = self.read_deeds(self.client.query(&sql).bind(names.as_slice())).await?;
        let keys = keys.into_iter().map(KeyRow::read).collect();
        Ok(KeyNews { number: latest, keys, leaks, deeds, ..KeyNews::default() })
    }

    async fn all_keys(&self, number: u64) -> Result<KeyNews, StoreError> {
        let sql = format!("SELECT '' AS {KEY_COLUMNS} FROM api_keys");
        let keys = self.read_keys(self.client.query(&sql)).await?;
        let sql = format!(
            "SELECT '' AS {EVENT_COLUMNS} FROM key_events WHERE kind = 'leaked' \
             AND key_events.time > now64(6) - toIntervalDay(?) ORDER BY key_events.time"
        );
        let leaks = self.read_leaks(self.client.query(&sql).bind(LEAKS_KEPT_DAYS)).await?;
        let sql = format!(
            "{DEEDS} FROM key_events WHERE {ARE_DEEDS} \
             AND key_events.time > now64(6) - toIntervalDay(?)"
        );
        let deeds = self.read_deeds(self.client.query(&sql).bind(LEAKS_KEPT_DAYS)).await?;
        let keys = keys.into_iter().map(KeyRow::read).collect();
        Ok(KeyNews { number, keys, leaks, deeds, ..KeyNews::default() })
    }

    /// What Keywatch asked of the keys' store by requests after this number, and the number of the
    /// latest request. The end of a suspension is among it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn asked_after(&self, number: u64) -> Result<(u64, Vec<Deed>), StoreError> {
        let sql = "SELECT number, key_id, toUnixTimestamp64Micro(time) AS asked_at, \
                ifNull(toUnixTimestamp64Micro(parseDateTime64BestEffortOrNull( \
                    JSONExtractString(alert, 'suspend_until'), 6)), 0) AS until \
            FROM revocation_requests \
            WHERE number > ? AND revocation_requests.time > now64(6) - toIntervalDay(?)";
        let query = self.client.query(sql).bind(number).bind(ASKED_DAYS);
        let rows: Result<Vec<(u64, String, i64, i64)>, _> = query.fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading revocation_requests", &error))?;
        let latest = rows.iter().map(|(number, ..)| *number).max().unwrap_or(number);
        let deeds = rows.into_iter().flat_map(|(_, key_id, asked, until)| {
            let deed = |micros, kind| Deed {
                key_id: key_id.as_str().into(),
                time: EventTime::from_micros(micros),
                kind,
            };
            let end = (until > 0).then(|| deed(until, DeedKind::Resumed));
            [Some(deed(asked, DeedKind::Asked)), end].into_iter().flatten().collect::<Vec<_>>()
        });
        Ok((latest, deeds.collect()))
    }

    /// All registrations, by key, with the number of the change that they include.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registrations(&self) -> Result<(u64, Stored), StoreError> {
        let number = self.latest_key_change().await?;
        let keys = self.all_keys(number).await?.keys;
        Ok((number, keys.into_iter().map(|key| (key.key_id.clone(), key)).collect()))
    }

    /// The registration of one key, with the number of the change that it includes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registration(
        &self,
        key_id: &str,
    ) -> Result<(u64, Option<RegisteredKey>), StoreError> {
        let number = self.latest_key_change().await?;
        let sql = format!(
            "SELECT {KEY_COLUMNS} FROM api_key_rows WHERE key_id = ? \
             AND change IN (SELECT change FROM key_changes WHERE number <= ?)"
        );
        let rows = self.read_keys(self.client.query(&sql).bind(key_id).bind(number)).await?;
        if rows.is_empty() {
            return Ok((number, None));
        }
        let changes = "SELECT change, number FROM key_changes WHERE change IN ?";
        let names: Vec<&str> = rows.iter().map(|row| row.change.as_str()).collect();
        let numbers: Result<Vec<(String, u64)>, _> =
            self.client.query(changes).bind(names.as_slice()).fetch_all().await;
        let numbers = numbers.map_err(|error| self.error("reading key_changes", &error))?;
        let numbers: HashMap<String, u64> = numbers.into_iter().collect();
        let latest = rows.into_iter().max_by_key(|row| numbers.get(&row.change).copied());
        Ok((number, latest.map(KeyRow::read)))
    }

    async fn read_keys(&self, query: Query) -> Result<Vec<KeyRow>, StoreError> {
        query.fetch_all().await.map_err(|error| self.error("reading api_keys", &error))
    }

    async fn read_deeds(&self, query: Query) -> Result<Vec<Deed>, StoreError> {
        let rows: Result<Vec<(String, String, i64)>, _> = query.fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading key_events", &error))?;
        let deed = |(key_id, kind, micros): (String, String, i64)| {
            let (kind, time) = (DeedKind::named(&kind)?, EventTime::from_micros(micros));
            Some(Deed { key_id: key_id.into(), time, kind })
        };
        Ok(rows.into_iter().filter_map(deed).collect())
    }

    async fn read_leaks(&self, query: Query) -> Result<Vec<Leak>, StoreError> {
        let rows: Result<Vec<KeyEventRow>, _> = query.fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading key_events", &error))?;
        Ok(rows.into_iter().map(KeyEventRow::leak).collect())
    }
}
