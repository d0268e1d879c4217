//! Searches the stored attempts of all partitions for networks that may be trying keys.

use std::collections::HashMap;
use std::future;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use crate::profile::stuffing::SourceAttempt;
use crate::store::{Store, StoreError, Suspect};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A row may become visible this long after the time it carries.
const INSERT_PATIENCE: Duration = Duration::from_secs(60);
/// Looks between two reviews. A review judges again all networks whose incidents may be open, ...
const REVIEW_EVERY: u32 = 60;
/// ... which are those with attempts within this time. Incidents close then, and keys whose
/// partition has since moved to this process are raised.
const REVIEWED: Duration = Duration::from_secs(2 * 3_600);
/// Networks that wait to be judged.
const QUEUED_NETWORKS: usize = 4;

/// The results of a look, in order.
#[derive(Debug)]
pub enum Found {
    /// The attempts of a network, in the order of their times.
    Network(Vec<SourceAttempt>),
    /// The look is complete.
    All,
}

/// Networks that may be trying keys.
pub struct Suspects {
    store: Arc<Store>,
    is_review_due: Arc<AtomicBool>,
    search: Option<(JoinHandle<()>, mpsc::Receiver<Found>)>,
}

impl Suspects {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, is_review_due: Arc::default(), search: None }
    }

    /// Starts the search unless it runs, and makes the next look a review: another process may have
    /// published for these partitions before.
    pub fn review(&mut self) {
        self.is_review_due.store(true, Ordering::Relaxed);
        if self.search.is_none() {
            let (found, networks) = mpsc::channel(QUEUED_NETWORKS);
            let (store, is_due) = (Arc::clone(&self.store), Arc::clone(&self.is_review_due));
            self.search = Some((tokio::spawn(Search::new(store, is_due).run(found)), networks));
        }
    }

    /// Returns the next result; waits forever while no search runs. Cancel safe.
    pub async fn next(&mut self) -> Found {
        let Some((_, found)) = &mut self.search else { return future::pending().await };
        match found.recv().await {
            Some(found) => found,
            None => future::pending().await,
        }
    }
}

impl Drop for Suspects {
    fn drop(&mut self) {
        if let Some((task, _)) = &self.search {
            task.abort();
        }
    }
}

struct Search {
    store: Arc<Store>,
    /// Number of attempts of each network when it was last found.
    known: HashMap<Ipv6Addr, u64>,
    last_look: Instant,
    is_review_due: Arc<AtomicBool>,
    until_review: u32,
}

impl Search {
    fn new(store: Arc<Store>, is_review_due: Arc<AtomicBool>) -> Self {
        let (known, last_look) = (HashMap::new(), Instant::now());
        Self { store, known, last_look, is_review_due, until_review: 0 }
    }

    /// Ends when the receiver is dropped.
    async fn run(mut self, found: mpsc::Sender<Found>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let networks = match self.look().await {
                Ok(networks) => networks,
                Err(error) => {
                    // The next successful look covers the time since the last successful one.
                    debug!(%error, "the attempts of networks could not be read");
                    continue;
                }
            };
            let networks = networks.into_iter().map(Found::Network);
            for next in networks.chain([Found::All]) {
                if found.send(next).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Returns the attempts of networks with new attempts, or of all recent ones in a review.
    async fn look(&mut self) -> Result<Vec<Vec<SourceAttempt>>, StoreError> {
        let begin = Instant::now();
        if self.is_review_due.swap(false, Ordering::Relaxed) {
            self.until_review = 0;
        }
        let is_review = self.until_review == 0;
        let since_last = self.last_look.elapsed() + INSERT_PATIENCE;
        let within = if is_review { REVIEWED.max(since_last) } else { since_last };
        let mut suspects = self.store.suspects(within).await?;
        suspects.retain(|suspect| is_review || self.is_news(suspect));
        let networks = self.store.attempts_of(&suspects).await?;
        if is_review {
            self.known.clear();
        }
        self.known.extend(suspects.iter().map(|suspect| (suspect.network, suspect.attempts)));
        self.until_review = if is_review { REVIEW_EVERY } else { self.until_review - 1 };
        self.last_look = begin;
        Ok(networks)
    }

    fn is_news(&self, suspect: &Suspect) -> bool {
        self.known.get(&suspect.network) != Some(&suspect.attempts)
    }
}
