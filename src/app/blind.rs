//! Watches the monitor itself, by the wall clock, in a task of its own: what holds up the
//! pipeline must not hold up the word about it.

mod notice;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch as channel;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

pub use self::watch::Observation;

use self::watch::Watch;
use crate::alert::Alert;
use crate::config::{Config, SourceKind};
use crate::deliver::Outbox;
use crate::event::EventTime;
use crate::source::Lag;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The ledger is read as a whole, and asked for the last batch of anybody, after so many looks
/// at most, ...
const ASK_EVERY: u32 = 60;
/// ... and so often within the silence that is allowed.
const ASKS_WITHIN_SILENCE: f64 = 5.0;
/// The word goes out without its row when ClickHouse does not take it in this time: it may be
/// what is wrong.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

pub struct Lookout {
    watch: Watch,
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    observations: channel::Receiver<Observation>,
    topic: String,
    judged_topics: Vec<String>,
    is_pushed_to: bool,
    ask_every: u32,
}

impl Lookout {
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        outbox: Arc<Outbox>,
        observations: channel::Receiver<Observation>,
    ) -> Self {
        let kind = config.source.kind;
        let topic = match kind {
            SourceKind::Kafka => config.source.kafka.topics.join(","),
            _ => "http".to_owned(),
        };
        let judged = config.source.kafka.judged_topics();
        Self {
            watch: Watch::new(&config.monitor, &config.policy.version, EventTime::now()),
            store,
            outbox,
            observations,
            topic,
            judged_topics: judged.into_iter().map(str::to_owned).collect(),
            is_pushed_to: kind == SourceKind::Http,
            ask_every: ask_every(config.monitor.max_silence_seconds),
        }
    }

    /// Never ends by itself.
    pub async fn run(mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_asked = 0;
        loop {
            looks.tick().await;
            let observation = self.observations.borrow().clone();
            let alert = self.watch.look_at_lag(&observation, EventTime::now());
            self.tell(alert).await;
            if until_asked == 0 {
                // Without ClickHouse there is nothing to learn; the lag tells then.
                if let Err(error) = self.ask(&observation).await {
                    debug!(%error, "the ledger could not be read");
                }
                until_asked = self.ask_every;
            }
            until_asked -= 1;
        }
    }

    async fn ask(&mut self, observation: &Observation) -> Result<(), StoreError> {
        self.report_ledger().await?;
        // One process of a group asks: whichever judges the first partition.
        let is_first = |lag: &Lag| {
            lag.partition.partition == 0
                && self.judged_topics.iter().any(|topic| **topic == *lag.partition.topic)
        };
        if !self.is_pushed_to && !observation.lags.iter().any(is_first) {
            return Ok(());
        }
        let Some(last_stored) = self.store.last_batch_time().await? else { return Ok(()) };
        let now = EventTime::now();
        let usual = match self.watch.is_silent(last_stored, now) {
            true => self.store.usual_requests_an_hour().await?,
            false => 0.0,
        };
        let alert = self.watch.look_at_silence(&self.topic, last_stored, usual, now);
        self.tell(alert).await;
        Ok(())
    }

    async fn report_ledger(&self) -> Result<(), StoreError> {
        for (finding, count) in self.store.ledger_findings().await? {
            gauge!("keywatch_ledger_findings", "finding" => finding).set(count as f64);
            if count > 0 && finding == "overlap" {
                warn!(count, "the ledger has overlapping batches: ask the query `completeness`");
            }
        }
        Ok(())
    }

    async fn tell(&self, alert: Option<Alert>) {
        let Some(alert) = alert else { return };
        let (kind, title) = (alert.alert_type.as_str(), &alert.title);
        warn!(id = alert.id, kind, title, "{}", alert.explanation);
        let (alert, store) = (Arc::new(alert), Arc::clone(&self.store));
        let row = Arc::clone(&alert);
        // Goes on when nobody waits for it any more.
        let storing = tokio::spawn(async move { store.write_alert_until_done(&row).await });
        if timeout(STORE_PATIENCE, storing).await.is_err() {
            warn!(id = alert.id, "told before it is stored: ClickHouse does not answer");
        }
        self.outbox.enqueue(alert);
    }
}

/// In looks.
fn ask_every(max_silence_seconds: f64) -> u32 {
    let seconds = max_silence_seconds / ASKS_WITHIN_SILENCE;
    ((seconds / LOOK_EVERY.as_secs_f64()) as u32).clamp(1, ASK_EVERY)
}
