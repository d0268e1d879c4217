//! Bounds the action when all evidence is of one kind.
//!
//! A stolen key shows several signs at once: another place and another rate, another client and a
//! replay. A single kind of sign has ordinary explanations, however strong it is: a batch job, a
//! journey, a deploy.

use std::collections::BTreeSet;

use crate::alert::{Action, Ceiling, Evidence, Restraint};
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
    /// explains it.
    Proof,
}

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

/// The ceiling for evidence of a single kind. `None` when several kinds support each other, or when
/// the kind needs no support. A family that is `restrained`, because it broke its promise of false
/// alerts, needs support too and gives none.
pub fn sole_ceiling(evidence: &[Evidence], restrained: &BTreeSet<Family>) -> Option<Ceiling> {
    let acts = |item: &&Evidence| item.ceiling.is_none_or(|ceiling| ceiling.most > Action::Notify);
    let acting: BTreeSet<Family> =
        evidence.iter().filter(acts).map(|item| family(item.detector)).collect();
    let reliable: BTreeSet<Family> = acting.difference(restrained).copied().collect();
    if reliable.is_empty() && !acting.is_empty() {
        return Some(Ceiling { most: Action::Notify, reason: Restraint::PromiseBroken });
    }
    let kinds: BTreeSet<Kind> = reliable.into_iter().map(kind).collect();
    if kinds.len() != 1 {
        return None;
    }
    let most = match kinds.first()? {
        Kind::Volume | Kind::Place | Kind::Route | Kind::Silence => Action::Notify,
        Kind::Proof => return None,
    };
    let reason = if is_single(evidence) { Restraint::SingleSign } else { Restraint::OrdinaryCause };
    Some(Ceiling { most, reason })
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
    use crate::alert::DetectorId;

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

    #[test]
    fn one_kind_of_sign_is_bounded_and_two_kinds_are_not() {
        let most = |detectors: &[DetectorId]| {
            sole_ceiling(&evidence(detectors), &BTreeSet::new()).map(|ceiling| ceiling.most)
        };
        let (rate, outlier) = (DetectorId::RateSpike, DetectorId::BehaviourOutlier);
        let (travel, network) = (DetectorId::ImpossibleTravel, DetectorId::NewAsn);
        assert_eq!(most(&[rate, outlier, DetectorId::ThrottledBurst]), Some(Action::Notify));
        assert_eq!(most(&[travel, network]), Some(Action::Notify));
        assert_eq!(most(&[travel, network, DetectorId::NewAgent]), Some(Action::Notify));
        assert_eq!(most(&[DetectorId::UnexpectedEndpoint]), Some(Action::Notify));
        assert_eq!(most(&[DetectorId::DuplicateNonce]), None);
        assert_eq!(most(&[rate, network]), None);
    }

    #[test]
    fn evidence_is_called_single_only_if_there_is_no_other() {
        let reason = |detectors: &[DetectorId]| {
            sole_ceiling(&evidence(detectors), &BTreeSet::new()).map(|ceiling| ceiling.reason)
        };
        let (network, program) = (DetectorId::NewAsn, DetectorId::NewAgent);
        assert_eq!(reason(&[network]), Some(Restraint::SingleSign));
        assert_eq!(reason(&[network, program]), Some(Restraint::OrdinaryCause));
        let mut mixed = evidence(&[network, DetectorId::RateSpike]);
        mixed[1].ceiling = Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });
        let sole = sole_ceiling(&mixed, &BTreeSet::new()).map(|ceiling| ceiling.reason);
        assert_eq!(sole, Some(Restraint::OrdinaryCause));
    }

    #[test]
    fn evidence_that_may_only_notify_supports_no_other_kind() {
        let mut items = evidence(&[DetectorId::RateSpike, DetectorId::AuthFailureBurst]);
        items.push(evidence(&[DetectorId::NewAsn]).remove(0));
        items[2].ceiling = Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });
        let most = sole_ceiling(&items, &BTreeSet::new()).map(|ceiling| ceiling.most);
        assert_eq!(most, Some(Action::Notify));
    }

    #[test]
    fn a_family_that_broke_its_promise_neither_acts_alone_nor_supports_another() {
        let most = |detectors: &[DetectorId]| {
            sole_ceiling(&evidence(detectors), &BTreeSet::from([Family::Replay]))
        };
        let (replay, travel) = (DetectorId::DuplicateNonce, DetectorId::ImpossibleTravel);
        let alone = Ceiling { most: Action::Notify, reason: Restraint::PromiseBroken };
        assert_eq!(most(&[replay]), Some(alone));
        let place = Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause };
        assert_eq!(most(&[replay, travel]), Some(place));
        assert_eq!(most(&[replay, travel, DetectorId::RateSpike]), None);
        assert_eq!(most(&[DetectorId::RevokedKeyUse]), None);
    }
}
