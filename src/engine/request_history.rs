//! Remembers earlier requests of one shard, to tell a redelivered record, a retry and a replay
//! apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::answer::Answer;
use crate::config::DetectConfig;
use crate::detect::replay::{self, Earlier, FirstUse, Repetition, Signed, rounded_latency};
use crate::event::{AccessEvent, EnrichedEvent, EventTime, Fingerprint, KeyId, RecordPosition};
use crate::profile::nonce::Again;
use crate::profile::recent::request_identity;
use crate::profile::sightings::SavedLines;
use crate::profile::stuffing::{SourceAttempt, machine_of};
use crate::profile::{Recent, Sightings, Signers};

use super::checkpoint::Lengths;

/// Number of last requests remembered, nearly exactly, to recognise redelivered records.
const LAST_REQUESTS: usize = 3_000_000;

/// Number of last attempts remembered, to hand out each only once to other partitions.
const LAST_ATTEMPTS: usize = 30_000;
const HOUR_MICROS: i64 = 3_600_000_000;

/// Fingerprints are dropped at the latest one slice (a twelfth) after their horizon.
const SLICE_MORE: f64 = 13.0 / 12.0;

/// The earlier requests of one shard.
pub struct RequestHistory {
    hasher: foldhash::quality::FixedState,
    pub requests: Sightings,
    pub first_uses: Recent<FirstUse>,
    /// Nonces and signatures that were used within the horizon.
    pub used: Sightings,
    /// Not saved: readers take the earliest of the attempts that are handed out again.
    handed_out: Sightings,
    first_uses_kept: usize,
    horizon_seconds: f64,
}

/// A nonce or a signature whose first use is no longer known in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayLookup {
    pub identity: u64,
    pub key_id: KeyId,
    /// Fingerprint of the nonce or of the signature.
    pub fingerprint: Fingerprint,
    pub time: EventTime,
    /// The first use is not before this time.
    pub since: EventTime,
    pub position: RecordPosition,
}

/// First uses by the identity of their [`ReplayLookup`], as the store has them. A looked-up
/// identity that is missing was not used before.
pub type EarlierUses = HashMap<u64, FirstUse>;

impl RequestHistory {
    pub fn new(config: &DetectConfig) -> Self {
        let horizon_seconds = config.replay_horizon_hours * 3_600.0;
        let bytes = config.replay_memory_mebibytes << 20;
        Self {
            hasher: foldhash::quality::FixedState::default(),
            requests: Sightings::of_the_last(LAST_REQUESTS),
            first_uses: Recent::new(config.replay_first_uses * USES),
            used: Sightings::within(horizon_seconds, bytes),
            handed_out: Sightings::of_the_last(LAST_ATTEMPTS),
            first_uses_kept: config.replay_first_uses * USES,
            horizon_seconds,
        }
    }

    pub fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    /// Whether the same request already came in another record.
    pub fn is_repeated_request(&mut self, event: &AccessEvent) -> bool {
        let identity = request_identity(event, &self.hasher);
        identity.is_some_and(|identity| self.requests.insert_next(identity))
    }

    /// Whether the same machine already got the same answer with the same key in this hour.
    pub fn was_handed_out(&mut self, attempt: &SourceAttempt) -> bool {
        let SourceAttempt { is_accepted, is_refused, key_hash, .. } = attempt;
        let hour = attempt.time.as_micros().div_euclid(HOUR_MICROS);
        let machine = machine_of(attempt.client_ip);
        let identity = self.hash((machine, key_hash, is_accepted, is_refused, hour));
        self.handed_out.insert_next(identity)
    }

    /// How this event repeats an earlier one: by its nonce, else by its signature. `None` if it
    /// does not. `earlier` is `None` where there is no store to look up in. `signers` are the
    /// machines of the key.
    pub fn repetition(
        &mut self,
        enriched: &EnrichedEvent,
        earlier: Option<&EarlierUses>,
        signers: &Signers,
    ) -> Option<Repetition> {
        let event = &enriched.event;
        let is_late = self.used.has_passed(event.time);
        let this = first_use(enriched);
        let nonce = event.nonce.map(|nonce| nonce.fingerprint);
        let (by_nonce, by_signature) = (
            nonce.and_then(|nonce| self.use_once(event, nonce, this, earlier)),
            event.signature.and_then(|signature| self.use_once(event, signature, this, earlier)),
        );
        let is_new_signature = event.signature.is_some() && by_signature.is_none();
        let (again, fingerprint, found) = match (by_nonce, by_signature) {
            (Some(found), _) if is_collision(found, this, is_new_signature) => {
                (Again::Collision, nonce?, found)
            }
            (Some(found), _) => (Again::Replay, nonce?, found),
            (None, Some(found)) if nonce.is_some() => (Again::NewNonce, event.signature?, found),
            (None, Some(found)) => (Again::Replay, event.signature?, found),
            (None, None) => return None,
        };
        let (again, earlier) = match found {
            Some(first) => (again_after(event, &first, again, signers), Earlier::Known(first)),
            // A late record may be the forgotten first use itself, in a file that is sent again.
            None if earlier.is_none() && !is_late => {
                (again, Earlier::Within { seconds: self.horizon_seconds })
            }
            None => return None,
        };
        Some(Repetition { again, earlier, fingerprint })
    }

