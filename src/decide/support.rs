//! Raises the ceilings of evidence whose ordinary explanations exclude each other.
//!
//! A new program has an ordinary explanation (an upgrade), a new place has one (a move), more
//! requests have one (a job). All at once on one key they have none: the owner's upgrade does not
//! move the key, and the owner's job runs where it always ran. A thief brings a program and a
//! machine of their own, and takes something.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::alert::{Action, Ceiling, DetectorId, Evidence, Restraint};
use crate::detect::{Family, family};

/// Each sign must be this unusual by itself. What is rare only together says less.
const UNUSUAL: f64 = 1e-3;

/// The same for what the holder of the key does: every key has somewhat busier hours.
const UNUSUAL_USE: f64 = 1e-5;

/// What a sign says about the one who holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Aspect {
    Program,
    Place,
    /// The key does more than ever, or something else than ever.
    Use,
}

const fn aspect(detector: DetectorId) -> Option<(Aspect, f64)> {
    match detector {
        DetectorId::NewAgent | DetectorId::NewFingerprint => Some((Aspect::Program, UNUSUAL)),
        DetectorId::ImpossibleTravel | DetectorId::NewLocation | DetectorId::NewAsn => {
            Some((Aspect::Place, UNUSUAL))
        }
        DetectorId::RateSpike | DetectorId::BulkExport | DetectorId::Enumeration => {
            Some((Aspect::Use, UNUSUAL_USE))
        }
        DetectorId::UnexpectedEndpoint => Some((Aspect::Use, UNUSUAL)),
        _ => None,
    }
}

/// The evidence, with ceilings of `suspend` where a new program, a new place and an unusual use of
/// the key support each other. Program and place alone are also what a deploy elsewhere shows.
/// Only ceilings for an ordinary cause rise. Evidence that no owner's act explains away (attempts,
/// young keys, known addresses), and families that are `restrained`, keep theirs and support none.
pub fn supported<'a>(
    evidence: &'a [Evidence],
    restrained: &BTreeSet<Family>,
) -> Cow<'a, [Evidence]> {
    if !has_all_aspects(evidence, restrained) {
        return Cow::Borrowed(evidence);
    }
    let most = Action::Suspend;
    let raised = evidence.iter().map(|item| match item.ceiling {
        Some(ceiling) if speaks(item, restrained) && ceiling.most < most => {
            Evidence { ceiling: Some(Ceiling { most, ..ceiling }), ..item.clone() }
        }
        _ => item.clone(),
    });
    Cow::Owned(raised.collect())
}

fn has_all_aspects(evidence: &[Evidence], restrained: &BTreeSet<Family>) -> bool {
    let speaking = evidence.iter().filter(|item| speaks(item, restrained));
    let aspects: BTreeSet<Aspect> = speaking.filter_map(unusual_aspect).collect();
    aspects.len() == 3
}

fn unusual_aspect(item: &Evidence) -> Option<Aspect> {
    let (aspect, most) = aspect(item.detector)?;
    (item.alone_p_value() <= most).then_some(aspect)
}

/// Whether the item is about the holder of the key, and of a family that is trusted.
fn speaks(item: &Evidence, restrained: &BTreeSet<Family>) -> bool {
    let is_bounded_for_else =
        item.ceiling.is_some_and(|ceiling| ceiling.reason != Restraint::OrdinaryCause);
    aspect(item.detector).is_some()
        && !is_bounded_for_else
        && !restrained.contains(&family(item.detector))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::alert::ALONE_P_VALUE;

    fn item(detector: DetectorId, alone: f64, reason: Restraint) -> Evidence {
        Evidence {
            detector,
            score: 70.0,
            p_value: 1e-9,
            observed: None,
            expected: None,
            ceiling: Some(Ceiling { most: Action::Notify, reason }),
            fields: Map::from_iter([(ALONE_P_VALUE.to_owned(), json!(alone))]),
        }
    }

    fn ordinary(detector: DetectorId) -> Evidence {
        item(detector, 1e-6, Restraint::OrdinaryCause)
    }

    /// The ceiling of the first item.
    fn raised(evidence: &[Evidence]) -> Action {
        supported(evidence, &BTreeSet::new())[0].ceiling.map_or(Action::Revoke, |it| it.most)
    }

    use DetectorId::{
        AuthFailureBurst, Enumeration, NewAgent, NewAsn, NewFingerprint, RateSpike,
        UnexpectedEndpoint,
    };

    #[test]
    fn program_place_and_use_support_each_other() {
        let (program, place) = (ordinary(NewAgent), ordinary(NewAsn));
        assert_eq!(raised(std::slice::from_ref(&program)), Action::Notify);
        assert_eq!(raised(&[program.clone(), ordinary(NewFingerprint)]), Action::Notify);
        assert_eq!(raised(&[program.clone(), ordinary(RateSpike)]), Action::Notify);
        assert_eq!(raised(&[place.clone(), ordinary(RateSpike)]), Action::Notify);
        assert_eq!(raised(&[program.clone(), place.clone()]), Action::Notify);
        for usage in [RateSpike, Enumeration, UnexpectedEndpoint] {
            let all = [program.clone(), place.clone(), ordinary(usage)];
            assert_eq!(raised(&all), Action::Suspend, "{usage}");
        }
    }

    #[test]
    fn a_sign_that_is_unusual_only_with_others_supports_none() {
        let [program, place] = [NewAgent, NewAsn].map(ordinary);
        let busier = item(RateSpike, 1e-4, Restraint::OrdinaryCause);
        assert_eq!(raised(&[program.clone(), place, busier]), Action::Notify);
        let known_place = item(NewAsn, 0.05, Restraint::OrdinaryCause);
        assert_eq!(raised(&[program, known_place, ordinary(RateSpike)]), Action::Notify);
    }

    #[test]
    fn ceilings_for_other_reasons_neither_rise_nor_help_others_to() {
        let [program, place] = [NewAgent, NewAsn].map(ordinary);
        for reason in [Restraint::AttemptsOnly, Restraint::YoungKey, Restraint::KnownAddress] {
            let bounded = item(RateSpike, 1e-9, reason);
            let all = [bounded, program.clone(), place.clone()];
            assert_eq!(supported(&all, &BTreeSet::new()).as_ref(), all, "{reason:?}");
        }
        let attempts = item(AuthFailureBurst, 1e-9, Restraint::AttemptsOnly);
        assert_eq!(raised(&[attempts, program, place]), Action::Notify);
    }

    #[test]
    fn a_family_that_broke_its_promise_supports_none() {
        let all = [NewAgent, NewAsn, RateSpike].map(ordinary);
        let restrained = BTreeSet::from([Family::Client]);
        assert_eq!(supported(&all, &restrained).as_ref(), all);
    }
}
