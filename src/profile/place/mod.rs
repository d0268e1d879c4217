//! Learns the places from which a key is used, as a set of sites.
//!
//! A site is a network in a region: (AS, country, region). Several sites may be in use at the
//! same time. A site gains at most one observation every ten minutes, so that its weight measures
//! how long it was in use and not how many requests it sent.

mod journey;
mod novelty;
mod past;
mod scatter;
mod site;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::event::{EnrichedEvent, EventTime, Origin, SitePrefix};
use crate::network::NetworkKind;

pub use self::journey::{Journey, MAX_SPEED_KMH};
use self::novelty::Firsts;
pub use self::novelty::Novelty;
use self::past::Past;
pub use self::scatter::Scatter;
pub use self::site::{ESTABLISHED, Site};

/// Most sites remembered for one key. A new site replaces the one with the least weight.
const MAX_SITES: usize = 16;

/// A key that is used from this many places at once is fully a crowd.
const CROWD_PLACES: f64 = 50.0;

/// Weight of an observation in a suspicious place. Such a place becomes known after hours instead
/// of minutes.
const SUSPICIOUS_WEIGHT: f32 = 0.25;

/// Weight of two observations, less some decay.
const REPEATED: f32 = 1.5;

/// The fleet learns from so many arrivals of one key: a crowd must not be many keys.
const TELLING_ARRIVALS: f32 = 2.5;

/// The first use of a key in another country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The journey from the key's other places would be impossibly fast.
    pub is_impossible: bool,
}

/// All sites of one key, and how often the key uses new ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlaceProfile {
    sites: Vec<Site>,
    /// `None` for most keys, whose sites were never replaced.
    past: Option<Box<Past>>,
    novelty: Novelty,
    scatter: Scatter,
}

impl PlaceProfile {
    /// Learns the place of an accepted request. An address of unknown location and network teaches
    /// nothing. Returns the arrival that the fleet should learn from, if this was one.
    pub fn learn(&mut self, enriched: &EnrichedEvent, suspicious: bool) -> Option<Arrival> {
        let (event, origin) = (&enriched.event, &enriched.origin);
        if !origin.is_known() {
            return None;
        }
        let gain = if suspicious { SUSPICIOUS_WEIGHT } else { 1.0 };
        let known = self.sites.iter_mut().find(|site| site.covers(event.client_ip, origin));
        if known.is_some() {
            self.scatter.count(event.time, Firsts::default());
        }
        let firsts = match known {
            Some(site) => {
                if !site.note(enriched, gain, suspicious) {
                    return None;
                }
                Firsts::default()
            }
            None => {
                let firsts = self.firsts(origin);
                // A reported place that was replaced and comes again is not another one.
                let is_another = !self.was_told(origin);
                self.scatter.count(event.time, if is_another { firsts } else { Firsts::default() });
                self.admit(Site::new(enriched, gain, suspicious));
                firsts
            }
        };
        let impossible = self.impossible_journey(enriched).is_some();
        let passing = !self.is_established(event.client_ip, origin);
        let rented = origin.kind == NetworkKind::Hosting;
        let is_arrival = firsts.country
            && self.novelty.observations() > 0.0
            && self.novelty.countries() < TELLING_ARRIVALS;
        self.novelty.count(Firsts { impossible, passing, rented, ..firsts }, gain);
        is_arrival.then_some(Arrival { is_impossible: impossible })
    }

    /// Makes the sites that were reported in `span` the key's own.
    pub fn take_up(&mut self, span: &RangeInclusive<EventTime>) {
        let is_meant = |it: &&mut Site| it.told_at.is_some_and(|time| span.contains(&time));
        for site in self.sites.iter_mut().filter(is_meant) {
            site.weight = site.weight.max(2.0 * ESTABLISHED);
            site.told_at = None;
        }
    }

    fn firsts(&self, origin: &Origin) -> Firsts {
        let organisation = origin.organisation();
        let is_used = |matches: &dyn Fn(&Site) -> bool| self.sites.iter().any(matches);
        let (past, is_located) = (self.past(), origin.is_located());
        Firsts {
            network: origin.asn != 0
                && !past.has_network(organisation)
                && !is_used(&|site| site.organisation == organisation),
            country: is_located
                && !past.has_country(origin)
                && !is_used(&|site| site.country == origin.country),
            region: is_located
                && !past.has_region(origin)
                && !is_used(&|site| is_in_region(site, origin)),
            ..Firsts::default()
        }
    }

