//! Counts refused requests by source (an address or a network), and the keys that it tries.
//!
//! Memory is bounded, however many sources there are and however many keys a source tries.

use std::collections::HashMap;
use std::net::IpAddr;

use compact_str::CompactString;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId, PartitionId, RecordPosition, SitePrefix};

/// Most sources in the table.
const CAPACITY: usize = 1_024;
/// Most existing keys remembered for one source.
const MAX_AFFECTED: usize = 32;
/// Weight of one window in the usual share of refused keys.
const USUAL_WEIGHT: f32 = 0.3;
/// Pseudo-count of accepted keys in a window, so that few keys do not give a high share.
const PRIOR_KEYS: f64 = 10.0;

/// The network of a single machine: an IPv4 address, or an IPv6 /64, which one machine can use
/// whole.
pub fn machine_of(ip: IpAddr) -> IpNet {
    match ip {
        IpAddr::V4(ip) => Ipv4Net::from(ip).into(),
        IpAddr::V6(ip) => Ipv6Net::new_assert(ip, 64).trunc().into(),
    }
}

/// The site prefix of an address: see [`SitePrefix`].
pub fn network_of(ip: IpAddr) -> IpNet {
    SitePrefix::of(ip).net()
}

/// The size of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A single machine: see [`machine_of`].
    Machine,
    /// A network: see [`network_of`].
    Network,
}

/// Estimates the number of distinct keys by linear counting (Whang, Vander-Zanden and Taylor
/// 1990). The error is a few percent up to some thousands, where the estimate saturates.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DistinctKeys {
    bits: [u64; 16],
    set: u16,
}

impl DistinctKeys {
    pub(super) fn add(&mut self, hash: u64) {
        let (word, bit) = ((hash >> 6) as usize % self.bits.len(), 1 << (hash & 63));
        self.set += u16::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    /// The keys of both.
    pub(super) fn or(&self, other: &Self) -> Self {
        let bits = std::array::from_fn(|word| self.bits[word] | other.bits[word]);
        let set = bits.iter().map(|word| word.count_ones() as u16).sum();
        Self { bits, set }
    }

    /// Estimated number of distinct keys.
    pub fn estimate(&self) -> f64 {
        let size = (self.bits.len() * 64) as f64;
        let free = (size - f64::from(self.set)).max(1.0);
        size * (size / free).ln()
    }
}

/// An existing key that a source tried outside of the key's own places.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AffectedKey {
    pub key_id: KeyId,
    /// The API accepted a request of the source with this key.
    pub is_answered: bool,
    /// The incident of the key contains this evidence already.
    pub is_told: bool,
}

/// The existing keys that a source tried outside of their own places, at most [`MAX_AFFECTED`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AffectedKeys(Vec<AffectedKey>);

impl AffectedKeys {
    /// The keys, accepted ones first.
    pub fn ids(&self) -> Vec<KeyId> {
        let keys = |answered: bool| {
            let of_this_kind = self.0.iter().filter(move |key| key.is_answered == answered);
            of_this_kind.map(|key| key.key_id.clone())
        };
        keys(true).chain(keys(false)).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of keys of which a request was accepted.
    pub fn answered(&self) -> usize {
        self.0.iter().filter(|key| key.is_answered).count()
    }

    /// Returns the accepted keys whose incidents do not contain this evidence yet, and marks them
    /// as reported.
    pub fn take_untold(&mut self) -> Vec<KeyId> {
        let unreported = self.0.iter_mut().filter(|key| key.is_answered && !key.is_told);
        unreported
            .map(|key| {
                key.is_told = true;
                key.key_id.clone()
            })
            .collect()
    }

    /// Records a key that the source tried. Returns whether this is new: the key was not recorded,
    /// or not recorded as accepted.
    pub fn note(&mut self, key_id: &KeyId, is_answered: bool) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| known.key_id == *key_id) {
            let is_news = is_answered && !known.is_answered;
            known.is_answered |= is_answered;
            return is_news;
        }
        let full = self.0.len() >= MAX_AFFECTED;
        if full && is_answered {
            // An accepted key is stronger evidence than a refused one, so it replaces one.
            let refused = self.0.iter().position(|known| !known.is_answered);
            refused.map(|place| self.0.remove(place));
        }
        let has_room = self.0.len() < MAX_AFFECTED;
        if has_room {
            let key_id = key_id.clone();
            self.0.push(AffectedKey { key_id, is_answered, is_told: false });
        }
        has_room
    }
}

/// The requests of one source in its current window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceProfile {
    pub since: EventTime,
    pub requests: u32,
    pub refused: u32,
    tried: DistinctKeys,
    accepted: DistinctKeys,
    /// Mean share of refused keys in the windows before.
    pub usual_share: f32,
    affected: AffectedKeys,
    /// An alert has reported this source in the current window.
    pub is_told: bool,
}

