//! Lists from which age of a key each detector sees it. A log that has just begun has only young
//! keys.

use serde::Serialize;

use super::{client, enumeration, export, geo, rotation, route};
use crate::alert::DetectorId;
use crate::event::HOUR_SECONDS;
use crate::rate::MIN_HISTORY_HOURS;

/// Ten minutes, in which a place is observed once.
const OBSERVATION_SECONDS: f64 = 600.0;
/// Windows of an hour that the model of behaviour compares with.
const BEHAVIOUR_SECONDS: f64 = 12.0 * HOUR_SECONDS;

/// The age from which detectors see a key.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sight {
    /// Time of use, at least.
    pub seconds: f64,
    pub detectors: &'static [DetectorId],
    /// Restrictions beyond the age, a clause. May be empty.
    pub remark: &'static str,
}

/// In the order of age.
pub const SIGHTS: [Sight; 9] = [
    Sight {
        seconds: 0.0,
        detectors: &[
            DetectorId::DuplicateNonce,
            DetectorId::DuplicateSignature,
            DetectorId::StaleTimestamp,
            DetectorId::IpNotAllowed,
            DetectorId::EnvironmentMismatch,
            DetectorId::RetiredKeyUse,
            DetectorId::ExpiredKeyUse,
            DetectorId::RevokedKeyUse,
            DetectorId::CredentialStuffing,
            DetectorId::UnexpectedEndpoint,
        ],
        remark: "of routes, only walks through very many",
    },
    Sight {
        seconds: 2.0 * OBSERVATION_SECONDS,
        detectors: &[DetectorId::ImpossibleTravel],
        remark: "mild in the first hours",
    },
    Sight {
        seconds: MIN_HISTORY_HOURS * HOUR_SECONDS,
        detectors: &[
            DetectorId::RateSpike,
            DetectorId::ErrorBurst,
            DetectorId::AuthFailureBurst,
            DetectorId::ThrottledBurst,
        ],
        remark: "rates are mild on the first day; failures need 50 earlier requests",
    },
    Sight {
        seconds: (geo::MIN_OBSERVATIONS - 1.0) * OBSERVATION_SECONDS,
        detectors: &[DetectorId::NewLocation, DetectorId::NewAsn],
        remark: "sharper with each day",
    },
    Sight {
        seconds: rotation::MIN_HISTORY_SECONDS,
        detectors: &[DetectorId::RotationAbuse],
        remark: "",
    },
    Sight {
        seconds: BEHAVIOUR_SECONDS,
        detectors: &[DetectorId::BehaviourOutlier],
        remark: "of hours with use",
    },
    Sight {
        seconds: route::MIN_KNOWN_SECONDS,
        detectors: &[DetectorId::UnexpectedEndpoint],
        remark: "single routes, after 30 uses; weak signs are weighed together from here on",
    },
    Sight {
        seconds: export::MIN_KNOWN_SECONDS.max(enumeration::MIN_KNOWN_SECONDS),
        detectors: &[DetectorId::BulkExport, DetectorId::Enumeration],
        remark: "after twelve hours with use",
    },
    Sight {
        seconds: client::MIN_KNOWN_SECONDS,
        detectors: &[DetectorId::NewAgent, DetectorId::NewFingerprint],
        remark: "after six hours with use",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DAY_SECONDS;

    #[test]
    fn sights_are_in_the_order_of_age_and_within_two_days() {
        assert!(SIGHTS.is_sorted_by_key(|sight| sight.seconds));
        assert!(SIGHTS.iter().all(|sight| sight.seconds <= 2.0 * DAY_SECONDS));
    }
}
