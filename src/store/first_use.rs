//! Finds the stored request that used a nonce or signature first.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::Deserialize;

use super::{Store, StoreError};
use crate::detect::replay::{FirstUse, Signed, rounded_latency};
use crate::engine::{EarlierUses, ReplayLookup};
use crate::event::{EventTime, Fingerprint, PartitionId, RecordPosition};

/// Lookups in one query.
const ASKED_AT_ONCE: usize = 1_000;

/// The order in which records are stored may differ from the order of their times by this much.
const DISORDER_SECONDS: f64 = 3_600.0;

/// A request with its nonce and signature.
#[derive(Row, Deserialize)]
struct Use {
    key_id: String,
    fingerprint: u128,
    time: i64,
    client_ip: Ipv6Addr,
    asn: u32,
    status: u16,
    latency_ms: Option<f32>,
    topic: String,
    partition: i32,
    record_offset: i64,
    record_index: u32,
    method: String,
    path: String,
    client_time: Option<i64>,
    signature: u128,
}

/// Several of each, since the event in doubt may be stored, and others after it. A request is
/// listed under the nonce that was asked for, else under its signature. Only proven use is a use (see `proof.rs`).
const SQL: &str = "\
    SELECT key_id, \
        if(nonce_fingerprint IN ?, nonce_fingerprint, signature_fingerprint) AS fingerprint, \
        time, client_ip, asn, status, latency_ms, topic, partition, record_offset, \
        record_index, method, path, client_time, signature_fingerprint AS signature \
    FROM access_events \
    WHERE key_id IN ? AND time >= fromUnixTimestamp64Micro(?) AND time <= fromUnixTimestamp64Micro(?) \
        AND (nonce_fingerprint IN ? OR signature_fingerprint IN ?) \
        AND (authenticated = true \
            OR (isNull(authenticated) AND (has_secret OR (status >= 200 AND status < 400)))) \
    ORDER BY time, record_offset, record_index LIMIT 8 BY key_id, fingerprint";

impl Store {
    /// Returns the first uses for lookups about records of `partition`. A lookup without an earlier
    /// use is not in the result.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_uses(
        &self,
        partition: &PartitionId,
        doubts: &[ReplayLookup],
    ) -> Result<EarlierUses, StoreError> {
        let mut earlier = EarlierUses::new();
        for doubts in doubts.chunks(ASKED_AT_ONCE) {
            let uses = self.uses(doubts).await?;
            for doubt in doubts {
                let identity = (doubt.key_id.to_string(), doubt.fingerprint.0);
                let uses = uses.get(&identity).map(Vec::as_slice).unwrap_or_default();
                if let Some(first) = uses.iter().find(|use_| use_.came_before(doubt, partition)) {
                    earlier.insert(doubt.identity, first.into());
                }
            }
        }
        Ok(earlier)
    }

    /// Returns the uses in the order of their times.
    async fn uses(
        &self,
        doubts: &[ReplayLookup],
    ) -> Result<HashMap<(String, u128), Vec<Use>>, StoreError> {
        let (Some(since), Some(until)) = (
            doubts.iter().map(|doubt| doubt.since).min(),
            doubts.iter().map(|doubt| doubt.time).max(),
        ) else {
            return Ok(HashMap::new());
        };
        let keys: Vec<&str> = doubts.iter().map(|doubt| doubt.key_id.as_str()).collect();
        let fingerprints: Vec<u128> = doubts.iter().map(|doubt| doubt.fingerprint.0).collect();
        let query = self.client.query(SQL).bind(&fingerprints);
        let query = query.bind(keys).bind(since.as_micros());
        let query = query.bind(until.plus_seconds(DISORDER_SECONDS).as_micros());
        let query = query.bind(&fingerprints).bind(&fingerprints);
        let uses: Vec<Use> = query
            .fetch_all()
            .await
            .map_err(|error| self.error("looking for the first use of a nonce", &error))?;
        let mut found: HashMap<_, Vec<Use>> = HashMap::new();
        for use_ in uses {
            found.entry((use_.key_id.clone(), use_.fingerprint)).or_default().push(use_);
        }
        Ok(found)
    }
}

impl Use {
    fn position(&self) -> RecordPosition {
        RecordPosition { offset: self.record_offset, index: self.record_index }
    }

    /// Whether this use came first: within a partition the offset decides, between partitions the
    /// time.
    fn came_before(&self, doubt: &ReplayLookup, partition: &PartitionId) -> bool {
        if self.topic == *partition.topic && self.partition == partition.partition {
            self.position() < doubt.position
        } else {
            self.time <= doubt.time.as_micros()
        }
    }
}

impl From<&Use> for FirstUse {
    fn from(use_: &Use) -> Self {
        Self {
            time: EventTime::from_micros(use_.time),
            ip: use_.client_ip.to_canonical(),
            asn: use_.asn,
            status: use_.status,
            latency_ms: rounded_latency(use_.latency_ms),
            position: use_.position(),
            signed: Signed::new(
                &use_.method,
                &use_.path,
                use_.client_time.map(EventTime::from_micros),
                (use_.signature != 0).then_some(Fingerprint(use_.signature)),
            ),
        }
    }
}
