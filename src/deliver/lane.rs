//! A lane is the worker of one channel: it queues, schedules, retries and records deliveries.

mod recording;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::account::account;
use super::casebook::{Casebook, Ruling};
use super::inbox::{Inbox, Worth};
use super::outbox::{Behind, DeliveryLog, OutboxSettings};
use super::pending::{AlertKey, Pending, Waiting, key};
use super::recent::Recent;
use super::{Allowance, Channel, DeliveryError};
use crate::alert::Alert;
use crate::deliver::record::{DeliveryOutcome, DeliveryRow};
use crate::event::EventTime;

/// Alerts of each worth that a lane holds. Further ones wait in the queue, then in the store.
const MOST_PENDING: usize = 10_000;
/// Final outcomes remembered, so that no alert is delivered twice when both the store and the queue
/// bring it.
const MOST_SETTLED: usize = 20_000;
/// Alerts bundled into one delivery.
const MOST_BUNDLED: usize = 500;
/// Deliveries beyond the channel's limit that requests may take, so that none waits for answers to
/// milder alerts.
const SLOTS_FOR_REQUESTS: usize = 2;
/// The longest pause that a receiver may ask for, so that it cannot silence the channel.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

pub(super) struct Lane<C, L> {
    channel: Arc<C>,
    log: Arc<L>,
    casebook: Arc<Casebook>,
    settings: OutboxSettings,
    inbox: Arc<Inbox>,
    behind: Arc<Behind>,
    pending: Pending,
    settled: Recent<AlertKey, DeliveryRow>,
    /// Deliveries on their way.
    deliveries: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// Outcomes that are not recorded yet, and the record that is being written.
    rows: Vec<DeliveryRow>,
    recording: Option<BoxFuture<'static, Result<(), Unrecorded>>>,
    /// Outcomes that the store did not take.
    unrecorded: Vec<DeliveryRow>,
    sweeping: Option<BoxFuture<'static, Result<Vec<Alert>, String>>>,
    swept: Instant,
    /// No attempt starts before this: the receiver asked for a pause, or the channel is blocked.
    paused_until: Instant,
    /// No attempt starts before this, because of the channel's own rate limit.
    paced_until: Instant,
    /// The receiver answered that it must never be called again.
    gone: bool,
}

/// A delivery with its result.
struct Landed {
    alerts: Vec<Waiting>,
    result: Result<String, DeliveryError>,
}

/// Rows that the store did not take, with the reason.
struct Unrecorded {
    rows: Vec<DeliveryRow>,
    error: String,
}

impl<C: Channel, L: DeliveryLog> Lane<C, L> {
    pub(super) fn new(
        channel: C,
        log: Arc<L>,
        casebook: Arc<Casebook>,
        settings: OutboxSettings,
        inbox: Arc<Inbox>,
        behind: Arc<Behind>,
    ) -> Self {
        let now = Instant::now();
        Self {
            channel: Arc::new(channel),
            log,
            casebook,
            settings,
            inbox,
            behind,
            pending: Pending::default(),
            settled: Recent::new(MOST_SETTLED),
            deliveries: FuturesUnordered::new(),
            rows: Vec::new(),
            recording: None,
            unrecorded: Vec::new(),
            sweeping: None,
            swept: now,
            paused_until: now,
            paced_until: now,
            gone: false,
        }
    }

