//! Reads what the comparison of promised and measured false alerts needs.

use clickhouse::Row;
use serde::Deserialize;

use super::{Store, StoreError};
use crate::alert::{Alert, DetectorId};
use crate::decide::promise::{DAYS, OpenedIncident};
use crate::event::EventTime;

/// The oldest incidents come first. More than this many in a week break every promise anyway.
const MAX_INCIDENTS: u64 = 20_000;

/// Incidents of low severity are not part of the promise. Of those that asked for no more than a
/// notice, incidents with evidence from attempts are left out: anybody can cause them. A request
/// cannot forge the text that is searched for, because quotes within its fields are escaped in the
/// alert's JSON. Old logs that are imported now are not of this week.
const OPENED: &str = "\
    SELECT any(key_id) AS key, any(tenant) AS owner, argMax(detectors, revision) AS names, \
        toUnixTimestamp64Micro(min(detected_event_time)) AS opened, \
        max(action IN ('throttle', 'suspend', 'revoke')) AS acts FROM alerts \
    WHERE key_id != '' AND detected_at >= now64(6) - toIntervalDay(?) \
        AND detected_event_time >= now64(6) - toIntervalDay(?) \
    GROUP BY id HAVING max(severity != 'low') \
        AND (acts OR max(position(alert, '\"reason\":\"attempts_only\"')) = 0) \
    ORDER BY opened, id LIMIT ?";

const BROKEN: &str = "\
    SELECT argMax(alert, revision) FROM alerts WHERE has(detectors, 'monitor.promise_broken') \
    GROUP BY id HAVING argMax(type, revision) != 'alert.resolved' ORDER BY id";

#[derive(Row, Deserialize)]
struct OpenedRow {
    key: String,
    owner: String,
    names: Vec<String>,
    opened: i64,
    acts: bool,
}

impl Store {
    /// Returns the incidents about keys of the last [`DAYS`] days, in the order of their times.
    /// Detectors that this version does not know are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn opened_incidents(&self) -> Result<Vec<OpenedIncident>, StoreError> {
        let query = self.client.query(OPENED).bind(DAYS).bind(DAYS).bind(MAX_INCIDENTS);
        let rows = query.fetch_all::<OpenedRow>().await;
        let rows = rows.map_err(|error| self.error("reading opened incidents", &error))?;
        let incident = |row: OpenedRow| OpenedIncident {
            detectors: row.names.iter().filter_map(|name| DetectorId::named(name)).collect(),
            opened: EventTime::from_micros(row.opened),
            is_acting: row.acts,
            key_id: row.key,
            tenant: row.owner,
        };
        Ok(rows.into_iter().map(incident).collect())
    }

    /// Returns the open incidents about broken promises, each in its last revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn broken_promises(&self) -> Result<Vec<Alert>, StoreError> {
        let rows: Result<Vec<String>, _> = self.client.query(BROKEN).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading broken promises", &error))?;
        let read = |text: String| {
            let unreadable =
                |reason| StoreError::AlertJson { id: "of a broken promise".into(), reason };
            serde_json::from_str(&text).map_err(unreadable)
        };
        rows.into_iter().map(read).collect()
    }
}
