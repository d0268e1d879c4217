//! Bounds the action when all evidence is of one kind, or when none of it is proof.
//!
//! A stolen key shows several signs at once: another place and another rate, another client and a
//! replay. A single kind of sign has ordinary explanations, however strong it is: a batch job, a
//! journey, a deploy. Several kinds without proof are what a thief shows, and also a developer who
//! tries the key at home, a load test in another region, or a move to another company.

use std::collections::BTreeSet;

use crate::alert::{Action, Ceiling, DetectorId, Evidence, Restraint};
use crate::detect::{Family, family};

/// Kinds of signs. One ordinary cause can explain all signs of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// How much the key does, and with which results. A job, a bug or growth explains all of it.
    Volume,
    /// Where the key is used from, and by which program. A journey, another carrier, a deploy, a new
    /// agency or a developer who tries the key at a desk explains both.
    Place,
    /// Routes that are new to the key. A new feature explains them.
    Route,
    /// A key that was silent. A quarterly job explains it.
    Silence,
    /// A repeated signed request, or a broken rule of the registry. Hardly anything but theft
    /// explains some of it: see [`is_proof`].
    Proof,
}

/// Proof must be this unlikely without theft. Weaker signs of these kinds only support others.
const PROVEN: f64 = 1e-4;

const fn kind(family: Family) -> Kind {
    match family {
        Family::Rate | Family::Outcome | Family::Behaviour => Kind::Volume,
        Family::Client => Kind::Place,
        Family::Place => Kind::Place,
        Family::Route => Kind::Route,
        Family::Dormancy => Kind::Silence,
        // No evidence is of the joint family: each item is of the sign's own.
        Family::Replay | Family::Policy | Family::Source | Family::Joint | Family::Monitor => {
            Kind::Proof
        }
    }
}

/// The ceiling for evidence of a single kind, and for evidence of several kinds without proof, which
/// asks for no more than `without_proof`. `None` where there is proof. A family that is
/// `restrained`, because it broke its promise of false alerts, needs support too and gives none.
pub fn ceiling_of_kinds(
    evidence: &[Evidence],
    restrained: &BTreeSet<Family>,
    without_proof: Action,
) -> Option<Ceiling> {
    let acts = |item: &&Evidence| item.ceiling.is_none_or(|ceiling| ceiling.most > Action::Notify);
    let acting: BTreeSet<Family> =
        evidence.iter().filter(acts).map(|item| family(item.detector)).collect();
    let reliable: BTreeSet<Family> = acting.difference(restrained).copied().collect();
    if reliable.is_empty() && !acting.is_empty() {
        return Some(Ceiling { most: Action::Notify, reason: Restraint::PromiseBroken });
    }
    let kinds: BTreeSet<Kind> = reliable.iter().copied().map(kind).collect();
    let is_proof = |item: &Evidence| is_proof(item) && reliable.contains(&family(item.detector));
    if kinds.is_empty() || evidence.iter().filter(acts).any(is_proof) {
        return None;
    }
    let is_ordinary = kinds.len() == 1 && !kinds.contains(&Kind::Proof);
    let most = if is_ordinary { Action::Notify.min(without_proof) } else { without_proof };
    let reason = if is_single(evidence) { Restraint::SingleSign } else { Restraint::OrdinaryCause };
    Some(Ceiling { most, reason })
}

/// Whether hardly anything but theft explains the evidence. Owners have other causes for the rest of
/// their kind: a second worker counts its own nonces, a new laptop has a wrong clock, and somebody
/// forgot the end of a key or configured the wrong environment.
fn is_proof(item: &Evidence) -> bool {
    let proves = matches!(
        item.detector,
        DetectorId::DuplicateNonce
            | DetectorId::DuplicateSignature
            | DetectorId::IpNotAllowed
            | DetectorId::RevokedKeyUse
            | DetectorId::LeakedKey
            | DetectorId::CanaryUse
    );
    proves && item.p_value <= PROVEN
}

