//! Counts who is refused away from home over all sources: a list of keys that is tried from so many
//! addresses that none of them stands out.
//!
//! The keys of one tenant count once, so that a customer whose keys have all expired is not a list.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};

use super::stuffing::{AffectedKeys, DistinctKeys, SourceAttempt, machine_of, network_of};
use crate::event::{EventTime, HOUR_SECONDS};

/// Length of a bucket. The counts are those of the current and the last one.
const BUCKET_SECONDS: f64 = HOUR_SECONDS / 2.0;
/// Weight of one bucket in the usual count.
const USUAL_WEIGHT: f32 = 0.1;
/// A bucket counts for the usual one as at most this multiple of it.
const MOST_TAUGHT: f32 = 4.0;
/// Most refused machines remembered. The oldest give way.
const MAX_MACHINES: usize = 512;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Bucket {
    /// Tenants of existing keys that were refused, or the keys where the log names no tenant.
    holders: DistinctKeys,
    /// All keys that were refused, whether or not they exist.
    keys: DistinctKeys,
    /// Networks that were refused with an existing key ...
    networks: DistinctKeys,
    /// ... and with any.
    all_networks: DistinctKeys,
    refusals: u32,
}

/// A machine that was refused, with the hash of the key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Refused {
    time: EventTime,
    machine: u64,
    key: u64,
}

/// The refusals of all sources that are not known to try keys.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct WaveProfile {
    /// Time of the first refusal.
    first: Option<EventTime>,
    began: Option<EventTime>,
    current: Bucket,
    last: Bucket,
    /// Decayed mean number of holders.
    usual: f32,
    /// Decayed mean number of keys.
    usual_keys: f32,
    told_at: Option<EventTime>,
    machines: VecDeque<Refused>,
    affected: AffectedKeys,
}

impl WaveProfile {
    /// Counts an attempt away from the key's home. Returns whether it shows that a key is on the
    /// list: it is the first that was accepted from a machine that was refused with another key.
    pub fn count(&mut self, attempt: &SourceAttempt, is_settled: bool) -> bool {
        self.turn_to(attempt.time);
        let machine = hash(machine_of(attempt.client_ip));
        if attempt.is_refused {
            self.count_refusal(attempt, is_settled, machine);
            return false;
        }
        let key_id = attempt.key_id.as_ref().filter(|_| self.was_refused(machine, attempt));
        key_id.is_some_and(|key_id| self.affected.note(key_id, true))
    }

    fn count_refusal(&mut self, attempt: &SourceAttempt, is_settled: bool, machine: u64) {
        self.remember(Refused { time: attempt.time, machine, key: attempt.key_hash });
        self.current.keys.add(attempt.key_hash);
        let network = hash(network_of(attempt.client_ip));
        self.current.all_networks.add(network);
        self.current.refusals = self.current.refusals.saturating_add(1);
        // Ids that do not exist cost nothing to invent: they name no holder.
        let Some(key_id) = &attempt.key_id else { return };
        let holder = attempt.tenant.as_deref().map_or(attempt.key_hash, hash);
        self.current.holders.add(holder);
        self.current.networks.add(network);
        // A young key has no home yet: it shows what is usual, and nothing else.
        if is_settled {
            self.affected.note(key_id, false);
        }
    }

    /// A client that repeats one wrong key takes one place, so that it drives out nobody.
    fn remember(&mut self, refused: Refused) {
        let is_same = |it: &&mut Refused| it.machine == refused.machine && it.key == refused.key;
        if let Some(known) = self.machines.iter_mut().find(is_same) {
            *known = refused;
            return;
        }
        if self.machines.len() == MAX_MACHINES {
            self.machines.pop_front();
        }
        self.machines.push_back(refused);
    }

    /// Whether the machine of an accepted attempt was refused with another key.
    fn was_refused(&self, machine: u64, attempt: &SourceAttempt) -> bool {
        self.machines.iter().any(|it| it.machine == machine && it.key != attempt.key_hash)
    }

    fn turn_to(&mut self, time: EventTime) {
        self.first.get_or_insert(time);
        let began = *self.began.get_or_insert(time);
        let buckets = time.seconds_since(began) / BUCKET_SECONDS;
        if buckets < 1.0 {
            return;
        }
        // A wave teaches little, and those that come again and again become usual.
        let (holders, keys) = (self.holders(), self.keys());
        teach(&mut self.usual, holders, buckets);
        teach(&mut self.usual_keys, keys, buckets);
        self.last = if buckets < 2.0 { self.current } else { Bucket::default() };
        (self.current, self.began) = (Bucket::default(), Some(time));
        self.machines.retain(|it| time.seconds_since(it.time) < 2.0 * BUCKET_SECONDS);
        if self.last.refusals == 0 {
            self.affected = AffectedKeys::default();
        }
    }

    /// Estimated number of tenants whose keys were refused.
    pub fn holders(&self) -> f64 {
        self.current.holders.or(&self.last.holders).estimate()
    }

    /// Estimated number of keys that were refused.
    pub fn keys(&self) -> f64 {
        self.current.keys.or(&self.last.keys).estimate()
    }

    /// Estimated number of networks that were refused with an existing key.
    pub fn networks(&self) -> f64 {
        self.current.networks.or(&self.last.networks).estimate()
    }

    /// As [`Self::networks`], with any key.
    pub fn all_networks(&self) -> f64 {
        self.current.all_networks.or(&self.last.all_networks).estimate()
    }

    pub fn refusals(&self) -> u32 {
        self.current.refusals.saturating_add(self.last.refusals)
    }

    pub fn usual(&self) -> f64 {
        f64::from(self.usual)
    }

    pub fn usual_keys(&self) -> f64 {
        f64::from(self.usual_keys)
    }

    /// Seconds from the first refusal of the log to the current bucket.
    pub fn known_seconds(&self) -> f64 {
        let since_first = |began: EventTime| self.first.map(|first| began.seconds_since(first));
        self.began.and_then(since_first).unwrap_or_default()
    }

    /// Begin of the counts.
    pub fn since(&self) -> Option<EventTime> {
        let length = if self.last.refusals > 0 { BUCKET_SECONDS } else { 0.0 };
        self.began.map(|began| began.plus_seconds(-length))
    }

    /// The existing keys that were tried.
    pub const fn affected(&self) -> &AffectedKeys {
        &self.affected
    }

    pub const fn affected_mut(&mut self) -> &mut AffectedKeys {
        &mut self.affected
    }

    /// Whether an alert reported a wave within the last hour.
    pub fn is_told(&self, time: EventTime) -> bool {
        self.told_at.is_some_and(|told| time.seconds_since(told) < HOUR_SECONDS)
    }

    pub fn tell(&mut self, time: EventTime) {
        self.told_at = Some(time);
    }
}

/// Moves a mean to the count of the bucket that ended. `buckets` have passed since it began, and
/// nobody was refused in the others.
fn teach(usual: &mut f32, count: f64, buckets: f64) {
    let count = (count as f32).min(MOST_TAUGHT * (*usual + 1.0));
    *usual += USUAL_WEIGHT * (count - *usual);
    *usual *= (1.0 - USUAL_WEIGHT).powi(buckets as i32 - 1);
}

/// A hash that is the same in each run.
fn hash(item: impl std::hash::Hash) -> u64 {
    foldhash::quality::FixedState::default().hash_one(item)
}
