//! Defines the characters of API keys: their users, schedule, locations, routes and signing. Each
//! family has its own file.

mod batches;
mod crowds;
mod machines;
mod people;
mod pollers;
mod settled;
mod signed;
#[cfg(test)]
mod tests;

pub(super) use settled::{fixed, mobile_site};

use super::agents::Agents;
use super::client::{Changes, Client, ORDINARY_ERRORS, Retries};
use super::kinds::{Kind, Selection, kinds};
use super::places::{NetworkKind, Place};
use super::plan::Plan;
use super::products::Product;
use super::random::{Random, log_normal};
use super::rhythm::{Burst, Rhythm, Starts};
use super::season::{Curve, Season};
use super::signing::Signer;
use super::whereabouts::Whereabouts;

kinds! {
    /// The character of a key: its kind of user.
    Character, "character", by_name_only [], {
        /// A backend that calls around the clock, and more by day.
        SteadyServer = "steady_server",
        /// A trading bot: bursts at any hour, strict nonces.
        Trader = "trader",
        /// People at work behind one office line.
        OfficeHours = "office_hours",
        /// One service in several regions and clouds at once.
        Fleet = "fleet",
        /// A job that runs every few minutes.
        Cron = "cron",
        /// A handful of requests a day.
        Quiet = "quiet",
        /// An app on one telephone.
        Mobile = "mobile",
        /// Batches of model calls, now and then.
        BatchUser = "batch_user",
        /// The key inside an app that thousands use, in one or two countries.
        AppCrowd = "app_crowd",
        /// The key inside a web page.
        WebCrowd = "web_crowd",
        /// Builds on rented machines that are new each time.
        Ci = "ci",
        /// Functions of a cloud, with new addresses all the time.
        Serverless = "serverless",
        /// A service with more machines at busy hours.
        Autoscaling = "autoscaling",
        /// A person whose VPN is on at times, and who travels at times.
        LaptopVpn = "laptop_vpn",
        /// A branch whose line fails over to a mobile network.
        FailoverLine = "failover_line",
        /// A person who travels from city to city by train.
        RailTraveller = "rail_traveller",
        /// A household with IPv6 privacy addresses and IPv4.
        Ipv6Privacy = "ipv6_privacy",
        /// A person whose requests leave through a private relay at times.
        PrivateRelay = "private_relay",
        /// A person who flies and works on board.
        InFlight = "in_flight",
        /// A household on a satellite network.
        Satellite = "satellite",
        /// A person who goes online through a telephone at times, whose gateway is in another city.
        HotSpot = "hot_spot",
        /// A job of a few hundred requests at night.
        NightlyJob = "nightly_job",
        /// A service that also walks over forty routes once a day.
        DailyInventory = "daily_inventory",
        /// A service that starts an hourly job on some day of the log.
        NewHourlyJob = "new_hourly_job",
        /// A report on one day of the week.
        WeeklyReport = "weekly_report",
        /// A large batch on one day of the month.
        MonthlyBatch = "monthly_batch",
        /// A job on the mornings of business days.
        BusinessDayJob = "business_day_job",
        /// Batches at irregular times, whenever a person starts one.
        IrregularBatch = "irregular_batch",
        /// A product on a language model, with evaluations of some hours now and then.
        LlmCustomer = "llm_customer",
        /// Monitors on three continents that ask every few seconds.
        HealthCheck = "health_check",
        /// A client that polls at a fixed interval.
        Poller = "poller",
        /// A client that uses its quota to the full and waits after every 429.
        PoliteBackoff = "polite_backoff",
        /// A key whose first use falls within this log.
        ColdStart = "cold_start",
        /// Workers with millisecond nonces that collide.
        CollidingWorkers = "colliding_workers",
        /// Workers that each have their own counter.
        SeveralCounters = "several_counters",
        /// Nonces that are seconds.
        SecondsNonce = "seconds_nonce",
        /// Nonces that are seconds with a fraction.
        DecimalNonce = "decimal_nonce",
        /// A clock that is an hour off.
        WrongClock = "wrong_clock",
        /// A clock that drifts until NTP is set up.
        DriftingClock = "drifting_clock",
        /// Paths with ids such as `cus_9s6XKzkNRiz8`.
        PrefixedIds = "prefixed_ids",
        /// Paths with e-mail addresses, dates, hashes and languages.
        MixedIds = "mixed_ids",
    }
}

/// Keys of the settled characters, which make up most of a fleet, by their shares.
const SETTLED: [(Character, f64); 8] = [
    (Character::SteadyServer, 0.17),
    (Character::Trader, 0.07),
    (Character::OfficeHours, 0.12),
    (Character::Fleet, 0.05),
    (Character::Cron, 0.06),
    (Character::Quiet, 0.06),
    (Character::Mobile, 0.06),
    (Character::BatchUser, 0.03),
];
/// The share of every other character.
const OTHERS: f64 = 0.38 / (Character::ALL.len() - SETTLED.len()) as f64;

/// The home and the plan for which a key is made up.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub plan: &'a Plan,
    pub home: &'static Place,
    /// Whether the key's addresses change.
    pub rotating: bool,
}

/// The clients of one key, the main one first, and how they sign.
pub(super) struct Habits {
    pub clients: Vec<Client>,
    pub signers: Vec<Signer>,
}

