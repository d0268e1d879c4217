//! Reads the key registry: what is new, and what is known of some keys.

use std::collections::HashSet;

use clickhouse::query::Query;

use super::rows::{EVENT_COLUMNS, KEY_COLUMNS, KeyEventRow, KeyRow};
use crate::event::{KeyHash, KeyId};
use crate::registry::{
    FeedPosition, KeyEvent, KeyNews, Known, LONGEST_CHAIN, Leak, RegisteredKey, Stored,
};
use crate::store::{Store, StoreError, parts};

/// Leaks and ends of keys of so many days are known when a process starts.
const LEAKS_KEPT_DAYS: u32 = 365;
/// The rows of the changes after a number up to another, in the order of the changes.
const JOINED: &str = "FROM api_key_rows \
    INNER JOIN (SELECT change AS taken, number FROM key_changes WHERE number > ? AND number <= ?) \
        AS changes ON changes.taken = api_key_rows.change";

impl Store {
    /// The changes after `number`. With 0: all registrations as they are now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_news(&self, number: u64) -> Result<KeyNews, StoreError> {
        let latest = self.latest_key_change().await?;
        if latest <= number {
            return Ok(KeyNews { number, ..KeyNews::default() });
        }
        if number == 0 {
            return self.all_keys(latest).await;
        }
        let sql = format!("SELECT {KEY_COLUMNS} {JOINED} ORDER BY changes.number");
        let keys = self.read_keys(self.client.query(&sql).bind(number).bind(latest)).await?;
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM key_event_rows WHERE kind = 'leaked' AND change IN \
                (SELECT change FROM key_changes WHERE number > ? AND number <= ?) \
             ORDER BY time"
        );
        let leaks = self.read_leaks(self.client.query(&sql).bind(number).bind(latest)).await?;
        let deeds = self.deeds_between(number, latest).await?;
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
        let deeds = self.deeds_of_days(LEAKS_KEPT_DAYS).await?;
        let keys = keys.into_iter().map(KeyRow::read).collect();
        Ok(KeyNews { number, keys, leaks, deeds, ..KeyNews::default() })
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
        let keys = self.latest_of(&[key_id], &[], number).await?;
        Ok((number, keys.into_iter().next()))
    }

    /// The registrations of these keys, of the keys with these raw keys, and of those that they
    /// rotate to, with what happened to the keys, and the number of the change that all of this
    /// includes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_of(
        &self,
        ids: &[&str],
        hashes: &[KeyHash],
        successors: &[KeyId],
    ) -> Result<(u64, Known), StoreError> {
        let number = self.latest_key_change().await?;
        let mut keys = Stored::new();
        let mut take = |found: Vec<RegisteredKey>| -> Vec<KeyId> {
            let next = found.iter().filter_map(|key| key.rotated_to.clone()).collect();
            keys.extend(found.into_iter().map(|key| (key.key_id.clone(), key)));
            next
        };
        let mut next = take(self.latest_of(ids, hashes, number).await?);
        next.extend_from_slice(successors);
        let mut seen: HashSet<KeyId> = ids.iter().map(|id| KeyId::new(id)).collect();
        for _ in 0..LONGEST_CHAIN {
            next.retain(|id| seen.insert(id.clone()));
            if next.is_empty() {
                break;
            }
            let ids: Vec<&str> = next.iter().map(KeyId::as_str).collect();
            next = take(self.latest_of(&ids, &[], number).await?);
        }
        let events = self.key_events_of(ids, number).await?;
        Ok((number, Known { keys, events }))
    }

    /// The latest registration of each of these keys up to a change. Some may come twice.
    async fn latest_of(
        &self,
        ids: &[&str],
        hashes: &[KeyHash],
        number: u64,
    ) -> Result<Vec<RegisteredKey>, StoreError> {
        let hashes: Vec<KeyId> = hashes.iter().map(|hash| hash.to_key_id()).collect();
        let hashes: Vec<&str> = hashes.iter().map(KeyId::as_str).collect();
        let by_id = "key_id IN ?";
        let by_hash = "key_id IN (SELECT key_id FROM api_key_rows WHERE key_hash IN ?)";
        let mut latest = Vec::new();
        for (condition, texts) in [(by_id, ids), (by_hash, hashes.as_slice())] {
            let sql = format!(
                "SELECT {KEY_COLUMNS} {JOINED} WHERE {condition} \
                 ORDER BY changes.number DESC LIMIT 1 BY key_id"
            );
            for part in parts(texts) {
                let query = self.client.query(&sql).bind(0).bind(number).bind(part);
                latest.extend(self.read_keys(query).await?.into_iter().map(KeyRow::read));
            }
        }
        Ok(latest)
    }

    async fn key_events_of(
        &self,
        ids: &[&str],
        number: u64,
    ) -> Result<HashSet<KeyEvent>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM key_event_rows WHERE key_id IN ? \
             AND change IN (SELECT change FROM key_changes WHERE number <= ?)"
        );
        let mut events = HashSet::new();
        for part in parts(ids) {
            let rows = self.client.query(&sql).bind(part).bind(number).fetch_all().await;
            let rows: Vec<KeyEventRow> =
                rows.map_err(|error| self.error("reading key_events", &error))?;
            events.extend(rows.into_iter().filter_map(KeyEventRow::read));
        }
        Ok(events)
    }

    /// The last offset of the topic's partition that is stored up to a change. Records that changed
    /// nothing count at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn feed_offset(
        &self,
        position: &FeedPosition,
        number: u64,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT maxOrNull(last_offset) FROM key_feed_rows \
            WHERE topic = ? AND topic_id = ? AND partition = ? \
            AND (change = '' OR change IN (SELECT change FROM key_changes WHERE number <= ?))";
        let query = self.client.query(sql).bind(&position.topic).bind(&position.topic_id);
        let offset = query.bind(position.partition).bind(number).fetch_one().await;
        offset.map_err(|error| self.error("reading key_feed_rows", &error))
    }

    async fn read_keys(&self, query: Query) -> Result<Vec<KeyRow>, StoreError> {
        query.fetch_all().await.map_err(|error| self.error("reading api_keys", &error))
    }

    async fn read_leaks(&self, query: Query) -> Result<Vec<Leak>, StoreError> {
        let rows: Result<Vec<KeyEventRow>, _> = query.fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading key_events", &error))?;
        Ok(rows.into_iter().map(KeyEventRow::leak).collect())
    }
}
