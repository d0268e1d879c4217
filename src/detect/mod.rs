//! Judges whether an event is unusual for its key. Each family of detectors has one file.
//!
//! Detectors read profiles and never change them. Each gives a p-value: the probability that the
//! key's own behaviour is at least this unusual.

pub mod breadth;
pub mod calibration;
pub mod canary;
mod check;
pub mod client;
pub mod dormancy;
pub mod enumeration;
pub mod export;
pub mod geo;
pub mod joint;
pub mod leak;
pub mod outcome;
pub mod outlier;
pub mod priors;
pub mod rate;
pub mod replay;
pub mod rotation;
pub mod route;
pub mod rules;
pub mod sight;
pub mod stranger;
pub mod stuffing;
pub mod unconfirmed;

use serde_json::{Map, Value};
use strum::{IntoStaticStr, VariantArray};

pub use self::check::check;

use crate::alert::{Action, Ceiling, DetectorId, Evidence, Restraint};
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
    /// A JSON object with the facts that a person would check (places, times, addresses). Its shape
    /// depends on the detector.
    pub fields: Value,
    /// The strongest action that this evidence may lead to, however strong it is. `None`: any
    /// action.
    pub ceiling: Option<Ceiling>,
}

impl Signal {
    /// Surprise, 0 to 100: ten times the negative decimal logarithm of the p-value.
    pub fn score(&self) -> f64 {
        surprise(self.p_value)
    }

    /// The same signal, which may lead to `most` at most.
    pub fn at_most(self, most: Action, reason: Restraint) -> Self {
        Self { ceiling: Some(Ceiling { most, reason }), ..self }
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
            ceiling: self.ceiling,
            fields,
        }
    }
}

/// Largest surprise. Beyond it, smaller p-values make no difference.
pub const MAX_SURPRISE: f64 = 100.0;

/// `-10 log10(p)`, within 0 to [`MAX_SURPRISE`].
pub fn surprise(p_value: f64) -> f64 {
    (-10.0 * p_value.max(f64::MIN_POSITIVE).log10()).clamp(0.0, MAX_SURPRISE)
}

/// Detectors that see the same sign, so that their evidence must not be counted twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Family {
    Rate,
    Outcome,
    Place,
    Replay,
    Behaviour,
    Policy,
    Source,
    #[strum(serialize = "conduct")]
    Route,
    Dormancy,
    /// The programs that use the key.
    Client,
    /// Weak signs of several families together: evidence is of these.
    Joint,
    /// About no key: never weighed with the others.
    Monitor,
}

impl Family {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The family of a detector.
pub const fn family(detector: DetectorId) -> Family {
    match detector {
        DetectorId::RateSpike => Family::Rate,
        DetectorId::ErrorBurst | DetectorId::AuthFailureBurst | DetectorId::ThrottledBurst => {
            Family::Outcome
        }
        DetectorId::CredentialStuffing => Family::Source,
        DetectorId::UnexpectedEndpoint | DetectorId::RotationAbuse => Family::Route,
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
        | DetectorId::RevokedKeyUse
        | DetectorId::LeakedKey
        | DetectorId::CanaryUse => Family::Policy,
        DetectorId::BehaviourOutlier | DetectorId::BulkExport | DetectorId::Enumeration => {
            Family::Behaviour
        }
        DetectorId::NewAgent | DetectorId::NewFingerprint => Family::Client,
        DetectorId::MonitorBlind
        | DetectorId::MonitorDegraded
        | DetectorId::PromiseBroken
        | DetectorId::BreakerOpen => Family::Monitor,
    }
}

/// P-values below which each family reports a finding.
///
/// The budget of false alerts is spread evenly over families, and then over the tests of a week
/// (Bonferroni): windows for the rate, ten-minute observations for places, requests for replay.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub rate: f64,
    pub place: f64,
    pub replay: f64,
    pub source: f64,
    pub route: f64,
    pub dormancy: f64,
    pub behaviour: f64,
    pub client: f64,
    pub joint: f64,
    /// Work that owners do more often than this in an hour of use would break the promise.
    pub ordinary: f64,
}

