//! Every attack is in the traffic that its label points at.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use super::super::places::PLACES;
use super::super::{AccessRecord, ClientNonce, Generator, Kind, Label, Plan, Selection};
use super::*;
use crate::event::EventTime;
use crate::registry::RegisteredKey;

/// What one victim's log and registry say.
struct Case {
    label: Label,
    registered: RegisteredKey,
    /// In event time, the attack's and the own client's.
    attack: Vec<AccessRecord>,
    own: Vec<AccessRecord>,
}

fn cases(seed: u64) -> Vec<Case> {
    let mut plan = Plan { confusers: Selection::none(), ..Plan::new(60, 36.0 * 3_600.0, seed) };
    plan.attacks = Selection(AttackKind::ALL.to_vec());
    let generator = Generator::new(&plan);
    let registry: HashMap<_, _> =
        generator.registry().map(|key| (key.key_id.clone(), key.clone())).collect();
    let mut cases: HashMap<_, _> = generator
        .labels()
        .iter()
        .map(|label| {
            let registered = registry[&label.key_id].clone();
            let case =
                Case { label: (**label).clone(), registered, attack: Vec::new(), own: Vec::new() };
            (label.key_id.clone(), case)
        })
        .collect();
    for event in generator {
        if let Some(label) = event.label {
            let case = cases.get_mut(&label.key_id).unwrap();
            case.attack.push(event.record);
        } else if let Some(case) = cases.get_mut(&event.record.key_id) {
            case.own.push(event.record);
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
            let possible = PLACES.iter().any(|home| {
                character.home_kinds().contains(&home.kind) && recipe.site.is_possible_from(home)
            });
            assert!(possible, "{kind:?} {character:?}");
        }
    }
}

#[test]
fn every_label_holds_its_attack() {
    for seed in 1..=4 {
        let cases = cases(seed);
        assert_eq!(cases.len(), AttackKind::ALL.len());
        for case in cases {
            let Label { kind, start, end, .. } = &case.label;
            assert!(case.attack.len() >= 5, "{kind}: {} requests", case.attack.len());
            assert!(
                case.attack[0].time >= *start && case.attack[0].time < start.plus_seconds(900.0)
            );
            assert!(case.attack.iter().all(|record| record.time < *end), "{kind}");
            assert!(case.attack.iter().any(|record| record.key_id == case.label.key_id), "{kind}");
            case.check();
        }
    }
}

impl Case {
    fn check(&self) {
        let kind = AttackKind::ALL.iter().find(|kind| kind.name() == self.label.kind).unwrap();
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
            AttackKind::RetiredKeyUse => self.is_after(self.registered.grace_ends_at),
            AttackKind::ExpiredKeyUse => self.is_after(self.registered.expires_at),
            AttackKind::RevokedKeyUse => self.is_after(self.registered.revoked_at),
        }
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
        self.each(|record| !allowed.iter().any(|net| net.contains(&record.client_ip)));
        assert!(
            self.own.iter().all(|record| allowed.iter().any(|net| net.contains(&record.client_ip)))
        );
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
