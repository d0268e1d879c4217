//! Reads the key registry: what is new, and what is known of some keys.

use std::collections::{HashMap, HashSet};

use clickhouse::query::Query;

use super::rows::{EVENT_COLUMNS, KEY_COLUMNS, KeyEventRow, KeyRow};
use crate::event::{KeyHash, KeyId};
use crate::registry::{FeedPosition, KeyEvent, KeyNews, Known, Leak, RegisteredKey, Stored};
use crate::store::{Store, StoreError};

/// Leaks and ends of keys of so many days are known when a process starts.
const LEAKS_KEPT_DAYS: u32 = 365;
/// Rotations that are followed to find a circle.
const LONGEST_CHAIN: usize = 1_000;

/// The list, with an entry that nothing equals: an empty one has no type in SQL.
fn texts<'a>(list: &[&'a str]) -> Vec<&'a str> {
    if list.is_empty() { vec![" "] } else { list.to_vec() }
}

impl Store {
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
        let deeds = self.deeds_of(&names).await?;
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

    /// The latest registration of each of these keys up to a change.
    async fn latest_of(
        &self,
        ids: &[&str],
        hashes: &[KeyHash],
        number: u64,
    ) -> Result<Vec<RegisteredKey>, StoreError> {
        let hashes: Vec<KeyId> = hashes.iter().map(|hash| hash.to_key_id()).collect();
        let hashes: Vec<&str> = hashes.iter().map(KeyId::as_str).collect();
        let sql = format!(
            "SELECT {KEY_COLUMNS} FROM api_key_rows WHERE (key_id IN ? OR key_id IN \
             (SELECT key_id FROM api_key_rows WHERE key_hash IN ?)) \
             AND change IN (SELECT change FROM key_changes WHERE number <= ?)"
        );
        let query = self.client.query(&sql).bind(texts(ids)).bind(texts(&hashes)).bind(number);
        let rows = self.read_keys(query).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = rows.iter().map(|row| row.change.as_str()).collect();
        let changes = "SELECT change, number FROM key_changes WHERE change IN ?";
        let numbers = self.client.query(changes).bind(names.as_slice()).fetch_all().await;
        let numbers: Vec<(String, u64)> =
            numbers.map_err(|error| self.error("reading key_changes", &error))?;
        let numbers: HashMap<String, u64> = numbers.into_iter().collect();
        let mut latest: HashMap<String, KeyRow> = HashMap::new();
        for row in rows {
            let number = |row: &KeyRow| numbers.get(&row.change).copied();
            match latest.get(&row.key_id) {
                Some(known) if number(known) >= number(&row) => {}
                _ => drop(latest.insert(row.key_id.clone(), row)),
            }
        }
        Ok(latest.into_values().map(KeyRow::read).collect())
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
        let rows = self.client.query(&sql).bind(texts(ids)).bind(number).fetch_all().await;
        let rows: Vec<KeyEventRow> =
            rows.map_err(|error| self.error("reading key_events", &error))?;
        Ok(rows.into_iter().filter_map(KeyEventRow::read).collect())
    }

    /// The last offset of the topic's partition that is stored up to a change.
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
            AND change IN (SELECT change FROM key_changes WHERE number <= ?)";
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
