//! Reads what is stored of an address or a network.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::Source;
use crate::console::facet::Facet;
use crate::console::incidents::{self, Among, Choice, Incident};
use crate::store::{Store, StoreError};

/// Hours of requests that the page counts. Where one takes more rows to read than a page may, the
/// next is counted, so that all figures are whole.
pub const SPANS: [u32; 3] = [14 * 24, 24, 1];
/// The requests are counted within this time, which leaves some of the page's to the incidents.
const COUNTED_WITHIN: Duration = Duration::from_secs(4);
/// Clients and routes of a busy source take long, and nobody waits for them.
const DETAILED_WITHIN: Duration = Duration::from_millis(1_500);

#[derive(Debug, Deserialize)]
pub struct Hour {
    pub start: i64,
    pub requests: u64,
    pub accepted: u64,
    pub refused: u64,
    pub first: i64,
    pub last: i64,
}

/// A key that the source named.
#[derive(Debug, Deserialize)]
pub struct NamedKey {
    pub key: String,
    pub tenant: String,
    pub requests: u64,
    pub accepted: u64,
    pub refused: u64,
    pub first: i64,
    pub last: i64,
    /// Whether a request was accepted, else the source only tried the key.
    pub is_used: u8,
    /// Keys of this kind, of which the busiest are rows.
    pub keys: u64,
    /// Accepted requests with the key from anywhere. `None`: not known.
    #[serde(skip)]
    pub everywhere: Option<u64>,
}

/// The requests of a source within `hours`.
#[derive(Debug)]
pub struct Traffic {
    pub hours: u32,
    pub series: Vec<Hour>,
    pub keys: Vec<NamedKey>,
    /// Places, networks and addresses; of a part of an IPv6 /64 those of the whole.
    pub places: Vec<Facet>,
    /// The time of the upgrade before which requests were not counted by source.
    pub since: Option<i64>,
}

/// Figures that the raw rows alone have, of the requests within `hours`.
#[derive(Debug)]
pub struct Details {
    pub hours: u32,
    /// Clients, routes, answers and addresses.
    pub facets: Vec<Facet>,
}

/// Incidents in which the source appears.
#[derive(Debug, Default)]
pub struct Incidents {
    /// Those about the source, or about a network that it is in.
    pub about: Vec<Incident>,
    /// Those about keys, with the source in their evidence.
    pub of_keys: Vec<Incident>,
}

impl Incidents {
    pub fn are_none(&self) -> bool {
        self.about.is_empty() && self.of_keys.is_empty()
    }
}

pub struct Known {
    /// `None`: it takes more rows to count them than a page may read.
    pub traffic: Option<Traffic>,
    /// `None`: likewise.
    pub details: Option<Details>,
    /// `None`: there are too many to search in the time of a page.
    pub incidents: Option<Incidents>,
}

/// Returns `None` for a source without requests and incidents.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, source: Source) -> Result<Option<Known>, StoreError> {
    let (traffic, details, incidents) = tokio::try_join!(
        counted(COUNTED_WITHIN, |hours| traffic(store, source, hours)),
        counted(DETAILED_WITHIN, |hours| details(store, source, hours)),
        incidents(store, source)
    )?;
    let is_quiet = traffic.as_ref().is_some_and(|traffic| traffic.series.is_empty());
    let is_unseen = is_quiet && details.as_ref().is_none_or(|details| details.facets.is_empty());
    let is_blameless = incidents.as_ref().is_some_and(Incidents::are_none);
    let is_known = !(is_unseen && is_blameless);
    Ok(is_known.then_some(Known { traffic, details, incidents }))
}

/// The figures of the longest span that can be counted.
async fn counted<T, F>(
    within: Duration,
    figures: impl Fn(u32) -> F,
) -> Result<Option<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let longest = async {
        for hours in SPANS {
            match figures(hours).await {
                Err(error) if error.is_over_limit() => {}
                figures => return figures.map(Some),
            }
        }
        Ok(None)
    };
    timeout(within, longest).await.unwrap_or(Ok(None))
}

