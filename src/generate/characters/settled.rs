//! Defines the settled characters, which most keys have.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::client::Retries;
use super::super::places::{NetworkKind, Place, any_place};
use super::super::products::{self, Product};
use super::super::random::{Random, chance, log_normal, pick, pick_weighted};
use super::super::rhythm::{Burst, Rhythm, Starts};
use super::super::season::Curve;
use super::super::signing::{Discipline, Signer};
use super::super::site::Site;
use super::super::whereabouts::Whereabouts;
use super::{Character, Habits, Setting, burst};

/// Share of clients that repeat a failed request at once.
const EAGER_SHARE: f64 = 0.1;

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let product = character.product(random);
    let rhythm = character.rhythm(setting, random);
    let whereabouts = character.whereabouts(setting, random);
    let signer = character.signer(random);
    let agents = Agents::any(character.agents(), random);
    let mut client = setting.client(rhythm, whereabouts, agents, product, random);
    if character == Character::SteadyServer && chance(random, EAGER_SHARE) {
        client.retries = Retries::Eager;
    }
    Habits { clients: vec![client], signers: vec![signer] }
}

impl Character {
    fn product(self, random: &mut Random) -> Product {
        match self {
            Self::Trader => products::TRADING,
            Self::BatchUser => products::INFERENCE,
            Self::Mobile => {
                pick(random, &[products::MESSAGING, products::MAPS, products::PAYMENTS])
            }
            _ => pick(random, &products::ORDINARY),
        }
    }

    const fn agents(self) -> &'static [&'static str] {
        match self {
            Self::OfficeHours | Self::Quiet => agents::PEOPLE,
            Self::Mobile => agents::PHONES,
            _ => agents::SERVER,
        }
    }

    /// The character's usual timing. Rates are log-normal across keys, so that a few keys are far
    /// busier.
    pub(super) fn rhythm(self, setting: &Setting<'_>, random: &mut Random) -> Rhythm {
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
            _ => return cron(random),
        };
        setting.seasonal(per_second, curve, burst)
    }

    fn signer(self, random: &mut Random) -> Signer {
        use Discipline::{Counter, Hex, Microseconds, Milliseconds, Nanoseconds, None, Uuid};
        let signed_share = match self {
            Self::Trader => 1.0,
            Self::SteadyServer | Self::Fleet => 0.5,
            Self::Mobile | Self::Cron => 0.3,
            _ => 0.15,
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
        let mut signer = Signer::new(discipline, sends_time, true);
        if self == Self::Trader && sends_time && chance(random, 0.5) {
            signer.validity_ms = Some(pick(random, &[5_000, 10_000, 60_000]));
        }
        signer
    }

    /// The places from which the character calls, around its home.
    fn whereabouts(self, setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
        let Setting { home, rotating, .. } = *setting;
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

fn cron(random: &mut Random) -> Rhythm {
    let every = pick(random, &[300.0, 600.0, 900.0, 1_800.0, 3_600.0]);
    let phase = (random.random::<f64>() * every).floor();
    let size = log_normal(random, 12.0, 0.7).clamp(1.0, 200.0);
    Rhythm::new(Starts::Periodic { every, phase, lateness: 2.0 }, burst(size, 0.15, 0.4))
}

/// Households get a new address now and then; machines keep theirs.
pub(in crate::generate) fn fixed(
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

/// A telephone and the Wi-Fi at home, or only the telephone if the table has no residential network
/// nearby.
fn phone(mobile: &'static Place, rotating: bool, random: &mut Random) -> Whereabouts {
    let site = mobile_site(mobile, rotating, random);
    let near =
        |place: &Place| place.kind == NetworkKind::Residential && place.distance_km(mobile) < 60.0;
    match any_place(random, near) {
        Some(home) => Whereabouts::Switching {
            usual: Box::new(Whereabouts::Fixed(fixed(home, 1, rotating, random))),
            others: vec![site],
            every_seconds: 1_800,
            share: 0.4,
            seed: random.random(),
        },
        None => Whereabouts::Fixed(site),
    }
}

/// Carriers assign another address about every quarter of an hour.
pub(in crate::generate) fn mobile_site(
    place: &'static Place,
    rotating: bool,
    random: &mut Random,
) -> Site {
    if rotating { Site::rotating(place, 900, random) } else { Site::hosts(place, 1, random) }
}
