//! Checks that every attack appears in the traffic that its label names.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use super::super::places::PLACES;
use super::super::{AccessRecord, ClientNonce, Generator, Kind, Label, Plan, Selection};
use super::*;
use crate::event::EventTime;
use crate::registry::RegisteredKey;

/// The log and the registry entry of one victim.
struct Case {
    label: Label,
    registered: RegisteredKey,
    /// Requests by event time, of the attack and of the key's own client.
    attack: Vec<AccessRecord>,
    own: Vec<AccessRecord>,
}

/// A plan of all attacks except preludes and the slow rise, which takes days.
fn plan(seed: u64) -> Plan {
    let left_out = [AttackKind::Knocking, AttackKind::BoilingFrog];
    let kinds = AttackKind::ALL.iter().filter(|kind| !left_out.contains(kind));
    let attacks = Selection(kinds.copied().collect());
    Plan { confusers: Selection::none(), attacks, ..Plan::new(100, 36.0 * 3_600.0, seed) }
}

fn cases(plan: &Plan) -> Vec<Case> {
    let generator = Generator::new(plan);
    let registry: HashMap<_, _> =
        generator.registry().map(|key| (key.key_id.clone(), key.clone())).collect();
    let mut cases: HashMap<_, _> = generator
        .labels()
        .iter()
        .map(|label| {
            let victim = label.key_id.clone().unwrap_or_else(|| label.keys[0].clone());
            let case = Case {
                label: (**label).clone(),
                registered: registry[&victim].clone(),
                attack: Vec::new(),
                own: Vec::new(),
            };
            (label.kind.clone(), case)
        })
        .collect();
    for event in generator {
        if let Some(label) = event.label {
            let case = cases.get_mut(&label.kind).unwrap();
            case.attack.push(event.record);
        } else {
            for case in cases.values_mut() {
                if case.registered.key_id == event.record.key_id {
                    case.own.push(event.record.clone());
                }
            }
        }
    }
    cases.into_values().collect()
}

#[test]
fn names_are_unique_and_every_attack_names_its_detectors() {
    let mut names: Vec<_> = AttackKind::ALL.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), AttackKind::ALL.len());
    for kind in AttackKind::ALL {
        assert!(!kind.recipe().detectors.is_empty(), "{kind:?}");
    }
}

#[test]
fn every_attack_has_a_home_from_which_it_is_possible() {
    for kind in AttackKind::ALL {
        let recipe = kind.recipe();
        for character in recipe.characters {
            let possible = PLACES
                .iter()
                .any(|home| character.suits(home) && recipe.site.is_possible_from(home));
            assert!(possible, "{kind:?} {character:?}");
        }
    }
}

#[test]
fn every_label_holds_its_attack() {
    for seed in 1..=4 {
        let plan = plan(seed);
        let cases = cases(&plan);
        assert_eq!(cases.len(), plan.attacks.0.len() + 1, "with the knocking");
        let end = plan.start.plus_seconds(plan.seconds);
        for case in cases {
            let Label { kind, start, end: over, optional, .. } = &case.label;
            let least = if *optional { 1 } else { 5 };
            assert!(case.attack.len() >= least, "{kind}: {} requests", case.attack.len());
            let first = case.attack[0].time;
            assert!(first >= *start && first < start.plus_seconds(1_800.0), "{kind}");
            assert!(case.attack.iter().all(|record| record.time < *over), "{kind}");
            assert!(*over <= end.plus_seconds(0.001), "{kind}");
            if let Some(key) = &case.label.key_id {
                assert!(case.attack.iter().any(|record| record.key_id == *key), "{kind}");
            }
            case.check();
        }
    }
}

