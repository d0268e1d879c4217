//! Asks whether an event is unusual for its key. One file a family of detectors.
//!
//! Detectors read profiles and never change them. Each answers with a p-value: the
//! probability that the key's own behaviour does something at least this unusual.

pub mod calibration;
pub mod conduct;
pub mod dormancy;
pub mod geo;
pub mod outcome;
pub mod outlier;
pub mod priors;
pub mod rate;
pub mod replay;
pub mod rules;
pub mod statistics;
pub mod stuffing;

use serde_json::{Map, Value};

use crate::alert::{DetectorId, Evidence};
use crate::config::DetectConfig;

/// One detector's finding.
#[derive(Clone, Debug)]
pub struct Signal {
    pub detector: DetectorId,
    pub p_value: f64,
    pub observed: Option<f64>,
    pub expected: Option<f64>,
    /// A clause for the title: `requests 41 times the usual rate`.
    pub headline: String,
    /// A whole sentence with the numbers.
    pub sentence: String,
    /// A JSON object: what a person would check, by detector (places, times, addresses).
    pub fields: Value,
}

impl Signal {
    /// Surprise, 0 to 100: ten times the negative decimal logarithm of the p-value.
    pub fn score(&self) -> f64 {
        surprise(self.p_value)
    }

    pub fn into_evidence(self) -> Evidence {
        let score = self.score();
        let fields = match self.fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Evidence {
            detector: self.detector,
            score,
            p_value: self.p_value,
            observed: self.observed,
            expected: self.expected,
            fields,
        }
    }
}

/// Beyond this, more surprise says nothing more.
pub const MAX_SURPRISE: f64 = 100.0;

/// `-10 log10(p)`, within 0 to [`MAX_SURPRISE`].
pub fn surprise(p_value: f64) -> f64 {
    (-10.0 * p_value.max(f64::MIN_POSITIVE).log10()).clamp(0.0, MAX_SURPRISE)
}

/// Detectors that see the same sign, so that their evidence must not be counted twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    Rate,
    Outcome,
    Place,
    Replay,
    Behaviour,
    Policy,
    Source,
    Conduct,
    Dormancy,
    /// About no key: never weighed with the others.
    Monitor,
}

impl Family {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Outcome => "outcome",
            Self::Place => "place",
            Self::Replay => "replay",
            Self::Behaviour => "behaviour",
            Self::Policy => "policy",
            Self::Source => "source",
            Self::Conduct => "conduct",
            Self::Dormancy => "dormancy",
            Self::Monitor => "monitor",
        }
    }
}

pub const fn family(detector: DetectorId) -> Family {
    match detector {
        DetectorId::RateSpike => Family::Rate,
        DetectorId::ErrorBurst | DetectorId::AuthFailureBurst | DetectorId::ThrottledBurst => {
            Family::Outcome
        }
        DetectorId::CredentialStuffing => Family::Source,
        DetectorId::UnexpectedEndpoint | DetectorId::RotationAbuse => Family::Conduct,
        DetectorId::DormantKeyUse => Family::Dormancy,
        DetectorId::ImpossibleTravel | DetectorId::NewLocation | DetectorId::NewAsn => {
            Family::Place
        }
        DetectorId::DuplicateNonce
        | DetectorId::DuplicateSignature
        | DetectorId::StaleTimestamp
        | DetectorId::OutOfOrderNonce
        | DetectorId::WeakNonce => Family::Replay,
        DetectorId::IpNotAllowed
        | DetectorId::EnvironmentMismatch
        | DetectorId::RetiredKeyUse
        | DetectorId::ExpiredKeyUse
        | DetectorId::RevokedKeyUse => Family::Policy,
        DetectorId::BehaviourOutlier => Family::Behaviour,
        DetectorId::MonitorBlind => Family::Monitor,
    }
}

/// P-values below which a family's detectors speak up.
///
/// The budget of false alerts is spread evenly over families and then over the tests
/// that a week brings (Bonferroni): windows for the rate, ten-minute observations for
/// places, requests for replay.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub rate: f64,
    pub place: f64,
    pub replay: f64,
    pub source: f64,
    pub conduct: f64,
    pub dormancy: f64,
    pub behaviour: f64,
}

/// Tests a week and key. There are 71,736 tumbling windows of 10, 60, 600 and 3,600 seconds,
/// but they lie within each other and most hold nothing.
const RATE_TESTS: f64 = 40_000.0;
/// A key that moves at all comes to this many places a week that it might not know.
const PLACE_TESTS: f64 = 10.0;
/// Repetitions that need an explanation, a week and key.
const REPLAY_TESTS: f64 = 100.0;
/// Refused requests from sources with refused keys enough to be judged, a week and key.
const SOURCE_TESTS: f64 = 100.0;
/// Routes that a key takes up, and windows in which it manages keys, a week.
const CONDUCT_TESTS: f64 = 10.0;
/// Silences of half a day and more, a week and key.
const DORMANCY_TESTS: f64 = 7.0;
/// Windows of behaviour, a week and key.
const BEHAVIOUR_TESTS: f64 = HOURS_A_WEEK;
/// Rates, outcomes, places, replay; and one part for sources, conduct, dormancy and behaviour
/// together, whose tests are few. Rules have no false alerts to budget.
const FAMILIES: f64 = 5.0;
const HOURS_A_WEEK: f64 = 168.0;
const SHARING: f64 = 4.0;
/// The thresholds assume at least this many keys, so that a small log is not noisy.
const MIN_KEYS: usize = 1_000;

impl Thresholds {
    /// Thresholds for a fleet of `keys` keys.
    pub fn new(config: &DetectConfig, keys: usize) -> Self {
        let budget = config.expected_false_alerts_per_week / FAMILIES / keys.max(MIN_KEYS) as f64;
        Self {
            rate: budget / RATE_TESTS,
            place: budget / PLACE_TESTS,
            replay: budget / REPLAY_TESTS,
            source: budget / SHARING / SOURCE_TESTS,
            conduct: budget / SHARING / CONDUCT_TESTS,
            dormancy: budget / SHARING / DORMANCY_TESTS,
            behaviour: budget / SHARING / BEHAVIOUR_TESTS,
        }
    }

    /// The threshold of a family. Rules are facts: theirs only keeps them in order.
    pub const fn of(&self, family: Family) -> f64 {
        match family {
            Family::Rate | Family::Outcome => self.rate,
            Family::Place => self.place,
            Family::Replay | Family::Policy => self.replay,
            Family::Source => self.source,
            Family::Conduct => self.conduct,
            Family::Dormancy => self.dormancy,
            Family::Behaviour => self.behaviour,
            Family::Monitor => 0.0,
        }
    }

    /// Tests that a key brings in an hour.
    pub const fn tests_an_hour(family: Family) -> f64 {
        let tests = match family {
            Family::Rate | Family::Outcome => RATE_TESTS,
            Family::Place => PLACE_TESTS,
            Family::Replay | Family::Policy => REPLAY_TESTS,
            Family::Source => SOURCE_TESTS,
            Family::Conduct => CONDUCT_TESTS,
            Family::Dormancy => DORMANCY_TESTS,
            Family::Behaviour => BEHAVIOUR_TESTS,
            Family::Monitor => 0.0,
        };
        tests / HOURS_A_WEEK
    }
}
