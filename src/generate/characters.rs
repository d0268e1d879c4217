//! The usual characters among API keys: who they are, when they call, from
//! where, what they call and how they sign.

use rand::RngExt;

use super::places::{NetworkKind, Place, any_place};
use super::products::{self, Product};
use super::random::{Random, chance, log_normal, pick, pick_weighted};
use super::rhythm::{Burst, Rhythm, Starts};
use super::season::{Curve, Season};
use super::signing::{Discipline, Signer};
use super::whereabouts::{Site, Whereabouts};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// A backend that calls around the clock, more by day.
    SteadyServer,
    /// A trading bot: bursts at any hour, strict nonces.
    Trader,
    /// People at work behind one office line.
    OfficeHours,
    /// One service in several regions and clouds at once.
    Fleet,
    /// A job that runs every few minutes.
    Cron,
    /// A handful of requests a day.
    Quiet,
    /// An app on a telephone.
    Mobile,
    /// Batches of model calls, now and then.
    BatchUser,
}

const SHARES: [(Character, f64); 8] = [
    (Character::SteadyServer, 0.28),
    (Character::Trader, 0.10),
    (Character::OfficeHours, 0.20),
    (Character::Fleet, 0.08),
    (Character::Cron, 0.10),
    (Character::Quiet, 0.10),
    (Character::Mobile, 0.10),
    (Character::BatchUser, 0.04),
];

const SERVER_AGENTS: &[&str] = &[
    "axios/1.7.9",
    "okhttp/4.12.0",
    "Go-http-client/2.0",
    "python-httpx/0.28.1",
    "Java-http-client/21.0.5",
    "acme-sdk-node/3.4.1 node/22.12.0",
    "acme-sdk-python/2.9.0 python/3.12.8",
    "acme-sdk-go/1.15.2",
];
const PEOPLE_AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.2 Safari/605.1.15",
    "PostmanRuntime/7.43.0",
    "acme-desktop/5.2.0 (Windows)",
];
const PHONE_AGENTS: &[&str] = &[
    "AcmeApp/8.1.0 (iPhone; iOS 18.2)",
    "AcmeApp/8.0.3 (Android 15; Pixel 8)",
    "AcmeApp/7.9.6 (Android 14; SM-S921B)",
];

impl Character {
    pub fn any(random: &mut Random) -> Self {
        pick_weighted(random, &SHARES)
    }

    /// The networks it calls from.
    pub const fn home_kinds(self) -> &'static [NetworkKind] {
        match self {
            Self::SteadyServer | Self::Fleet | Self::Cron | Self::BatchUser => {
                &[NetworkKind::Hosting]
            }
            Self::Trader => &[NetworkKind::Hosting, NetworkKind::Residential],
            Self::OfficeHours => &[NetworkKind::Office, NetworkKind::Residential],
            Self::Quiet => &[NetworkKind::Residential, NetworkKind::Office, NetworkKind::Hosting],
            Self::Mobile => &[NetworkKind::Mobile],
        }
    }

    pub fn product(self, random: &mut Random) -> Product {
        match self {
            Self::Trader => products::TRADING,
            Self::BatchUser => products::INFERENCE,
            Self::Mobile => {
                pick(random, &[products::MESSAGING, products::MAPS, products::PAYMENTS])
            }
            _ => pick(random, &products::ORDINARY),
        }
    }

    pub fn user_agent(self, random: &mut Random) -> &'static str {
        match self {
            Self::OfficeHours | Self::Quiet => pick(random, PEOPLE_AGENTS),
            Self::Mobile => pick(random, PHONE_AGENTS),
            _ => pick(random, SERVER_AGENTS),
        }
    }

    /// Its usual timing. Rates are log-normal across keys, so that a few are far busier.
    pub fn rhythm(self, utc_offset_minutes: i32, random: &mut Random) -> Rhythm {
        let (per_second, curve, burst) = match self {
            Self::SteadyServer => (log_normal(random, 0.025, 1.3), Curve::Daytime, Burst::ONE),
            Self::Fleet => (log_normal(random, 0.08, 0.8), Curve::Flat, Burst::ONE),
            Self::Trader => (log_normal(random, 0.008, 0.8), Curve::Flat, burst(5.0, 0.9, 0.15)),
            Self::OfficeHours => {
                (log_normal(random, 0.006, 0.8), Curve::Office, burst(3.0, 0.7, 4.0))
            }
            Self::Mobile => (log_normal(random, 0.001, 0.7), Curve::Waking, burst(5.0, 0.7, 6.0)),
            Self::Quiet => (log_normal(random, 6e-5, 0.5), Curve::Waking, Burst::ONE),
            Self::BatchUser => {
                (log_normal(random, 6e-5, 0.5), Curve::Daytime, burst(120.0, 0.9, 1.2))
            }
            Self::Cron => return cron(random),
        };
        let season = Season::new(curve, utc_offset_minutes);
        let mut rhythm = Rhythm::new(Starts::Seasonal { per_second, season }, burst);
        rhythm.clamp(1e-5, 5.0);
        rhythm
    }

    pub fn signer(self, random: &mut Random) -> Signer {
        use Discipline::{Counter, Hex, Microseconds, Milliseconds, Nanoseconds, None, Uuid};
        let signed_share = match self {
            Self::Trader => 1.0,
            Self::SteadyServer | Self::Fleet => 0.5,
            Self::Mobile | Self::Cron => 0.3,
            Self::OfficeHours | Self::Quiet | Self::BatchUser => 0.15,
        };
        if !chance(random, signed_share) {
            return Signer::unsigned();
        }
        let discipline = match self {
            Self::Trader => pick_weighted(
                random,
                &[(Counter, 3.0), (Milliseconds, 3.0), (Microseconds, 2.0), (Nanoseconds, 1.0)],
            ),
            // Several machines cannot share a counter or a clock.
            Self::Fleet => pick_weighted(random, &[(Hex, 2.0), (Uuid, 3.0), (None, 1.0)]),
            _ => pick_weighted(
                random,
                &[(Hex, 3.0), (Uuid, 4.0), (Milliseconds, 2.0), (Counter, 1.0), (None, 1.5)],
            ),
        };
        let sends_time = discipline == None || chance(random, 0.8);
        Signer::new(discipline, sends_time, true)
    }

    /// Where it calls from, around `home`. Only `rotating` lets addresses change.
    pub fn whereabouts(
        self,
        home: &'static Place,
        rotating: bool,
        random: &mut Random,
    ) -> Whereabouts {
        match self {
            Self::Fleet => fleet(home, random),
            Self::Mobile => phone(home, rotating, random),
            _ => {
                let machines =
                    if self == Self::SteadyServer { random.random_range(1..9) } else { 1 };
                Whereabouts::Fixed(fixed(home, machines, rotating, random))
            }
        }
    }
}

