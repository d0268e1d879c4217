//! Reads what is stored of one key.

use serde::Deserialize;

use super::DAYS;
use crate::console::facet::Facet;
use crate::console::incidents::{self, Among, Choice, Incident};
use crate::store::{Store, StoreError};

/// Incidents that the page lists.
const INCIDENTS: usize = 20;

#[derive(Debug, Deserialize)]
pub struct Hour {
    pub start: i64,
    pub requests: u64,
    pub failed: u64,
}

pub struct Key {
    pub hours: Vec<Hour>,
    pub facets: Vec<Facet>,
    pub incidents: Vec<Incident>,
}

/// Returns `None` for a key without requests and incidents.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, id: &str) -> Result<Option<Key>, StoreError> {
    let days = DAYS.to_string();
    let values = [("key", id), ("days", &days)];
    let all = Choice::default();
    let (hours, facets, incidents) = tokio::try_join!(
        store.query_rows(include_str!("../../../sql/console/key_hours.sql"), &values),
        store.query_rows(include_str!("../../../sql/console/key_facets.sql"), &values),
        incidents::load(store, &all, Among::OfKey(id), INCIDENTS),
    )?;
    let key = Key { hours, facets, incidents };
    let is_known = !(key.hours.is_empty() && key.facets.is_empty() && key.incidents.is_empty());
    Ok(is_known.then_some(key))
}
