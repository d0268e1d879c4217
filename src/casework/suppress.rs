//! Makes a suppression of what a person asks for.

use ipnet::IpNet;

use super::case::{self, Case};
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{Store, StoreError};
use crate::workflow::{Scope, Suppression};

/// A suppression is looked at again once a year at least.
const LONGEST_DAYS: f64 = 366.0;

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The incident that completes the scope.
    pub id: Option<String>,
    pub scope: Scope,
    /// Without it, the beginning of the incident, or now.
    pub from: Option<EventTime>,
    pub until: EventTime,
    pub hides_critical: bool,
    pub note: String,
    pub who: String,
}

/// The reason for which there is nothing to suppress.
#[derive(Debug, thiserror::Error)]
pub enum NoSuppression {
    #[error("no alert has this id")]
    Unknown(String),
    #[error("give an incident's id, or keys or tenants, or detectors with an AS, CIDR or route")]
    Unbounded,
    #[error("must lie ahead, by a year at most")]
    Until,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Wish {
    /// The suppression, not stored yet. It has a new id.
    ///
    /// # Errors
    /// [`NoSuppression`].
    pub async fn suppression(self, store: &Store) -> Result<Suppression, NoSuppression> {
        let (now, mut from, mut scope) = (EventTime::now(), self.from, self.scope);
        if let Some(id) = self.id {
            let case = case::load(store, &[&id]).await?.remove(&id);
            let case = case.ok_or(NoSuppression::Unknown(id))?;
            complete(&mut scope, &case);
            from = from.or(Some(case.latest().first_event_time));
        }
        if !scope.is_bounded() {
            return Err(NoSuppression::Unbounded);
        }
        let (from, until) = (from.unwrap_or(now), self.until);
        if until <= from.max(now) || until.seconds_since(now) > LONGEST_DAYS * DAY_SECONDS {
            return Err(NoSuppression::Until);
        }
        Ok(Suppression {
            id: format!("sup_{:024x}", rand::random::<u128>() >> 32),
            who: self.who,
            note: self.note,
            scope,
            from,
            until,
            hides_critical: self.hides_critical,
            ended: None,
        })
    }
}

/// Takes from the incident what the wish does not name.
fn complete(scope: &mut Scope, case: &Case) {
    let alert = case.latest();
    if scope.detectors.is_empty() {
        scope.detectors = case.seen().detectors;
    }
    if scope.is_bounded() {
        return;
    }
    match (&alert.key_id, alert.source_ip) {
        (Some(key), _) => scope.keys = vec![key.to_string()],
        (None, Some(address)) => scope.cidr = Some(IpNet::from(address)),
        (None, None) => {}
    }
}