impl Character {
    /// The settled characters, for a small fleet without peculiar keys.
    pub fn settled() -> Selection<Self> {
        Selection(SETTLED.iter().map(|(character, _)| *character).collect())
    }

    pub(super) fn is_settled(self) -> bool {
        SETTLED.iter().any(|(character, _)| *character == self)
    }

    /// The character's share of all keys, relative to the other characters' shares.
    pub(super) fn share(self) -> f64 {
        let settled = SETTLED.iter().find(|(character, _)| *character == self);
        settled.map_or(OTHERS, |(_, share)| *share)
    }

    /// Whether a key of this character can have its home at `place`.
    pub(super) fn suits(self, place: &Place) -> bool {
        self.home_kinds().contains(&place.kind)
            && match self {
                Self::AppCrowd | Self::WebCrowd => crowds::is_well_known(place),
                Self::Ci => machines::is_build_cloud(place),
                Self::Serverless => machines::is_function_cloud(place),
                Self::Autoscaling => machines::has_room_to_scale(place),
                Self::RailTraveller => people::has_cities_nearby(place),
                Self::Ipv6Privacy => !place.is_v4(),
                Self::PrivateRelay => people::has_relays(place),
                Self::Satellite => people::is_among_stations(place),
                Self::HotSpot | Self::FailoverLine => people::has_carriers(place),
                _ => true,
            }
    }

    const fn home_kinds(self) -> &'static [NetworkKind] {
        use NetworkKind::{Hosting, Mobile, Office, Residential, Satellite};
        match self {
            Self::Trader | Self::Poller => &[Hosting, Residential],
            Self::OfficeHours | Self::LaptopVpn | Self::InFlight => &[Office, Residential],
            Self::Quiet => &[Residential, Office, Hosting],
            Self::FailoverLine => &[Office, Residential],
            Self::Mobile => &[Mobile],
            Self::AppCrowd => &[Mobile],
            Self::WebCrowd
            | Self::RailTraveller
            | Self::Ipv6Privacy
            | Self::PrivateRelay
            | Self::HotSpot => &[Residential],
            Self::Satellite => &[Satellite],
            _ => &[Hosting],
        }
    }

    pub(super) fn habits(self, setting: &Setting<'_>, random: &mut Random) -> Habits {
        match self {
            Self::SteadyServer
            | Self::Trader
            | Self::OfficeHours
            | Self::Fleet
            | Self::Cron
            | Self::Quiet
            | Self::Mobile
            | Self::BatchUser => settled::habits(self, setting, random),
            Self::AppCrowd | Self::WebCrowd => crowds::habits(self, setting, random),
            Self::Ci | Self::Serverless | Self::Autoscaling => {
                machines::habits(self, setting, random)
            }
            Self::LaptopVpn
            | Self::FailoverLine
            | Self::RailTraveller
            | Self::Ipv6Privacy
            | Self::PrivateRelay
            | Self::InFlight
            | Self::Satellite
            | Self::HotSpot => people::habits(self, setting, random),
            Self::NightlyJob
            | Self::DailyInventory
            | Self::NewHourlyJob
            | Self::WeeklyReport
            | Self::MonthlyBatch
            | Self::BusinessDayJob
            | Self::IrregularBatch
            | Self::LlmCustomer => batches::habits(self, setting, random),
            Self::HealthCheck
            | Self::Poller
            | Self::PoliteBackoff
            | Self::ColdStart
            | Self::PrefixedIds
            | Self::MixedIds => pollers::habits(self, setting, random),
            Self::CollidingWorkers
            | Self::SeveralCounters
            | Self::SecondsNonce
            | Self::DecimalNonce
            | Self::WrongClock
            | Self::DriftingClock => signed::habits(self, setting, random),
        }
    }
}

impl Setting<'_> {
    fn client(
        &self,
        rhythm: Rhythm,
        whereabouts: Whereabouts,
        agents: Agents,
        product: Product,
        random: &mut Random,
    ) -> Client {
        let weighted = |random: &mut Random, weight: f64| weight * log_normal(random, 1.0, 0.5);
        Client {
            rhythm,
            active: self.plan.window(),
            whereabouts,
            agents,
            routes: product.iter().map(|route| (route, weighted(random, route.weight))).collect(),
            signer: 0,
            error_share: log_normal(random, 0.01, 0.8).clamp(0.0005, 0.12),
            errors: ORDINARY_ERRORS,
            retries: Retries::Once,
            changes: Changes::default(),
        }
    }

    /// A rhythm of bursts that start at random, with the seasons of the home.
    fn seasonal(&self, per_second: f64, curve: Curve, burst: Burst) -> Rhythm {
        let season = Season::new(curve, self.home.utc_offset_minutes);
        let mut rhythm = Rhythm::new(Starts::Seasonal { per_second, season }, burst);
        rhythm.clamp(1e-5, 5.0);
        rhythm
    }
}

impl Habits {
    /// The habits of a bearer key, which signs nothing.
    fn bearer(clients: Vec<Client>) -> Self {
        Self { clients, signers: vec![Signer::unsigned()] }
    }
}

const fn burst(median_size: f64, sigma: f64, median_gap_seconds: f64) -> Burst {
    Burst { median_size, sigma, median_gap_seconds }
}
