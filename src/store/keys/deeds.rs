//! Reads what was done to keys: by their store, and at the request of Keywatch.

use clickhouse::query::Query;

use crate::event::EventTime;
use crate::registry::{Deed, DeedKind};
use crate::store::{Store, StoreError};

const DEEDS: &str = "SELECT key_id, toString(kind) AS kind, toUnixTimestamp64Micro(time) AS time";
const ARE_DEEDS: &str = "kind IN ('suspended', 'revoked', 'rotated', 'resumed')";
/// Requests of so many days are known when a process starts.
const ASKED_DAYS: u32 = 30;

impl Store {
    /// The deeds of the changes of the registry after a number up to another.
    pub(super) async fn deeds_between(
        &self,
        after: u64,
        latest: u64,
    ) -> Result<Vec<Deed>, StoreError> {
        let sql = format!(
            "{DEEDS} FROM key_event_rows WHERE {ARE_DEEDS} AND change IN \
                (SELECT change FROM key_changes WHERE number > ? AND number <= ?)"
        );
        self.read_deeds(self.client.query(&sql).bind(after).bind(latest)).await
    }

    /// The deeds of the last days.
    pub(super) async fn deeds_of_days(&self, days: u32) -> Result<Vec<Deed>, StoreError> {
        let sql = format!(
            "{DEEDS} FROM key_events WHERE {ARE_DEEDS} \
             AND key_events.time > now64(6) - toIntervalDay(?)"
        );
        self.read_deeds(self.client.query(&sql).bind(days)).await
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
            let is_planned = until > 0;
            let kind = if is_planned { DeedKind::Asked } else { DeedKind::AskedForGood };
            let end = is_planned.then(|| deed(until, DeedKind::Lapsed));
            [Some(deed(asked, kind)), end].into_iter().flatten().collect::<Vec<_>>()
        });
        Ok((latest, deeds.collect()))
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
}
