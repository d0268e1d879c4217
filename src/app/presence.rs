//! Says that this process is there, and takes over the alerts of processes that are gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info};

use crate::deliver::{Outbox, OutboxSettings};
use crate::event::EventTime;
use crate::store::{Store, StoreError};

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// A process without a beat for so long counts as gone.
const SILENT_SECONDS: u32 = 15;

pub struct Presence {
    task: JoinHandle<()>,
    store: Arc<Store>,
}

impl Presence {
    pub fn start(store: &Arc<Store>, outbox: &Arc<Outbox>) -> Self {
        let keep_trying = OutboxSettings::default().keep_trying;
        let pulse = Pulse {
            store: Arc::clone(store),
            outbox: Arc::clone(outbox),
            keep_trying,
            regular_since: None,
            inherited: Vec::new(),
        };
        Self { task: tokio::spawn(pulse.run()), store: Arc::clone(store) }
    }

    /// Ends the task, which holds the outbox.
    pub async fn stop(self) -> Departure {
        self.task.abort();
        // The abort was intended, so its error is ignored.
        let _ = self.task.await;
        Departure(self.store)
    }
}

/// The last word of a process.
pub struct Departure(Arc<Store>);

impl Departure {
    /// Says that this process leaves: another one delivers at once what is undelivered. If this
    /// cannot be said in time, the others wait for a beat first.
    pub async fn say(self, within: Duration) {
        if !matches!(timeout(within, self.0.beat(true)).await, Ok(Ok(()))) {
            debug!("ClickHouse did not learn in time that this process leaves");
        }
    }
}

struct Pulse {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    /// Older alerts are not delivered any more.
    keep_trying: Duration,
    /// Since when this process's own beats arrive in time. Before, and after a pause of ClickHouse,
    /// the beats of other processes are late for the same reason.
    regular_since: Option<Instant>,
    inherited: Vec<String>,
}

impl Pulse {
    async fn run(mut self) {
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let begin = beats.tick().await;
            let outcome = self.beat().await;
            if let Err(error) = &outcome {
                debug!(%error, "ClickHouse did not learn that this process is there");
            }
            if outcome.is_err() || begin.elapsed() > BEAT_EVERY {
                self.regular_since = None;
            } else {
                self.regular_since.get_or_insert(begin);
            }
        }
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        self.store.beat(false).await?;
        let patience = Duration::from_secs(SILENT_SECONDS.into());
        let is_regular = self.regular_since.is_some_and(|since| since.elapsed() >= patience);
        if self.store.inherit(is_regular.then_some(SILENT_SECONDS)).await? > 0 {
            self.take_over().await?;
        }
        Ok(())
    }

    async fn take_over(&mut self) -> Result<(), StoreError> {
        let since = EventTime::now().plus_seconds(-self.keep_trying.as_secs_f64());
        let inherited = self.store.inherited(since).await?;
        if inherited != self.inherited {
            info!(processes = ?inherited, "delivers the alerts of processes that are gone");
            self.inherited = inherited;
            self.outbox.look_again();
        }
        Ok(())
    }
}
