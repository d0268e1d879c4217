//! The outbox hands each alert to the lane of every channel. It never waits for a lane.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::inbox::Inbox;
use super::lane::Lane;
use super::{Casebook, Channel};
use crate::alert::Alert;
use crate::deliver::record::DeliveryRow;
use crate::event::EventTime;

/// The durable record of alerts and of their deliveries.
pub trait DeliveryLog: Send + Sync + 'static {
    type Error: Error + Send;

    /// Records attempts as one block. Recording a row twice changes nothing.
    fn record_deliveries(
        &self,
        rows: &[DeliveryRow],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn record_delivery(
        &self,
        row: &DeliveryRow,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.record_deliveries(std::slice::from_ref(row))
    }

    /// Alerts that this process must deliver, with `detected_at` at or after `since` and without a
    /// final outcome for `channel`: at most `limit`, requests first, then critical ones, then the
    /// rest, each oldest first.
    fn undelivered_alerts(
        &self,
        channel: &str,
        since: EventTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Alert>, Self::Error>> + Send;
}

/// Queue length, sweep interval and retry times of the outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxSettings {
    /// Alerts of each worth that a channel's inbox holds before further ones wait in the store.
    pub queue: usize,
    /// Interval at which a lane asks the store for undelivered alerts, if there may be any.
    pub sweep_every: Duration,
    /// The first retry comes after this time. Each further one takes twice as long, plus up to as
    /// much again at random, ...
    pub first_retry: Duration,
    /// ... but never more than this. A blocked channel is probed at this interval.
    pub longest_retry: Duration,
    /// An alert that could not be delivered for this long after its detection is given up.
    pub keep_trying: Duration,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            queue: 1_000,
            sweep_every: Duration::from_secs(60),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(15 * 60),
            keep_trying: Duration::from_secs(3 * 86_400),
        }
    }
}

/// The alerts of one channel that shutdown left undelivered. They stay in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub channel: &'static str,
    /// `None` when shutdown aborted the lane before it finished.
    pub alerts: Option<usize>,
}

/// The lanes of all channels. Use it within a tokio runtime only.
#[derive(Default)]
pub struct Outbox {
    casebook: Arc<Casebook>,
    lanes: Vec<LaneHandle>,
}

/// A lane ends when its handle is dropped.
struct LaneHandle {
    channel: &'static str,
    inbox: Arc<Inbox>,
    behind: Arc<Behind>,
    /// Returns the number of alerts that were not delivered.
    task: JoinHandle<usize>,
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Whether the store may hold alerts that a lane has not seen.
#[derive(Default)]
pub(super) struct Behind {
    flag: AtomicBool,
    /// Ends the wait for the lane's next sweep.
    pub(super) hurry: Notify,
}

impl Behind {
    /// Returns whether it was set before.
    pub(super) fn set(&self) -> bool {
        self.flag.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> bool {
        self.flag.swap(false, Ordering::AcqRel)
    }
}

/// Reminds the lanes of an outbox of alerts in the store.
pub struct Reminder(Vec<Arc<Behind>>);

impl Reminder {
    /// Lets every lane ask the store now for the alerts that it must deliver.
    pub fn look_again(&self) {
        for behind in &self.0 {
            behind.set();
            behind.hurry.notify_one();
        }
    }
}

impl Outbox {
    /// `casebook` tells the lanes what people did to incidents.
    pub fn new(casebook: &Arc<Casebook>) -> Self {
        Self { casebook: Arc::clone(casebook), lanes: Vec::new() }
    }

    pub fn casebook(&self) -> &Casebook {
        &self.casebook
    }

    /// Starts a lane, which begins with the alerts that `log` lists as undelivered.
    pub fn add<C: Channel, L: DeliveryLog>(
        &mut self,
        channel: C,
        log: &Arc<L>,
        settings: OutboxSettings,
    ) {
        let inbox = Arc::new(Inbox::new(settings.queue));
        let behind = Arc::<Behind>::default();
        behind.set();
        let name = channel.name();
        let (log, casebook) = (Arc::clone(log), Arc::clone(&self.casebook));
        let (lane_inbox, lane_behind) = (Arc::clone(&inbox), Arc::clone(&behind));
        let lane = Lane::new(channel, log, casebook, settings, lane_inbox, lane_behind);
        let task = tokio::spawn(lane.run());
        self.lanes.push(LaneHandle { channel: name, inbox, behind, task });
    }

    /// Hands an alert that is already in the store to all channels. It never waits: when a queue is
    /// full, the lane reads the alert from the store later.
    pub fn enqueue(&self, alert: impl Into<Arc<Alert>>) {
        let alert = alert.into();
        for lane in &self.lanes {
            // A lane that is gone has logged this already.
            let is_gone = lane.task.is_finished();
            if !is_gone && !lane.inbox.push(&alert) && !lane.behind.set() {
                let channel = lane.channel;
                tracing::warn!(channel, "queue is full: alerts wait in the store");
            }
        }
    }

    /// Returns a handle that can outlive the outbox.
    pub fn reminder(&self) -> Reminder {
        Reminder(self.lanes.iter().map(|lane| Arc::clone(&lane.behind)).collect())
    }

    /// Attempts each alert that was not attempted yet, for at most `within`. Alerts that wait for a
    /// retry stay in the store. Returns what remains undelivered.
    pub async fn shutdown(mut self, within: Duration) -> Vec<Remaining> {
        let deadline = Instant::now() + within;
        // A lane begins to flush when its inbox closes. All are closed first, so that the lanes
        // flush at the same time.
        self.lanes.iter().for_each(|lane| lane.inbox.close());
        let mut remaining = Vec::new();
        for lane in &mut self.lanes {
            let (channel, task) = (lane.channel, &mut lane.task);
            let alerts = tokio::time::timeout_at(deadline, &mut *task).await;
            task.abort();
            remaining.push(Remaining { channel, alerts: alerts.ok().and_then(Result::ok) });
        }
        remaining.retain(|remaining| remaining.alerts != Some(0));
        for Remaining { channel, alerts } in &remaining {
            tracing::warn!(
                channel,
                alerts,
                "undelivered alerts stay in the store until the next start"
            );
        }
        remaining
    }
}

#[cfg(test)]
mod tests;