impl SourceProfile {
    fn new(time: EventTime) -> Self {
        Self {
            since: time,
            requests: 0,
            refused: 0,
            tried: DistinctKeys::default(),
            accepted: DistinctKeys::default(),
            usual_share: 0.0,
            affected: AffectedKeys::default(),
            is_told: false,
        }
    }

    /// Estimated number of distinct keys in all requests.
    pub fn keys_tried(&self) -> f64 {
        self.tried.estimate()
    }

    /// Estimated number of distinct keys that were refused and never accepted.
    pub fn keys_refused(&self) -> f64 {
        self.tried.estimate() - self.accepted.estimate()
    }

    /// Whether roughly a quarter or more of the keys were refused. It is cheap, because it runs for
    /// every request.
    pub fn is_often_refused(&self) -> bool {
        let refused = self.tried.set - self.accepted.set;
        refused > 0 && 4 * refused >= self.tried.set
    }

    /// The existing keys that the source tried.
    pub const fn affected(&self) -> &AffectedKeys {
        &self.affected
    }

    pub const fn affected_mut(&mut self) -> &mut AffectedKeys {
        &mut self.affected
    }

    fn count(&mut self, attempt: &SourceAttempt, window_seconds: f64) {
        if attempt.time.seconds_since(self.since) > window_seconds {
            self.turn(attempt.time);
        }
        self.requests = self.requests.saturating_add(1);
        self.tried.add(attempt.key_hash);
        if attempt.is_refused {
            self.refused = self.refused.saturating_add(1);
        } else {
            self.accepted.add(attempt.key_hash);
        }
    }

    /// Begins the next window. A window in which an alert reported the source does not change the
    /// usual share.
    fn turn(&mut self, time: EventTime) {
        if !self.is_told {
            let share = self.keys_refused() / (self.keys_tried() + PRIOR_KEYS);
            self.usual_share += USUAL_WEIGHT * (share as f32 - self.usual_share);
        }
        *self = Self { usual_share: self.usual_share, ..Self::new(time) };
    }
}

/// One request as evidence about its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAttempt {
    pub time: EventTime,
    pub partition: PartitionId,
    pub position: RecordPosition,
    pub client_ip: IpAddr,
    /// Hash of the key id. It is the same in every process.
    pub key_hash: u64,
    pub is_accepted: bool,
    /// The API refused the request, and the address is not one of the key's own places.
    pub is_refused: bool,
    /// Id of the key, if it exists and the address is not one of its own places.
    pub key_id: Option<KeyId>,
    /// Tenant of that key.
    pub tenant: Option<CompactString>,
}

impl SourceAttempt {
    /// Whether the request is evidence about a source that is not suspected yet: it is refused, or
    /// its address is not one of the key's own places.
    pub fn is_away_from_home(&self) -> bool {
        self.is_refused || self.key_id.is_some()
    }

    /// Whether the API refused the request at one of the key's own places.
    pub fn is_refused_at_home(&self) -> bool {
        !self.is_accepted && !self.is_refused
    }
}

/// The sources with the most refused requests, by Space-Saving (Metwally, Agrawal and El Abbadi
/// 2005).
///
/// A new source replaces the one with the fewest refusals and inherits its count. So the table
/// keeps every source with more than one in [`CAPACITY`] of all refusals, however many sources
/// there are.
#[derive(Debug, Serialize, Deserialize)]
pub struct SourceTable {
    /// Length of a counting window.
    window_seconds: f64,
    profiles: Vec<(IpNet, SourceProfile)>,
    /// Refusals of each profile and of those that it replaced. They are not in the profiles, so
    /// that the search for the smallest reads less memory.
    refusals: Vec<u32>,
    places: HashMap<IpNet, usize, foldhash::fast::RandomState>,
}

impl SourceTable {
    /// An empty table that counts in windows of this length.
    pub fn with_window(seconds: f64) -> Self {
        Self {
            window_seconds: seconds,
            profiles: Vec::new(),
            refusals: Vec::new(),
            places: HashMap::default(),
        }
    }

    /// Whether the source has a profile.
    pub fn is_watched(&self, source: &IpNet) -> bool {
        !self.places.is_empty() && self.places.contains_key(source)
    }

    /// The profile of a source. `None` before its first refusal, or if it was replaced.
    pub fn get_mut(&mut self, source: &IpNet) -> Option<&mut SourceProfile> {
        self.places.get(source).map(|place| &mut self.profiles[*place].1)
    }