#[test]
fn a_slow_rise_takes_sixty_hours_and_ends_at_many_times_the_usual() {
    let attacks = Selection(vec![AttackKind::BoilingFrog]);
    let confusers = Selection::none();
    let plan = Plan { attacks, confusers, ..Plan::new(4, 120.0 * 3_600.0, 3) };
    for case in cases(&plan) {
        let seconds = case.label.end.seconds_since(case.label.start);
        assert!((seconds - 60.0 * 3_600.0).abs() < 1.0);
        let within = |from: f64, to: f64| {
            let at = |record: &&AccessRecord| {
                let hours = record.time.seconds_since(case.label.start) / 3_600.0;
                (from..to).contains(&hours)
            };
            case.attack.iter().filter(at).count() as f64
        };
        let rise = within(56.0, 60.0) / within(0.0, 8.0);
        assert!((25.0..90.0).contains(&rise), "{rise}");
        // No period of four hours is much above the four hours before it.
        let usual = case.own.len() as f64 / 30.0;
        for step in 1..15 {
            let hour = f64::from(step) * 4.0;
            let steps = (usual + within(hour, hour + 4.0)) / (usual + within(hour - 4.0, hour));
            assert!((1.0..1.6).contains(&steps), "{steps} at {hour}");
        }
    }
}

impl Case {
    fn check(&self) {
        let kind = AttackKind::ALL.iter().find(|kind| kind.name() == self.label.kind).unwrap();
        if kind.recipe().manner.outsider {
            self.is_refused_throughout();
        }
        match kind {
            AttackKind::RateSpike => self.is_faster_than_before(5.0),
            AttackKind::SlowRamp => self.ramps(),
            AttackKind::ErrorBurst => self.is_answered(|status| status >= 400),
            AttackKind::ThrottledBurst => self.is_answered(|status| status == 429),
            AttackKind::AuthFailureBurst => self.is_answered(|status| matches!(status, 401 | 403)),
            AttackKind::ImpossibleTravel | AttackKind::Takeover => {
                self.is_at_least_km_away(5_000.0)
            }
            AttackKind::NewLocation => self.is_in(|country, home| country != home),
            AttackKind::NewNetwork | AttackKind::DormantKeyUse | AttackKind::SlowExfiltration => {
                self.is_in(|country, home| country == home);
                self.is_from_another_as();
            }
            AttackKind::IpNotAllowed => self.is_outside_the_allowlist(),
            AttackKind::NonceReplay => self.repeats_nonces(0.0),
            AttackKind::DelayedReplay => self.repeats_nonces(600.0),
            AttackKind::SignatureReuse => self.repeats_signatures(),
            AttackKind::StaleTimestamp => self.each(|record| {
                record.time.seconds_since(record.client_time.unwrap()) >= 300.0
                    && record.status < 300
            }),
            AttackKind::OutOfOrderNonce => self.goes_backwards(),
            AttackKind::WeakNonce => {
                self.each(|record| matches!(record.nonce, Some(ClientNonce::Number(1..=50))));
            }
            AttackKind::CredentialStuffing => self.tries_many_keys(),
            AttackKind::UnexpectedEndpoint | AttackKind::RotationAbuse => {
                self.each(|record| {
                    !self.registered.scopes.iter().any(|scope| scope == record.scope)
                });
            }
            AttackKind::EnvironmentMismatch => {
                self.each(|record| record.environment != self.registered.environment);
            }
            AttackKind::Mimicry => self.keeps_to_own_places_and_scopes(),
            AttackKind::ResidentialProxy => {
                self.is_slower_than_own();
                self.is_from_another_as();
                let home = Self::place(&self.own[0]);
                self.each(|record| Self::place(record).distance_km(home) < 60.0);
            }
            AttackKind::SameCloudOtherRegion => {
                let home = Self::place(&self.own[0]);
                self.each(|record| {
                    let place = Self::place(record);
                    place.asn == home.asn && place.distance_km(home) > 1_000.0
                });
                let local = self.label.start.as_seconds() / 3_600.0
                    + f64::from(home.utc_offset_minutes) / 60.0;
                assert!(local.rem_euclid(24.0) < 3.1, "{local}");
            }
            AttackKind::ThiefInCrowd => {
                self.each(|record| Self::place(record).is_rented());
                self.is_slower_than_own();
            }
            AttackKind::BoilingFrog => {}
            AttackKind::BulkExport => {
                self.is_slower_than_own();
                let mean = |records: &[AccessRecord]| {
                    let bytes: f64 = records.iter().map(|r| f64::from(r.bytes_out)).sum();
                    bytes / records.len() as f64
                };
                assert!(mean(&self.attack) > 40.0 * mean(&self.own));
            }
            AttackKind::Enumeration => self.counts_up(),
            AttackKind::ReplayInWindow => {
                self.repeats_nonces(0.0);
                self.each(|record| {
                    let signed = record.signature;
                    let own = self.own.iter().rev().find(|own| own.signature == signed).unwrap();
                    record.time.seconds_since(own.time) < 5.0 && record.status < 300
                });
            }
            AttackKind::ReplayNewNonce => {
                self.each(|record| {
                    let is_signed = |own: &&AccessRecord| own.signature == record.signature;
                    let own = self.own.iter().find(is_signed).unwrap();
                    own.nonce != record.nonce && own.client_ip != record.client_ip
                });
            }
            AttackKind::FastReplay => {
                assert!(self.attack.len() > 40, "{}", self.attack.len());
                self.each(|record| {
                    let is_same = |own: &&AccessRecord| {
                        own.signature == record.signature && own.client_ip == record.client_ip
                    };
                    let own = self.own.iter().find(is_same).unwrap();
                    own.status < 300 && record.status < 300 && record.method == "POST"
                });
            }
            AttackKind::Knocking => assert!((3..=30).contains(&self.attack.len())),
            AttackKind::KnockedTheft => self.is_answered(|status| status < 300),
            AttackKind::DormantQuiet => {
                self.is_in(|country, home| country != home);
                let last = self.own.last().unwrap().time;
                assert!(self.label.start.seconds_since(last) > 3.0 * 3_600.0);
                self.each(|record| record.user_agent != self.own[0].user_agent);
            }
            AttackKind::TriedList => {
                assert!(self.distinct(|record| record.key_id.clone()) > 50);
                assert_eq!(self.distinct(|record| record.client_ip), 1);
            }
            AttackKind::DistributedStuffing => {
                assert!(self.distinct(|record| record.client_ip) > 100);
            }
            AttackKind::SignatureGuessing => {
                assert!(self.attack.len() > 500);
                self.each(|record| record.status == 401);
            }
            AttackKind::ForgedNonce if self.attack.len() > 1 => {
                let [one, other] = &self.attack[..2] else { panic!("two") };
                assert_eq!(one.nonce, other.nonce);
                assert_ne!(one.client_ip, other.client_ip);
            }
            AttackKind::ForgedHugeNonce => self.each(|record| {
                record.nonce == Some(ClientNonce::Number(9_000_000_000_000_000_000))
            }),
            AttackKind::ForgedNonce
            | AttackKind::ForgedAfar
            | AttackKind::ForgedNextNonce
            | AttackKind::ForgedOldTime
            | AttackKind::RefusedReplay => {}
            AttackKind::RetiredKeyUse => self.is_after(self.registered.grace_ends_at),
            AttackKind::ExpiredKeyUse => self.is_after(self.registered.expires_at),
            AttackKind::RevokedKeyUse => self.is_after(self.registered.revoked_at),
        }
    }

