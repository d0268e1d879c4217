//! What an attack is made of: whom it suits, from where, how fast, in what manner.

use super::super::characters::Character;
use super::super::places::{Place, any_place, places_where};
use super::super::products::Product;
use super::super::random::Random;

/// Everything about one kind of attack.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Recipe {
    /// Ids of the detectors any of which counts, the intended one first.
    pub detectors: &'static [&'static str],
    /// Keys of these characters can be attacked so.
    pub characters: &'static [Character],
    pub signing: SigningNeed,
    /// Shortest and longest, in minutes.
    pub minutes: (f64, f64),
    pub pace: Pace,
    pub site: SiteChoice,
    pub manner: Manner,
    pub lifecycle: Lifecycle,
}

/// What the victim's client must send for the attack to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum SigningNeed {
    Any,
    Nonce,
    RisingNonce,
    RandomNonce,
    /// A signature and a time but no nonce.
    SignatureOnly,
}

/// Requests a second: a multiple of the key's own mean rate, or at least so many.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Pace {
    pub factor: f64,
    pub at_least: f64,
    /// Rises from next to nothing over the whole attack.
    pub ramp: bool,
    /// Mean number of requests that come together; 1 for no bursts.
    pub burst: f64,
}

impl Pace {
    pub const fn new(factor: f64, at_least: f64) -> Self {
        Self { factor, at_least, ramp: false, burst: 1.0 }
    }

    pub const fn ramp(factor: f64, at_least: f64) -> Self {
        Self { factor, at_least, ramp: true, burst: 1.0 }
    }
}

/// From where the attacker calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum SiteChoice {
    /// The key's own machines.
    Own,
    /// Another machine of the key's network.
    Neighbour,
    /// A hosting or VPN network of another AS in the key's country.
    RentedInCountry,
    /// Another country of the region.
    NextCountry,
    /// A household on another continent.
    FarAway,
    /// A hosting or VPN network on another continent.
    RentedFarAway,
}

impl SiteChoice {
    pub fn is_possible_from(self, home: &Place) -> bool {
        matches!(self, Self::Own | Self::Neighbour)
            || !places_where(|place| self.suits(home, place)).is_empty()
    }

    /// The attacker's network, `None` when it is the key's own.
    pub fn place(self, home: &Place, random: &mut Random) -> Option<&'static Place> {
        any_place(random, |place| self.suits(home, place))
    }

    fn suits(self, home: &Place, place: &Place) -> bool {
        let km = home.distance_km(place);
        let another_network = place.asn != home.asn;
        match self {
            Self::Own | Self::Neighbour => false,
            Self::RentedInCountry => {
                place.is_rented() && another_network && place.country == home.country
            }
            Self::NextCountry => {
                place.country != home.country && another_network && (200.0..2_500.0).contains(&km)
            }
            Self::FarAway => !place.is_rented() && another_network && km > 5_000.0,
            Self::RentedFarAway => place.is_rented() && another_network && km > 5_000.0,
        }
    }
}

/// What the attacker's requests look like; `None` is as the key's own.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Manner {
    pub product: Option<Product>,
    /// Of the key's own routes mostly those that it uses least.
    pub prefers_rare_routes: bool,
    /// Statuses with their weights.
    pub statuses: Option<&'static [(u16, f64)]>,
    pub trick: Trick,
    /// With a tool of the attacker's own.
    pub foreign_agent: bool,
    pub other_environment: bool,
    /// Answers larger by this factor.
    pub bytes_factor: f64,
    /// Nearly all requests name keys that do not exist.
    pub invents_keys: bool,
}

/// What the attacker does with nonce, time and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Trick {
    /// Signs as the key does.
    Sign,
    /// Sends the newest captured requests again.
    Replay,
    /// Sends requests again that were captured long before.
    ReplayLater,
    /// Signs with a client time minutes to an hour old.
    OldTime,
    /// Signs with nonces below those in use.
    LowNonce,
    /// Signs with a counter that starts again from 1 every fifty requests.
    SmallCounter,
}

/// What has become of the key by the time of the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Lifecycle {
    InUse,
    Retired,
    Expired,
    Revoked,
    Dormant,
}

pub(super) const AROUND_THE_CLOCK: &[Character] = &[Character::SteadyServer, Character::Trader];
pub(super) const SINGLE_HOME: &[Character] =
    &[Character::SteadyServer, Character::Trader, Character::OfficeHours];

/// The key's own client at its usual pace: what the recipes start from.
pub(super) const OWN_CLIENT: Recipe = Recipe {
    detectors: &[],
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::Any,
    minutes: (10.0, 30.0),
    pace: Pace::new(1.0, 0.1),
    site: SiteChoice::Own,
    manner: AS_OWN,
    lifecycle: Lifecycle::InUse,
};

pub(super) const AS_OWN: Manner = Manner {
    product: None,
    prefers_rare_routes: false,
    statuses: None,
    trick: Trick::Sign,
    foreign_agent: false,
    other_environment: false,
    bytes_factor: 1.0,
    invents_keys: false,
};

pub(super) const ALL_WELL: &[(u16, f64)] = &[(200, 1.0)];
