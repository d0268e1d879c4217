//! Stores what people do to incidents, and reads it back.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, parts};
use crate::alert::{Action, Alert, CloseReason, DetectorId, Severity};
use crate::event::EventTime;
use crate::workflow::{Act, Kind, Origin, Seen};

/// Acts of so many days are read when a process starts. An older closing keeps nothing quiet:
/// `policy.quiet_hours_after_close` is at most this long.
pub const ACTS_KEPT_DAYS: u32 = 30;

/// An act may become visible this many seconds after its time.
const LATE_SECONDS: f64 = 60.0;

const COLUMNS: &str = "SELECT incident, id, toUnixTimestamp64Micro(time) AS at, who, origin, kind, \
    reason, assignee, text, seen_revision, toUnixTimestamp64Micro(seen_at) AS seen_at, seen_severity, \
    seen_action, seen_detectors, quiet_seconds FROM incident_acts";

/// A row as it is written; the server adds the time.
#[derive(Clone, Row, Serialize)]
struct NewRow<'a> {
    incident: &'a str,
    id: &'a str,
    who: &'a str,
    origin: &'a str,
    kind: &'a str,
    reason: &'a str,
    assignee: &'a str,
    text: &'a str,
    seen_revision: u32,
    seen_at: i64,
    seen_severity: &'a str,
    seen_action: &'a str,
    seen_detectors: Vec<&'a str>,
    quiet_seconds: u32,
    after: i64,
}

impl<'a> From<&'a Act> for NewRow<'a> {
    fn from(act: &'a Act) -> Self {
        let seen = &act.seen;
        Self {
            incident: &act.incident,
            id: &act.id,
            who: &act.who,
            origin: act.origin.as_str(),
            kind: act.kind.as_str(),
            reason: act.reason.map_or("", CloseReason::as_str),
            assignee: act.assignee.as_deref().unwrap_or_default(),
            text: &act.text,
            seen_revision: seen.revision,
            seen_at: seen.at.as_micros(),
            seen_severity: seen.severity.as_str(),
            seen_action: seen.action.as_str(),
            seen_detectors: seen.detectors.iter().map(|detector| detector.as_str()).collect(),
            quiet_seconds: act.quiet_seconds,
            after: act.time.as_micros(),
        }
    }
}

#[derive(Row, Deserialize)]
struct StoredRow {
    incident: String,
    id: String,
    at: i64,
    who: String,
    origin: String,
    kind: String,
    reason: String,
    assignee: String,
    text: String,
    seen_revision: u32,
    seen_at: i64,
    seen_severity: String,
    seen_action: String,
    seen_detectors: Vec<String>,
    quiet_seconds: u32,
}

impl StoredRow {
    /// `None` for a kind, origin or severity that only a newer version knows.
    fn read(self) -> Option<Act> {
        let detectors = self.seen_detectors.iter().filter_map(|name| DetectorId::named(name));
        Some(Act {
            seen: Seen {
                revision: self.seen_revision,
                at: EventTime::from_micros(self.seen_at),
                severity: Severity::named(&self.seen_severity)?,
                // Acts from before this column decided about no action.
                action: Action::named(&self.seen_action).unwrap_or(Action::Observe),
                detectors: detectors.collect(),
            },
            origin: Origin::named(&self.origin)?,
            kind: Kind::named(&self.kind)?,
            reason: CloseReason::named(&self.reason),
            assignee: Some(self.assignee).filter(|name| !name.is_empty()),
            time: EventTime::from_micros(self.at),
            incident: self.incident,
            id: self.id,
            who: self.who,
            text: self.text,
            quiet_seconds: self.quiet_seconds,
        })
    }
}

impl Store {
    /// Stores acts as one block. `time` of each is the time of the latest act that its author knew;
    /// the server gives it its own, later time. Storing the same acts again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one, the table shows whether the acts are stored.
    pub async fn record_acts(&self, acts: &[Act]) -> Result<(), StoreError> {
        let Some(first) = acts.first() else { return Ok(()) };
        let token = format!("acts/{}/{}", first.id, acts.len());
        let rows: Vec<NewRow<'_>> = acts.iter().map(NewRow::from).collect();
        self.insert::<NewRow<'_>>("incident_acts", &token, rows).await
    }

    /// Returns all acts on these incidents, in the order in which they count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acts_of(&self, incidents: &[&str]) -> Result<Vec<Act>, StoreError> {
        let sql = format!("{COLUMNS} WHERE incident IN ? ORDER BY incident, time, id");
        let mut acts = Vec::new();
        for part in parts(incidents) {
            acts.extend(self.read_acts(self.client.query(&sql).bind(part)).await?);
        }
        Ok(acts)
    }

    /// Returns the acts since `latest`, the time of the latest act that the caller has read, and
    /// some of those before it; without it, the acts of the last [`ACTS_KEPT_DAYS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acts_since(&self, latest: Option<EventTime>) -> Result<Vec<Act>, StoreError> {
        let query = match latest {
            Some(latest) => {
                let sql = format!("{COLUMNS} WHERE time >= fromUnixTimestamp64Micro(?)");
                self.client.query(&sql).bind(latest.plus_seconds(-LATE_SECONDS).as_micros())
            }
            None => {
                let sql = format!("{COLUMNS} WHERE time >= now64(6) - toIntervalDay(?)");
                self.client.query(&sql).bind(ACTS_KEPT_DAYS)
            }
        };
        self.read_acts(query).await
    }

    /// Returns all revisions of these incidents, by id and revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revisions_of(&self, incidents: &[&str]) -> Result<Vec<Alert>, StoreError> {
        let sql = "SELECT id, alert FROM alerts FINAL WHERE id IN ? ORDER BY id, revision";
        let mut rows = Vec::new();
        for part in parts(incidents) {
            let part = self.client.query(sql).bind(part).fetch_all::<(String, String)>().await;
            rows.extend(part.map_err(|error| self.error("reading alerts", &error))?);
        }
        let parse = |(id, text): (String, String)| {
            serde_json::from_str(&text).map_err(|reason| StoreError::AlertJson { id, reason })
        };
        rows.into_iter().map(parse).collect()
    }

    async fn read_acts(&self, query: clickhouse::query::Query) -> Result<Vec<Act>, StoreError> {
        let rows = query.fetch_all::<StoredRow>().await;
        let rows = rows.map_err(|error| self.error("reading incident_acts", &error))?;
        Ok(rows.into_iter().filter_map(StoredRow::read).collect())
    }
}
