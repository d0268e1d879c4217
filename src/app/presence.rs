//! Says that this process is there, and takes over the alerts of processes that are gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::deliver::{Outbox, OutboxSettings, Reminder};
use crate::event::EventTime;
use crate::store::{Store, StoreError};

const BEAT_EVERY: Duration = Duration::from_secs(3);
/// A process without a beat for so long counts as gone.
const SILENT_SECONDS: u32 = 15;
/// An heir looks for alerts of gone processes again at this interval: an answer of the store may
/// have been lost, or a process that was taken for gone may have written more.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub struct Presence {
    task: JoinHandle<()>,
    store: Arc<Store>,
}

impl Presence {
    pub fn start(store: &Arc<Store>, outbox: &Outbox) -> Self {
        let pulse = Pulse {
            store: Arc::clone(store),
            reminder: outbox.reminder(),
            regular_since: None,
            looked: Instant::now(),
            inherited: Vec::new(),
        };
        Self { task: tokio::spawn(pulse.run()), store: Arc::clone(store) }
    }

    /// Says that this process leaves: another one delivers at once what is undelivered. If this
    /// cannot be said in time, the others wait for a beat first.
    pub async fn leave(self, within: Duration) {
        self.task.abort();
        // The abort was intended, so its error is ignored.
        let _ = self.task.await;
        if !matches!(timeout(within, self.store.beat(true)).await, Ok(Ok(()))) {
            warn!("ClickHouse did not learn in time that this process leaves");
        }
    }
}

struct Pulse {
    store: Arc<Store>,
    reminder: Reminder,
    /// Since when this process's own beats arrive in time. Before, and after a pause of ClickHouse,
    /// the beats of other processes are late for the same reason.
    regular_since: Option<Instant>,
    looked: Instant,
    inherited: Vec<String>,
}

impl Pulse {
    async fn run(mut self) {
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let begin = beats.tick().await;
            let beat = timeout(Duration::from_secs(SILENT_SECONDS.into()), self.beat()).await;
            let error = match beat {
                Ok(Ok(())) if begin.elapsed() <= BEAT_EVERY => {
                    self.regular_since.get_or_insert(begin);
                    continue;
                }
                Ok(Ok(())) => "the answer was late".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(elapsed) => elapsed.to_string(),
            };
            if self.regular_since.take().is_some() {
                warn!(error, "cannot tell ClickHouse in time that this process is there");
            }
        }
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        self.store.beat(false).await?;
        let patience = Duration::from_secs(SILENT_SECONDS.into());
        let is_regular = self.regular_since.is_some_and(|since| since.elapsed() >= patience);
        let gone = self.store.inherit(is_regular.then_some(SILENT_SECONDS)).await?;
        if gone > 0 || self.looked.elapsed() >= LOOK_EVERY {
            self.take_over().await?;
            self.looked = Instant::now();
        }
        Ok(())
    }

    async fn take_over(&mut self) -> Result<(), StoreError> {
        // Older alerts are not delivered any more.
        let keep_trying = OutboxSettings::default().keep_trying;
        let since = EventTime::now().plus_seconds(-keep_trying.as_secs_f64());
        let inherited = self.store.inherited(since).await?;
        if inherited != self.inherited {
            info!(processes = ?inherited, "delivers the alerts of processes that are gone");
        }
        self.inherited = inherited;
        if !self.inherited.is_empty() {
            self.reminder.look_again();
        }
        Ok(())
    }
}
