//! Reads what is stored of an address or a network.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::Source;
use crate::console::facet::Facet;
use crate::console::incidents::{self, Among, Choice, Incident};
use crate::store::{Store, StoreError};

/// Hours of requests that the page counts. Where one takes more rows to read than a page may, the
/// next is counted: all figures of a page are whole, and of the same time.
pub const SPANS: [u32; 3] = [14 * 24, 24, 1];
/// The requests are counted within this time, which leaves some of the page's to the incidents.
const COUNTED_WITHIN: Duration = Duration::from_secs(4);

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
    /// `None`: there are too many to search in the time of a page.
    pub incidents: Option<Incidents>,
}

/// Returns `None` for a source without requests and incidents.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, source: Source) -> Result<Option<Known>, StoreError> {
    let counted = async {
        let traffic = timeout(COUNTED_WITHIN, traffic(store, source)).await;
        traffic.unwrap_or(Ok(None))
    };
    let (traffic, incidents) = tokio::try_join!(counted, incidents(store, source))?;
    let is_quiet = traffic.as_ref().is_some_and(|traffic| traffic.series.is_empty());
    let is_blameless = incidents.as_ref().is_some_and(Incidents::are_none);
    let is_known = !(is_quiet && is_blameless);
    Ok(is_known.then_some(Known { traffic, incidents }))
}

/// The requests over the longest span that can be counted.
async fn traffic(store: &Store, source: Source) -> Result<Option<Traffic>, StoreError> {
    for hours in SPANS {
        match traffic_of(store, source, hours).await {
            Err(error) if error.is_over_limit() => {}
            Err(error) => return Err(error),
            Ok(traffic) => return Ok(Some(traffic)),
        }
    }
    Ok(None)
}

async fn traffic_of(store: &Store, source: Source, hours: u32) -> Result<Traffic, StoreError> {
    let ((first, last), span) = (source.ends(), hours.to_string());
    let values = [("first", first.as_str()), ("last", &last), ("hours", &span)];
    let (series, mut keys, facets) = tokio::try_join!(
        store.query_rows(include_str!("../../../sql/console/source_hours.sql"), &values),
        store.query_rows(include_str!("../../../sql/console/source_keys.sql"), &values),
        store.query_rows(include_str!("../../../sql/console/source_facets.sql"), &values),
    )?;
    count_everywhere(store, &mut keys, &span).await?;
    Ok(Traffic { hours, series, keys, facets })
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