    /// Runs until the inbox is closed, then flushes. Returns the number of alerts that remain
    /// undelivered.
    pub(super) async fn run(mut self) -> usize {
        let mut sweep = interval(self.settings.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.gone && !self.inbox.is_closed() {
            self.take_arrivals(MOST_PENDING);
            self.start_due(Instant::now(), false);
            self.start_recording();
            self.sweep_early();
            self.report_waiting();
            let next = self.next_attempt();
            tokio::select! {
                () = self.inbox.news.notified() => {}
                _ = sweep.tick() => self.start_sweep(),
                () = self.behind.hurry.notified() => self.start_sweep(),
                Some(landed) = self.deliveries.next() => self.land(landed),
                result = outcome(&mut self.recording) => self.end_recording(result),
                found = outcome(&mut self.sweeping) => self.end_sweep(found),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        self.flush().await;
        self.report_waiting();
        self.pending.len()
    }

    /// The worths of which a delivery may start now.
    fn open_worths(&self) -> &'static [Worth] {
        let (limit, under_way) = (self.channel.parallel(), self.deliveries.len());
        let is_single = limit == 1;
        match under_way {
            _ if under_way < limit => &Worth::ALL,
            _ if !is_single && under_way < limit + SLOTS_FOR_REQUESTS => &[Worth::Request],
            _ => &[],
        }
    }

    fn next_attempt(&self) -> Option<Instant> {
        let due = self.pending.next_due(self.open_worths())?;
        Some(due.max(self.paused_until).max(self.paced_until))
    }

    /// Takes alerts from the inbox, the most urgent first, as long as there is room for their worth.
    fn take_arrivals(&mut self, most: usize) {
        for worth in Worth::ALL {
            let room = most.saturating_sub(self.pending.len_of(worth));
            for alert in self.inbox.take(worth, room) {
                self.hold(alert);
            }
        }
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

    /// Starts deliveries that were due at `due_at`, as many as may be on their way. While
    /// `draining`, the channel's rate limit is ignored.
    fn start_due(&mut self, due_at: Instant, draining: bool) {
        loop {
            let worths = self.open_worths();
            let now = Instant::now();
            let is_paced = !draining && self.paced_until > now;
            let is_due = self.pending.next_due(worths).is_some_and(|due| due <= due_at);
            if self.gone || self.paused_until > now || is_paced || !is_due {
                return;
            }
            let limit = match self.channel.allowance(now) {
                Allowance::One => 1,
                Allowance::All => MOST_BUNDLED,
                Allowance::NotBefore(_) if draining => MOST_BUNDLED,
                Allowance::NotBefore(instant) => {
                    self.paced_until = instant;
                    return;
                }
            };
            let due = self.pending.take_due(due_at, limit, worths);
            self.start(due);
        }
    }

    /// Starts one delivery of those alerts that the channel wants.
    fn start(&mut self, due: Vec<Waiting>) {
        let (wanted, alerts) = self.settle_declined(due);
        if wanted.is_empty() {
            return;
        }
        wanted.iter().for_each(|waiting| self.pending.depart(&waiting.alert));
        let channel = Arc::clone(&self.channel);
        self.deliveries.push(Box::pin(async move {
            let result = channel.deliver(&alerts).await;
            Landed { alerts: wanted, result }
        }));
    }

    /// Returns the alerts to deliver, as stored and as the receiver gets them.
    fn settle_declined(&mut self, due: Vec<Waiting>) -> (Vec<Waiting>, Vec<Arc<Alert>>) {
        let mut wanted = (Vec::new(), Vec::new());
        for waiting in due {
            match self.casebook.rule(&*self.channel, &waiting.alert) {
                Ruling::Send(alert) => {
                    wanted.0.push(waiting);
                    wanted.1.push(alert);
                }
                Ruling::Settle(outcome, reason) => self.settle(&waiting, outcome, &reason),
            }
        }
        wanted
    }

    fn land(&mut self, landed: Landed) {
        let Landed { alerts, result } = landed;
        self.pause_after(&result);
        for mut waiting in alerts {
            let alert = Arc::clone(&waiting.alert);
            waiting.attempts += 1;
            self.conclude(waiting, &result);
            self.pending.arrive(&alert);
        }
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

    fn conclude(&mut self, waiting: Waiting, result: &Result<String, DeliveryError>) {
        match result {
            Ok(detail) => {
                self.settle(&waiting, DeliveryOutcome::Delivered, detail);
                self.settle_overtaken(&waiting.alert);
            }
            Err(DeliveryError::Permanent { reason }) => {
                self.settle(&waiting, DeliveryOutcome::GaveUp, reason);
            }
            Err(DeliveryError::Declined { reason }) => {
                self.settle(&waiting, DeliveryOutcome::Skipped, reason);
            }
            Err(error) => self.retry(waiting, &error.to_string()),
        }
    }

    /// Takes out the earlier revisions that had failed: what was sent holds all that they would have
    /// told, and a receiver might take their older state, or milder request, for the latest. A record
    /// gets them all.
    fn settle_overtaken(&mut self, sent: &Alert) {
        if self.channel.is_record() {
            return;
        }
        let outcome = match sent.alert_type.is_request() {
            true => DeliveryOutcome::Withdrawn,
            false => DeliveryOutcome::Skipped,
        };
        let reason = format!("revision {}, which was delivered, replaces it", sent.revision);
        for waiting in self.pending.take_overtaken(sent) {
            self.settle(&waiting, outcome, &reason);
        }
    }

    fn retry(&mut self, mut waiting: Waiting, reason: &str) {
        let delay = waiting.backoff.next().unwrap_or(self.settings.longest_retry);
        let patience = self.settings.keep_trying.as_secs_f64();
        let deadline = waiting.alert.detected_at.plus_seconds(patience);
        if EventTime::now().plus_seconds(delay.as_secs_f64()) > deadline {
            let detail = format!("too old to try again: {reason}");
            self.settle(&waiting, DeliveryOutcome::GaveUp, &detail);
            return;
        }
        let row = account(self.channel.name(), &waiting, DeliveryOutcome::Failed, reason);
        self.rows.push(row);
        self.pending.push(Instant::now() + delay, waiting);
    }

    fn settle(&mut self, waiting: &Waiting, outcome: DeliveryOutcome, detail: &str) {
        let row = account(self.channel.name(), waiting, outcome, detail);
        self.settled.insert(key(&waiting.alert), row.clone());
        self.pending.forget(&waiting.alert);
        self.rows.push(row);
    }

    /// Attempts once each alert that is queued or due, unless the channel is blocked or gone.
    async fn flush(&mut self) {
        self.take_arrivals(usize::MAX);
        let started = Instant::now();
        loop {
            self.start_due(started, true);
            match self.deliveries.next().await {
                Some(landed) => self.land(landed),
                None => break,
            }
            self.start_recording();
        }
        while self.recording.is_some() || !self.rows.is_empty() {
            self.start_recording();
            let result = outcome(&mut self.recording).await;
            self.end_recording(result);
        }
    }

    fn report_waiting(&self) {
        metrics::gauge!("keywatch_deliveries_waiting", "channel" => self.channel.name())
            .set((self.pending.len() + self.inbox.len()) as f64);
    }
}

/// Waits for the result of what is under way, and for ever if nothing is.
async fn outcome<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(work) => {
            let result = work.await;
            *under_way = None;
            result
        }
        None => pending().await,
    }
}
