//! Reads the figures of the fleet.

use serde::Deserialize;

use crate::alert::Alert;
use crate::console::Console;
use crate::console::sight::{self, Inputs};
use crate::decide::promise::{Balance, balances};
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{Outcomes, StoreError};

/// Days of closed incidents that are compared with their confidence.
pub const OUTCOME_DAYS: f64 = 28.0;

/// Incidents with evidence of one detector.
#[derive(Debug, Deserialize)]
pub struct Seen {
    pub detector: String,
    /// Opened in the last seven days.
    pub week: u64,
    /// Opened in the four weeks before.
    pub before: u64,
    pub last: i64,
}

/// The use of all keys in seven days.
#[derive(Debug, Default, Deserialize)]
pub struct Traffic {
    /// Of the seven days before the last ones.
    pub before: u8,
    pub keys: u64,
    pub requests: u64,
    pub failed: u64,
    pub refused: u64,
    pub throttled: u64,
    pub bytes: u64,
}

#[derive(Debug, Deserialize)]
pub struct Process {
    pub process: String,
    pub version: String,
    pub policy: String,
    pub model: String,
    pub started: i64,
}

pub struct Fleet {
    pub balances: Vec<Balance>,
    /// Open incidents about broken promises.
    pub broken: Vec<Alert>,
    pub outcomes: Vec<Outcomes>,
    pub seen: Vec<Seen>,
    pub inputs: Inputs,
    /// `None`: it could not be counted in the time of a page.
    pub traffic: Option<Vec<Traffic>>,
    pub processes: Vec<Process>,
}

/// # Errors
/// [`StoreError`] of the first query that fails.
pub async fn load(console: &Console) -> Result<Fleet, StoreError> {
    let store = &console.store;
    let since = EventTime::now().plus_seconds(-OUTCOME_DAYS * DAY_SECONDS);
    let traffic = async {
        let rows = store.query_rows(include_str!("../../../sql/console/fleet_traffic.sql"), &[]);
        Ok::<_, StoreError>(rows.await.ok())
    };
    let (incidents, broken, outcomes, seen, inputs, processes, traffic) = tokio::try_join!(
        store.opened_incidents(),
        store.broken_promises(),
        store.outcomes(since),
        store.query_rows(include_str!("../../../sql/console/fleet_detectors.sql"), &[]),
        sight::load(console),
        store.query_rows(include_str!("../../../sql/console/processes.sql"), &[]),
        traffic,
    )?;
    let balances = balances(&incidents, &console.detect);
    Ok(Fleet { balances, broken, outcomes, seen, inputs, traffic, processes })
}
