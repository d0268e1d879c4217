//! Combines the evidence of several detectors into one risk and one confidence.

use std::collections::BTreeMap;

use crate::alert::{DetectorId, Evidence, Severity};
use crate::detect::{Family, MAX_SURPRISE, family};

/// Prior odds that behaviour which a detector judges is really unusual.
const PRIOR_ODDS: f64 = 1e-3;

/// Highest confidence, however small the p-values are.
const MAX_CONFIDENCE: f64 = 0.99;

/// Probability that a key is in the wrong hands, given that the detector's sign is really unusual
/// for it.
///
/// These are estimates from the other possible causes of the sign. Errors are mostly the client's
/// or the API's, while hardly anything but theft repeats a signature.
pub const fn theft_given(detector: DetectorId) -> f64 {
    match detector {
        // The owner may have cleaned up before; a trap may be sprung by a scanner.
        DetectorId::LeakedKey | DetectorId::CanaryUse => 0.97,
        DetectorId::DuplicateNonce | DetectorId::DuplicateSignature => 0.92,
        DetectorId::CredentialStuffing => 0.9,
        DetectorId::ImpossibleTravel => 0.85,
        DetectorId::RevokedKeyUse | DetectorId::IpNotAllowed => 0.7,
        DetectorId::OutOfOrderNonce | DetectorId::StaleTimestamp => 0.6,
        DetectorId::RateSpike | DetectorId::NewLocation => 0.5,
        DetectorId::UnexpectedEndpoint | DetectorId::NewAsn => 0.5,
        DetectorId::RotationAbuse => 0.5,
        DetectorId::AuthFailureBurst | DetectorId::WeakNonce => 0.4,
        DetectorId::RetiredKeyUse | DetectorId::ExpiredKeyUse => 0.4,
        DetectorId::EnvironmentMismatch | DetectorId::ThrottledBurst => 0.3,
        DetectorId::DormantKeyUse => 0.25,
        DetectorId::BehaviourOutlier | DetectorId::NewAgent | DetectorId::NewFingerprint => 0.35,
        DetectorId::BulkExport | DetectorId::Enumeration => 0.4,
        DetectorId::ErrorBurst => 0.1,
        DetectorId::MonitorBlind | DetectorId::MonitorDegraded => 0.0,
        DetectorId::PromiseBroken | DetectorId::BreakerOpen => 0.0,
    }
}

/// Risk, 0 to 100: how surprising the evidence is, weighted by how much it says about theft. Each
/// family counts once. Families are combined as if independent: the probability that at least one
/// of them is right.
pub fn risk(evidence: &[Evidence]) -> f64 {
    let weight = |e: &Evidence| (0.3 + 0.7 * theft_given(e.detector)) * e.score / MAX_SURPRISE;
    100.0 * at_least_one(evidence, weight)
}

/// Probability that the key is in the wrong hands, 0 to 1.
///
/// For each family, this is the posterior probability that the sign is real, times the probability
/// that such a sign is theft. The posterior uses the upper bound that a p-value sets on the Bayes
/// factor, `1 / (-e p ln p)` (Sellke, Bayarri and Berger 2001). Families are combined by noisy-or.
pub fn confidence(evidence: &[Evidence]) -> f64 {
    let stolen = |e: &Evidence| {
        let odds = PRIOR_ODDS * bayes_factor(e.p_value);
        odds / (1.0 + odds) * theft_given(e.detector)
    };
    at_least_one(evidence, stolen).min(MAX_CONFIDENCE)
}

/// Noisy-or over families. Each family counts by its strongest item, so that detectors that see the
/// same sign are not counted twice.
fn at_least_one(evidence: &[Evidence], probability: impl Fn(&Evidence) -> f64) -> f64 {
    let mut strongest: BTreeMap<Family, f64> = BTreeMap::new();
    for item in evidence {
        let best = strongest.entry(family(item.detector)).or_default();
        *best = best.max(probability(item));
    }
    1.0 - strongest.values().map(|p| 1.0 - p).product::<f64>()
}

fn bayes_factor(p_value: f64) -> f64 {
    let p = p_value.clamp(1e-12, 1.0);
    if p >= (-1.0f64).exp() { 1.0 } else { -1.0 / (std::f64::consts::E * p * p.ln()) }
}

pub fn severity(risk: f64) -> Severity {
    match risk {
        80.0.. => Severity::Critical,
        50.0.. => Severity::High,
        25.0.. => Severity::Medium,
        _ => Severity::Low,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::detect::surprise;

    fn evidence(detector: DetectorId, p_value: f64) -> Evidence {
        Evidence {
            ceiling: None,
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
