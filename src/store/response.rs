//! Reads facts that the response to proposals needs beside them: traffic of keys, breakers, and
//! incidents that have ended.

use clickhouse::Row;
use serde::Deserialize;

use super::revocation::parse;
use super::{Store, StoreError};
use crate::alert::Alert;
use crate::event::EventTime;
use crate::respond::KeyFacts;

#[derive(Row, Deserialize)]
struct FactsRow {
    key_id: String,
    requests: u64,
    environment: String,
}

/// Only answers that prove a use are counted, and only from before the incident: neither an outsider
/// who names a key nor its thief can make it busy or change its environment.
const KEY_FACTS: &str = "\
    WITH fromUnixTimestamp64Micro(transform(key_id, ?, ?, toInt64(0))) AS begin \
    SELECT key_id, countIf(time > begin - INTERVAL 1 DAY) AS requests, \
        argMaxIf(toString(access_events.environment), time, access_events.environment != '') \
            AS environment \
    FROM access_events \
    WHERE key_id IN ? AND time < begin AND time > begin - INTERVAL 7 DAY \
        AND (authenticated = true OR status BETWEEN 200 AND 399) \
    GROUP BY key_id";

const KEYS_IN_USE: &str = "\
    SELECT uniq(key_id) FROM key_usage_hour \
    WHERE hour > now() - INTERVAL 1 DAY AND status_2xx + status_3xx > 0";

const BREAKERS: &str = "\
    SELECT argMax(alert, revision) FROM alerts WHERE has(detectors, 'monitor.breaker_open') \
    GROUP BY id HAVING argMax(type, revision) != 'alert.resolved' ORDER BY id";

/// Requests whose incident has ended since, as far as they may still be on their way.
const ENDED: &str = "\
    SELECT DISTINCT incident FROM revocation_requests AS requests \
    INNER JOIN (SELECT id, detected_at FROM alerts WHERE type = 'alert.resolved' \
        AND id IN (SELECT incident FROM revocation_requests \
            WHERE time > now64(6) - INTERVAL 4 DAY)) AS ends ON ends.id = requests.incident \
    WHERE ends.detected_at > requests.time";

impl Store {
    /// Returns facts about these keys before the given times. Keys without an accepted request in
    /// the week before are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_facts(
        &self,
        keys: &[(&str, EventTime)],
    ) -> Result<Vec<(String, KeyFacts)>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, begins): (Vec<&str>, Vec<i64>) =
            keys.iter().map(|(key, begin)| (*key, begin.as_micros())).unzip();
        let query = self.client.query(KEY_FACTS).bind(&ids).bind(begins).bind(&ids);
        let rows = query.fetch_all::<FactsRow>().await;
        let rows = rows.map_err(|error| self.error("reading facts about keys", &error))?;
        let facts = |row: FactsRow| {
            (row.key_id, KeyFacts { requests: row.requests, environment: row.environment })
        };
        Ok(rows.into_iter().map(facts).collect())
    }

    /// Returns the number of keys with an accepted request within a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_in_use(&self) -> Result<u64, StoreError> {
        let count = self.client.query(KEYS_IN_USE).fetch_one().await;
        count.map_err(|error| self.error("counting the keys in use", &error))
    }

    /// Returns the open incidents about breakers, each in its last revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_breakers(&self) -> Result<Vec<Alert>, StoreError> {
        let rows: Result<Vec<String>, _> = self.client.query(BREAKERS).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading open breakers", &error))?;
        rows.into_iter().map(|text| parse("of a breaker".into(), &text)).collect()
    }

    /// Returns the incidents that have ended since an action on their key was requested.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended_since_request(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.client.query(ENDED).fetch_all().await;
        rows.map_err(|error| self.error("reading ended incidents", &error))
    }
}