    /// Checks that no request may count against the key, and that the label says so.
    fn is_refused_throughout(&self) {
        self.each(|record| {
            (400..500).contains(&record.status)
                && record.authenticated != Some(true)
                && record.tenant.is_none()
        });
        assert_eq!(self.label.max_action.as_deref(), Some("notify"));
    }

    fn is_slower_than_own(&self) {
        let per_second = |records: &[AccessRecord]| {
            let last = records.last().unwrap();
            records.len() as f64 / last.time.seconds_since(records[0].time).max(1.0)
        };
        assert!(per_second(&self.attack) < per_second(&self.own), "{}", self.label.kind);
    }

    fn counts_up(&self) {
        let id = |record: &AccessRecord| {
            record.path.split('/').find_map(|part| part.parse::<u64>().ok()).unwrap()
        };
        assert!(self.attack.windows(2).all(|pair| id(&pair[1]) == id(&pair[0]) + 1));
        assert!(self.attack.len() > 200);
    }

    fn distinct<T: std::hash::Hash + Eq>(&self, of: impl Fn(&AccessRecord) -> T) -> usize {
        self.attack.iter().map(of).collect::<std::collections::HashSet<_>>().len()
    }

    fn keeps_to_own_places_and_scopes(&self) {
        let home = Self::place(&self.own[0]);
        self.each(|record| {
            Self::place(record).asn == home.asn
                && self.registered.scopes.iter().any(|scope| scope == record.scope)
        });
        let failed = self.attack.iter().filter(|record| record.status >= 400).count();
        assert!(failed * 6 < self.attack.len(), "{failed} of {}", self.attack.len());
    }

