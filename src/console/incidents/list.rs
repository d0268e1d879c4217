//! Reads one page of incidents.

use serde::Deserialize;

use super::filter::{Choice, Cursor};
use crate::alert::{Action, DetectorId, IncidentState, Severity};
use crate::event::EventTime;
use crate::store::{Store, StoreError};

const SQL: &str = include_str!("../../../sql/console/incidents.sql");

/// An incident in its latest revision.
#[derive(Clone, Debug, Deserialize)]
pub struct Incident {
    pub id: String,
    about_key: String,
    about_source: String,
    pub severity: Severity,
    pub risk: f64,
    pub action: Action,
    pub dry_run: bool,
    pub state: IncidentState,
    /// Empty if no person closed it.
    pub close_reason: String,
    /// Empty if nobody has it.
    pub assignee: String,
    detectors: Vec<String>,
    pub title: String,
    last_event: i64,
    rank: f64,
    /// Incidents on all pages.
    pub matching: u64,
}

/// The subject of an incident.
pub enum About<'a> {
    Key(&'a str),
    Source(&'a str),
    Monitor,
}

impl Incident {
    pub fn about(&self) -> About<'_> {
        match (self.about_key.as_str(), self.about_source.as_str()) {
            ("", "") => About::Monitor,
            ("", source) => About::Source(source),
            (key, _) => About::Key(key),
        }
    }

    /// Detectors that this version knows, strongest first.
    pub fn detectors(&self) -> impl Iterator<Item = DetectorId> {
        self.detectors.iter().filter_map(|name| DetectorId::named(name))
    }

    pub fn last_event(&self) -> EventTime {
        EventTime::from_micros(self.last_event)
    }

    pub fn cursor(&self) -> Cursor {
        Cursor { rank: self.rank, id: self.id.clone() }
    }
}

/// The incidents among which a choice is made.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    All,
    OfKey(&'a str),
    /// Those with these ids, of which there is at least one.
    These(&'a [String]),
}

/// Returns up to `limit` incidents.
///
/// # Errors
/// [`StoreError`].
pub async fn load(
    store: &Store,
    choice: &Choice,
    among: Among<'_>,
    limit: usize,
) -> Result<Vec<Incident>, StoreError> {
    let (key, ids) = match among {
        Among::All => ("", String::new()),
        Among::OfKey(key) => (key, String::new()),
        Among::These(ids) => ("", serde_json::json!(ids).to_string()),
    };
    let (hours, limit) = (choice.hours.to_string(), limit.to_string());
    let after = choice.after.clone().unwrap_or(Cursor { rank: 0.0, id: String::new() });
    let rank = after.rank.to_string();
    let values = [
        ("sort", if choice.by_risk { "risk" } else { "" }),
        ("hours", &hours),
        ("key", key),
        ("ids", &ids),
        ("about", &choice.about),
        ("severity", choice.severity_name()),
        ("detector", choice.detector_name()),
        ("state", choice.state_name()),
        ("after_rank", &rank),
        ("after_id", &after.id),
        ("limit", &limit),
    ];
    store.query_rows(SQL, &values).await
}
