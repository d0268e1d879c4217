//! Labelled traffic: keys of the usual characters, attacks on some of them,
//! and ordinary things that only look like attacks. Seeded and streaming: the
//! same plan gives the same records, and memory grows with the keys only.
//!
//! ```text
//! Plan -> Cast (who is attacked, how, when) -> one KeyStream a key -> merged by arrival
//! ```

mod attacks;
mod cast;
mod characters;
mod confusers;
mod intrusion;
mod key;
mod kinds;
mod label;
mod places;
mod plan;
mod products;
mod random;
mod record;
mod rhythm;
mod season;
mod signing;
mod stream;
#[cfg(test)]
mod tests;
mod traffic;
mod weather;
mod whereabouts;
mod window;
mod writer;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

pub use self::attacks::AttackKind;
pub use self::confusers::ConfuserKind;
pub use self::kinds::{Kind, Selection, UnknownKind};
pub use self::label::Label;
pub use self::places::{NetworkKind, PLACES, Place};
pub use self::plan::Plan;
pub use self::record::AccessRecord;
pub use self::signing::{ClientNonce, Signature};
pub use self::writer::JsonLines;

use self::cast::{Cast, Part};
use self::intrusion::Intrusion;
use self::key::Key;
use self::random::Random;
use self::stream::{KeyStream, World};
use crate::event::EventTime;
use crate::registry::RegisteredKey;

/// One record of the log.
#[derive(Clone, Debug)]
pub struct GeneratedEvent {
    /// When the record reaches the log; its event time, unless it is late or delivered again.
    pub arrival: EventTime,
    pub record: AccessRecord,
    /// The attack that the request is part of.
    pub label: Option<Arc<Label>>,
}

/// Yields the events of a plan in order of arrival.
pub struct Generator {
    streams: Vec<KeyStream>,
    /// Next arrival and number of every stream that has one.
    queue: BinaryHeap<Reverse<(EventTime, usize)>>,
    unplaced: Vec<AttackKind>,
}

impl Generator {
    pub fn new(plan: &Plan) -> Self {
        let mut cast = Cast::new(plan);
        let world = Arc::new(World {
            end: plan.window().end,
            weather: std::mem::take(&mut cast.weather),
            retries: plan.confusers.contains(ConfuserKind::ClientRetries),
            redelivery: plan.confusers.contains(ConfuserKind::Redelivery),
            late_events: plan.confusers.contains(ConfuserKind::LateEvents),
        });
        let mut keys: Vec<_> = (0..plan.keys).map(|index| key::build(index, plan, &cast)).collect();
        if let Some(wanted) = plan.requests_per_second {
            scale_rates(&mut keys, &cast, wanted);
        }
        let streams: Vec<_> = keys
            .into_iter()
            .map(|(key, random)| open_stream(key, random, plan, &cast, &world))
            .collect();
        let queue = streams
            .iter()
            .enumerate()
            .filter_map(|(number, stream)| Some(Reverse((stream.next_arrival()?, number))))
            .collect();
        Self { streams, queue, unplaced: cast.unplaced }
    }

    /// All attacks, known from the start, in order of their first request.
    pub fn labels(&self) -> Vec<Arc<Label>> {
        let mut labels: Vec<_> =
            self.streams.iter().filter_map(KeyStream::label).map(Arc::clone).collect();
        labels.sort_by(|one, other| (one.start, &one.key_id).cmp(&(other.start, &other.key_id)));
        labels
    }

    /// The key registry as it is at the end of the run.
    pub fn registry(&self) -> impl Iterator<Item = &RegisteredKey> {
        self.streams.iter().map(|stream| &stream.key().registered)
    }

    /// Attacks that were asked for and left out for lack of keys.
    pub fn unplaced(&self) -> &[AttackKind] {
        &self.unplaced
    }
}

impl Iterator for Generator {
    type Item = GeneratedEvent;

    fn next(&mut self) -> Option<GeneratedEvent> {
        loop {
            let mut first = self.queue.peek_mut()?;
            let Reverse((_, number)) = *first;
            let stream = &mut self.streams[number];
            let event = stream.advance();
            match stream.next_arrival() {
                Some(arrival) => *first = Reverse((arrival, number)),
                None => {
                    PeekMut::pop(first);
                }
            }
            if event.is_some() {
                return event;
            }
        }
    }
}

fn open_stream(
    key: Key,
    mut random: Random,
    plan: &Plan,
    cast: &Cast,
    world: &Arc<World>,
) -> KeyStream {
    let intrusion = match cast.part(key.index) {
        Part::Victim { kind, window } => {
            Some(Intrusion::new(kind, window, &key, plan.start, &mut random))
        }
        Part::Ordinary | Part::Confusing { .. } | Part::Successor { .. } => None,
    };
    KeyStream::new(key, random, intrusion, Arc::clone(world))
}

/// Scales the rates of the keys that are not attacked so that the fleet makes
/// `wanted` requests a second. Attacked keys keep the rate at which their
/// attack stands out.
fn scale_rates(keys: &mut [(Key, Random)], cast: &Cast, wanted: f64) {
    let attacked = |key: &Key| matches!(cast.part(key.index), Part::Victim { .. });
    let total = |victims: bool| -> f64 {
        let counted = keys.iter().filter(|(key, _)| attacked(key) == victims);
        counted.map(|(key, _)| key.rhythm.mean_per_second()).sum()
    };
    let (victims, others) = (total(true), total(false));
    if others > 0.0 {
        let factor = ((wanted - victims) / others).max(0.01);
        for (key, _) in keys.iter_mut().filter(|(key, _)| !attacked(key)) {
            key.rhythm.scale(factor);
        }
    }
}