const fn burst(median_size: f64, sigma: f64, median_gap_seconds: f64) -> Burst {
    Burst { median_size, sigma, median_gap_seconds }
}

fn cron(random: &mut Random) -> Rhythm {
    let every = pick(random, &[300.0, 600.0, 900.0, 1_800.0, 3_600.0]);
    let phase = (random.random::<f64>() * every).floor();
    let size = log_normal(random, 12.0, 0.7).clamp(1.0, 200.0);
    Rhythm::new(Starts::Periodic { every, phase, lateness: 2.0 }, burst(size, 0.15, 0.4))
}

/// Households get a new address now and then, machines keep theirs.
pub(super) fn fixed(
    home: &'static Place,
    machines: u64,
    rotating: bool,
    random: &mut Random,
) -> Site {
    if rotating && home.kind == NetworkKind::Residential {
        let every = pick(random, &[3_600, 21_600, 86_400]);
        Site::rotating(home, every, random)
    } else {
        Site::hosts(home, machines, random)
    }
}

fn fleet(home: &'static Place, random: &mut Random) -> Whereabouts {
    let mut sites = vec![Site::hosts(home, 6, random)];
    let regions = random.random_range(2..5);
    while sites.len() < regions {
        let taken = |place: &Place| sites.iter().any(|site| site.place == place);
        let next = any_place(random, |place| place.kind == NetworkKind::Hosting && !taken(place));
        let Some(place) = next else { break };
        sites.push(Site::hosts(place, 4, random));
    }
    Whereabouts::Fleet(sites)
}

/// A telephone and the Wi-Fi at home, or the telephone alone where the table
/// knows no residential network nearby.
fn phone(mobile: &'static Place, rotating: bool, random: &mut Random) -> Whereabouts {
    let site = mobile_site(mobile, rotating, random);
    let near =
        |place: &Place| place.kind == NetworkKind::Residential && place.distance_km(mobile) < 60.0;
    match any_place(random, near) {
        Some(home) => Whereabouts::Roaming {
            mobile: site,
            home: fixed(home, 1, rotating, random),
            seed: random.random(),
        },
        None => Whereabouts::Fixed(site),
    }
}

/// Carriers hand out another address every quarter of an hour or so.
pub(super) fn mobile_site(place: &'static Place, rotating: bool, random: &mut Random) -> Site {
    if rotating { Site::rotating(place, 900, random) } else { Site::hosts(place, 1, random) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::super::random::stream;
    use super::*;

    #[test]
    fn rates_are_heavy_tailed_across_keys() {
        let mut random = stream(9, 0);
        let mut rates: Vec<f64> = (0..2_000)
            .map(|_| Character::any(&mut random).rhythm(0, &mut random).mean_per_second())
            .collect();
        rates.sort_by(f64::total_cmp);
        let total: f64 = rates.iter().sum();
        let busiest: f64 = rates[1_900..].iter().sum();
        assert!((0.02..0.12).contains(&(total / 2_000.0)), "{total}");
        assert!(busiest > 0.25 * total, "one key in twenty makes {busiest} of {total}");
    }

    #[test]
    fn a_fleet_is_in_several_places_and_a_phone_stays_in_its_city() {
        let mut random = stream(4, 0);
        let cloud = any_place(&mut random, |place| place.kind == NetworkKind::Hosting);
        let Some(cloud) = cloud else { panic!("the table has hosting networks") };
        let Whereabouts::Fleet(sites) = Character::Fleet.whereabouts(cloud, true, &mut random)
        else {
            panic!("a fleet")
        };
        assert!(sites.len() >= 2);
        let carrier = any_place(&mut random, |place| {
            place.city == "Paris" && place.kind == NetworkKind::Mobile
        });
        let Some(carrier) = carrier else { panic!("the table has a carrier in Paris") };
        let Whereabouts::Roaming { mobile, home, .. } =
            Character::Mobile.whereabouts(carrier, true, &mut random)
        else {
            panic!("a phone with Wi-Fi")
        };
        assert!(mobile.place.distance_km(home.place) < 60.0);
        assert_ne!(mobile.place.asn, home.place.asn);
    }
}
