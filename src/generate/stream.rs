//! Everything that happens in one key's name, in the order in which the log has it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use rand::RngExt;

use super::GeneratedEvent;
use super::intrusion::Intrusion;
use super::key::Key;
use super::label::Label;
use super::random::{Random, chance, log_normal};
use super::record::{AccessRecord, request_id};
use super::weather::Weather;
use crate::event::EventTime;

const RETRIED_SHARE: f64 = 0.6;
const RETRY_SUCCEEDS: f64 = 0.9;
const REDELIVERED_SHARE: f64 = 0.0005;
const LATE_SHARE: f64 = 0.002;

/// What all keys have in common.
pub(super) struct World {
    pub end: EventTime,
    pub weather: Weather,
    pub retries: bool,
    pub redelivery: bool,
    pub late_events: bool,
}

pub(super) struct KeyStream {
    key: Key,
    random: Random,
    world: Arc<World>,
    own_next: Option<EventTime>,
    intrusion: Option<Intrusion>,
    /// Retries, redelivered and late records.
    pending: BinaryHeap<Reverse<Pending>>,
    requests: u32,
}

impl KeyStream {
    pub fn new(
        mut key: Key,
        mut random: Random,
        intrusion: Option<Intrusion>,
        world: Arc<World>,
    ) -> Self {
        let active = key.active;
        let own_next = key.rhythm.first(active.start, active.end, &world.weather, &mut random);
        Self { key, random, world, own_next, intrusion, pending: BinaryHeap::new(), requests: 0 }
    }

    pub const fn key(&self) -> &Key {
        &self.key
    }

    pub fn label(&self) -> Option<&Arc<Label>> {
        self.intrusion.as_ref().map(|intrusion| &intrusion.label)
    }

    /// When the next record reaches the log; `None` when there is none left.
    pub fn next_arrival(&self) -> Option<EventTime> {
        [self.own_next, self.intrusion_next(), self.pending_next()].into_iter().flatten().min()
    }

    /// The record at `next_arrival`; `None` when it turned out that there is
    /// none, or that it is late.
    pub fn advance(&mut self) -> Option<GeneratedEvent> {
        let arrival = self.next_arrival()?;
        if self.pending_next() == Some(arrival) {
            let Reverse(due) = self.pending.pop()?;
            return Some(GeneratedEvent { arrival, record: *due.record, label: None });
        }
        if self.intrusion_next() == Some(arrival) {
            return self.intrude(arrival);
        }
        self.own(arrival)
    }

    fn intrusion_next(&self) -> Option<EventTime> {
        self.intrusion.as_ref().and_then(Intrusion::next_time)
    }

    fn pending_next(&self) -> Option<EventTime> {
        self.pending.peek().map(|Reverse(due)| due.arrival)
    }

    fn next_number(&mut self) -> u32 {
        self.requests += 1;
        self.requests
    }

    fn intrude(&mut self, arrival: EventTime) -> Option<GeneratedEvent> {
        let sequence = self.next_number();
        let intrusion = self.intrusion.as_mut()?;
        let record = intrusion.request(&mut self.key, sequence, &mut self.random)?;
        Some(GeneratedEvent { arrival, record, label: Some(Arc::clone(&intrusion.label)) })
    }

    fn own(&mut self, arrival: EventTime) -> Option<GeneratedEvent> {
        let sequence = self.next_number();
        let Self { key, random, world, .. } = self;
        self.own_next = key.rhythm.next(arrival, key.active.end, &world.weather, random);
        let record = key.own_request(arrival, sequence, &world.weather, random)?;
        if let Some(intrusion) = &mut self.intrusion {
            intrusion.overhear(&record);
        }
        self.retry(&record);
        self.redeliver(&record);
        self.deliver(arrival, record)
    }

    /// A careful client sends the same signed request once more after a 5xx.
    fn retry(&mut self, record: &AccessRecord) {
        if !self.world.retries || record.status < 500 || !chance(&mut self.random, RETRIED_SHARE) {
            return;
        }
        let time = record.time.plus_seconds(self.random.random_range(1.0..10.0));
        let sequence = self.next_number();
        let succeeds = chance(&mut self.random, RETRY_SUCCEEDS);
        let down = self.world.weather.status(time, &mut self.random);
        let again = AccessRecord {
            time,
            request_id: request_id(self.key.index, sequence),
            status: down.unwrap_or(if succeeds { 200 } else { record.status }),
            ..record.clone()
        };
        self.put_off(time, again);
    }

    fn redeliver(&mut self, record: &AccessRecord) {
        if self.world.redelivery && chance(&mut self.random, REDELIVERED_SHARE) {
            let delay = self.random.random_range(0.5..20.0);
            self.put_off(record.time.plus_seconds(delay), record.clone());
        }
    }

    fn deliver(&mut self, arrival: EventTime, record: AccessRecord) -> Option<GeneratedEvent> {
        if self.world.late_events && chance(&mut self.random, LATE_SHARE) {
            let delay = log_normal(&mut self.random, 4.0, 0.8).clamp(0.5, 60.0);
            self.put_off(arrival.plus_seconds(delay), record);
            return None;
        }
        Some(GeneratedEvent { arrival, record, label: None })
    }

    fn put_off(&mut self, arrival: EventTime, record: AccessRecord) {
        if arrival < self.world.end {
            let order = self.next_number();
            self.pending.push(Reverse(Pending { arrival, order, record: Box::new(record) }));
        }
    }
}

/// A record that reaches the log later.
struct Pending {
    arrival: EventTime,
    /// Decides between equal arrivals.
    order: u32,
    record: Box<AccessRecord>,
}

impl Pending {
    const fn rank(&self) -> (EventTime, u32) {
        (self.arrival, self.order)
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Pending {}
