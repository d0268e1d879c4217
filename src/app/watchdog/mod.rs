//! Watches the monitor itself by the wall clock. It runs in its own task, so that a blocked
//! pipeline does not block the alert about it.

mod notice;
mod promises;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

pub use self::notice::{Finding, Notice, incident_id};
use self::watch::{Observation, Watch};
use super::announce::publish_missing;
use super::batch::Settled;
use crate::alert::Alert;
use crate::config::{Config, DetectConfig, OnBrokenPromise, SourceKind};
use crate::deliver::Outbox;
use crate::detect::Family;
use crate::event::{EventTime, PartitionId};
use crate::source::Lag;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most looks between two reads of the ledger and of the time of the last batch of any process, ...
const ASK_EVERY: u32 = 60;
/// ... and the number of these reads within the allowed silence.
const ASKS_WITHIN_SILENCE: f64 = 5.0;
/// The alert is sent without a stored row when ClickHouse does not accept it within this time:
/// ClickHouse may be the failing part.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// The pipeline's end of the channels between it and the watchdog.
pub struct Observer {
    latest: Observation,
    published: channel::Sender<Observation>,
    restrained: channel::Receiver<BTreeSet<Family>>,
}

/// The watchdog's end.
pub struct Observed {
    observations: channel::Receiver<Observation>,
    /// Families that are restrained for a broken promise of false alerts.
    restrained: channel::Sender<BTreeSet<Family>>,
}

impl Observer {
    pub fn new() -> (Self, Observed) {
        let (published, observations) = channel::channel(Observation::default());
        let (sender, restrained) = channel::channel(BTreeSet::new());
        let observer = Self { latest: Observation::default(), published, restrained };
        (observer, Observed { observations, restrained: sender })
    }

    /// Returns the families that are restrained, if they have changed since the last call.
    pub fn restrained_since(&mut self) -> Option<BTreeSet<Family>> {
        let has_changed = self.restrained.has_changed().unwrap_or(false);
        has_changed.then(|| self.restrained.borrow_and_update().clone())
    }

    pub fn note(&mut self, settled: &Settled) {
        self.latest.note(settled);
    }

    /// Publishes the noted batches and the current lags to the watchdog.
    pub fn publish(&mut self, lags: Vec<Lag>) {
        self.latest.lags = lags;
        self.published.send_replace(self.latest.clone());
    }

    /// Returns the end of the log of `partition` according to the last lags.
    pub fn log_end(&self, partition: &PartitionId) -> Option<i64> {
        self.latest.log_end(partition)
    }
}

pub struct Watchdog {
    watch: Watch,
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    observed: Observed,
    topic: String,
    judged_topics: Vec<String>,
    kind: SourceKind,
    detect: DetectConfig,
    on_broken_promise: OnBrokenPromise,
    policy_version: String,
    ask_every: u32,
}

impl Watchdog {
    fn new(config: &Config, store: Arc<Store>, outbox: Arc<Outbox>, observed: Observed) -> Self {
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
            observed,
            topic,
            judged_topics: judged.into_iter().map(str::to_owned).collect(),
            kind,
            detect: config.detect.clone(),
            on_broken_promise: config.monitor.on_broken_promise,
            policy_version: config.policy.version.clone(),
            ask_every: ask_every(config.monitor.max_silence_seconds),
        }
    }

    /// Starts the task. It never ends by itself.
    pub fn start(
        config: &Config,
        store: &Arc<Store>,
        outbox: &Arc<Outbox>,
        observed: Observed,
    ) -> JoinHandle<()> {
        let (store, outbox) = (Arc::clone(store), Arc::clone(outbox));
        tokio::spawn(Self::new(config, store, outbox, observed).run())
    }

    async fn run(mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_asked = 0;
        loop {
            looks.tick().await;
            let observation = self.observed.observations.borrow().clone();
            let alert = self.watch.look_at_lag(&observation, EventTime::now());
            self.publish(alert).await;
            if until_asked == 0 {
                // Without ClickHouse nothing can be read; growing lag raises the alert then.
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
        let speaks = self.speaks_for_all(observation);
        self.look_at_promises(speaks).await?;
        if !speaks || matches!(self.kind, SourceKind::File | SourceKind::Stdin) {
            return Ok(());
        }
        let Some(last_stored) = self.store.last_batch_time().await? else { return Ok(()) };
        let now = EventTime::now();
        let usual = match self.watch.is_silent(last_stored, now) {
            true => self.store.usual_requests_an_hour().await?,
            false => 0.0,
        };
        let alert = self.watch.look_at_silence(&self.topic, last_stored, usual, now);
        self.publish(alert).await;
        Ok(())
    }

    /// Whether this process publishes what all processes see. Of a Kafka group it is the one that
    /// judges the first partition.
    fn speaks_for_all(&self, observation: &Observation) -> bool {
        let is_first = |lag: &Lag| {
            lag.partition.partition == 0
                && self.judged_topics.iter().any(|topic| **topic == *lag.partition.topic)
        };
        self.kind != SourceKind::Kafka || observation.lags.iter().any(is_first)
    }

    async fn look_at_promises(&self, speaks: bool) -> Result<(), StoreError> {
        if self.on_broken_promise == OnBrokenPromise::Ignore {
            return Ok(());
        }
        let incidents = self.store.opened_incidents().await?;
        let open = self.store.broken_promises().await?;
        let rules = promises::Rules {
            config: &self.detect,
            policy_version: &self.policy_version,
            restrains: self.on_broken_promise == OnBrokenPromise::Restrain,
        };
        let found = promises::look(&incidents, &open, &rules, EventTime::now());
        self.observed.restrained.send_if_modified(|restrained| {
            let is_news = *restrained != found.restrained;
            *restrained = found.restrained;
            is_news
        });
        if speaks {
            publish_missing(&self.store, &self.outbox, found.alerts).await?;
        }
        Ok(())
    }

    async fn report_ledger(&self) -> Result<(), StoreError> {
        for (finding, count) in self.store.ledger_findings().await? {
            gauge!("keywatch_ledger_findings", "finding" => finding).set(count as f64);
            if count > 0 && finding == "overlap" {
                warn!(count, "the ledger has overlapping batches: run the query `completeness`");
            }
        }
        Ok(())
    }

    async fn publish(&self, alert: Option<Alert>) {
        let Some(alert) = alert else { return };
        let (kind, title) = (alert.alert_type.as_str(), &alert.title);
        warn!(id = alert.id, kind, title, "{}", alert.explanation);
        let (alert, store) = (Arc::new(alert), Arc::clone(&self.store));
        let row = Arc::clone(&alert);
        // The write continues after the time-out.
        let storing = tokio::spawn(async move { store.write_alert_until_done(&row).await });
        if timeout(STORE_PATIENCE, storing).await.is_err() {
            warn!(
                id = alert.id,
                "the alert is sent before it is stored: ClickHouse does not answer"
            );
        }
        self.outbox.enqueue(alert);
    }
}

/// Returns the number of looks between two reads of the ledger.
fn ask_every(max_silence_seconds: f64) -> u32 {
    let seconds = max_silence_seconds / ASKS_WITHIN_SILENCE;
    ((seconds / LOOK_EVERY.as_secs_f64()) as u32).clamp(1, ASK_EVERY)
}
