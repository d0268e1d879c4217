//! Generates labelled traffic: keys of many characters, attacks on some of them, and benign
//! patterns that look like attacks. It is seeded and streaming: the same plan gives the same
//! records, and memory grows only with the number of keys.
//!
//! ```text
//! Plan -> Cast (who is attacked, how, when) -> one KeyStream a key -> merged by arrival
//! ```

mod agents;
mod attacks;
mod calendar;
mod cast;
mod characters;
mod client;
mod confusers;
mod confusion;
mod forgery;
mod ids;
mod intrusion;
mod key;
mod kinds;
mod label;
mod places;
mod plan;
mod pool;
mod products;
mod random;
mod record;
mod rhythm;
mod schedule;
mod season;
mod signing;
mod site;
mod stream;
#[cfg(test)]
mod tests;
mod traffic;
mod weather;
mod whereabouts;
mod window;
mod writer;

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use compact_str::CompactString;

pub use self::agents::ClientFingerprint;
pub use self::attacks::AttackKind;
pub use self::characters::Character;
pub use self::confusers::ConfuserKind;
pub use self::kinds::{Kind, Selection, UnknownKind};
pub use self::label::{CastEntry, Label};
pub use self::places::{NetworkKind, PLACES, Place};
pub use self::plan::Plan;
pub use self::record::AccessRecord;
pub use self::signing::{ClientNonce, Signature};
pub use self::writer::JsonLines;

use self::cast::{Cast, Part};
use self::intrusion::{Intelligence, Intrusion};
use self::key::Key;
use self::random::Random;
use self::stream::{KeyStream, World};
use self::window::Window;
use crate::event::{EventTime, KeyId};
use crate::registry::RegisteredKey;

/// The largest number of public ids in an attacker's list.
const LISTED_IDS: usize = 1_000;

/// One record of the log.
#[derive(Clone, Debug)]
pub struct GeneratedEvent {
    /// The time at which the record reaches the log. It is the event time, unless the record is
    /// late or redelivered.
    pub arrival: EventTime,
    pub record: AccessRecord,
    /// The attack that the request belongs to.
    pub label: Option<Arc<Label>>,
}

/// Yields the events of a plan in order of arrival.
pub struct Generator {
    streams: Vec<KeyStream>,
    /// Next arrival and index of every stream that has one.
    queue: BinaryHeap<Reverse<(EventTime, usize)>>,
    confusers: Vec<Option<ConfuserKind>>,
    unplaced: Vec<AttackKind>,
}

impl Generator {
    pub fn new(plan: &Plan) -> Self {
        let mut cast = Cast::new(plan);
        let world = Arc::new(World {
            end: plan.window().end,
            weather: std::mem::take(&mut cast.weather),
            log: std::mem::take(&mut cast.log),
            retries: plan.confusers.contains(ConfuserKind::ClientRetries),
            redelivery: plan.confusers.contains(ConfuserKind::Redelivery),
            late_events: plan.confusers.contains(ConfuserKind::LateEvents),
        });
        let mut keys: Vec<_> = (0..plan.keys).map(|index| key::build(index, plan, &cast)).collect();
        if let Some(wanted) = plan.requests_per_second {
            scale_rates(&mut keys, &cast, wanted);
        }
        let ids = keys.iter().take(LISTED_IDS).map(|(key, _)| key.registered.key_id.clone());
        let ids: Arc<[KeyId]> = ids.collect();
        let clean_until = plan.start.plus_seconds(plan.clean_seconds);
        let open = Window { start: clean_until, end: plan.window().end };
        let known = Intelligence { begin: plan.start, open, ids: &ids };
        let streams: Vec<_> = keys
            .into_iter()
            .map(|(key, random)| open_stream(key, random, known, &cast, &world))
            .collect();
        let confusers = (0..plan.keys).map(|key| cast.confuser(key)).collect();
        let queue = streams
            .iter()
            .enumerate()
            .filter_map(|(number, stream)| Some(Reverse((stream.next_arrival()?, number))))
            .collect();
        Self { streams, queue, confusers, unplaced: cast.unplaced }
    }

    /// All attacks, in order of their first request. They are known from the start.
    pub fn labels(&self) -> Vec<Arc<Label>> {
        let mut labels: Vec<_> =
            self.streams.iter().flat_map(KeyStream::labels).map(Arc::clone).collect();
        labels.sort_by(|one, other| (one.start, &one.key_id).cmp(&(other.start, &other.key_id)));
        labels
    }

    /// The key registry at the end of the run.
    pub fn registry(&self) -> impl Iterator<Item = &RegisteredKey> {
        self.streams.iter().map(|stream| &stream.key().registered)
    }

    /// The role of every key, in the order of the registry.
    pub fn cast(&self) -> Vec<CastEntry> {
        let mut attacks = HashMap::<KeyId, Vec<CompactString>>::new();
        for label in self.labels() {
            for key in label.key_id.iter().chain(&label.keys) {
                attacks.entry(key.clone()).or_default().push(label.kind.clone());
            }
        }
        let entry = |(stream, confuser): (&KeyStream, &Option<ConfuserKind>)| {
            let key = stream.key();
            CastEntry {
                key_id: key.registered.key_id.clone(),
                character: CompactString::const_new(key.character.name()),
                confuser: confuser.map(|kind| CompactString::const_new(kind.name())),
                attacks: attacks.remove(&key.registered.key_id).unwrap_or_default(),
                key_days: key.active_seconds() / 86_400.0,
            }
        };
        self.streams.iter().zip(&self.confusers).map(entry).collect()
    }

    /// Requested attacks that were left out, for lack of suitable keys or of time.
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
    known: Intelligence<'_>,
    cast: &Cast,
    world: &Arc<World>,
) -> KeyStream {
    let intrusions = match cast.part(key.index) {
        Part::Victim { kind, window } => Intrusion::plan(kind, window, &key, known, &mut random),
        Part::Ordinary | Part::Confusing { .. } | Part::Successor { .. } => Vec::new(),
    };
    KeyStream::new(key, random, intrusions, Arc::clone(world))
}

/// Scales the rates of the keys that are not attacked, so that the fleet makes `wanted` requests a
/// second. Attacked keys keep the rate at which their attack stands out.
fn scale_rates(keys: &mut [(Key, Random)], cast: &Cast, wanted: f64) {
    let attacked = |key: &Key| matches!(cast.part(key.index), Part::Victim { .. });
    let total = |victims: bool| -> f64 {
        let counted = keys.iter().filter(|(key, _)| attacked(key) == victims);
        counted.map(|(key, _)| key.mean_per_second()).sum()
    };
    let (victims, others) = (total(true), total(false));
    if others > 0.0 {
        let factor = ((wanted - victims) / others).max(0.01);
        for (key, _) in keys.iter_mut().filter(|(key, _)| !attacked(key)) {
            key.clients.iter_mut().for_each(|client| client.rhythm.scale(factor));
        }
    }
}