    /// Notes a use. `None` for a first use. Otherwise the first use, or `Some(None)` if its details
    /// are not known.
    fn use_once(
        &mut self,
        event: &AccessEvent,
        fingerprint: Fingerprint,
        this: FirstUse,
        earlier: Option<&EarlierUses>,
    ) -> Option<Option<FirstUse>> {
        let identity = self.hash((&event.key_id, fingerprint));
        let was_used = self.used.insert_at(identity, event.time);
        let stored = earlier.filter(|_| was_used).and_then(|earlier| earlier.get(&identity));
        let remembered = self.first_uses.first_or_insert(identity, *stored.unwrap_or(&this));
        let first = remembered.or(stored.copied());
        // A nonce that the store does not have was not used before.
        let is_again = first.is_some() || (was_used && earlier.is_none());
        is_again.then_some(first)
    }

    /// How an attempt repeats an accepted request, as far as that is in memory. An attempt is not a
    /// use, so that nothing is noted.
    pub fn repetition_of_attempt(&self, event: &AccessEvent) -> Option<Repetition> {
        let found = |fingerprint: Option<Fingerprint>, again| {
            let first = self.first_uses.get(self.hash((&event.key_id, fingerprint?)))?;
            let is_replay = Answer::of(first.status) == Answer::Accepted
                && first.signed.is_same(Signed::of(event));
            let earlier = Earlier::Known(first);
            is_replay.then_some(Repetition { again, earlier, fingerprint: fingerprint? })
        };
        let nonce = event.nonce.map(|nonce| nonce.fingerprint);
        let by_signature = if nonce.is_some() { Again::NewNonce } else { Again::Replay };
        found(nonce, Again::Replay).or_else(|| found(event.signature, by_signature))
    }

    /// Number of uses that were dropped because the memory was full, since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        self.used.take_pushed_out()
    }

    /// Makes the next cut save everything.
    pub fn save_all_again(&mut self) {
        self.requests.save_all_again();
        self.first_uses.save_all_again();
        self.used.save_all_again();
    }

    /// Fills a new memory from saved parts, oldest first. `None` if first uses are missing.
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

    /// The nonces and signatures of a batch that were used within the horizon, but are not known in
    /// full, or may no longer be when their event is judged. In the order of the events.
    pub fn replay_lookups(&self, events: &[EnrichedEvent]) -> Vec<ReplayLookup> {
        let doubt = |(enriched, fingerprint): (&EnrichedEvent, Fingerprint)| {
            let event = &enriched.event;
            let identity = self.hash((&event.key_id, fingerprint));
            let is_doubtful = self.used.contains(identity)
                && !self.first_uses.keeps(identity, events.len() * USES);
            is_doubtful.then(|| ReplayLookup {
                identity,
                key_id: event.key_id.clone(),
                fingerprint,
                time: event.time,
                since: event.time.plus_seconds(-self.horizon_seconds * SLICE_MORE),
                position: enriched.position,
            })
        };
        let uses = |enriched| used_once(enriched).map(move |fingerprint| (enriched, fingerprint));
        events.iter().flat_map(uses).filter_map(doubt).collect()
    }
}

/// Number of things that one request uses at most: a nonce and a signature.
const USES: usize = 2;

fn used_once(enriched: &EnrichedEvent) -> impl Iterator<Item = Fingerprint> + use<> {
    let AccessEvent { nonce, signature, .. } = enriched.event;
    nonce.map(|nonce| nonce.fingerprint).into_iter().chain(signature)
}

fn first_use(enriched: &EnrichedEvent) -> FirstUse {
    let event = &enriched.event;
    FirstUse {
        time: event.time,
        ip: event.client_ip,
        asn: enriched.origin.asn,
        status: event.status,
        latency_ms: rounded_latency(event.latency_ms),
        position: enriched.position,
        signed: Signed::of(event),
    }
}

/// Whether another request used the same nonce. If the first use is forgotten, a signature that was
/// never used proves it.
fn is_collision(first: Option<FirstUse>, this: FirstUse, is_new_signature: bool) -> bool {
    first.map_or(is_new_signature, |first| !first.signed.is_same(this.signed))
}

