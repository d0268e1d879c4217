//! Reads stored events and incidents in the order of time, for training and reports.

use clickhouse::Row;
use serde::Deserialize;

use super::{EventRow, Store, StoreError};
use crate::alert::Alert;
use crate::event::{EnrichedEvent, EventTime};

/// The approximate number of events that one query sorts. This bounds the server's work for any
/// length of history.
const EVENTS_IN_SLICE: u64 = 2_000_000;
/// Events passed on at once.
const BATCH: usize = 10_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// A range of whole minutes of event time that one query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Minutes since the epoch, the last one included.
    first: i64,
    last: i64,
    pub events: u64,
}

#[derive(Row, Deserialize)]
struct Minute {
    minute: i64,
    events: u64,
}

/// Quarantined events were not judged and must not be learnt from.
const MINUTES: &str = "\
    SELECT intDiv(toUnixTimestamp64Micro(time), 60000000) AS minute, count() AS events \
    FROM access_events \
    WHERE quarantined = '' AND time >= fromUnixTimestamp64Micro(?) \
    GROUP BY minute ORDER BY minute";

const EVENTS: &str = "\
    SELECT ?fields FROM access_events \
    WHERE quarantined = '' AND time >= fromUnixTimestamp64Micro(?) \
        AND time < fromUnixTimestamp64Micro(?) \
    ORDER BY time, topic, partition, record_offset, record_index";

/// The last revision has the complete evidence.
const INCIDENTS: &str = "\
    SELECT argMax(alert, revision) AS last FROM alerts FINAL \
    WHERE last_event_time >= fromUnixTimestamp64Micro(?) \
    GROUP BY id ORDER BY min(detected_event_time), id";

impl Store {
    /// Divides the stored events from `since` on into slices of one query each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event_slices(&self, since: EventTime) -> Result<Vec<Slice>, StoreError> {
        let query = self.client.query(MINUTES).bind(since.as_micros());
        let minutes = query.fetch_all::<Minute>().await;
        Ok(slices(&minutes.map_err(|error| self.error("counting events", &error))?))
    }

    /// Passes the events of a slice to `each` in batches, in the order of their times. Records of
    /// the same time come in the order of their log.
    ///
    /// # Errors
    /// [`StoreError`], or an error of `each`.
    pub async fn read_events<E: From<StoreError>>(
        &self,
        slice: Slice,
        mut each: impl FnMut(Vec<EnrichedEvent>) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error| self.error("reading events", &error);
        let query = self.client.query(EVENTS).bind(slice.first * MINUTE_MICROS);
        let query = query.bind((slice.last + 1) * MINUTE_MICROS);
        let mut cursor = query.fetch::<EventRow<'_>>().map_err(failed)?;
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(row) = cursor.next().await.map_err(failed)? {
            batch.push(row.to_event());
            if batch.len() == BATCH {
                each(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))?;
            }
        }
        each(batch)
    }

    /// Returns incidents with evidence since then, each in its last revision, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn incidents(&self, since: EventTime) -> Result<Vec<Alert>, StoreError> {
        let query = self.client.query(INCIDENTS).bind(since.as_micros());
        let rows: Vec<String> =
            query.fetch_all().await.map_err(|error| self.error("reading incidents", &error))?;
        let read = |row: String| {
            let unreadable = |reason| StoreError::AlertJson { id: "of an incident".into(), reason };
            serde_json::from_str(&row).map_err(unreadable)
        };
        rows.into_iter().map(read).collect()
    }
}

fn slices(minutes: &[Minute]) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    for Minute { minute, events } in minutes {
        match slices.last_mut() {
            Some(slice) if slice.events + events <= EVENTS_IN_SLICE => {
                (slice.last, slice.events) = (*minute, slice.events + events);
            }
            _ => slices.push(Slice { first: *minute, last: *minute, events: *events }),
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_all_minutes_once_and_are_as_large_as_they_may_be() {
        let minute = |(minute, events)| Minute { minute, events };
        let minutes = [(1, 900_000), (2, 900_000), (9, 900_000), (10, 5_000_000), (11, 1)];
        let slices = slices(&minutes.map(minute));
        let bounds: Vec<_> = slices.iter().map(|s| (s.first, s.last, s.events)).collect();
        let expected = [(1, 2, 1_800_000), (9, 9, 900_000), (10, 10, 5_000_000), (11, 11, 1)];
        assert_eq!(bounds, expected);
    }
}