    /// Counts a request. A source gets a profile with its first refusal.
    pub fn count(&mut self, source: IpNet, attempt: &SourceAttempt) {
        let place = match self.places.get(&source) {
            Some(place) => *place,
            None if attempt.is_refused => self.admit(source, attempt.time),
            None => return,
        };
        self.refusals[place] = self.refusals[place].saturating_add(u32::from(attempt.is_refused));
        self.profiles[place].1.count(attempt, self.window_seconds);
    }

    /// Records that `source` tried an existing key. Returns whether this is new.
    pub fn note_affected(&mut self, source: &IpNet, key_id: &KeyId, is_answered: bool) -> bool {
        self.get_mut(source).is_some_and(|profile| profile.affected.note(key_id, is_answered))
    }

    /// Clears the counts of the source's current window, because they have an ordinary
    /// explanation.
    pub fn clear(&mut self, source: &IpNet) {
        if let Some(profile) = self.get_mut(source) {
            let (since, usual_share) = (profile.since, profile.usual_share);
            *profile = SourceProfile { usual_share, ..SourceProfile::new(since) };
        }
    }

    fn admit(&mut self, source: IpNet, time: EventTime) -> usize {
        let profile = (source, SourceProfile::new(time));
        let place = if self.profiles.len() < CAPACITY {
            self.profiles.push(profile);
            self.refusals.push(0);
            self.profiles.len() - 1
        } else {
            let place = self.least_refused();
            self.places.remove(&self.profiles[place].0);
            self.profiles[place] = profile;
            place
        };
        self.places.insert(source, place);
        place
    }

    fn least_refused(&self) -> usize {
        let least = self.refusals.iter().enumerate().min_by_key(|(_, refusals)| **refusals);
        least.map_or(0, |(place, _)| place)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn attempt(table: &mut SourceTable, source: IpNet, key: u64, is_refused: bool) {
        let key_hash = foldhash::quality::FixedState::default().hash_one(key);
        let attempt = SourceAttempt {
            time: EventTime::from_seconds(0),
            partition: PartitionId { topic: "log".into(), partition: 0 },
            position: RecordPosition { offset: 0, index: 0 },
            client_ip: source.addr(),
            key_hash,
            is_accepted: !is_refused,
            is_refused,
            key_id: None,
            tenant: None,
        };
        table.count(source, &attempt);
    }

    #[test]
    fn distinct_keys_are_counted_and_accepted_ones_are_not_refused() {
        let (mut table, source) =
            (SourceTable::with_window(3_600.0), "192.0.2.7/32".parse().unwrap());
        for key in 0..500 {
            attempt(&mut table, source, key, true);
            attempt(&mut table, source, key, true);
        }
        for key in 0..100 {
            attempt(&mut table, source, key, false);
        }
        let profile = table.get_mut(&source).unwrap();
        assert!((profile.keys_tried() - 500.0).abs() < 25.0, "{}", profile.keys_tried());
        assert!((profile.keys_refused() - 400.0).abs() < 25.0, "{}", profile.keys_refused());
        assert_eq!((profile.requests, profile.refused), (1_100, 1_000));
    }

    #[test]
    fn a_flood_of_sources_neither_grows_the_table_nor_replaces_the_busy_ones() {
        let (mut table, busy) =
            (SourceTable::with_window(3_600.0), "192.0.2.7/32".parse().unwrap());
        for n in 0..100_000u32 {
            let other = Ipv4Net::new_assert(n.into(), 32);
            attempt(&mut table, other.into(), 1, true);
            if n % 100 == 0 {
                attempt(&mut table, busy, u64::from(n), true);
            }
        }
        assert!(table.profiles.len() <= CAPACITY && table.places.len() <= CAPACITY);
        assert_eq!(table.get_mut(&busy).unwrap().refused, 1_000);
    }

    #[test]
    fn accepted_keys_come_first_and_replace_refused_ones() {
        let mut affected = AffectedKeys::default();
        for n in 0..100 {
            affected.note(&format!("refused-{n}").into(), false);
        }
        assert!(affected.note(&"leaked".into(), true));
        assert!(!affected.note(&"leaked".into(), true));
        let ids = affected.ids();
        assert_eq!((ids.len(), ids[0].as_str()), (MAX_AFFECTED, "leaked"));
        assert_eq!(affected.take_untold(), ["leaked"]);
        assert!(affected.take_untold().is_empty());
    }

    #[test]
    fn the_network_of_a_machine_is_an_ipv4_address_or_an_ipv6_64() {
        let ip = "2001:db8:1:2:3::4".parse().unwrap();
        assert_eq!(machine_of(ip).to_string(), "2001:db8:1:2::/64");
        assert_eq!(network_of(ip).to_string(), "2001:db8:1::/48");
        assert_eq!(network_of("192.0.2.7".parse().unwrap()).to_string(), "192.0.2.0/24");
    }
}