    fn each(&self, holds: impl Fn(&AccessRecord) -> bool) {
        for record in &self.attack {
            assert!(holds(record), "{}: {record:?}", self.label.kind);
        }
    }

    fn is_answered(&self, expected: impl Fn(u16) -> bool) {
        let answered = self.attack.iter().filter(|record| expected(record.status)).count();
        assert!(answered * 2 > self.attack.len(), "{}", self.label.kind);
    }

    fn is_faster_than_before(&self, times: f64) {
        let own_seconds = self.own.last().unwrap().time.seconds_since(self.own[0].time);
        let seconds = self.label.end.seconds_since(self.label.start);
        let usual = self.own.len() as f64 / own_seconds;
        assert!(self.attack.len() as f64 / seconds > times * usual);
    }

    fn ramps(&self) {
        let middle =
            self.label.start.plus_seconds(self.label.end.seconds_since(self.label.start) / 2.0);
        let early = self.attack.iter().filter(|record| record.time < middle).count();
        assert!(early * 2 < self.attack.len() - early, "{early} of {}", self.attack.len());
    }

    fn place(record: &AccessRecord) -> &'static super::super::Place {
        PLACES.iter().find(|place| place.prefix.contains(&record.client_ip)).unwrap()
    }

    fn is_at_least_km_away(&self, km: f64) {
        let home = Self::place(&self.own[0]);
        self.each(|record| Self::place(record).distance_km(home) >= km);
    }

    fn is_in(&self, expected: impl Fn(&str, &str) -> bool) {
        let home = Self::place(&self.own[0]);
        self.each(|record| expected(&Self::place(record).country, &home.country));
    }

    fn is_from_another_as(&self) {
        let home = Self::place(&self.own[0]);
        self.each(|record| Self::place(record).asn != home.asn);
    }

    fn is_outside_the_allowlist(&self) {
        let allowed = &self.registered.allowed_cidrs;
        self.each(|record| !allowed.contains(record.client_ip));
        assert!(self.own.iter().all(|record| allowed.contains(record.client_ip)));
    }

    fn repeats_nonces(&self, at_least_later: f64) {
        self.each(|record| {
            self.own.iter().any(|own| {
                own.nonce == record.nonce
                    && own.request_id != record.request_id
                    && own.client_ip != record.client_ip
                    && record.time.seconds_since(own.time) >= at_least_later
            })
        });
        assert!(self.attack.iter().all(|record| record.nonce.is_some()));
    }

    fn repeats_signatures(&self) {
        self.each(|record| {
            let known = self.own.iter().any(|own| own.signature == record.signature);
            known && record.nonce.is_none() && record.signature.is_some()
        });
    }

    fn goes_backwards(&self) {
        self.each(|record| {
            let before = self.own.iter().rev().find(|own| own.time < record.time).unwrap();
            match (&record.nonce, &before.nonce) {
                (Some(ClientNonce::Number(now)), Some(ClientNonce::Number(last))) => now < last,
                _ => false,
            }
        });
    }

    fn tries_many_keys(&self) {
        let mut keys: Vec<_> = self.attack.iter().map(|record| &record.key_id).collect();
        keys.sort_unstable();
        keys.dedup();
        assert!(keys.len() > 100, "{} keys", keys.len());
        self.each(|record| Some(record.client_ip) == self.label.source_ip);
        self.is_answered(|status| status == 401);
    }

    fn is_after(&self, instant: Option<EventTime>) {
        let instant = instant.unwrap();
        self.each(|record| record.time > instant && record.status < 300);
        assert!(self.own.iter().all(|record| record.time < instant), "{}", self.label.kind);
    }
}
