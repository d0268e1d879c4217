//! Chooses the location from which an attacker calls.

use super::super::places::{NetworkKind, Place, any_place, places_where};
use super::super::pool::Pool;
use super::super::random::Random;
use super::super::site::Site;
use super::super::whereabouts::{Whereabouts, sites_among};

/// The location from which the attacker calls.
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
    /// Two machines of different networks, on other continents.
    TwoFarAway,
    /// Any network of another country, not near.
    Abroad,
    /// Households of the key's own city that a residential proxy has hired.
    ProxyInCity,
    /// Another region of the cloud that the key is in.
    SameCloud,
    /// Infected households all over the world.
    Botnet,
}

impl SiteChoice {
    pub fn is_possible_from(self, home: &Place) -> bool {
        matches!(self, Self::Own | Self::Neighbour)
            || !places_where(|place| self.suits(home, place)).is_empty()
    }

    /// The attacker's location; `None` if it is the location of the key's own client.
    pub fn whereabouts(self, home: &'static Place, random: &mut Random) -> Option<Whereabouts> {
        let places = || places_where(|place| self.suits(home, place));
        match self {
            Self::Own => None,
            Self::Neighbour => Some(Whereabouts::Fixed(Site::neighbour(home))),
            Self::TwoFarAway => {
                Some(Whereabouts::Fleet(sites_among(&places(), 2, Site::stranger, random)))
            }
            // A proxy assigns another household every few minutes.
            Self::ProxyInCity => Some(households(places(), 1, 600.0, random)),
            Self::Botnet => Some(households(places(), 200, 3_600.0, random)),
            _ => {
                let place = any_place(random, |place| self.suits(home, place))?;
                Some(Whereabouts::Fixed(Site::stranger(place, random)))
            }
        }
    }

    fn suits(self, home: &Place, place: &Place) -> bool {
        let km = home.distance_km(place);
        let another_network = place.asn != home.asn;
        match self {
            Self::Own | Self::Neighbour => false,
            Self::ProxyInCity => is_household(place) && another_network && km < 60.0,
            Self::Botnet => is_household(place),
            Self::SameCloud => {
                place.kind == NetworkKind::Hosting
                    && place.asn == home.asn
                    && place.is_v4()
                    && km > 1_000.0
            }
            Self::Abroad => {
                place.country != home.country
                    && another_network
                    && !matches!(place.kind, NetworkKind::Inflight | NetworkKind::Relay)
                    && km > 1_500.0
            }
            Self::RentedInCountry => {
                place.is_rented() && another_network && place.country == home.country
            }
            Self::NextCountry => {
                place.country != home.country
                    && !matches!(place.kind, NetworkKind::Inflight | NetworkKind::Relay)
                    && another_network
                    && (200.0..2_500.0).contains(&km)
            }
            Self::FarAway => is_household(place) && another_network && km > 5_000.0,
            Self::RentedFarAway | Self::TwoFarAway => {
                place.is_rented() && another_network && km > 5_000.0
            }
        }
    }
}

fn is_household(place: &Place) -> bool {
    matches!(place.kind, NetworkKind::Residential | NetworkKind::Mobile) && place.is_v4()
}

fn households(
    places: Vec<&'static Place>,
    seats: u64,
    stay_seconds: f64,
    random: &mut Random,
) -> Whereabouts {
    let places = places.into_iter().map(|place| (place, 1.0)).collect();
    Whereabouts::Pool(Pool::new(places, seats, stay_seconds, u64::MAX, random))
}
