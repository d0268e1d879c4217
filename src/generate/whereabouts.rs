//! Models the locations of a client's requests and how they change.

use std::net::IpAddr;

use rand::RngExt;

use super::places::Place;
use super::pool::Pool;
use super::random::{Random, chance, pick, scramble};
use super::site::Site;
use super::window::Window;
use crate::event::EventTime;

const AIRPORT_SECONDS: f64 = 2.5 * 3_600.0;

/// The sender of a request: an address, and which of several users or machines is behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Caller {
    pub address: IpAddr,
    pub member: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vehicle {
    /// A flight, with time on the ground at both ends.
    Airliner,
    /// A journey from door to door, no faster than a motorway or a regional train.
    Train,
}

#[derive(Clone, Debug)]
pub(super) enum Whereabouts {
    Fixed(Site),
    /// Several sites at once; the first is the busiest.
    Fleet(Vec<Site>),
    /// Many callers: a crowd, rented machines, the exits of a relay.
    Pool(Pool),
    /// The usual line most of the time, and another line now and then: a telephone away from the
    /// Wi-Fi, a VPN, a backup line. Each spell lasts `every_seconds`.
    Switching {
        usual: Box<Self>,
        others: Vec<Site>,
        every_seconds: i64,
        share: f64,
        seed: u64,
    },
    /// Several cities in turn, with the travel time between them.
    Tour {
        stops: Vec<Site>,
        since: EventTime,
        stay_seconds: f64,
        vehicle: Vehicle,
        /// The line on board; `None` for a journey without a line.
        underway: Option<Site>,
    },
    /// One place until the window, and more and more the other during it.
    Moving {
        before: Box<Self>,
        after: Box<Self>,
        over: Window,
    },
}

impl Whereabouts {
    /// A move at one instant.
    pub fn moved(before: Site, after: Site, at: EventTime) -> Self {
        Self::Moving {
            before: Box::new(Self::Fixed(before)),
            after: Box::new(Self::Fixed(after)),
            over: Window { start: at, end: at },
        }
    }

    /// The caller of a request at `time`; `None` during a journey.
    pub fn caller(&self, time: EventTime, random: &mut Random) -> Option<Caller> {
        match self {
            Self::Fixed(site) => Some(called_from(site, 0, time, random)),
            Self::Fleet(sites) => {
                let number = busiest_first(sites.len(), random);
                Some(called_from(&sites[number], number as u64, time, random))
            }
            Self::Pool(pool) => Some(pool.caller(time, random)),
            Self::Switching { usual, others, every_seconds, share, seed } => {
                // A traveller in the air has no other line either.
                let caller = usual.caller(time, random)?;
                let spell = spell(*seed, time, *every_seconds);
                let elsewhere = (spell >> 11) as f64 / ((1_u64 << 53) as f64) < *share;
                let other = &others[(scramble(spell) % others.len() as u64) as usize];
                Some(if elsewhere { called_from(other, 0, time, random) } else { caller })
            }
            Self::Tour { stops, since, stay_seconds, vehicle, underway } => {
                let stop = tour_stop(stops, time.seconds_since(*since), *stay_seconds, *vehicle);
                Some(called_from(stop.or(underway.as_ref())?, 0, time, random))
            }
            Self::Moving { before, after, over } => {
                let has_moved = chance(random, over.progress(time));
                if has_moved { after.caller(time, random) } else { before.caller(time, random) }
            }
        }
    }

    /// Where the client is at home: its first site.
    pub fn home(&self) -> Site {
        match self {
            Self::Fixed(site) => *site,
            Self::Fleet(sites) | Self::Tour { stops: sites, .. } => sites[0],
            Self::Pool(pool) => pool.home(),
            Self::Switching { usual, .. } => usual.home(),
            Self::Moving { before, .. } => before.home(),
        }
    }
}

fn called_from(site: &Site, member: u64, time: EventTime, random: &mut Random) -> Caller {
    Caller { address: site.address(time, random), member }
}

fn busiest_first(sites: usize, random: &mut Random) -> usize {
    let (one, other): (f64, f64) = (random.random(), random.random());
    (one * other.sqrt() * sites as f64) as usize
}

/// The number of the spell that contains `time`.
fn spell(seed: u64, time: EventTime, every_seconds: i64) -> u64 {
    let number = time.as_micros().div_euclid(every_seconds * 1_000_000) as u64;
    scramble(seed ^ scramble(number))
}

/// Seconds from door to door.
pub(super) fn journey_seconds(from: &Place, to: &Place, vehicle: Vehicle) -> f64 {
    let (km_per_hour, ground_seconds) = match vehicle {
        Vehicle::Airliner => (800.0, AIRPORT_SECONDS),
        Vehicle::Train => (110.0, 900.0),
    };
    from.distance_km(to) / km_per_hour * 3_600.0 + ground_seconds
}