/// Tests a week and key. There are 71,736 tumbling windows of 10, 60, 600 and 3,600 seconds in a
/// week. They are nested, and most are empty.
const RATE_TESTS: f64 = 40_000.0;
/// Places a week that may be new to a key that moves.
const PLACE_TESTS: f64 = 10.0;
/// Repetitions that need an explanation, a week and key.
const REPLAY_TESTS: f64 = 100.0;
/// Refused requests a week and key, from sources with enough refused keys to be judged.
const SOURCE_TESTS: f64 = 100.0;
/// New routes a week and key, and windows in which the key manages keys.
const ROUTE_TESTS: f64 = 10.0;
/// Silences of half a day and more, a week and key.
const DORMANCY_TESTS: f64 = 7.0;
/// Windows of behaviour, a week and key.
const BEHAVIOUR_TESTS: f64 = HOURS_A_WEEK;
/// New programs a week and key.
const CLIENT_TESTS: f64 = 10.0;
/// Sessions in which signs come together that a key has never shown, a week.
const JOINT_TESTS: f64 = 10.0;
/// Number of equal parts of the budget: rates, outcomes, places, replay and the joint test of weak
/// signs have one each. Sources, routes, dormancy, behaviour and clients share the sixth, because
/// their tests are few. Rules have no false alerts to budget.
const FAMILIES: f64 = 6.0;
const HOURS_A_WEEK: f64 = 168.0;
const SHARING: f64 = 5.0;
/// The thresholds assume at least this many keys, so that a small log does not give many false
/// alerts.
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
            route: budget / SHARING / ROUTE_TESTS,
            dormancy: budget / SHARING / DORMANCY_TESTS,
            behaviour: budget / SHARING / BEHAVIOUR_TESTS,
            client: budget / SHARING / CLIENT_TESTS,
            joint: budget / JOINT_TESTS,
            ordinary: config.expected_false_alerts_per_week
                / FAMILIES
                / keys.max(1) as f64
                / HOURS_A_WEEK,
        }
    }

    /// The threshold of a family. Rules have no budget of their own and use the threshold of
    /// replay.
    pub const fn of(&self, family: Family) -> f64 {
        match family {
            Family::Rate | Family::Outcome => self.rate,
            Family::Place => self.place,
            Family::Replay | Family::Policy => self.replay,
            Family::Source => self.source,
            Family::Route => self.route,
            Family::Dormancy => self.dormancy,
            Family::Behaviour => self.behaviour,
            Family::Client => self.client,
            Family::Joint => self.joint,
            Family::Monitor => 0.0,
        }
    }

    /// False alerts that a family promises a week, over the whole fleet. `None` for facts, which
    /// promise none.
    pub fn promised_a_week(config: &DetectConfig, family: Family) -> Option<f64> {
        let part = config.expected_false_alerts_per_week / FAMILIES;
        match family {
            Family::Rate | Family::Outcome | Family::Place | Family::Replay | Family::Joint => {
                Some(part)
            }
            Family::Source
            | Family::Route
            | Family::Dormancy
            | Family::Behaviour
            | Family::Client => Some(part / SHARING),
            Family::Policy | Family::Monitor => None,
        }
    }

    /// Tests an hour and key.
    pub const fn tests_an_hour(family: Family) -> f64 {
        let tests = match family {
            Family::Rate | Family::Outcome => RATE_TESTS,
            Family::Place => PLACE_TESTS,
            Family::Replay | Family::Policy => REPLAY_TESTS,
            Family::Source => SOURCE_TESTS,
            Family::Route => ROUTE_TESTS,
            Family::Dormancy => DORMANCY_TESTS,
            Family::Behaviour => BEHAVIOUR_TESTS,
            Family::Client => CLIENT_TESTS,
            Family::Joint => JOINT_TESTS,
            Family::Monitor => 0.0,
        };
        tests / HOURS_A_WEEK
    }
}
