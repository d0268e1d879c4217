//! Reads what the policy has done, and what is spent and kept quiet now.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::alert::{Action, Alert, Restraint};
use crate::store::{RequestLedger, Store, StoreError};
use crate::workflow::Suppression;

/// Days of incidents that the page counts, as in the query.
pub const DAYS: u32 = 30;

/// Incidents to which one rule applied, with one action and one restraint.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// Empty if no rule applied.
    pub rule: String,
    pub action: Action,
    restraint: String,
    pub incidents: u64,
}

impl Outcome {
    /// Why the action was milder than the evidence asked.
    pub fn restraint(&self) -> Option<Restraint> {
        Restraint::named(&self.restraint)
    }
}

#[derive(Debug, Deserialize)]
pub struct Hidden {
    pub id: String,
    pub incidents: u64,
}

pub struct Stored {
    /// `None`: they could not be counted in the time of a page.
    pub outcomes: Option<Vec<Outcome>>,
    pub ledger: RequestLedger,
    /// Open incidents about breakers.
    pub breakers: Vec<Alert>,
    pub suppressions: Vec<Suppression>,
    /// `None`, as above.
    pub hidden: Option<Vec<Hidden>>,
}

/// # Errors
/// [`StoreError`] of the first query that fails.
pub async fn load(store: &Store) -> Result<Stored, StoreError> {
    let outcomes = within_limits(store, include_str!("../../../sql/console/policy_outcomes.sql"));
    let hidden = within_limits(store, include_str!("../../../sql/console/suppressed.sql"));
    let (outcomes, ledger, breakers, suppressions, hidden) = tokio::try_join!(
        outcomes,
        store.revocation_ledger(),
        store.open_breakers(),
        store.suppressions(),
        hidden,
    )?;
    Ok(Stored { outcomes, ledger, breakers, suppressions, hidden })
}

/// Returns `None` where the query takes longer than a page may.
async fn within_limits<T: DeserializeOwned>(
    store: &Store,
    sql: &str,
) -> Result<Option<Vec<T>>, StoreError> {
    match store.query_rows(sql, &[]).await {
        Err(error) if error.is_over_limit() => Ok(None),
        rows => rows.map(Some),
    }
}
