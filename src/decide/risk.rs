//! One risk and one confidence from the evidence of several detectors.

use std::collections::BTreeMap;

use crate::alert::{Evidence, Severity};
use crate::detect::{Family, family};

/// Odds, before the evidence, that a key which gets as far as being judged is stolen.
const PRIOR_ODDS: f64 = 1e-3;

/// No chain of p-values makes us surer than this.
const MAX_CONFIDENCE: f64 = 0.99;

/// Risk, 0 to 100: how surprising the evidence is, each family counted once.
///
/// Families are taken as independent and combined like failures: the chance that at
/// least one of them means what it says.
pub fn risk(evidence: &[Evidence]) -> f64 {
    let innocent: f64 =
        strongest_by_family(evidence).values().map(|e| 1.0 - 0.95 * e.score / 100.0).product();
    (100.0 * (1.0 - innocent)).clamp(0.0, 100.0)
}

/// Probability that the key is in the wrong hands, 0 to 1.
///
/// Posterior odds from the upper bound that a p-value sets on the Bayes factor,
/// `1 / (-e p ln p)` (Sellke, Bayarri and Berger 2001), the strongest evidence of each
/// family, so that detectors which see the same sign are not counted twice.
pub fn confidence(evidence: &[Evidence]) -> f64 {
    let odds: f64 = PRIOR_ODDS
        * strongest_by_family(evidence).values().map(|e| bayes_factor(e.p_value)).product::<f64>();
    (odds / (1.0 + odds)).min(MAX_CONFIDENCE)
}

fn bayes_factor(p_value: f64) -> f64 {
    let p = p_value.clamp(1e-12, 1.0);
    if p >= (-1.0f64).exp() { 1.0 } else { -1.0 / (std::f64::consts::E * p * p.ln()) }
}

fn strongest_by_family(evidence: &[Evidence]) -> BTreeMap<Family, &Evidence> {
    let mut strongest: BTreeMap<Family, &Evidence> = BTreeMap::new();
    for item in evidence {
        let best = strongest.entry(family(item.detector)).or_insert(item);
        if item.p_value < best.p_value {
            *best = item;
        }
    }
    strongest
}

pub fn severity(risk: f64) -> Severity {
    match risk {
        90.0.. => Severity::Critical,
        70.0.. => Severity::High,
        35.0.. => Severity::Medium,
        _ => Severity::Low,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::alert::DetectorId;
    use crate::detect::surprise;

    fn evidence(detector: DetectorId, p_value: f64) -> Evidence {
        Evidence {
            detector,
            score: surprise(p_value),
            p_value,
            observed: None,
            expected: None,
            fields: Map::new(),
        }
    }

    #[test]
    fn two_families_weigh_more_than_one_and_two_of_one_family_do_not() {
        let travel = evidence(DetectorId::ImpossibleTravel, 1e-5);
        let network = evidence(DetectorId::NewAsn, 1e-5);
        let replay = evidence(DetectorId::DuplicateNonce, 1e-5);
        let one = [travel.clone()];
        let same = [travel.clone(), network];
        let both = [travel, replay];
        assert_eq!(risk(&one), risk(&same));
        assert!(risk(&both) > risk(&one));
        assert!(confidence(&both) > confidence(&one));
    }

    proptest! {
        #[test]
        fn stronger_evidence_never_lowers_risk_or_confidence(
            p in 1e-12f64..0.3, factor in 0.001f64..1.0
        ) {
            let weak = [evidence(DetectorId::RateSpike, p)];
            let strong = [evidence(DetectorId::RateSpike, p * factor)];
            prop_assert!(risk(&strong) >= risk(&weak));
            prop_assert!(confidence(&strong) >= confidence(&weak));
            prop_assert!((0.0..=100.0).contains(&risk(&strong)));
            prop_assert!((0.0..=1.0).contains(&confidence(&strong)));
        }
    }
}
