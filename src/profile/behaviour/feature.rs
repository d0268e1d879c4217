//! Lists the behaviour features, and hashes their definition so that models can check it.

use sha2::{Digest, Sha256};

use super::WINDOW_SECONDS;
use super::observation::{ADDRESS_BUCKETS, PLACE_BUCKETS, ROUTE_BUCKETS};
use super::statistics::{Statistics, entropy};

/// Version of the feature values. Raise it with every change of their computation, because models
/// of the older version then no longer fit.
const DEFINITION: u32 = 2;

/// The scale on which a feature is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Share,
    /// Arcsine of the square root of a share.
    ArcShare,
    /// `ln(n)` of a number.
    LogNumber,
    /// `ln` of a share.
    LogShare,
    /// `ln(1 + n)` of a count.
    LogCount,
    /// `ln(1 + n)` of bytes.
    LogBytes,
    /// `asinh` of seconds.
    AsinhSeconds,
    /// A number without transformation.
    Plain,
}

impl Unit {
    /// Transforms a stored value back for display: percent, a number, bytes or seconds.
    pub fn natural(self, value: f64) -> f64 {
        match self {
            Self::Share => 100.0 * value,
            Self::ArcShare => 100.0 * value.sin().powi(2),
            Self::LogNumber => value.exp(),
            Self::LogShare => 100.0 * value.exp(),
            Self::LogCount | Self::LogBytes => value.exp_m1(),
            Self::AsinhSeconds => value.sinh(),
            Self::Plain => value,
        }
    }

    /// The unit symbol to print after the value of [`Self::natural`].
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Share | Self::ArcShare | Self::LogShare => " %",
            Self::LogBytes => " bytes",
            Self::AsinhSeconds => " s",
            Self::LogNumber | Self::LogCount | Self::Plain => "",
        }
    }
}

/// One feature of a window that is compared with the key's own past.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub name: &'static str,
    /// Description for messages.
    pub words: &'static str,
    pub unit: Unit,
    /// Mean absolute residual that is assumed for a new key.
    pub prior_deviation: f64,
}

pub const OWN_FEATURES: usize = 12;

const fn feature(
    name: &'static str,
    words: &'static str,
    unit: Unit,
    prior_deviation: f64,
) -> Feature {
    Feature { name, words, unit, prior_deviation }
}

/// Features that are compared with the key's own past. Places are not among them: they have their
/// own detectors, and a service that moves to other machines would be an outlier for hours.
pub const FEATURES: [Feature; OWN_FEATURES] = [
    feature("volume", "requests in the hour", Unit::LogCount, 0.5),
    feature("hour", "requests for this hour of the day", Unit::LogCount, 0.6),
    feature("errors", "share of errors (4xx, 5xx)", Unit::Share, 0.8),
    feature("refused", "share refused (401, 403)", Unit::Share, 0.8),
    feature("throttled", "share throttled (429)", Unit::Share, 0.8),
    feature("route_spread", "effective number of routes", Unit::LogNumber, 0.15),
    feature("route_mix", "distance from the usual mix of routes", Unit::Plain, 0.4),
    feature("spread", "minutes in use, relative to randomly spread requests", Unit::LogShare, 0.2),
    feature("burstiness", "burstiness of the gaps (-1 to 1)", Unit::Plain, 0.1),
    feature("size", "size of the answers", Unit::LogBytes, 0.2),
    feature("signed", "share of signed requests", Unit::Share, 0.8),
    feature("skew", "clock skew of the client", Unit::AsinhSeconds, 0.2),
];

/// One feature of a window that is compared with the windows of other keys, for keys without a
/// past.
#[derive(Clone, Copy, Debug)]
pub struct PeerFeature {
    pub name: &'static str,
    /// Description for messages.
    pub words: &'static str,
    pub unit: Unit,
    pub value: fn(&Statistics) -> Option<f64>,
}

pub const PEER_FEATURES: usize = 11;

const fn peer(
    name: &'static str,
    words: &'static str,
    unit: Unit,
    value: fn(&Statistics) -> Option<f64>,
) -> PeerFeature {
    PeerFeature { name, words, unit, value }
}

/// Arcsine of the square root of a share, which stabilises its variance (Anscombe 1948).
fn share(part: f64, whole: f64) -> Option<f64> {
    Some(((part + 0.375) / (whole + 0.75)).sqrt().asin())
}

/// Features that are compared with the windows of other keys.
pub const PEERS: [PeerFeature; PEER_FEATURES] = [
    peer("volume", "requests in the hour", Unit::LogCount, |s| Some(s.volume())),
    peer("errors", "share of errors (4xx, 5xx)", Unit::ArcShare, |s| share(s.errors, s.requests)),
    peer("refused", "share refused (401, 403)", Unit::ArcShare, |s| share(s.refused, s.requests)),
    peer("throttled", "share throttled (429)", Unit::ArcShare, |s| share(s.throttled, s.requests)),
    peer("addresses", "different addresses", Unit::LogNumber, |s| Some(s.log_addresses())),
    peer("place_spread", "effective number of places", Unit::LogNumber, |s| {
        Some(entropy(&s.places))
    }),
    peer("route_spread", "effective number of routes", Unit::LogNumber, |s| {
        Some(entropy(&s.routes))
    }),
    peer("spread", "minutes in use, relative to randomly spread requests", Unit::LogShare, |s| {
        Some(s.log_spread())
    }),
    peer("burstiness", "burstiness of the gaps (-1 to 1)", Unit::Plain, Statistics::burstiness),
    peer("size", "size of the answers", Unit::LogBytes, Statistics::mean_size),
    peer("signed", "share of signed requests", Unit::ArcShare, |s| share(s.signed, s.requests)),
];

/// Hash of the feature definitions, as 16 hexadecimal digits. A model fits only if it was trained
/// with the same hash.
pub fn schema_hash() -> String {
    let mut hash = Sha256::new();
    hash.update(format!(
        "{DEFINITION} {WINDOW_SECONDS} {ROUTE_BUCKETS} {PLACE_BUCKETS} {ADDRESS_BUCKETS}"
    ));
    let own = FEATURES.iter().map(|feature| feature.name);
    for name in own.chain(["/"]).chain(PEERS.iter().map(|feature| feature.name)) {
        hash.update(name);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}
