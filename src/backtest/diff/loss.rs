//! Measures the cost of a revocation: the requests of a key that were served after it.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;

use ipnet::IpNet;
use serde::Serialize;

use super::super::labels::Label;
use super::super::span::Span;
use super::super::timeline::Timeline;
use super::{Revocation, Revocations, RevokedKey};
use crate::event::{AccessEvent, EnrichedEvent, EventTime, KeyId};
use crate::profile::stuffing::network_of;

/// Initial width of a bin in a key's timeline.
const TIMELINE_SECONDS: u32 = 60;

/// The largest number of networks remembered for a key. A key with more has no networks of its own.
const MAX_NETWORKS: usize = 4_096;

/// Requests that were answered (status below 400), from networks (IPv4 /24, IPv6 /48) that had
/// used the key before the evidence began, and from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Requests from the key's own networks, most likely the customer's.
    pub owner: u64,
    pub others: u64,
}

impl AddAssign for Served {
    fn add_assign(&mut self, other: Self) {
        self.owner += other.owner;
        self.others += other.others;
    }
}

/// Counts the requests of revoked keys.
pub struct Losses {
    keys: HashMap<KeyId, Watched>,
    events: u64,
    span: Span,
}

struct Watched {
    tenant: Option<String>,
    by: [Option<Revocation>; 2],
    /// The time of the first request from each network.
    networks: HashMap<IpNet, EventTime>,
    timeline: Timeline,
}

impl Losses {
    pub fn new([a, b]: [Revocations; 2]) -> Self {
        let mut by: BTreeMap<KeyId, [Option<Revocation>; 2]> = BTreeMap::new();
        for (side, revocations) in [a, b].into_iter().enumerate() {
            for (key_id, revocation) in revocations {
                by.entry(key_id).or_default()[side] = Some(revocation);
            }
        }
        let watched = |(key_id, by)| {
            let timeline = Timeline::new(TIMELINE_SECONDS);
            (key_id, Watched { tenant: None, by, networks: HashMap::new(), timeline })
        };
        Self { keys: by.into_iter().map(watched).collect(), events: 0, span: Span::default() }
    }

    pub fn add(&mut self, events: &[EnrichedEvent]) {
        for EnrichedEvent { event, .. } in events {
            self.events += 1;
            self.span.add(event.time);
            if let Some(watched) = self.keys.get_mut(&event.key_id) {
                watched.add(event);
            }
        }
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn span(&self) -> Option<(EventTime, EventTime)> {
        self.span.bounds()
    }

    /// The revoked keys, in any order.
    pub fn finish(self, labels: &[Label]) -> Vec<RevokedKey> {
        let revoked = |(key_id, watched): (KeyId, Watched)| RevokedKey {
            attack: attack_on(&key_id, &watched.by, labels),
            key_id,
            tenant: watched.tenant,
            by: watched.by,
            bin_seconds: watched.timeline.bin_seconds(),
            requests: watched.timeline.bins(),
        };
        self.keys.into_iter().map(revoked).collect()
    }
}

impl Watched {
    fn add(&mut self, event: &AccessEvent) {
        self.timeline.add(event.time);
        if self.tenant.is_none() {
            self.tenant = event.tenant.as_ref().map(ToString::to_string);
        }
        let network = network_of(event.client_ip);
        if self.networks.len() < MAX_NETWORKS {
            let first = self.networks.entry(network).or_insert(event.time);
            *first = event.time.min(*first);
        }
        let first_used = self.networks.get(&network).copied();
        let is_served = !event.answer().is_error();
        for revocation in self.by.iter_mut().flatten() {
            if !is_served || event.time <= revocation.time {
                continue;
            }
            if first_used.is_some_and(|first| first < revocation.since) {
                revocation.lost.owner += 1;
            } else {
                revocation.lost.others += 1;
            }
        }
    }
}

/// The known attack on the key that had begun before its first revocation.
fn attack_on(key_id: &KeyId, by: &[Option<Revocation>; 2], labels: &[Label]) -> Option<String> {
    let last = by.iter().flatten().map(|revocation| revocation.time).max()?;
    let of_key = labels.iter().filter(|label| label.key_id.as_ref() == Some(key_id));
    of_key.filter(|label| label.start <= last).map(|label| label.kind.clone()).next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::RecordPosition;

    fn revocation(second: i64, since: i64) -> Revocation {
        let at = EventTime::from_seconds;
        Revocation {
            time: at(second),
            incident: "inc_1".into(),
            since: at(since),
            detectors: Vec::new(),
            confidence: 0.95,
            title: String::new(),
            explanation: String::new(),
            lost: Served::default(),
        }
    }

    fn request(second: i64, ip: [u8; 4], status: u16) -> EnrichedEvent {
        let time = EventTime::from_seconds(second);
        let mut event = AccessEvent::minimal(time, "key", ip.into());
        event.status = status;
        let position = RecordPosition { offset: second, index: 0 };
        EnrichedEvent { event, position, origin: Arc::default() }
    }

    #[test]
    fn what_was_served_after_the_revocation_is_lost_to_the_owner_or_to_others() {
        let (home, neighbour, thief) = ([192, 0, 2, 1], [192, 0, 2, 9], [203, 0, 113, 1]);
        let early = BTreeMap::from([("key".into(), revocation(100, 90))]);
        let late = BTreeMap::from([("key".into(), revocation(200, 90))]);
        let mut losses = Losses::new([early, late]);
        losses.add(&[
            request(10, home, 200),
            request(95, thief, 200),
            request(100, thief, 200),
            request(110, thief, 200),
            request(120, neighbour, 200),
            request(130, home, 500),
            request(210, home, 302),
        ]);
        let revoked = losses.finish(&[]).pop().unwrap();
        let lost = revoked.by.map(|revocation| revocation.unwrap().lost);
        assert_eq!(lost, [Served { owner: 2, others: 1 }, Served { owner: 1, others: 0 }]);
    }

    #[test]
    fn an_attack_explains_a_revocation_when_it_had_begun() {
        let label = |start: i64| Label {
            key_id: Some("key".into()),
            kind: "replay".into(),
            start: EventTime::from_seconds(start),
            end: EventTime::from_seconds(start + 10),
            detectors: Vec::new(),
        };
        let by = [Some(revocation(100, 90)), None];
        assert_eq!(attack_on(&"key".into(), &by, &[label(90)]).as_deref(), Some("replay"));
        assert_eq!(attack_on(&"key".into(), &by, &[label(150)]), None);
        assert_eq!(attack_on(&"other".into(), &by, &[label(90)]), None);
    }
}
