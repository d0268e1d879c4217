//! Streams all records in one key's name, in the order in which they reach the log.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use rand::RngExt;

use super::GeneratedEvent;
use super::client::{Client, Retries};
use super::intrusion::Intrusion;
use super::key::Key;
use super::label::Label;
use super::random::{Random, chance, log_normal};
use super::record::{AccessRecord, request_id};
use super::weather::{LogWeather, Weather};
use super::window::Window;
use crate::event::EventTime;

const REDELIVERED_SHARE: f64 = 0.0005;
const LATE_SHARE: f64 = 0.002;

/// State that all keys share.
pub(super) struct World {
    pub end: EventTime,
    pub weather: Weather,
    pub log: LogWeather,
    pub retries: bool,
    pub redelivery: bool,
    pub late_events: bool,
}

pub(super) struct KeyStream {
    key: Key,
    random: Random,
    world: Arc<World>,
    /// The next request of every client.
    own_next: Vec<Option<EventTime>>,
    intrusions: Vec<Intrusion>,
    /// Retries, redelivered and late records.
    pending: BinaryHeap<Reverse<Pending>>,
    requests: u32,
}

impl KeyStream {
    pub fn new(
        mut key: Key,
        mut random: Random,
        intrusions: Vec<Intrusion>,
        world: Arc<World>,
    ) -> Self {
        let first = |client: &mut Client| {
            let Window { start, end } = client.active;
            client.rhythm.first(start, end, &world.weather, &mut random)
        };
        let own_next = key.clients.iter_mut().map(first).collect();
        Self { key, random, world, own_next, intrusions, pending: BinaryHeap::new(), requests: 0 }
    }

    pub const fn key(&self) -> &Key {
        &self.key
    }

    pub fn labels(&self) -> impl Iterator<Item = &Arc<Label>> {
        self.intrusions.iter().map(|intrusion| &intrusion.label)
    }

    /// The time at which the next record reaches the log; `None` if there are no more.
    pub fn next_arrival(&self) -> Option<EventTime> {
        let own = self.next_own().map(|(time, _)| time);
        let intrusion = self.next_intrusion().map(|(time, _)| time);
        [own, intrusion, self.pending_next()].into_iter().flatten().min()
    }

    /// The record at `next_arrival`; `None` if the request was not made, or if its record is late.
    pub fn advance(&mut self) -> Option<GeneratedEvent> {
        let arrival = self.next_arrival()?;
        if self.pending_next() == Some(arrival) {
            let Reverse(due) = self.pending.pop()?;
            return Some(GeneratedEvent { arrival, record: *due.record, label: due.label });
        }
        if let Some((_, number)) = self.next_intrusion().filter(|(time, _)| *time == arrival) {
            return self.intrude(number, arrival);
        }
        let (_, client) = self.next_own()?;
        self.own(client, arrival)
    }

    fn next_own(&self) -> Option<(EventTime, usize)> {
        let due = self.own_next.iter().enumerate();
        due.filter_map(|(client, time)| Some(((*time)?, client))).min()
    }

    fn next_intrusion(&self) -> Option<(EventTime, usize)> {
        let due = self.intrusions.iter().enumerate();
        due.filter_map(|(number, intrusion)| Some((intrusion.next_time()?, number))).min()
    }

    fn pending_next(&self) -> Option<EventTime> {
        self.pending.peek().map(|Reverse(due)| due.arrival)
    }

    fn next_number(&mut self) -> u32 {
        self.requests += 1;
        self.requests
    }

    fn intrude(&mut self, number: usize, arrival: EventTime) -> Option<GeneratedEvent> {
        let sequence = self.next_number();
        let intrusion = &mut self.intrusions[number];
        let record = intrusion.request(&mut self.key, sequence, &mut self.random)?;
        let label = Some(Arc::clone(&intrusion.label));
        self.write(arrival, record, label)
    }

    fn own(&mut self, client: usize, arrival: EventTime) -> Option<GeneratedEvent> {
        let sequence = self.next_number();
        let Self { key, random, world, .. } = self;
        let end = key.clients[client].active.end;
        self.own_next[client] =
            key.clients[client].rhythm.next(arrival, end, &world.weather, random);
        let record = key.own_request(client, arrival, sequence, &world.weather, random)?;
        for intrusion in &mut self.intrusions {
            intrusion.overhear(&record, random);
        }
        self.retry(client, &record);
        self.redeliver(&record);
        self.deliver(arrival, record)
    }

    /// Schedules the same signed request again, by the client's retry behaviour.
    fn retry(&mut self, client: usize, record: &AccessRecord) {
        let retries = self.key.clients[client].retries;
        // A client that waits for its quota retries whether or not the plan has retries.
        if !self.world.retries && retries != Retries::Polite {
            return;
        }
        for (seconds, is_well) in retries.after(record.status, &mut self.random) {
            let time = record.time.plus_seconds(seconds);
            let sequence = self.next_number();
            let down = self.world.weather.status(time, &mut self.random);
            let again = AccessRecord {
                time,
                request_id: request_id(self.key.index, sequence),
                status: down.unwrap_or(if is_well { 200 } else { record.status }),
                ..record.clone()
            };
            self.put_off(time, again, None);
        }
    }

    fn redeliver(&mut self, record: &AccessRecord) {
        if self.world.redelivery && chance(&mut self.random, REDELIVERED_SHARE) {
            let delay = self.random.random_range(0.5..20.0);
            self.put_off(record.time.plus_seconds(delay), record.clone(), None);
        }
    }

    fn deliver(&mut self, arrival: EventTime, record: AccessRecord) -> Option<GeneratedEvent> {
        if self.world.late_events && chance(&mut self.random, LATE_SHARE) {
            let delay = log_normal(&mut self.random, 4.0, 0.8).clamp(0.5, 60.0);
            self.put_off(arrival.plus_seconds(delay), record, None);
            return None;
        }
        self.write(arrival, record, None)
    }

    /// Hands the record to the log, which may lose, delay or repeat it.
    fn write(
        &mut self,
        arrival: EventTime,
        record: AccessRecord,
        label: Option<Arc<Label>>,
    ) -> Option<GeneratedEvent> {
        let log = &self.world.log;
        if log.is_lost(arrival) {
            return None;
        }
        let again = log.second_arrival(arrival);
        // One node in three is late.
        if let Some(late) = log.late_arrival(arrival).filter(|_| self.key.index.is_multiple_of(3)) {
            self.put_off(late, record, label);
            return None;
        }
        if let Some(again) = again {
            self.put_off(again, record.clone(), label.clone());
        }
        Some(GeneratedEvent { arrival, record, label })
    }

    fn put_off(&mut self, arrival: EventTime, record: AccessRecord, label: Option<Arc<Label>>) {
        if arrival < self.world.end {
            let order = self.next_number();
            let record = Box::new(record);
            self.pending.push(Reverse(Pending { arrival, order, record, label }));
        }
    }
}

/// A record that reaches the log later.
struct Pending {
    arrival: EventTime,
    /// Orders records that arrive at the same time.
    order: u32,
    record: Box<AccessRecord>,
    label: Option<Arc<Label>>,
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
