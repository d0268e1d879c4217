//! Applies the confusers of single keys to a key's clients.

use rand::RngExt;

use super::agents::Agents;
use super::cast::Handover;
use super::characters::mobile_site;
use super::confusers::ConfuserKind;
use super::key::Key;
use super::places::{NetworkKind, Place, any_place, places_where};
use super::plan::Plan;
use super::random::{Random, log_normal};
use super::rhythm::{Burst, Rhythm, Starts};
use super::season::{Curve, Season};
use super::signing::{Change, Discipline, Signer};
use super::site::Site;
use super::whereabouts::{Vehicle, Whereabouts, journey_seconds};
use super::window::Window;
use crate::event::EventTime;
use crate::registry::KeyStatus;

const DAY: f64 = 86_400.0;
/// AS numbers that belong to one organisation.
const ORGANISATIONS: [&[u32]; 5] = [
    // Amazon, Google, Microsoft, Hetzner, Verizon.
    &[16509, 14618],
    &[15169, 396982],
    &[8075, 8068],
    &[24940, 213230, 212317],
    &[701, 6167, 22394],
];

/// Whether a key with this home can play the confuser.
pub(super) fn is_possible_from(kind: ConfuserKind, home: &Place) -> bool {
    let any = |wanted: fn(&Place, &Place) -> bool| !places_where(|p| wanted(home, p)).is_empty();
    match kind {
        ConfuserKind::CarrierSwitch => any(is_other_carrier),
        ConfuserKind::Traveller => any(is_commutable),
        ConfuserKind::SiblingDeploy => any(is_sibling),
        ConfuserKind::CloudMigration => any(is_other_cloud),
        _ => true,
    }
}

fn is_other_carrier(carrier: &Place, place: &Place) -> bool {
    place.kind == NetworkKind::Mobile
        && place.asn != carrier.asn
        && place.distance_km(carrier) < 60.0
}

fn is_commutable(home: &Place, place: &Place) -> bool {
    matches!(place.kind, NetworkKind::Residential | NetworkKind::Office)
        && (250.0..2_000.0).contains(&place.distance_km(home))
}

fn is_sibling(home: &Place, place: &Place) -> bool {
    let is_one = |asns: &&[u32]| asns.contains(&home.asn) && asns.contains(&place.asn);
    place.asn != home.asn && place.is_v4() && ORGANISATIONS.iter().any(is_one)
}

/// Another cloud on the same continent, as customers usually choose.
fn is_other_cloud(home: &Place, place: &Place) -> bool {
    place.kind == NetworkKind::Hosting
        && place.is_v4()
        && place.asn != home.asn
        && !is_sibling(home, place)
        && place.distance_km(home) < 4_000.0
}

impl Key {
    pub(super) fn confuse(
        &mut self,
        kind: ConfuserKind,
        at: EventTime,
        plan: &Plan,
        random: &mut Random,
    ) {
        let end = plan.window().end;
        let rest = end.seconds_since(at);
        let over = |seconds: f64| Window::starting(at, seconds.min(rest * 0.7));
        match kind {
            ConfuserKind::Deploy => self.move_to(deployed(self.home(), random), at),
            ConfuserKind::SiblingDeploy => self.deploy_to_sibling(at, random),
            ConfuserKind::CloudMigration => self.migrate(over(3.0 * DAY), random),
            ConfuserKind::CarrierSwitch => self.switch_carrier(at, plan, random),
            ConfuserKind::Traveller => self.travel(plan, random),
            ConfuserKind::KeyRotation => self.retire(Handover::before(at, plan)),
            ConfuserKind::Ban => self.ban(at, plan),
            ConfuserKind::ApiVersion => self.main().changes.next_version = Some(over(DAY)),
            ConfuserKind::ClientUpgrade => {
                self.main().agents = Agents::upgraded(over(3_600.0), random);
            }
            ConfuserKind::Backfill => self.backfill(at, random),
            ConfuserKind::DaylightSaving => self.main().rhythm.shift_hour(sunday(at, end), 3_600.0),
            ConfuserKind::LongWeekend => {
                let saturday = sunday(at, end).plus_seconds(-DAY);
                // The absence ends within the log.
                let begin = saturday.min(end.plus_seconds(-5.0 * DAY));
                self.main().changes.away = Some(Window::starting(begin, 4.0 * DAY));
            }
            ConfuserKind::ExpiredLoop => {
                self.registered.expires_at = Some(at);
                self.main().changes.refused = Some((at, 401));
            }
            ConfuserKind::CounterReset => {
                self.sign_otherwise(Discipline::Counter, at, Change::Reset);
            }
            ConfuserKind::NonceUnit => {
                let to = Change::To(Discipline::Microseconds);
                self.sign_otherwise(Discipline::Milliseconds, at, to);
            }
            ConfuserKind::ClientRetries
            | ConfuserKind::Redelivery
            | ConfuserKind::LateEvents
            | ConfuserKind::AddressRotation
            | ConfuserKind::Outage
            | ConfuserKind::MarketingDay
            | ConfuserKind::LogOutage
            | ConfuserKind::LateBatch
            | ConfuserKind::RepeatedFile => {}
        }
    }