    fn admit(&mut self, site: Site) {
        if self.sites.len() < MAX_SITES {
            // Most keys only ever have one site. A vector that grows by itself reserves four.
            self.sites.reserve_exact(1);
            self.sites.push(site);
            return;
        }
        let lightest = self.sites.iter_mut().min_by(|a, b| {
            a.weight.total_cmp(&b.weight).then_with(|| a.last_seen.cmp(&b.last_seen))
        });
        if let Some(lightest) = lightest {
            let gone = std::mem::replace(lightest, site);
            let past = self.past.get_or_insert_default();
            // A suspicious site that was replaced must not count as known to the key.
            if gone.told_at.is_none() || gone.is_established() {
                past.take_in(&gone);
            } else {
                past.note_told(&gone);
            }
        }
    }

    /// How many new places the key turns to within an hour.
    pub fn scatter(&self) -> &Scatter {
        &self.scatter
    }

    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// How often this key uses new places.
    pub const fn novelty(&self) -> &Novelty {
        &self.novelty
    }

    /// Decayed count of observations in all places, remembered or not.
    pub fn observations(&self) -> f64 {
        self.novelty.observations()
    }

    fn past(&self) -> &Past {
        static NONE: Past = Past::NONE;
        self.past.as_deref().unwrap_or(&NONE)
    }

    /// Whether the key is used through this kind of network as a habit: one use of a VPN, be it the
    /// thief's, must not excuse all later ones.
    pub fn is_usual_kind(&self, kind: NetworkKind) -> bool {
        self.is_own(|site| site.kind == kind)
    }

    /// Whether the organisation of this network is known: from established sites or replaced ones.
    pub fn knows_network(&self, origin: &Origin) -> bool {
        let organisation = origin.organisation();
        self.past().has_network(organisation)
            || self.is_own(|site| site.organisation == organisation)
    }

    /// Whether the country is known: from established sites or replaced ones.
    pub fn knows_country(&self, origin: &Origin) -> bool {
        self.past().has_country(origin) || self.is_own(|site| site.country == origin.country)
    }

    /// Whether the region is known: from established sites or replaced ones.
    pub fn knows_region(&self, origin: &Origin) -> bool {
        self.past().has_region(origin) || self.is_own(|site| is_in_region(site, origin))
    }

    /// How much the key is used like one of a crowd, from 0 (one place) to 1.
    ///
    /// The value is the larger of two: the effective number of places (Hill 1973) as a share of
    /// [`CROWD_PLACES`], and the probability of a use outside of the established sites.
    pub fn variety(&self) -> f64 {
        let total: f32 = self.sites.iter().map(|site| site.weight).sum();
        let squares: f32 = self.sites.iter().map(|site| site.weight * site.weight).sum();
        let effective = if squares > 0.0 { total * total / squares } else { 1.0 };
        (f64::from(effective - 1.0) / CROWD_PLACES).clamp(self.novelty.passing(), 1.0)
    }

    /// Whether the sites that match have together the weight of an established site.
    fn is_own(&self, matches: impl Fn(&Site) -> bool) -> bool {
        let own = self.sites.iter().filter(|site| matches(site));
        own.map(|site| site.weight).sum::<f32>() >= ESTABLISHED
    }

    /// Whether the address belongs to an established site of the key.
    pub fn is_established(&self, ip: IpAddr, origin: &Origin) -> bool {
        self.site_of(ip, origin).is_some_and(Site::is_established)
    }

    /// Whether the place was reported as a site that was replaced since. It is not new then, and the
    /// next site there is learned as any other: a crowd that comes back to such places all day must
    /// not be suspicious for ever.
    pub fn was_told(&self, origin: &Origin) -> bool {
        self.past().was_told(origin)
    }

    /// Whether the address has the prefix of an established site. Unlike
    /// [`Self::is_established`], it needs no origin.
    pub fn is_established_prefix(&self, ip: IpAddr) -> bool {
        let mut established = self.sites.iter().filter(|site| site.is_established());
        established.any(|site| SitePrefix::is_shared(site.last_ip, ip))
    }

    /// Whether a key without established sites was mostly used from here, more than once.
    pub fn is_first_home(&self, ip: IpAddr, origin: &Origin) -> bool {
        let heaviest = self.sites.iter().map(|site| site.weight).fold(0.0, f32::max);
        let is_first = |site: &Site| site.told_at.is_none() && site.weight == heaviest;
        (REPEATED..ESTABLISHED).contains(&heaviest)
            && self.site_of(ip, origin).is_some_and(is_first)
    }

    /// The site that the address belongs to by network and region, or by its prefix.
    pub fn site_of(&self, ip: IpAddr, origin: &Origin) -> Option<&Site> {
        self.sites.iter().find(|site| site.covers(ip, origin))
    }
}

fn is_in_region(site: &Site, origin: &Origin) -> bool {
    site.country == origin.country && site.region == origin.region
}
