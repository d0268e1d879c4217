//! Attacks that show in nonces, signatures and client times. Those that need
//! no other sign stay in the key's own network, so that nothing else tells.

use super::recipe::{
    ALL_WELL, AS_OWN, Manner, OWN_CLIENT, Pace, Recipe, SigningNeed, SiteChoice, Trick,
};

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
