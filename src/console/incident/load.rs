//! Reads an incident and what was stored around it.

use serde::Deserialize;
use serde_json::Value;

use super::replay::{self, StoredRequest};
use crate::alert::Alert;
use crate::casework::Case;
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{Store, StoreError};
use crate::workflow::{Course, Standing};

/// Days before the incident that say what is usual.
const HISTORY_DAYS: f64 = 14.0;
const REVISIONS: &str = include_str!("../../../sql/console/revisions.sql");

#[derive(Debug, Deserialize)]
pub struct Delivery {
    pub channel: String,
    pub revision: u32,
    pub outcome: String,
    pub attempt: u32,
    pub at: i64,
    pub detail: String,
}

/// What became of the key after a request, as its life in the registry tells.
#[derive(Debug, Deserialize)]
pub struct Confirmed {
    /// `suspended`, `revoked` or `rotated`.
    pub kind: String,
    pub at: i64,
    pub told_by: String,
}

/// An address from which the key was used around the incident.
#[derive(Debug, Deserialize)]
pub struct Place {
    pub address: String,
    pub country: String,
    pub city: String,
    pub network: String,
    pub asn: u32,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub requests: u64,
    pub failed: u64,
    pub first: i64,
    pub last: i64,
}

/// Requests over time, in steps of `width` seconds.
#[derive(Debug)]
pub struct Series {
    pub counts: Vec<(i64, u64)>,
    pub from: EventTime,
    pub to: EventTime,
    pub width: i64,
}

#[derive(Debug)]
pub struct Incident {
    /// The latest revisions, and what people did.
    pub case: Case,
    pub deliveries: Vec<Delivery>,
    pub confirmed: Option<Confirmed>,
    pub series: Option<Series>,
    pub places: Vec<Place>,
    /// What is stored of the requests of a replay.
    pub replayed: Vec<StoredRequest>,
}

impl Incident {
    pub fn latest(&self) -> &Alert {
        self.case.latest()
    }

    /// Oldest first.
    pub fn revisions(&self) -> &[Alert] {
        &self.case.revisions
    }

    pub fn standing(&self) -> &Standing {
        &self.case.course.standing
    }
}

#[derive(Deserialize)]
struct Stored {
    alert: String,
}

/// Returns `None` when there is no incident with this id.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, id: &str) -> Result<Option<Incident>, StoreError> {
    let rows: Vec<Stored> = store.query_rows(REVISIONS, &[("id", id)]).await?;
    let parse = |row: &Stored| {
        serde_json::from_str(&row.alert)
            .map_err(|reason| StoreError::AlertJson { id: id.to_owned(), reason })
    };
    let revisions: Vec<Alert> = rows.iter().rev().map(parse).collect::<Result<_, _>>()?;
    let Some(latest) = revisions.last().cloned() else { return Ok(None) };
    let deliveries = include_str!("../../../sql/console/deliveries.sql");
    let confirmed = include_str!("../../../sql/console/confirmed.sql");
    let values = [("id", id)];
    let ids = [id];
    let (acts, deliveries, confirmed, series, places, replayed) = tokio::try_join!(
        store.acts_of(&ids),
        store.query_rows(deliveries, &values),
        store.query_rows::<Confirmed>(confirmed, &values),
        series(store, &latest),
        places(store, &latest),
        replay::load(store, &latest),
    )?;
    let case = Case { revisions, course: Course::of(acts) };
    let confirmed = confirmed.into_iter().next();
    Ok(Some(Incident { case, deliveries, confirmed, series, places, replayed }))
}

/// The picture begins some time before the incident and ends some time after it.
async fn series(store: &Store, alert: &Alert) -> Result<Option<Series>, StoreError> {
    let length = alert.last_event_time.seconds_since(alert.first_event_time).max(0.0);
    let around = (length * 2.0).clamp(3.0 * 3_600.0, 2.0 * DAY_SECONDS);
    let from = alert.first_event_time.plus_seconds(-around);
    let to = alert.last_event_time.plus_seconds(around / 4.0);
    let width = width(to.seconds_since(from));
    let text = |seconds: f64| (seconds.max(0.0) as u32).to_string();
    let (first, end, step) = (
        text(from.as_seconds() - HISTORY_DAYS * DAY_SECONDS),
        text(to.as_seconds()),
        width.to_string(),
    );
    let bounds = [("width", step.as_str()), ("from", &first), ("to", &end)];
    let rows: Vec<Bin> = if let Some(key) = &alert.key_id {
        let sql = include_str!("../../../sql/console/key_series.sql");
        store.query_rows(sql, &[&bounds[..], &[("key", key.as_str())]].concat()).await?
    } else if let Some(ip) = alert.source_ip {
        let (sql, ip) = (include_str!("../../../sql/console/source_series.sql"), ip.to_string());
        let near = text(from.as_seconds());
        let values = [("width", step.as_str()), ("from", &near), ("to", &end), ("ip", &ip)];
        store.query_rows(sql, &values).await?
    } else {
        return Ok(None);
    };
    let counts = rows.into_iter().map(|bin| (bin.start, bin.requests)).collect();
    Ok(Some(Series { counts, from, to, width }))
}

#[derive(Deserialize)]
struct Bin {
    start: i64,
    requests: u64,
}

/// The width of a bin, in seconds: at most 150 of them, and each divides a day.
fn width(seconds: f64) -> i64 {
    const WIDTHS: [i64; 7] = [60, 120, 300, 600, 1_200, 3_600, 7_200];
    let fits = |width: &&i64| seconds / **width as f64 <= 150.0;
    WIDTHS.iter().find(fits).copied().unwrap_or(14_400)
}

/// The evidence's object of that name, such as the two ends of a journey.
pub fn end<'a>(alert: &'a Alert, name: &str) -> Option<&'a Value> {
    alert
        .evidence
        .iter()
        .find_map(|evidence| evidence.fields.get(name).filter(|end| end.is_object()))
}

/// The address in an end of a journey.
pub fn address(end: Option<&Value>) -> &str {
    end.and_then(|end| end.get("ip")).and_then(Value::as_str).unwrap_or_default()
}

/// The time in an object of evidence.
pub fn time_of(object: Option<&Value>) -> Option<EventTime> {
    serde_json::from_value(object?.get("time")?.clone()).ok()
}

async fn places(store: &Store, alert: &Alert) -> Result<Vec<Place>, StoreError> {
    const MARGIN_SECONDS: f64 = 1_800.0;
    let Some(key) = &alert.key_id else { return Ok(Vec::new()) };
    let (first, second) = (end(alert, "from"), end(alert, "to"));
    let begin = time_of(first).map_or(alert.first_event_time, |at| at.min(alert.first_event_time));
    let from = begin.plus_seconds(-MARGIN_SECONDS).as_micros().to_string();
    let to = alert.last_event_time.plus_seconds(MARGIN_SECONDS).as_micros().to_string();
    let values = [
        ("key", key.as_str()),
        ("from", &from),
        ("to", &to),
        ("first_ip", address(first)),
        ("second_ip", address(second)),
    ];
    store.query_rows(include_str!("../../../sql/console/places.sql"), &values).await
}
