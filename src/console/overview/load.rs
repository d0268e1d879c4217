//! Reads the figures of the overview.

use serde::Deserialize;

use crate::alert::{Action, Severity};
use crate::console::Console;
use crate::console::incidents::{self, Among, Choice, Incident};
use crate::console::sight::{self, Inputs};
use crate::event::HOUR_SECONDS;
use crate::respond::Spent;
use crate::store::{RequestLedger, Store, StoreError};

/// Incidents that the overview lists.
const LATEST: usize = 8;

/// Findings of the ledger that mean that something is missing or twice. A batch in doubt is one that
/// is being stored, and what is behind has a figure of its own.
const FAULTS: [&str; 2] = ["gap", "overlap"];

#[derive(Debug, Deserialize)]
pub struct Minute {
    pub minute: i64,
    pub events: u64,
    pub rejections: u64,
    pub recent: u64,
}

#[derive(Debug, Default, Deserialize)]
pub struct Progress {
    pub partitions: u64,
    pub late_partitions: u64,
    pub behind: i64,
    /// Microseconds, as all times of the store.
    pub newest: i64,
    pub oldest_late: i64,
}

#[derive(Debug, Deserialize)]
pub struct Count {
    pub severity: Severity,
    pub action: Action,
    pub dry_run: bool,
    pub open: u64,
    pub acknowledged: u64,
    pub active: u64,
}

#[derive(Debug, Deserialize)]
pub struct Hour {
    pub hour: i64,
    pub severity: Severity,
    pub incidents: u64,
}

#[derive(Debug, Deserialize)]
pub struct ChannelState {
    pub channel: String,
    pub delivered: u64,
    pub waiting: u64,
    pub lost: u64,
    pub example: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: u64,
}

pub struct Overview {
    pub minutes: Vec<Minute>,
    pub progress: Progress,
    /// Faults in the ledger of the last day: kind and number.
    pub faults: Vec<(&'static str, usize)>,
    pub keys: u64,
    pub counts: Vec<Count>,
    pub hours: Vec<Hour>,
    pub inputs: Inputs,
    pub channels: Vec<ChannelState>,
    /// Revocations requested within the last hour.
    pub requested: usize,
    pub latest: Vec<Incident>,
}

/// # Errors
/// [`StoreError`] of the first query that fails.
pub async fn load(console: &Console) -> Result<Overview, StoreError> {
    let store = &console.store;
    let open = Choice::open();
    let (minutes, progress, faults, keys, counts, hours, inputs, channels, ledger, latest) = tokio::try_join!(
        store.query_rows(include_str!("../../../sql/console/ingest.sql"), &[]),
        one::<Progress>(store, include_str!("../../../sql/console/progress.sql")),
        store.ledger_findings(),
        one::<Keys>(store, include_str!("../../../sql/console/keys_watched.sql")),
        store.query_rows(include_str!("../../../sql/console/incident_counts.sql"), &[]),
        store.query_rows(include_str!("../../../sql/console/incident_hours.sql"), &[]),
        sight::load(console),
        store.query_rows(include_str!("../../../sql/console/channels.sql"), &[]),
        store.revocation_ledger(),
        incidents::load(store, &open, Among::All, LATEST),
    )?;
    Ok(Overview {
        minutes,
        progress: progress.unwrap_or_default(),
        faults: faults
            .into_iter()
            .filter(|(kind, count)| *count > 0 && FAULTS.contains(kind))
            .collect(),
        keys: keys.map_or(0, |row| row.keys),
        counts,
        hours,
        inputs,
        channels,
        requested: revocations_of_the_hour(&ledger),
        latest,
    })
}

fn revocations_of_the_hour(ledger: &RequestLedger) -> usize {
    let is_of_hour = |time| ledger.now.seconds_since(time) < HOUR_SECONDS;
    let counts = |it: &&Spent| it.action == Action::Revoke && is_of_hour(it.time);
    ledger.spent.iter().filter(counts).count()
}

async fn one<T: serde::de::DeserializeOwned>(
    store: &Store,
    sql: &str,
) -> Result<Option<T>, StoreError> {
    Ok(store.query_rows(sql, &[]).await?.pop())
}