/// Classifies the repetition of a request whose first use is known.
fn again_after(event: &AccessEvent, first: &FirstUse, again: Again, signers: &Signers) -> Again {
    if again == Again::Collision || !replay::is_retry(event, first, signers) {
        again
    } else if replay::is_accepted_twice(event, first) {
        Again::AcceptedTwice
    } else {
        Again::Retry
    }
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

    /// A request of one key with a nonce.
    fn request(offset: i64, seconds: f64, nonce: u128, ip: u8) -> EnrichedEvent {
        let time = EventTime::from_seconds(1_700_000_000).plus_seconds(seconds);
        let mut event = AccessEvent::minimal(time, "key", IpAddr::from([192, 0, 2, ip]));
        event.nonce = Some(Nonce { fingerprint: Fingerprint(nonce), number: None });
        let position = RecordPosition { offset, index: 0 };
        EnrichedEvent { event, position, origin: Arc::default() }
    }

    fn memory() -> RequestHistory {
        RequestHistory::new(&DetectConfig { replay_first_uses: 10, ..DetectConfig::default() })
    }

    /// The answer of a store that has all of `log`.
    fn answer(log: &[EnrichedEvent], lookups: &[ReplayLookup]) -> EarlierUses {
        let first = |doubt: &ReplayLookup| {
            let is_same =
                |other: &&EnrichedEvent| used_once(other).any(|used| used == doubt.fingerprint);
            let first = log.iter().find(is_same)?;
            (first.position < doubt.position && first.event.time >= doubt.since)
                .then(|| (doubt.identity, first_use(first)))
        };
        lookups.iter().filter_map(first).collect()
    }

    fn repetitions(
        memory: &mut RequestHistory,
        batch: &[EnrichedEvent],
        log: &[EnrichedEvent],
    ) -> Vec<String> {
        let earlier = answer(log, &memory.replay_lookups(batch));
        let repetition = |event| memory.repetition(event, Some(&earlier), &Signers::default());
        batch.iter().map(repetition).map(|repetition| format!("{repetition:?}")).collect()
    }

    fn known(repetition: Repetition) -> FirstUse {
        let Earlier::Known(first) = repetition.earlier else { unreachable!("{repetition:?}") };
        first
    }

    /// A nonce, then `between` others, then the nonce again after so many seconds.
    fn again_after(between: u128, seconds: f64) -> (RequestHistory, EnrichedEvent) {
        let mut memory = memory();
        for n in 0..=between {
            let first = request(n as i64, n as f64, n + 1, 1);
            assert!(memory.repetition(&first, None, &Signers::default()).is_none());
        }
        (memory, request(1_000, seconds, 1, 2))
    }

    #[test]
    fn without_a_store_an_old_nonce_is_known_to_be_used_within_the_horizon() {
        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        let repetition = memory.repetition(&replayed, None, &Signers::default()).unwrap();
        assert!(matches!(repetition.earlier, Earlier::Within { .. }));
        let (mut memory, replayed) = again_after(100, 30.0 * HOUR);
        assert!(
            memory.repetition(&replayed, None, &Signers::default()).is_none(),
            "beyond the horizon"
        );
    }

    #[test]
    fn the_store_says_who_used_an_old_nonce_or_that_nobody_did() {
        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        let lookups = memory.replay_lookups(std::slice::from_ref(&replayed));
        assert_eq!(lookups.len(), 1);
        assert!(lookups[0].since <= request(0, 0.0, 1, 1).event.time);
        let earlier = answer(&[request(0, 0.0, 1, 1)], &lookups);
        let repetition = memory.repetition(&replayed, Some(&earlier), &Signers::default()).unwrap();
        let first = known(repetition);
        assert_eq!((first.position.offset, first.ip), (0, IpAddr::from([192, 0, 2, 1])));
        let third = request(1_001, 20.0 * HOUR + 60.0, 1, 3);
        let first = known(memory.repetition(&third, None, &Signers::default()).unwrap());
        assert_eq!(first.position.offset, 0);

        let (mut memory, replayed) = again_after(100, 20.0 * HOUR);
        assert!(
            memory.repetition(&replayed, Some(&EarlierUses::new()), &Signers::default()).is_none()
        );
    }

    #[test]
    fn a_first_use_that_is_known_in_full_is_not_looked_up() {
        let (memory, replayed) = again_after(5, 60.0);
        assert_eq!(memory.replay_lookups(&[replayed]), []);
    }

    #[test]
    fn a_file_that_comes_again_long_after_is_not_a_replay_of_itself() {
        let mut memory = memory();
        let file: Vec<_> =
            (0..50).map(|n| request(n, n as f64 * 600.0, n as u128 + 1, 1)).collect();
        let mut repeated = 0;
        for event in file.iter().chain(&file[..10]) {
            repeated += usize::from(memory.repetition(event, None, &Signers::default()).is_some());
        }
        assert_eq!(repeated, 0);
    }

    proptest! {
        /// A first use may be dropped from memory within a batch, so that it is looked up before.
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
                log.chunks(1).flat_map(|batch| repetitions(&mut one_by_one, batch, &log)).collect();
            let (mut memory, mut rest, mut found) = (memory(), log.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (batch, after) = rest.split_at((*cut).min(rest.len()));
                found.extend(repetitions(&mut memory, batch, &log));
                rest = after;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
