//! Reads what the store knows of keys that were reported leaked.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::Deserialize;

use super::{Author, Store, StoreError, parts};
use crate::detect::leak::FirstUse;
use crate::event::{EventTime, KeyId};
use crate::registry::{KeyChange, KeyEvent, Leak};

/// The key of each name: registered keys by the hash of the raw key and by their ids, and keys that
/// were used. A name may be several of these; the first counts.
const KNOWN: [&str; 3] = [
    "SELECT key_hash AS name, key_id FROM api_key_rows \
        WHERE key_hash IN ? AND change IN (SELECT change FROM key_changes)",
    "SELECT key_id AS name, key_id FROM api_key_rows \
        WHERE key_id IN ? AND change IN (SELECT change FROM key_changes)",
    "SELECT DISTINCT key_id AS name, key_id FROM key_usage_hour WHERE key_id IN ?",
];

const TOLD: &str = "\
    SELECT key_id, toUnixTimestamp64Micro(max(detected_event_time)) FROM alerts \
    WHERE key_id IN ? AND has(detectors, 'lifecycle.leaked_key') GROUP BY key_id";

const REPORTED: &str = "\
    SELECT key_id, source, url FROM key_events WHERE kind = 'leaked' AND key_id IN ?";

/// A request counts if it proves that its sender holds the key.
const FIRST_USE: &str = "\
    SELECT toUnixTimestamp64Micro(time) AS at, client_ip, country, status FROM access_events \
    WHERE key_id = ? AND time >= fromUnixTimestamp64Micro(?) AND quarantined = '' \
        AND ifNull(authenticated, status >= 200 AND status < 400) \
    ORDER BY time LIMIT 1";

#[derive(Row, Deserialize)]
struct UseRow {
    at: i64,
    client_ip: Ipv6Addr,
    country: String,
    status: u16,
}

/// A key, and the source and address of a report.
type Place = (String, String, String);

/// Another process changes the registry at most so often meanwhile.
const ATTEMPTS: u32 = 10;

impl Store {
    /// The keys that are registered or were used, by their names: ids, or hashes of raw keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_keys(&self, names: &[&str]) -> Result<HashMap<String, KeyId>, StoreError> {
        let mut known = HashMap::new();
        for part in parts(names) {
            for sql in KNOWN {
                let rows = self.client.query(sql).bind(&part).fetch_all::<(String, String)>().await;
                for (name, key_id) in
                    rows.map_err(|error| self.error("reading api_keys", &error))?
                {
                    known.entry(name).or_insert_with(|| key_id.into());
                }
            }
        }
        Ok(known)
    }

    /// Stores reports of leaks. A report of the same place is stored once, however often it comes.
    /// Returns the number of new ones.
    ///
    /// # Errors
    /// [`StoreError`]; a retryable one too when others change the registry all the time.
    pub async fn report_leaks(
        &self,
        reports: &[KeyEvent],
        author: Author<'_>,
    ) -> Result<usize, StoreError> {
        let ids: Vec<&str> = reports.iter().map(|report| report.key_id.as_str()).collect();
        for _ in 0..ATTEMPTS {
            let after = self.latest_key_change().await?;
            let mut known = self.reported(&ids).await?;
            let place = |it: &KeyEvent| (it.key_id.to_string(), it.source.clone(), it.url.clone());
            let mut events: Vec<KeyEvent> = reports.to_vec();
            // A report without a place may be another leak.
            events.retain(|report| report.url.is_empty() || known.insert(place(report)));
            let change = KeyChange { keys: Vec::new(), events };
            if change.is_empty() || self.change_keys(&change, author, after).await?.is_some() {
                return Ok(change.events.len());
            }
        }
        Err(StoreError::Unavailable {
            url: self.url.clone(),
            doing: "storing reports of leaks".into(),
            reason: "others change the registry all the time".into(),
        })
    }

    async fn reported(&self, ids: &[&str]) -> Result<HashSet<Place>, StoreError> {
        let mut reported = HashSet::new();
        for part in parts(ids) {
            let rows = self.client.query(REPORTED).bind(part).fetch_all::<Place>().await;
            reported.extend(rows.map_err(|error| self.error("reading key_events", &error))?);
        }
        Ok(reported)
    }

    /// The latest evidence by which alerts report these keys as leaked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn told_leaks(&self, ids: &[&str]) -> Result<HashMap<KeyId, EventTime>, StoreError> {
        let mut told = HashMap::new();
        for part in parts(ids) {
            let rows = self.client.query(TOLD).bind(part).fetch_all::<(String, i64)>().await;
            let rows = rows.map_err(|error| self.error("reading alerts", &error))?;
            let row = |(id, time): (String, i64)| (id.into(), EventTime::from_micros(time));
            told.extend(rows.into_iter().map(row));
        }
        Ok(told)
    }

    /// The first request with a key after it leaked, among those that are still stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_use_since(&self, leak: &Leak) -> Result<Option<FirstUse>, StoreError> {
        let query = self.client.query(FIRST_USE).bind(leak.key_id.as_str());
        let query = query.bind(leak.since.as_micros());
        let row = query.fetch_optional::<UseRow>().await;
        let row = row.map_err(|error| self.error("reading access_events", &error))?;
        Ok(row.map(|row| FirstUse {
            time: EventTime::from_micros(row.at),
            client_ip: row.client_ip.to_canonical(),
            country: row.country,
            status: row.status,
        }))
    }
}
