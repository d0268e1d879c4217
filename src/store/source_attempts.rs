//! What partitions know of each other's sources.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::rows::mapped;
use super::{Store, StoreError};
use crate::alert::Alert;
use crate::detect::stuffing::MIN_REFUSED;
use crate::event::{EventTime, KeyId, PartitionId, RecordPosition};
use crate::profile::source::{Attempt, network_of};

/// Networks with news, those first that are refused most; the rest is left out, until it
/// has news again.
const MAX_NETWORKS: u64 = 100;
/// Of one kind and hour; there are four kinds. What comes later in an hour is more of the same.
const MAX_ATTEMPTS: u64 = 500;

/// A row of `source_attempts`; the server adds when it was stored.
#[derive(Row, Serialize, Deserialize)]
pub struct AttemptRow<'a> {
    network: Ipv6Addr,
    time: i64,
    client_ip: Ipv6Addr,
    key_hash: u64,
    is_accepted: bool,
    is_refused: bool,
    key_id: &'a str,
    tenant: &'a str,
    topic: &'a str,
    partition: i32,
    record_offset: i64,
    record_index: u32,
}

/// A network that partitions have something new to say about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Row, Deserialize)]
pub struct Suspect {
    pub network: Ipv6Addr,
    /// How much is known of it: when that has not grown, there is no news.
    pub attempts: u64,
}

/// The subquery finds who has news, the outer one all that is known of them.
const SUSPECTS: &str = "\
    SELECT network, count() AS attempts FROM source_attempts \
    WHERE network IN (SELECT network FROM source_attempts \
        WHERE stored_at >= now64(6) - toIntervalMillisecond(?)) \
    GROUP BY network HAVING uniqExactIf(key_hash, is_refused) >= ? \
    ORDER BY uniqExactIf(key_hash, is_refused) DESC, network LIMIT ?";

/// The earliest of each hour, so that what is told of it stays what it was.
const ATTEMPTS: &str = "\
    SELECT ?fields FROM source_attempts WHERE network IN ? \
    ORDER BY network, time, topic, partition, record_offset, record_index \
    LIMIT ? BY network, toStartOfHour(time), is_refused, key_id != ''";

const LATEST: &str = "SELECT id, argMax(alert, revision) FROM alerts WHERE id IN ? GROUP BY id";

const TOLD: &str = "\
    SELECT DISTINCT key_id FROM alerts WHERE key_id IN ? \
        AND has(detectors, 'auth.credential_stuffing') \
        AND last_event_time >= fromUnixTimestamp64Micro(?)";

impl Store {
    /// Networks of which something was stored `within` this time, and that are refused with
    /// so many keys, over all partitions, that they may be trying them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suspects(&self, within: Duration) -> Result<Vec<Suspect>, StoreError> {
        let query = self.client.query(SUSPECTS).bind(within.as_millis() as u64);
        let suspects = query.bind(MIN_REFUSED).bind(MAX_NETWORKS).fetch_all().await;
        suspects.map_err(|error| self.error("looking for sources that try keys", &error))
    }

    /// What partitions have handed out of each of these networks, in the order of the times.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts_of(&self, networks: &[Suspect]) -> Result<Vec<Vec<Attempt>>, StoreError> {
        if networks.is_empty() {
            return Ok(Vec::new());
        }
        let networks: Vec<String> =
            networks.iter().map(|suspect| suspect.network.to_string()).collect();
        let query = self.client.query(ATTEMPTS).bind(networks).bind(MAX_ATTEMPTS);
        let failed = |error| self.error("reading source_attempts", &error);
        let mut rows = query.fetch::<AttemptRow<'_>>().map_err(failed)?;
        let mut attempts: Vec<Vec<Attempt>> = Vec::new();
        while let Some(row) = rows.next().await.map_err(failed)? {
            let attempt = Attempt::from(&row);
            match attempts.last_mut().filter(|network| are_neighbours(network, &attempt)) {
                Some(network) => network.push(attempt),
                None => attempts.push(vec![attempt]),
            }
        }
        Ok(attempts)
    }

    /// The last revision of each of these alerts that is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_revisions(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Alert>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let query = self.client.query(LATEST).bind(ids);
        let rows: Result<Vec<(String, String)>, _> = query.fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading alerts", &error))?;
        let read = |(id, text): (String, String)| match serde_json::from_str(&text) {
            Ok(alert) => Ok((id, alert)),
            Err(reason) => Err(StoreError::AlertJson { id, reason }),
        };
        rows.into_iter().map(read).collect()
    }

    /// Which of these keys have been told of as accepted by a source that tries keys, `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_told_as_leaked(
        &self,
        keys: &[&str],
        since: EventTime,
    ) -> Result<HashSet<KeyId>, StoreError> {
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let query = self.client.query(TOLD).bind(keys).bind(since.as_micros());
        let told: Result<Vec<String>, _> = query.fetch_all().await;
        let told = told.map_err(|error| self.error("reading alerts", &error))?;
        Ok(told.into_iter().map(KeyId::from).collect())
    }
}

fn are_neighbours(network: &[Attempt], attempt: &Attempt) -> bool {
    let ip = |attempt: &Attempt| network_of(attempt.client_ip);
    network.first().is_some_and(|first| ip(first) == ip(attempt))
}

impl<'a> From<&'a Attempt> for AttemptRow<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            network: mapped(network_of(attempt.client_ip).addr()),
            time: attempt.time.as_micros(),
            client_ip: mapped(attempt.client_ip),
            key_hash: attempt.key_hash,
            is_accepted: attempt.is_accepted,
            is_refused: attempt.is_refused,
            key_id: attempt.key_id.as_deref().unwrap_or_default(),
            tenant: attempt.tenant.as_deref().unwrap_or_default(),
            topic: &attempt.partition.topic,
            partition: attempt.partition.partition,
            record_offset: attempt.position.offset,
            record_index: attempt.position.index,
        }
    }
}

impl From<&AttemptRow<'_>> for Attempt {
    fn from(row: &AttemptRow<'_>) -> Self {
        let named = |text: &str| (!text.is_empty()).then(|| text.into());
        Self {
            time: EventTime::from_micros(row.time),
            partition: PartitionId { topic: row.topic.into(), partition: row.partition },
            position: RecordPosition { offset: row.record_offset, index: row.record_index },
            client_ip: row.client_ip.to_canonical(),
            key_hash: row.key_hash,
            is_accepted: row.is_accepted,
            is_refused: row.is_refused,
            key_id: named(row.key_id),
            tenant: named(row.tenant),
        }
    }
}