    /// The old key fades out during the overlap and is silent well before its end.
    pub(super) fn retire(&mut self, handover: Handover) {
        let overlap = handover.overlap();
        self.main().changes.fades_out = Some(overlap);
        self.main().active.end = overlap.end;
        self.registered.grace_ends_at = Some(handover.grace_ends_at);
        self.registered.status = KeyStatus::Retired;
    }

    fn ban(&mut self, at: EventTime, plan: &Plan) {
        self.main().changes.refused = Some((at, 403));
        self.main().active.end = at.plus_seconds((plan.seconds * 0.05).min(2_400.0));
        self.registered.status = KeyStatus::Suspended;
    }

    fn move_to(&mut self, after: Site, at: EventTime) {
        let before = self.main().whereabouts.home();
        self.main().whereabouts = Whereabouts::moved(before, after, at);
    }

    fn deploy_to_sibling(&mut self, at: EventTime, random: &mut Random) {
        let home = self.home();
        let nearest = places_where(|place| is_sibling(home, place))
            .into_iter()
            .min_by(|a, b| a.distance_km(home).total_cmp(&b.distance_km(home)));
        if let Some(place) = nearest {
            self.move_to(Site::hosts(place, 4, random), at);
        }
    }

    fn migrate(&mut self, over: Window, random: &mut Random) {
        let home = self.home();
        let Some(place) = any_place(random, |place| is_other_cloud(home, place)) else { return };
        let before = Box::new(self.main().whereabouts.clone());
        let after = Box::new(Whereabouts::Fixed(Site::hosts(place, 4, random)));
        self.main().whereabouts = Whereabouts::Moving { before, after, over };
    }

    fn switch_carrier(&mut self, at: EventTime, plan: &Plan, random: &mut Random) {
        let carrier = match &self.main().whereabouts {
            Whereabouts::Switching { others, .. } => others[0],
            other => other.home(),
        };
        let rotating = plan.confusers.contains(ConfuserKind::AddressRotation);
        if let Some(other) = any_place(random, |place| is_other_carrier(carrier.place, place)) {
            let after = mobile_site(other, rotating, random);
            self.main().whereabouts = Whereabouts::moved(carrier, after, at);
        }
    }

    fn travel(&mut self, plan: &Plan, random: &mut Random) {
        let home = self.main().whereabouts.home();
        let Some(away) = any_place(random, |place| is_commutable(home.place, place)) else {
            return;
        };
        let leg = plan.seconds / 5.0;
        let journey = journey_seconds(home.place, away, Vehicle::Airliner);
        self.main().whereabouts = Whereabouts::Tour {
            stops: vec![home, Site::hosts(away, 1, random)],
            since: plan.start,
            stay_seconds: (leg - journey).max(2.0 * 3_600.0),
            vehicle: Vehicle::Airliner,
            underway: None,
        };
    }

    /// Adds a second process on the same machines, with its own counter if the key uses one.
    fn backfill(&mut self, at: EventTime, random: &mut Random) {
        let usual = self.clients[0].rhythm.mean_per_second();
        let hours = random.random_range(2.0..8.0);
        let per_second = (usual * log_normal(random, 15.0, 0.4)).clamp(0.3, 8.0);
        let season = Season::new(Curve::Flat, 0);
        let mut import = self.clients[0].clone();
        import.rhythm = Rhythm::new(Starts::Seasonal { per_second, season }, Burst::ONE);
        import.active = Window::starting(at, hours * 3_600.0);
        import.active.end = import.active.end.min(self.clients[0].active.end);
        self.clients.push(import);
    }

    fn sign_otherwise(&mut self, discipline: Discipline, at: EventTime, change: Change) {
        self.signers[0] = Signer::new(discipline, true, true);
        self.signers[0].change = Some((at, change));
    }
}

/// Other machines of the same AS, in another of its networks in the region if there is one.
fn deployed(home: &'static Place, random: &mut Random) -> Site {
    let elsewhere =
        |place: &Place| place.asn == home.asn && place.prefix != home.prefix && place.is_v4();
    let place = any_place(random, elsewhere).unwrap_or(home);
    Site::hosts(place, 4, random)
}

/// The first following Sunday at one o'clock, or the instant itself if the log ends earlier.
fn sunday(at: EventTime, end: EventTime) -> EventTime {
    let days = at.as_micros().div_euclid(86_400_000_000);
    // Day 0 was a Thursday.
    let ahead = (3 - days).rem_euclid(7);
    let sunday = EventTime::from_seconds((days + ahead) * 86_400 + 3_600);
    if sunday < end { sunday } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_change_on_a_sunday() {
        // Wednesday, 7 January 2026, and the Sunday after.
        let at = EventTime::from_seconds(1_767_787_200);
        let end = at.plus_seconds(10.0 * DAY);
        assert_eq!(sunday(at, end).to_string(), "2026-01-11T01:00:00.000000Z");
        assert_eq!(sunday(sunday(at, end), end), sunday(at, end));
        assert_eq!(sunday(at, at.plus_seconds(DAY)), at);
    }
}
