//! Defines attacks by outsiders, who know or guess a public key id but have neither key nor secret.
//! All their requests are refused, so none of them may count against the key.

use super::recipe::{
    AROUND_THE_CLOCK, AS_OWN, Manner, Names, OWN_CLIENT, Pace, Recipe, SINGLE_HOME, SigningNeed,
    Trick,
};
use super::sites::SiteChoice;

const REFUSED: &[(u16, f64)] = &[(401, 1.0)];
const ABOUT_THE_SOURCE: &[&str] = &["auth.credential_stuffing", "auth.failure_burst"];

const OUTSIDER: Recipe = Recipe {
    detectors: ABOUT_THE_SOURCE,
    characters: SINGLE_HOME,
    minutes: (5.0, 20.0),
    pace: Pace::new(0.0, 0.01),
    site: SiteChoice::RentedFarAway,
    manner: Manner { statuses: Some(REFUSED), foreign_agent: true, outsider: true, ..AS_OWN },
    ..OWN_CLIENT
};

/// Each id is tried once or twice.
pub(super) const TRIED_LIST: Recipe = Recipe {
    pace: Pace::new(0.0, 1.0),
    manner: Manner { names: Names::PublicIds, ..OUTSIDER.manner },
    ..OUTSIDER
};

pub(super) const DISTRIBUTED_STUFFING: Recipe = Recipe {
    minutes: (30.0, 120.0),
    pace: Pace::new(0.0, 0.6),
    site: SiteChoice::Botnet,
    manner: Manner { names: Names::Mixed, ..OUTSIDER.manner },
    ..OUTSIDER
};

pub(super) const SIGNATURE_GUESSING: Recipe =
    Recipe { signing: SigningNeed::Nonce, pace: Pace::new(0.0, 8.0), ..OUTSIDER };

pub(super) const FORGED_NONCE: Recipe = Recipe {
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::Nonce,
    site: SiteChoice::TwoFarAway,
    manner: Manner {
        statuses: Some(&[(401, 6.0), (400, 2.0), (429, 1.0)]),
        trick: Trick::InventedNonce,
        ..OUTSIDER.manner
    },
    ..OUTSIDER
};

/// As a rule a single request.
pub(super) const FORGED_AFAR: Recipe = Recipe { pace: Pace::new(0.0, 5e-4), ..OUTSIDER };

pub(super) const FORGED_HUGE_NONCE: Recipe = Recipe {
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::RisingNonce,
    pace: Pace::new(0.0, 2e-3),
    manner: Manner { trick: Trick::HugeNonce, ..OUTSIDER.manner },
    ..OUTSIDER
};

pub(super) const FORGED_NEXT_NONCE: Recipe = Recipe {
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::RisingNonce,
    pace: Pace::new(1.0, 0.05),
    manner: Manner { trick: Trick::NextNonce, ..OUTSIDER.manner },
    ..OUTSIDER
};

pub(super) const FORGED_OLD_TIME: Recipe = Recipe {
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::Nonce,
    manner: Manner { trick: Trick::OldTime, ..OUTSIDER.manner },
    ..OUTSIDER
};

/// The API recognises the nonce.
pub(super) const REFUSED_REPLAY: Recipe = Recipe {
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::Nonce,
    pace: Pace::new(0.0, 0.02),
    manner: Manner {
        statuses: Some(&[(409, 3.0), (401, 1.0)]),
        trick: Trick::Replay,
        ..OUTSIDER.manner
    },
    ..OUTSIDER
};
