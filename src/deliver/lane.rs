//! A lane is the worker of one channel: it queues, schedules, retries and records deliveries.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::account::account;
use super::casebook::{Casebook, Ruling};
use super::outbox::{Behind, DeliveryLog, OutboxSettings};
use super::pending::{AlertKey, Pending, Waiting, key};
use super::recent::Recent;
use super::{Allowance, Channel, DeliveryError};
use crate::alert::Alert;
use crate::deliver::record::{DeliveryOutcome, DeliveryRow};
use crate::event::EventTime;

/// Alerts held for retry. Further ones wait in the queue, then in the store.
const MOST_PENDING: usize = 10_000;
/// Final outcomes remembered, so that no alert is delivered twice when both the store and the queue
/// bring it.
const MOST_SETTLED: usize = 20_000;
/// Alerts bundled into one delivery.
const MOST_BUNDLED: usize = 500;
/// Time limit for the store: a store that does not answer must not hold up deliveries.
const STORE_PATIENCE: Duration = Duration::from_secs(20);
/// The longest pause that a receiver may ask for, so that it cannot silence the channel.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

pub(super) struct Lane<C, L> {
    channel: C,
    log: Arc<L>,
    casebook: Arc<Casebook>,
    settings: OutboxSettings,
    queue: mpsc::Receiver<Arc<Alert>>,
    behind: Arc<Behind>,
    pending: Pending,
    settled: Recent<AlertKey, DeliveryRow>,
    /// No attempt starts before this: the receiver asked for a pause, or the channel is blocked.
    paused_until: Instant,
    /// No attempt starts before this, because of the channel's own rate limit.
    paced_until: Instant,
    /// The receiver answered that it must never be called again.
    gone: bool,
}

impl<C: Channel, L: DeliveryLog> Lane<C, L> {
    pub(super) fn new(
        channel: C,
        log: Arc<L>,
        casebook: Arc<Casebook>,
        settings: OutboxSettings,
        queue: mpsc::Receiver<Arc<Alert>>,
        behind: Arc<Behind>,
    ) -> Self {
        Self {
            channel,
            log,
            casebook,
            settings,
            queue,
            behind,
            pending: Pending::default(),
            settled: Recent::new(MOST_SETTLED),
            paused_until: Instant::now(),
            paced_until: Instant::now(),
            gone: false,
        }
    }

    /// Runs until the queue is closed, then flushes. Returns the number of alerts that remain
    /// undelivered.
    pub(super) async fn run(mut self) -> usize {
        let mut sweep = interval(self.settings.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.gone {
            let next = self.next_attempt();
            tokio::select! {
                alert = self.queue.recv(), if self.pending.len() < MOST_PENDING => match alert {
                    Some(alert) => self.hold(alert),
                    None => break,
                },
                _ = sweep.tick() => self.sweep().await,
                () = self.behind.hurry.notified() => self.sweep().await,
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.attempt(false).await;
                }
            }
            self.report_waiting();
        }
        self.flush().await;
        self.report_waiting();
        self.pending.len()
    }

    fn next_attempt(&self) -> Option<Instant> {
        Some(self.pending.next_due()?.max(self.paused_until).max(self.paced_until))
    }

