//! Stores events, alerts, the ledger and saved state in ClickHouse, applies migrations and runs
//! queries. Every insert may be repeated.

mod accounts;
mod acts;
mod answers;
mod audit;
mod block;
mod check;
mod checkpoint;
mod claim;
mod cluster;
mod connection;
mod delivery;
mod error;
mod event_columns;
mod first_use;
mod heirs;
mod history;
mod insert;
mod keys;
mod leaks;
mod ledger;
mod lessons;
mod migrate;
mod monitor;
mod outcomes;
mod owner;
mod promise;
mod query;
mod requests;
mod response;
mod revocation;
mod rows;
mod stuffing;
mod suppressions;
mod verify;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use clickhouse::Client;
use parking_lot::Mutex;

pub use self::accounts::{AccountRow, SessionRow, UseRow};
pub use self::acts::ACTS_KEPT_DAYS;
pub use self::answers::Answered;
pub use self::audit::{Audited, Sealed};
pub use self::check::check;
pub use self::checkpoint::{PackedChunk, Round, RoundId};
pub use self::claim::{Claim, Holder};
pub use self::cluster::{ClusterNode, NodeAnswer, Replica};
pub use self::error::StoreError;
pub use self::history::Slice;
pub use self::keys::Author;
pub use self::ledger::{BatchInDoubt, Progress};
pub use self::outcomes::Outcomes;
pub use self::query::{ANALYST_QUERIES, AnalystQuery, Parameter, Table, analyst_query};
pub use self::requests::{EarlierRequest, RefusedRow, RequestProgress};
pub use self::revocation::{Proposal, RequestLedger, UntoldRequest};
pub use self::rows::{AlertRow, EventRow, RejectionRow};
pub use self::stuffing::{AttemptRow, Suspect};
pub use self::write::{StoredBatch, Written};
use crate::config::ClickHouseConfig;
use crate::event::{DAY_SECONDS, EventTime};

/// Longest pause between two attempts. A server that is back is used within about this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Texts of 256 bytes, each of them escaped, that fit into a query of ClickHouse: it has at most
/// 256 KiB.
const MOST_BOUND: usize = 200;

/// The distinct texts, in parts that fit into a query.
fn parts<'a>(texts: &[&'a str]) -> Vec<Vec<&'a str>> {
    let distinct: BTreeSet<&str> = texts.iter().copied().collect();
    let distinct: Vec<&str> = distinct.into_iter().collect();
    distinct.chunks(MOST_BOUND).map(<[&str]>::to_vec).collect()
}

/// A database of a ClickHouse server or of a cluster of them. Cheap to clone: clones share connections.
#[derive(Clone)]
pub struct Store {
    client: Client,
    url: String,
    database: String,
    /// The cluster that the server belongs to, if the tables are spread over one.
    cluster: Option<Arc<str>>,
    raw_retention_days: u32,
    /// The name under which this process claims partitions.
    owner: Arc<str>,
    /// The reason why an operation is being repeated.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Store {
    /// Creates the store without opening a connection.
    pub fn new(config: &ClickHouseConfig) -> Self {
        Self {
            client: connection::client(config),
            url: config.url.clone(),
            database: config.database.clone(),
            cluster: config.cluster.as_deref().map(Into::into),
            raw_retention_days: config.raw_retention_days,
            owner: claim::new_owner(),
            trouble: Arc::default(),
        }
    }

    /// Returns the problem that an operation waits for; `None` when the last one succeeded.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Waits until the server answers, and logs the reason of the wait. Cancel safe.
    ///
    /// # Errors
    /// Errors that a retry cannot fix, such as a wrong password.
    pub async fn wait_until_ready(&self) -> Result<(), StoreError> {
        self.until_available(|| self.ping()).await
    }

    /// Logs in, which does not need a database.
    ///
    /// # Errors
    /// [`StoreError`]; retryable when the server is down or takes over five seconds.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ask_server("SELECT 'here'").await.map(|_| ())
    }

    /// Queries one text of the server itself, within five seconds.
    pub(crate) async fn ask_server(&self, sql: &str) -> Result<String, StoreError> {
        let answer = self.server().query(sql).fetch_one::<String>();
        tokio::time::timeout(Duration::from_secs(5), answer)
            .await
            .unwrap_or(Err(clickhouse::error::Error::TimedOut))
            .map_err(|error| self.error("logging in", &error))
    }

    /// Returns a client that works before the database exists.
    fn server(&self) -> Client {
        self.client.clone().with_database("system")
    }

    /// Repeats `operation` with growing pauses until it succeeds or fails for good.
    pub(crate) async fn until_available<T, F, Fut>(&self, operation: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times();
        let outcome = operation
            .retry(pauses)
            .when(StoreError::is_retryable)
            .notify(|error, pause| {
                self.set_trouble(Some(error.to_string()));
                metrics::counter!("keywatch_store_retries_total").increment(1);
                tracing::warn!(%error, retry_in_ms = pause.as_millis() as u64, "waiting for ClickHouse");
            })
            .await;
        self.set_trouble(None);
        outcome
    }

    /// The time from which raw events are kept at `now`.
    pub fn kept_from(&self, now: EventTime) -> EventTime {
        match self.raw_retention_days {
            0 => EventTime::from_micros(i64::MIN),
            days => now.plus_seconds(-f64::from(days) * DAY_SECONDS),
        }
    }

    fn error(&self, doing: &str, error: &clickhouse::error::Error) -> StoreError {
        StoreError::sort(&self.url, doing, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_has_too_many_texts_and_no_text_comes_twice() {
        let texts: Vec<String> = (0..MOST_BOUND + 1).map(|it| it.to_string()).collect();
        let twice: Vec<&str> = texts.iter().chain(&texts).map(String::as_str).collect();
        let parts = parts(&twice);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [MOST_BOUND, 1]);
        assert!(super::parts(&[]).is_empty());
    }
}
