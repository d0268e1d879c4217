//! Which requests came before: what tells a redelivered record, a retry and a replay apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::config::DetectConfig;
use crate::detect::replay::{self, Earlier, FirstUse, Repetition};
use crate::event::{AccessEvent, EnrichedEvent, EventTime, Fingerprint, KeyId, RecordPosition};
use crate::profile::recent::request_identity;
use crate::profile::sightings::SavedLines;
use crate::profile::source::{Attempt, machine_of};
use crate::profile::{Recent, Sightings};

use super::snapshot::Lengths;

/// Requests by which redelivered records are told: nearly all of the last so many.
const LAST_REQUESTS: usize = 3_000_000;

/// Attempts by which it is known what other partitions have heard already.
const LAST_ATTEMPTS: usize = 30_000;
const HOUR_MICROS: i64 = 3_600_000_000;

/// Fingerprints are forgotten a slice after their horizon at the latest.
const SLICE_MORE: f64 = 13.0 / 12.0;

/// The memory of one shard.
pub struct Memory {
    hasher: foldhash::quality::FixedState,
    pub requests: Sightings,
    pub first_uses: Recent<FirstUse>,
    /// What was used once, for the whole horizon.
    pub used: Sightings,
    /// Not saved: what is handed out again changes nothing.
    handed_out: Sightings,
    first_uses_kept: usize,
    horizon_seconds: f64,
}

/// Something that must be used once, whose first use is no longer known in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub identity: u64,
    pub key_id: KeyId,
    /// Of the nonce, or without one of the signature.
    pub fingerprint: Fingerprint,
    pub time: EventTime,
    /// The first use is not older.
    pub since: EventTime,
    pub position: RecordPosition,
}

/// First uses by the identity of a [`Doubt`], as the store has them. What was asked for and is
/// not in it, was not used before.
pub type EarlierUses = HashMap<u64, FirstUse>;

impl Memory {
    pub fn new(config: &DetectConfig) -> Self {
        let horizon_seconds = config.replay_horizon_hours * 3_600.0;
        let bytes = config.replay_memory_mebibytes << 20;
        Self {
            hasher: foldhash::quality::FixedState::default(),
            requests: Sightings::of_the_last(LAST_REQUESTS),
            first_uses: Recent::new(config.replay_first_uses),
            used: Sightings::within(horizon_seconds, bytes),
            handed_out: Sightings::of_the_last(LAST_ATTEMPTS),
            first_uses_kept: config.replay_first_uses,
            horizon_seconds,
        }
    }

    pub fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    /// Whether the same request came in another record.
    pub fn is_repeated_request(&mut self, event: &AccessEvent) -> bool {
        let identity = request_identity(event, &self.hasher);
        identity.is_some_and(|identity| self.requests.insert_next(identity))
    }

    /// Whether the same machine got the same answer with the same key in this hour already.
    pub fn was_handed_out(&mut self, attempt: &Attempt) -> bool {
        let Attempt { is_accepted, is_refused, key_hash, .. } = attempt;
        let hour = attempt.time.as_micros().div_euclid(HOUR_MICROS);
        let machine = machine_of(attempt.client_ip);
        let identity = self.hash((machine, key_hash, is_accepted, is_refused, hour));
        self.handed_out.insert_next(identity)
    }

