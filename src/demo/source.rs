//! Reads the demo's traffic as a log: the past as fast as possible, then the present in real time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::screen::Screen;
use super::traffic::Traffic;
use crate::event::{EventTime, PartitionId};
use crate::record::RawBatch;
use crate::source::{Source, SourceError};

const HISTORY_BATCH: usize = 10_000;
/// Interval between two reads of live events, like the poll of a log.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The time at which the live part began; unset before.
pub(super) type LiveSince = Arc<OnceLock<EventTime>>;

pub(super) struct DemoSource {
    traffic: Traffic,
    partition: PartitionId,
    seconds: f64,
    live_since: LiveSince,
    screen: Screen,
    next_poll: Instant,
    next_offset: i64,
}

impl DemoSource {
    pub(super) fn new(
        traffic: Traffic,
        seconds: f64,
        live_since: &LiveSince,
        screen: Screen,
    ) -> Self {
        // Each run names its log differently, so that a kept database does not take this run for an
        // earlier one.
        let topic = format!("demo-{}", EventTime::now().as_micros() / 1_000_000);
        Self {
            traffic,
            partition: PartitionId { topic: topic.into(), partition: 0 },
            seconds,
            live_since: Arc::clone(live_since),
            screen,
            next_poll: Instant::now(),
            next_offset: 0,
        }
    }

    fn history(&mut self) -> RawBatch {
        let (batch, reached) = self.take(self.traffic.present, HISTORY_BATCH, 0.0);
        self.screen.learned(batch.len(), self.traffic.history_share(reached));
        batch
    }

    /// Takes the events that arrive before `end`, each `delay` seconds later than planned. Also
    /// returns how far in the plan they reach.
    fn take(&mut self, end: EventTime, limit: usize, delay: f64) -> (RawBatch, EventTime) {
        let mut batch = RawBatch::new(self.partition.clone());
        let mut reached = end;
        while batch.len() < limit
            && let Some(event) = self.traffic.next_before(end)
        {
            reached = event.arrival;
            let mut record = event.record;
            record.time = record.time.plus_seconds(delay);
            record.client_time = record.client_time.map(|time| time.plus_seconds(delay));
            // The record holds numbers and strings only, so serialization cannot fail.
            let payload = serde_json::to_vec(&record).unwrap_or_default();
            batch.push(self.next_offset, &payload);
            self.next_offset += 1;
        }
        (batch, reached)
    }

    /// The live events that are due.
    fn due(&mut self, now: EventTime, delay: f64) -> RawBatch {
        let (batch, _) = self.take(now.plus_seconds(-delay), usize::MAX, delay);
        let over = now.seconds_since(self.traffic.present) - delay;
        self.screen.streamed(batch.len(), over / self.seconds, self.seconds - over);
        batch
    }

    /// The time at which the live part began. The first call sets it to now.
    fn live_since(&self) -> EventTime {
        *self.live_since.get_or_init(|| {
            self.screen.live();
            EventTime::now()
        })
    }
}

impl Source for DemoSource {
    async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        if self.live_since.get().is_none() {
            let batch = self.history();
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        // The time spent on learning appears as a short silence of all keys: the live part begins
        // now.
        let delay = self.live_since().seconds_since(self.traffic.present);
        loop {
            sleep_until(self.next_poll).await;
            self.next_poll = Instant::now() + POLL_EVERY;
            let now = EventTime::now();
            let batch = self.due(now, delay);
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            if now.seconds_since(self.traffic.present) - delay > self.seconds {
                return Ok(None);
            }
        }
    }

    async fn commit(&mut self, _: &PartitionId, _: i64) -> Result<(), SourceError> {
        Ok(())
    }

    async fn close(self, _: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}
