//! Records the outcomes of a lane in the store, and reads undelivered alerts back from it, while
//! deliveries go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Lane, MOST_PENDING, MOST_SETTLED, Unrecorded};
use crate::alert::Alert;
use crate::deliver::Channel;
use crate::deliver::inbox::Worth;
use crate::deliver::outbox::DeliveryLog;
use crate::deliver::pending::key;
use crate::event::EventTime;

/// A lane that holds fewer than this asks the store early for those that it left there.
const FEW_PENDING: usize = 1_000;
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Time limit for the store: a store that does not answer must not hold up deliveries.
const STORE_PATIENCE: Duration = Duration::from_secs(20);

impl<C: Channel, L: DeliveryLog> Lane<C, L> {
    /// Begins to read undelivered alerts back from the store, if it may hold some.
    pub(super) fn start_sweep(&mut self) {
        if self.sweeping.is_some() || !self.behind.take() {
            return;
        }
        self.swept = Instant::now();
        let since = EventTime::now().plus_seconds(-self.settings.keep_trying.as_secs_f64());
        let (log, channel) = (Arc::clone(&self.log), self.channel.name());
        self.sweeping = Some(Box::pin(async move {
            let query = log.undelivered_alerts(channel, since, MOST_PENDING);
            match timeout(STORE_PATIENCE, query).await {
                Ok(Ok(alerts)) => Ok(alerts),
                failure => Err(failure_text(failure.map(|query| query.map(drop)))),
            }
        }));
    }

    /// After a storm, most alerts wait in the store.
    pub(super) fn sweep_early(&mut self) {
        let is_due = self.pending.len() < FEW_PENDING && self.swept.elapsed() >= ASK_AGAIN_AFTER;
        if is_due && self.behind.is_set() {
            self.start_sweep();
        }
    }

    pub(super) fn end_sweep(&mut self, found: Result<Vec<Alert>, String>) {
        match found {
            Ok(alerts) => {
                self.rows.append(&mut self.unrecorded);
                if alerts.len() >= MOST_PENDING {
                    self.behind.set();
                }
                alerts.into_iter().for_each(|alert| self.take_back(alert));
            }
            Err(error) => {
                self.behind.set();
                let channel = self.channel.name();
                tracing::warn!(channel, error, "cannot read undelivered alerts; trying again");
            }
        }
    }

    fn take_back(&mut self, alert: Alert) {
        // The record of an alert that has its final outcome is on its way to the store.
        if self.settled.get(&key(&alert)).is_some() {
            return;
        }
        if self.pending.len_of(Worth::of(&alert)) < MOST_PENDING {
            self.hold(Arc::new(alert));
        } else {
            self.behind.set();
        }
    }

    /// Records all outcomes so far in one block, while further deliveries go on.
    pub(super) fn start_recording(&mut self) {
        if self.recording.is_some() || self.rows.is_empty() {
            return;
        }
        let (rows, log) = (std::mem::take(&mut self.rows), Arc::clone(&self.log));
        self.recording = Some(Box::pin(async move {
            let result = timeout(STORE_PATIENCE, log.record_deliveries(&rows)).await;
            match result {
                Ok(Ok(())) => Ok(()),
                failure => Err(Unrecorded { rows, error: failure_text(failure) }),
            }
        }));
    }

    pub(super) fn end_recording(&mut self, result: Result<(), Unrecorded>) {
        let Err(Unrecorded { rows, error }) = result else { return };
        tracing::warn!(channel = self.channel.name(), error, "cannot record deliveries");
        // The next sweep that succeeds repeats them.
        self.behind.set();
        self.unrecorded.extend(rows);
        self.unrecorded.truncate(MOST_SETTLED);
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
