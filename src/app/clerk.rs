//! Reads what people do to incidents, for the lanes of delivery.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::task::JoinHandle;

use super::looks::Looks;
use crate::deliver::Casebook;
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{ACTS_KEPT_DAYS, Store, StoreError};
use crate::workflow::{Act, Suppression};

/// Time limit for one look.
const PATIENCE: Duration = Duration::from_secs(10);

/// Acts, incidents that have ended since a request, and suppressions.
type News = (Vec<Act>, Vec<String>, Vec<Suppression>);

/// Reads new acts once a second. An act thus has its effect about a second after it was stored,
/// and no delivery waits for the store.
pub struct Clerk {
    store: Arc<Store>,
    casebook: Arc<Casebook>,
    /// Time of the latest act that was read.
    latest: Option<EventTime>,
}

impl Clerk {
    /// Reads the acts so far and waits while ClickHouse is away. Lanes start after that: a restart
    /// must not send what people have dismissed.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn open(store: &Arc<Store>) -> Result<Self, StoreError> {
        let casebook = Arc::default();
        let mut clerk = Self { store: Arc::clone(store), casebook, latest: None };
        let acts = store.until_available(|| store.acts_since(None)).await?;
        let ended = store.until_available(|| store.ended_since_request()).await?;
        let suppressions = store.until_available(|| store.suppressions()).await?;
        clerk.take((acts, ended, suppressions));
        Ok(clerk)
    }

    pub fn casebook(&self) -> &Arc<Casebook> {
        &self.casebook
    }

    /// Starts the task. It never ends by itself.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(self.run())
    }

    async fn run(mut self) {
        let mut looks = Looks::new("what people did to incidents", PATIENCE);
        loop {
            if let Some(news) = looks.next(async || self.read().await).await {
                self.take(news);
            }
        }
    }

    async fn read(&self) -> Result<News, StoreError> {
        tokio::try_join!(
            self.store.acts_since(self.latest),
            self.store.ended_since_request(),
            self.store.suppressions(),
        )
    }

    fn take(&mut self, (acts, ended, suppressions): News) {
        self.casebook.set_ended(ended.into_iter().collect());
        self.casebook.set_suppressions(suppressions);
        let now = EventTime::now();
        // A time ahead of the clock would hide the acts after it.
        let latest = acts.iter().map(|act| act.time.min(now)).max();
        self.latest = latest.max(self.latest);
        self.casebook.learn(acts);
        self.casebook.forget_before(now.plus_seconds(-f64::from(ACTS_KEPT_DAYS) * DAY_SECONDS));
        let active = self.casebook.active_suppressions(now);
        gauge!("keywatch_suppressions_active").set(active as f64);
        gauge!("keywatch_quiet_incidents").set(self.casebook.quiet(now) as f64);
    }
}
