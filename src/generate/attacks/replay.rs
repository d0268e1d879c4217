//! Defines attacks that show in nonces, signatures and client times. Attacks that need no other
//! sign stay in the key's own network, so that nothing else reveals them.

use super::super::characters::Character;
use super::recipe::{ALL_WELL, AS_OWN, Manner, OWN_CLIENT, Pace, Recipe, SigningNeed, Trick};
use super::sites::SiteChoice;

const REPLAY: Recipe = Recipe { pace: Pace::new(0.0, 0.1), ..OWN_CLIENT };

pub(super) const NONCE_REPLAY: Recipe = Recipe {
    detectors: &["replay.duplicate_nonce", "replay.duplicate_signature"],
    signing: SigningNeed::Nonce,
    site: SiteChoice::Neighbour,
    manner: Manner { trick: Trick::Replay, ..AS_OWN },
    ..REPLAY
};

pub(super) const DELAYED_REPLAY: Recipe = Recipe {
    detectors: &[
        "replay.duplicate_nonce",
        "replay.duplicate_signature",
        "replay.stale_timestamp",
        "replay.out_of_order_nonce",
        "network.new_asn",
        "geo.new_location",
        "geo.impossible_travel",
    ],
    signing: SigningNeed::Nonce,
    site: SiteChoice::RentedInCountry,
    manner: Manner { trick: Trick::ReplayLater, ..AS_OWN },
    ..REPLAY
};

pub(super) const SIGNATURE_REUSE: Recipe = Recipe {
    detectors: &["replay.duplicate_signature"],
    signing: SigningNeed::SignatureOnly,
    site: SiteChoice::Neighbour,
    manner: Manner { trick: Trick::Replay, ..AS_OWN },
    ..REPLAY
};

pub(super) const STALE_TIMESTAMP: Recipe = Recipe {
    detectors: &["replay.stale_timestamp"],
    signing: SigningNeed::RandomNonce,
    manner: Manner { trick: Trick::OldTime, statuses: Some(ALL_WELL), ..AS_OWN },
    ..REPLAY
};

pub(super) const OUT_OF_ORDER_NONCE: Recipe = Recipe {
    detectors: &["replay.out_of_order_nonce"],
    signing: SigningNeed::RisingNonce,
    manner: Manner { trick: Trick::LowNonce, ..AS_OWN },
    ..REPLAY
};

pub(super) const WEAK_NONCE: Recipe = Recipe {
    detectors: &["replay.weak_nonce", "replay.duplicate_nonce", "replay.out_of_order_nonce"],
    signing: SigningNeed::RandomNonce,
    minutes: (20.0, 60.0),
    manner: Manner { trick: Trick::SmallCounter, ..AS_OWN },
    ..REPLAY
};

/// Sent again within the seconds in which a signed request is valid.
pub(super) const REPLAY_IN_WINDOW: Recipe = Recipe {
    detectors: &["replay.duplicate_nonce", "replay.duplicate_signature"],
    signing: SigningNeed::Nonce,
    site: SiteChoice::Neighbour,
    minutes: (40.0, 90.0),
    own_rate: (0.1, 0.5),
    manner: Manner { trick: Trick::ReplaySoon, ..AS_OWN },
    ..REPLAY
};

/// An API that does not sign the nonce accepts the same signature again.
pub(super) const REPLAY_NEW_NONCE: Recipe = Recipe {
    detectors: &["replay.duplicate_signature"],
    signing: SigningNeed::Nonce,
    site: SiteChoice::Neighbour,
    minutes: (20.0, 60.0),
    manner: Manner { trick: Trick::NewNonce, ..AS_OWN },
    ..REPLAY
};

/// The API does not check nonces: every payout is paid twice.
pub(super) const FAST_REPLAY: Recipe = Recipe {
    detectors: &["replay.duplicate_nonce", "replay.duplicate_signature"],
    characters: &[Character::Trader],
    signing: SigningNeed::Nonce,
    own_rate: (0.3, 1.0),
    minutes: (90.0, 300.0),
    manner: Manner { trick: Trick::ReplayHere, at_most: 200, ..AS_OWN },
    ..REPLAY
};
