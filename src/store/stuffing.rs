//! Exchanges attempts of suspicious networks between partitions.

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
use crate::profile::stuffing::{SourceAttempt, network_of};

/// Networks of one look, those with the most refusals first. The others are left out until they
/// have new attempts.
const MAX_NETWORKS: u64 = 100;
/// Attempts of one kind and hour; there are four kinds. Later attempts in the same hour add no new
/// kind of evidence.
const MAX_ATTEMPTS: u64 = 500;

/// A row of `source_attempts`; the server adds when it was stored.
#[derive(Clone, Row, Serialize, Deserialize)]
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

/// A network with new attempts in some partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Row, Deserialize)]
pub struct Suspect {
    pub network: Ipv6Addr,
    /// The number of known attempts: unless it has grown, there is nothing new.
    pub attempts: u64,
}

/// The subquery finds the networks with new attempts, the outer query all their attempts.
const SUSPECTS: &str = "\
    SELECT network, count() AS attempts FROM source_attempts \
    WHERE network IN (SELECT network FROM source_attempts \
        WHERE stored_at >= now64(6) - toIntervalMillisecond(?)) \
    GROUP BY network HAVING uniqExactIf(key_hash, is_refused) >= ? \
    ORDER BY uniqExactIf(key_hash, is_refused) DESC, network LIMIT ?";

/// Reads the earliest attempts of each hour, so that later attempts do not change earlier alerts.
/// The inner query reads of one machine (an IPv4 address or IPv6 /64), key, answer and hour the
/// earliest attempt: a process that was restarted hands out later ones. The innermost one bounds
/// how many keys an outsider can invent.
const ATTEMPTS: &str = "\
    SELECT ?fields FROM (\
        SELECT * FROM (\
            SELECT * FROM source_attempts WHERE network IN ? \
            ORDER BY network, time, topic, partition, record_offset, record_index \
            LIMIT 5000 BY network, toStartOfHour(time), is_refused, key_id != '') \
        ORDER BY network, time, topic, partition, record_offset, record_index \
        LIMIT 1 BY if(isIPv4String(replaceOne(toString(client_ip), '::ffff:', '')), client_ip, \
                tupleElement(IPv6CIDRToRange(client_ip, 64), 1)), \
            key_hash, is_accepted, is_refused, toStartOfHour(time)) \
    ORDER BY network, time, topic, partition, record_offset, record_index \
    LIMIT ? BY network, toStartOfHour(time), is_refused, key_id != ''";

const LATEST: &str = "SELECT id, argMax(alert, revision) FROM alerts WHERE id IN ? GROUP BY id";

const TOLD: &str = "\
    SELECT DISTINCT key_id FROM alerts WHERE key_id IN ? \
        AND has(detectors, 'auth.credential_stuffing') \
        AND last_event_time >= fromUnixTimestamp64Micro(?)";

impl Store {
    /// Returns networks with attempts stored `within` this time that were refused with enough keys,
    /// over all partitions, to be suspects.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suspects(&self, within: Duration) -> Result<Vec<Suspect>, StoreError> {
        let query = self.client.query(SUSPECTS).bind(within.as_millis() as u64);
        let suspects = query.bind(MIN_REFUSED).bind(MAX_NETWORKS).fetch_all().await;
        suspects.map_err(|error| self.error("looking for networks that try keys", &error))
    }

    /// Returns the attempts of each of these networks over all partitions, in the order of their
    /// times.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts_of(
        &self,
        networks: &[Suspect],
    ) -> Result<Vec<Vec<SourceAttempt>>, StoreError> {
        if networks.is_empty() {
            return Ok(Vec::new());
        }
        let networks: Vec<String> =
            networks.iter().map(|suspect| suspect.network.to_string()).collect();
        let query = self.client.query(ATTEMPTS).bind(networks).bind(MAX_ATTEMPTS);
        let failed = |error| self.error("reading source_attempts", &error);
        let mut rows = query.fetch::<AttemptRow<'_>>().map_err(failed)?;
        let mut attempts: Vec<Vec<SourceAttempt>> = Vec::new();
        while let Some(row) = rows.next().await.map_err(failed)? {
            let attempt = SourceAttempt::from(&row);
            match attempts.last_mut().filter(|network| are_neighbours(network, &attempt)) {
                Some(network) => network.push(attempt),
                None => attempts.push(vec![attempt]),
            }
        }
        Ok(attempts)
    }

    /// Returns the last stored revision of each of these alerts.
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

    /// Returns the keys that alerts `since` then report as accepted from a network that tries keys.
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

fn are_neighbours(network: &[SourceAttempt], attempt: &SourceAttempt) -> bool {
    let ip = |attempt: &SourceAttempt| network_of(attempt.client_ip);
    network.first().is_some_and(|first| ip(first) == ip(attempt))
}

impl<'a> From<&'a SourceAttempt> for AttemptRow<'a> {
    fn from(attempt: &'a SourceAttempt) -> Self {
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

impl From<&AttemptRow<'_>> for SourceAttempt {
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