    /// The earlier request with this event's nonce, or without one its signature, if there was
    /// one and this is no retry of it. `earlier` is `None` where there is no store to ask.
    pub fn repetition(
        &mut self,
        enriched: &EnrichedEvent,
        earlier: Option<&EarlierUses>,
    ) -> Option<Repetition> {
        let event = &enriched.event;
        let fingerprint = used_once(event)?;
        let identity = self.hash((&event.key_id, fingerprint));
        let is_late = self.used.has_passed(event.time);
        let was_used = self.used.insert_at(identity, event.time);
        let stored = earlier.filter(|_| was_used).and_then(|earlier| earlier.get(&identity));
        let this = FirstUse {
            time: event.time,
            ip: event.client_ip,
            status: event.status,
            position: enriched.position,
        };
        let remembered = self.first_uses.first_or_insert(identity, *stored.unwrap_or(&this));
        let earlier = match remembered.or(stored.copied()) {
            Some(first) if replay::is_retry(event, &first) => return None,
            Some(first) => Earlier::Known(first),
            // A late record may be the forgotten one itself, sent again with its whole file.
            None if was_used && earlier.is_none() && !is_late => {
                Earlier::Within { seconds: self.horizon_seconds }
            }
            None => return None,
        };
        Some(Repetition { earlier, fingerprint })
    }

    /// Uses that were forgotten for want of room since this was asked last.
    pub fn take_forgotten(&mut self) -> u64 {
        self.used.take_pushed_out()
    }

    /// Makes the next cut take everything.
    pub fn save_all_again(&mut self) {
        self.requests.save_all_again();
        self.first_uses.save_all_again();
        self.used.save_all_again();
    }

    /// Fills a fresh memory with what was saved, oldest first. `None` when first uses are missing.
    pub fn restore(
        &mut self,
        requests: &[SavedLines],
        (lengths, first_uses): (Lengths, &[(u64, FirstUse)]),
        used: &[SavedLines],
    ) -> Option<()> {
        self.first_uses = Recent::restore(self.first_uses_kept, lengths, first_uses)?;
        requests.iter().for_each(|lines| self.requests.restore(lines));
        used.iter().for_each(|lines| self.used.restore(lines));
        Some(())
    }

    /// What of a batch was used within the horizon, and is not known in full, or may not be
    /// any more when its turn comes. In the order of the events.
    pub fn doubts(&self, events: &[EnrichedEvent]) -> Vec<Doubt> {
        let doubt = |enriched: &EnrichedEvent| {
            let event = &enriched.event;
            let fingerprint = used_once(event)?;
            let identity = self.hash((&event.key_id, fingerprint));
            let is_doubtful =
                self.used.contains(identity) && !self.first_uses.keeps(identity, events.len());
            is_doubtful.then(|| Doubt {
                identity,
                key_id: event.key_id.clone(),
                fingerprint,
                time: event.time,
                since: event.time.plus_seconds(-self.horizon_seconds * SLICE_MORE),
                position: enriched.position,
            })
        };
        events.iter().filter_map(doubt).collect()
    }
}