async fn traffic(store: &Store, source: Source, hours: u32) -> Result<Traffic, StoreError> {
    let span = hours.to_string();
    let ((first, last), (counted_first, counted_last)) = (source.ends(), source.counted_ends());
    let counted = [("first", counted_first.as_str()), ("last", &counted_last), ("hours", &span)];
    let raw = [("first", first.as_str()), ("last", &last), ("hours", &span)];
    let ((of_hours, of_keys), values) = match source.is_below_counted() {
        true => (OF_PART, raw),
        false => (OF_SOURCE, counted),
    };
    let (series, mut keys, places, since) = tokio::try_join!(
        store.query_rows(of_hours, &values),
        store.query_rows(of_keys, &values),
        store.query_rows(include_str!("../../../sql/console/source_places.sql"), &counted),
        since(store, source, &span),
    )?;
    count_everywhere(store, &mut keys, &span).await?;
    Ok(Traffic { hours, series, keys, places, since })
}

/// The queries for hours and keys of a source that is counted.
const OF_SOURCE: (&str, &str) = (
    include_str!("../../../sql/console/source_hours.sql"),
    include_str!("../../../sql/console/source_keys.sql"),
);
/// Those of a part of such a source.
const OF_PART: (&str, &str) = (
    include_str!("../../../sql/console/address_hours.sql"),
    include_str!("../../../sql/console/address_keys.sql"),
);

#[derive(Deserialize)]
struct Since {
    since: i64,
}

async fn since(store: &Store, source: Source, span: &str) -> Result<Option<i64>, StoreError> {
    if source.is_below_counted() {
        return Ok(None);
    }
    let sql = include_str!("../../../sql/console/source_since.sql");
    let rows: Vec<Since> = store.query_rows(sql, &[("hours", span)]).await?;
    Ok(rows.first().map(|row| row.since))
}

async fn details(store: &Store, source: Source, hours: u32) -> Result<Details, StoreError> {
    let ((first, last), span) = (source.ends(), hours.to_string());
    let is_whole = if source.is_below_counted() { "false" } else { "true" };
    let values =
        [("first", first.as_str()), ("last", &last), ("hours", &span), ("is_whole", is_whole)];
    let sql = include_str!("../../../sql/console/source_facets.sql");
    Ok(Details { hours, facets: store.query_rows(sql, &values).await? })
}

#[derive(Deserialize)]
struct Use {
    key: String,
    accepted: u64,
}

/// Adds how much the keys were used from anywhere. Without the figure the page is whole, too.
async fn count_everywhere(
    store: &Store,
    keys: &mut [NamedKey],
    hours: &str,
) -> Result<(), StoreError> {
    let ids: Vec<&str> = keys.iter().map(|key| key.key.as_str()).collect();
    let ids = serde_json::json!(ids).to_string();
    let values = [("keys", ids.as_str()), ("hours", hours)];
    let sql = include_str!("../../../sql/console/keys_use.sql");
    let uses: Vec<Use> = match store.query_rows(sql, &values).await {
        Err(error) if error.is_over_limit() => Vec::new(),
        uses => uses?,
    };
    for key in keys {
        let found = uses.iter().find(|it| it.key == key.key);
        key.everywhere = found.map(|it| it.accepted.max(key.accepted));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Found {
    id: String,
    is_about: u8,
}

async fn incidents(store: &Store, source: Source) -> Result<Option<Incidents>, StoreError> {
    let (first, last) = source.ends();
    let values = [("first", first.as_str()), ("last", &last)];
    let sql = include_str!("../../../sql/console/source_incidents.sql");
    let found: Vec<Found> = match store.query_rows(sql, &values).await {
        Err(error) if error.is_over_limit() => return Ok(None),
        found => found?,
    };
    let (about, of_keys): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.is_about == 1);
    let (about, of_keys) = tokio::try_join!(these(store, about), these(store, of_keys))?;
    Ok(Some(Incidents { about, of_keys }))
}

async fn these(store: &Store, found: Vec<Found>) -> Result<Vec<Incident>, StoreError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = found.into_iter().map(|it| it.id).collect();
    incidents::load(store, &Choice::default(), Among::These(&ids), ids.len()).await
}