    fn hold(&mut self, alert: Arc<Alert>) {
        if self.pending.holds(&alert) || self.settled.get(&key(&alert)).is_some() {
            return;
        }
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.settings.first_retry)
            .with_max_delay(self.settings.longest_retry)
            .without_max_times()
            .with_jitter()
            .build();
        self.pending.push(Instant::now(), Waiting { alert, attempts: 0, backoff });
    }

    /// Reads undelivered alerts back from the store, if it may hold some.
    async fn sweep(&mut self) {
        if self.pending.len() >= MOST_PENDING || !self.behind.take() {
            return;
        }
        let since = EventTime::now().plus_seconds(-self.settings.keep_trying.as_secs_f64());
        let channel = self.channel.name();
        let query = self.log.undelivered_alerts(channel, since);
        let left_behind = match timeout(STORE_PATIENCE, query).await {
            Ok(Ok(alerts)) => alerts,
            failure => {
                self.behind.set();
                let error = failure_text(failure.map(|query| query.map(drop)));
                tracing::warn!(channel, error, "cannot read undelivered alerts; trying again");
                return;
            }
        };
        for alert in left_behind {
            self.take_back(alert).await;
        }
    }

    async fn take_back(&mut self, alert: Alert) {
        // This alert has its final outcome, so only the record of it failed to reach the store.
        if let Some(row) = self.settled.get(&key(&alert)).cloned() {
            self.record(&row).await;
        } else if self.pending.len() < MOST_PENDING {
            self.hold(Arc::new(alert));
        } else {
            self.behind.set();
        }
    }

    /// Attempts the deliveries that are due. While `draining`, the channel's rate limit is ignored.
    async fn attempt(&mut self, draining: bool) {
        let now = Instant::now();
        let limit = match self.channel.allowance(now) {
            Allowance::One => 1,
            Allowance::All => MOST_BUNDLED,
            Allowance::NotBefore(_) if draining => MOST_BUNDLED,
            Allowance::NotBefore(instant) => {
                self.paced_until = instant;
                return;
            }
        };
        let due = self.pending.take_due(now, limit);
        let (wanted, alerts) = self.settle_declined(due).await;
        if wanted.is_empty() {
            return;
        }
        let result = self.channel.deliver(&alerts).await;
        self.pause_after(&result);
        for mut waiting in wanted {
            waiting.attempts += 1;
            self.conclude(waiting, &result).await;
        }
    }

    /// Returns the alerts to deliver, as stored and as the receiver gets them.
    async fn settle_declined(&mut self, due: Vec<Waiting>) -> (Vec<Waiting>, Vec<Arc<Alert>>) {
        let mut wanted = (Vec::new(), Vec::new());
        for waiting in due {
            match self.casebook.rule(&self.channel, &waiting.alert) {
                Ruling::Send(alert) => {
                    wanted.0.push(waiting);
                    wanted.1.push(alert);
                }
                Ruling::Settle(outcome, reason) => self.settle(&waiting, outcome, &reason).await,
            }
        }
        wanted
    }

    fn pause_after(&mut self, result: &Result<String, DeliveryError>) {
        let channel = self.channel.name();
        match result {
            Err(DeliveryError::Retryable { retry_after: Some(pause), .. }) => {
                self.paused_until = Instant::now() + (*pause).min(LONGEST_PAUSE);
            }
            Err(DeliveryError::Blocked { reason }) => {
                self.paused_until = Instant::now() + self.settings.longest_retry;
                tracing::error!(
                    channel,
                    reason,
                    "channel is blocked; alerts are kept until the fault is repaired"
                );
            }
            Err(DeliveryError::Gone { reason }) => {
                self.gone = true;
                tracing::error!(
                    channel,
                    reason,
                    "channel is switched off until the next start; alerts are kept"
                );
            }
            _ => {}
        }
    }

    async fn conclude(&mut self, waiting: Waiting, result: &Result<String, DeliveryError>) {
        match result {
            Ok(detail) => self.settle(&waiting, DeliveryOutcome::Delivered, detail).await,
            Err(DeliveryError::Permanent { reason }) => {
                self.settle(&waiting, DeliveryOutcome::GaveUp, reason).await;
            }
            Err(error) => self.retry(waiting, &error.to_string()).await,
        }
    }

    async fn retry(&mut self, mut waiting: Waiting, reason: &str) {
        let delay = waiting.backoff.next().unwrap_or(self.settings.longest_retry);
        let patience = self.settings.keep_trying.as_secs_f64();
        let deadline = waiting.alert.detected_at.plus_seconds(patience);
        if EventTime::now().plus_seconds(delay.as_secs_f64()) > deadline {
            self.settle(
                &waiting,
                DeliveryOutcome::GaveUp,
                &format!("too old to try again: {reason}"),
            )
            .await;
            return;
        }
        let row = account(self.channel.name(), &waiting, DeliveryOutcome::Failed, reason);
        self.record(&row).await;
        self.pending.push(Instant::now() + delay, waiting);
    }

    async fn settle(&mut self, waiting: &Waiting, outcome: DeliveryOutcome, detail: &str) {
        let row = account(self.channel.name(), waiting, outcome, detail);
        self.settled.insert(key(&waiting.alert), row.clone());
        self.record(&row).await;
    }

    async fn record(&self, row: &DeliveryRow) {
        let result = timeout(STORE_PATIENCE, self.log.record_delivery(row)).await;
        if !matches!(result, Ok(Ok(()))) {
            // The next sweep reads the alert again and repeats the record.
            self.behind.set();
            let (channel, error) = (self.channel.name(), failure_text(result));
            tracing::warn!(channel, error, id = row.alert_id, "cannot record a delivery");
        }
    }

    /// Attempts once each alert that is queued or due, unless the channel is blocked or gone.
    async fn flush(&mut self) {
        while let Ok(alert) = self.queue.try_recv() {
            self.hold(alert);
        }
        let started = Instant::now();
        while !self.gone
            && self.paused_until <= started
            && self.pending.next_due().is_some_and(|due| due <= started)
        {
            self.attempt(true).await;
        }
    }

    fn report_waiting(&self) {
        metrics::gauge!("keywatch_deliveries_waiting", "channel" => self.channel.name())
            .set((self.pending.len() + self.queue.len()) as f64);
    }
}

fn failure_text<E: std::fmt::Display>(
    result: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> String {
    match result {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not answer within {} s", STORE_PATIENCE.as_secs()),
    }
}