fn used_once(event: &AccessEvent) -> Option<Fingerprint> {
    event.nonce.map(|nonce| nonce.fingerprint).or(event.signature)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::event::Nonce;

    const HOUR: f64 = 3_600.0;

    /// Of a log that goes on for days: a request of one key with a nonce.
    fn request(offset: i64, seconds: f64, nonce: u128, ip: u8) -> EnrichedEvent {
        let time = EventTime::from_seconds(1_700_000_000).plus_seconds(seconds);
        let mut event = AccessEvent::minimal(time, "key", IpAddr::from([192, 0, 2, ip]));
        event.nonce = Some(Nonce { fingerprint: Fingerprint(nonce), number: None });
        let position = RecordPosition { offset, index: 0 };
        EnrichedEvent { event, position, origin: Arc::default() }
    }

    fn memory() -> Memory {
        Memory::new(&DetectConfig { replay_first_uses: 10, ..DetectConfig::default() })
    }

    /// What a store with all of `log` answers.
    fn answer(log: &[EnrichedEvent], doubts: &[Doubt]) -> EarlierUses {
        let first = |doubt: &Doubt| {
            let is_same =
                |other: &&EnrichedEvent| used_once(&other.event) == Some(doubt.fingerprint);
            let first = log.iter().find(is_same)?;
            (first.position < doubt.position && first.event.time >= doubt.since).then(|| {
                let AccessEvent { time, client_ip: ip, status, .. } = first.event;
                (doubt.identity, FirstUse { time, ip, status, position: first.position })
            })
        };
        doubts.iter().filter_map(first).collect()
    }

    fn told(memory: &mut Memory, batch: &[EnrichedEvent], log: &[EnrichedEvent]) -> Vec<String> {
        let earlier = answer(log, &memory.doubts(batch));
        let tell = |event| memory.repetition(event, Some(&earlier));
        batch.iter().map(tell).map(|repetition| format!("{repetition:?}")).collect()
    }

    fn known(repetition: Repetition) -> FirstUse {
        let Earlier::Known(first) = repetition.earlier else { unreachable!("{repetition:?}") };
        first
    }

    /// A nonce, then `between` others, then the nonce again after so many seconds.
    fn again_after(between: u128, seconds: f64) -> (Memory, EnrichedEvent) {
        let mut memory = memory();
        for n in 0..=between {
            let first = request(n as i64, n as f64, n + 1, 1);
            assert!(memory.repetition(&first, None).is_none());
        }
        (memory, request(1_000, seconds, 1, 2))
    }

    #[test]
    fn without_a_store_an_old_nonce_was_used_some_time_within_the_horizon() {
        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        let repetition = memory.repetition(&replayed, None).unwrap();
        assert!(matches!(repetition.earlier, Earlier::Within { .. }));
        let (mut memory, replayed) = again_after(100, 30.0 * HOUR);
        assert!(memory.repetition(&replayed, None).is_none(), "beyond the horizon");
    }

    #[test]
    fn the_store_says_who_used_an_old_nonce_or_that_nobody_did() {
        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        let doubts = memory.doubts(std::slice::from_ref(&replayed));
        assert_eq!(doubts.len(), 1);
        assert!(doubts[0].since <= request(0, 0.0, 1, 1).event.time);
        let earlier = answer(&[request(0, 0.0, 1, 1)], &doubts);
        let repetition = memory.repetition(&replayed, Some(&earlier)).unwrap();
        let first = known(repetition);
        assert_eq!((first.position.offset, first.ip), (0, IpAddr::from([192, 0, 2, 1])));
        let third = request(1_001, 20.0 * HOUR + 60.0, 1, 3);
        let first = known(memory.repetition(&third, None).unwrap());
        assert_eq!(first.position.offset, 0);

        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        assert!(memory.repetition(&replayed, Some(&EarlierUses::new())).is_none());
    }

    #[test]
    fn what_is_known_in_full_is_not_asked_for() {
        let (memory, replayed) = again_after(5, 60.0);
        assert_eq!(memory.doubts(&[replayed]), []);
    }

    #[test]
    fn a_file_that_comes_again_long_after_is_not_a_replay_of_itself() {
        let mut memory = memory();
        let file: Vec<_> =
            (0..50).map(|n| request(n, n as f64 * 600.0, n as u128 + 1, 1)).collect();
        let mut repeated = 0;
        for event in file.iter().chain(&file[..10]) {
            repeated += usize::from(memory.repetition(event, None).is_some());
        }
        assert_eq!(repeated, 0);
    }

    proptest! {
        /// A first use may leave the memory within a batch: its details are asked for before.
        #[test]
        fn where_a_batch_is_cut_changes_nothing(
            nonces in prop::collection::vec((1u128..40, 1u8..4), 1..120),
            cuts in prop::collection::vec(1usize..15, 1..120),
        ) {
            let event = |(n, (nonce, ip)): (usize, &(u128, u8))| {
                request(n as i64, n as f64 * 60.0, *nonce, *ip)
            };
            let log: Vec<_> = nonces.iter().enumerate().map(event).collect();
            let mut one_by_one = memory();
            let expected: Vec<_> =
                log.chunks(1).flat_map(|batch| told(&mut one_by_one, batch, &log)).collect();
            let (mut memory, mut rest, mut found) = (memory(), log.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (batch, after) = rest.split_at((*cut).min(rest.len()));
                found.extend(told(&mut memory, batch, &log));
                rest = after;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