fn tour_stop(stops: &[Site], elapsed: f64, stay: f64, vehicle: Vehicle) -> Option<&Site> {
    let journey = |stop: usize| {
        let (from, to) = (stops[stop].place, stops[(stop + 1) % stops.len()].place);
        // Two stays in one place are one long stay.
        if from.prefix == to.prefix { 0.0 } else { journey_seconds(from, to, vehicle) }
    };
    let round: f64 = (0..stops.len()).map(|stop| stay + journey(stop)).sum();
    let mut left = elapsed.rem_euclid(round);
    for (number, stop) in stops.iter().enumerate() {
        if left < stay {
            return Some(stop);
        }
        left -= stay + journey(number);
        if left < 0.0 {
            return None;
        }
    }
    None
}

/// Other sites in random order, without repetition.
pub(super) fn sites_among(
    places: &[&'static Place],
    count: usize,
    make: impl Fn(&'static Place, &mut Random) -> Site,
    random: &mut Random,
) -> Vec<Site> {
    let mut left = places.to_vec();
    let mut sites = Vec::new();
    while sites.len() < count && !left.is_empty() {
        let place = pick(random, &left);
        left.retain(|other| other.prefix != place.prefix);
        sites.push(make(place, random));
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::super::places::{PLACES, places_where};
    use super::super::random::stream;
    use super::*;

    fn of(caller: Option<Caller>) -> Option<&'static Place> {
        let address = caller?.address;
        PLACES.iter().find(|place| place.prefix.contains(&address))
    }

    fn city(name: &str) -> &'static Place {
        places_where(|place| place.city == name && place.is_v4())[0]
    }

    /// The number of journeys between cities, and the fastest speed in km/h.
    fn journeys(tour: &Whereabouts) -> (u32, f64) {
        let mut random = stream(2, 0);
        let mut last: Option<(i64, &Place)> = None;
        let (mut count, mut fastest) = (0, 0.0_f64);
        for second in (0..1_000_000).step_by(60) {
            let time = EventTime::from_seconds(second);
            let Some(place) = of(tour.caller(time, &mut random)) else { continue };
            if let Some((before, from)) = last.filter(|(_, from)| from.city != place.city) {
                fastest =
                    fastest.max(from.distance_km(place) / ((second - before) as f64 / 3_600.0));
                count += 1;
            }
            last = Some((second, place));
        }
        (count, fastest)
    }

    fn tour(cities: &[&str], vehicle: Vehicle) -> Whereabouts {
        let mut random = stream(2, 0);
        let stops = cities.iter().map(|name| Site::hosts(city(name), 1, &mut random)).collect();
        let since = EventTime::from_seconds(0);
        Whereabouts::Tour { stops, since, stay_seconds: 30_000.0, vehicle, underway: None }
    }

    #[test]
    fn a_traveller_never_beats_an_airliner() {
        let (count, fastest) = journeys(&tour(&["London", "Madrid"], Vehicle::Airliner));
        assert!(count > 10 && fastest < 800.0, "{count} journeys, {fastest} km/h");
    }

    #[test]
    fn somebody_on_trains_keeps_to_the_speed_of_trains() {
        let (count, fastest) =
            journeys(&tour(&["Berlin", "Frankfurt am Main", "Stuttgart"], Vehicle::Train));
        assert!(count > 20 && fastest < 120.0, "{count} journeys, {fastest} km/h");
    }

    #[test]
    fn a_move_is_gradual_and_complete() {
        let mut random = stream(6, 0);
        let sites = ["Dublin", "Helsinki"].map(|name| Site::hosts(city(name), 2, &mut random));
        let over = Window::starting(EventTime::from_seconds(1_000), 1_000.0);
        let [before, after] = sites.map(|site| Box::new(Whereabouts::Fixed(site)));
        let moving = Whereabouts::Moving { before, after, over };
        let mut arrived = |second| {
            let time = EventTime::from_seconds(second);
            let places = (0..200).filter_map(|_| of(moving.caller(time, &mut random)));
            places.filter(|place| place.city == "Helsinki").count()
        };
        assert_eq!((arrived(500), arrived(2_500)), (0, 200));
        assert!((60..140).contains(&arrived(1_500)));
    }

    #[test]
    fn another_line_is_used_for_spells_of_about_the_share() {
        let mut random = stream(7, 0);
        let usual = Box::new(Whereabouts::Fixed(Site::hosts(city("Paris"), 1, &mut random)));
        let others = vec![Site::hosts(city("Bucharest"), 1, &mut random)];
        let switching =
            Whereabouts::Switching { usual, others, every_seconds: 3_600, share: 0.25, seed: 5 };
        let away: Vec<_> = (0..2_000)
            .map(|quarter| {
                let time = EventTime::from_seconds(quarter * 900);
                of(switching.caller(time, &mut random)).is_some_and(|p| p.city == "Bucharest")
            })
            .collect();
        let share = away.iter().filter(|away| **away).count();
        assert!((350..650).contains(&share), "{share}");
        assert!(away.chunks(4).all(|hour| hour.iter().all(|away| *away == hour[0])));
    }
}