/// Whether all evidence is of one kind, also that which may only notify. A program and a place are
/// two signs, though one act of the owner may explain both.
fn is_single(evidence: &[Evidence]) -> bool {
    let families: BTreeSet<Family> = evidence.iter().map(|item| family(item.detector)).collect();
    let kinds: BTreeSet<Kind> = families.iter().copied().map(kind).collect();
    kinds.len() == 1 && !families.is_superset(&BTreeSet::from([Family::Client, Family::Place]))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn evidence(detectors: &[DetectorId]) -> Vec<Evidence> {
        let item = |detector: &DetectorId| Evidence {
            detector: *detector,
            score: 100.0,
            p_value: 1e-10,
            observed: None,
            expected: None,
            ceiling: None,
            fields: Map::new(),
        };
        detectors.iter().map(item).collect()
    }

    fn bound(items: &[Evidence]) -> Option<Ceiling> {
        ceiling_of_kinds(items, &BTreeSet::new(), Action::Throttle)
    }

    #[test]
    fn one_kind_of_sign_notifies_and_several_without_proof_throttle() {
        let most =
            |detectors: &[DetectorId]| bound(&evidence(detectors)).map(|ceiling| ceiling.most);
        let (rate, outlier) = (DetectorId::RateSpike, DetectorId::BehaviourOutlier);
        let (travel, network) = (DetectorId::ImpossibleTravel, DetectorId::NewAsn);
        assert_eq!(most(&[rate, outlier, DetectorId::ThrottledBurst]), Some(Action::Notify));
        assert_eq!(most(&[travel, network]), Some(Action::Notify));
        assert_eq!(most(&[travel, network, DetectorId::NewAgent]), Some(Action::Notify));
        assert_eq!(most(&[DetectorId::UnexpectedEndpoint]), Some(Action::Notify));
        assert_eq!(most(&[DetectorId::DuplicateNonce]), None);
        assert_eq!(most(&[rate, network]), Some(Action::Throttle));
        assert_eq!(most(&[rate, network, DetectorId::IpNotAllowed]), None);
        assert_eq!(most(&[rate, DetectorId::ExpiredKeyUse]), Some(Action::Throttle));
    }

    #[test]
    fn a_weak_sign_of_a_kind_that_proves_supports_others_and_proves_nothing() {
        let mut items = evidence(&[DetectorId::RateSpike, DetectorId::DuplicateNonce]);
        assert_eq!(bound(&items), None);
        items[1].p_value = 5e-3;
        assert_eq!(bound(&items).map(|ceiling| ceiling.most), Some(Action::Throttle));
    }

    #[test]
    fn what_owners_do_too_proves_nothing_alone_or_together() {
        let (order, clock) = (DetectorId::OutOfOrderNonce, DetectorId::StaleTimestamp);
        for detectors in [
            &[order][..],
            &[DetectorId::WeakNonce, DetectorId::NewAsn],
            &[clock, order, DetectorId::ExpiredKeyUse],
            &[DetectorId::EnvironmentMismatch],
        ] {
            let items = evidence(detectors);
            let most = |without_proof| {
                ceiling_of_kinds(&items, &BTreeSet::new(), without_proof).map(|it| it.most)
            };
            assert_eq!(most(Action::Throttle), Some(Action::Throttle), "{detectors:?}");
            assert_eq!(most(Action::Notify), Some(Action::Notify), "{detectors:?}");
        }
    }

    #[test]
    fn evidence_is_called_single_only_if_there_is_no_other() {
        let reason =
            |detectors: &[DetectorId]| bound(&evidence(detectors)).map(|ceiling| ceiling.reason);
        let (network, program) = (DetectorId::NewAsn, DetectorId::NewAgent);
        assert_eq!(reason(&[network]), Some(Restraint::SingleSign));
        assert_eq!(reason(&[network, program]), Some(Restraint::OrdinaryCause));
        let mut mixed = evidence(&[network, DetectorId::RateSpike]);
        mixed[1].ceiling = Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });
        let sole = bound(&mixed).map(|ceiling| ceiling.reason);
        assert_eq!(sole, Some(Restraint::OrdinaryCause));
    }

    #[test]
    fn evidence_that_may_only_notify_supports_no_other_kind() {
        let mut items = evidence(&[DetectorId::RateSpike, DetectorId::AuthFailureBurst]);
        items.push(evidence(&[DetectorId::NewAsn]).remove(0));
        items[2].ceiling = Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });
        let most = bound(&items).map(|ceiling| ceiling.most);
        assert_eq!(most, Some(Action::Notify));
    }

    #[test]
    fn a_family_that_broke_its_promise_neither_acts_alone_nor_supports_another() {
        let most = |detectors: &[DetectorId]| {
            ceiling_of_kinds(
                &evidence(detectors),
                &BTreeSet::from([Family::Replay]),
                Action::Throttle,
            )
        };
        let (replay, travel) = (DetectorId::DuplicateNonce, DetectorId::ImpossibleTravel);
        let alone = Ceiling { most: Action::Notify, reason: Restraint::PromiseBroken };
        assert_eq!(most(&[replay]), Some(alone));
        let place = Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause };
        assert_eq!(most(&[replay, travel]), Some(place));
        let several = Ceiling { most: Action::Throttle, reason: Restraint::OrdinaryCause };
        assert_eq!(most(&[replay, travel, DetectorId::RateSpike]), Some(several));
        assert_eq!(most(&[DetectorId::RevokedKeyUse]), None);
    }
}
