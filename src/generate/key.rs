//! One key: who it is, its habits, and the requests it makes.

use compact_str::{CompactString, format_compact};
use ipnet::{IpNet, Ipv4Net};
use rand::RngExt;

use super::attacks::{AttackKind, Lifecycle, SigningNeed, SiteChoice};
use super::cast::{Cast, Handover, Part};
use super::characters::{Character, fixed, mobile_site};
use super::confusers::ConfuserKind;
use super::places::{NetworkKind, Place, any_place, places_where};
use super::plan::Plan;
use super::products::Route;
use super::random::{Random, chance, log_normal, pick, pick_weighted, scramble, stream};
use super::rhythm::Rhythm;
use super::signing::{Discipline, Signer};
use super::whereabouts::{OWN_HOSTS, Site, Whereabouts, journey_seconds};
use super::window::Window;
use crate::event::EventTime;
use crate::registry::{KeyStatus, RegisteredKey};

/// Attacked keys are busy enough for the attack to stand out, and not among the busiest.
const VICTIM_RATE: (f64, f64) = (0.02, 0.5);
const ENVIRONMENTS: [(&str, f64); 3] =
    [("production", 0.8), ("staging", 0.08), ("development", 0.12)];

#[derive(Debug)]
pub(super) struct Key {
    pub index: u32,
    pub registered: RegisteredKey,
    pub routes: Vec<(&'static Route, f64)>,
    pub whereabouts: Whereabouts,
    pub signer: Signer,
    pub rhythm: Rhythm,
    pub user_agent: &'static str,
    /// Share of requests that fail in the ordinary course of things.
    pub error_share: f64,
    pub latency_factor: f64,
    /// When the key's own client is at work.
    pub active: Window,
    /// While suspended, every request is answered 403.
    pub banned_from: Option<EventTime>,
}

/// The key of the given number, the same for the same plan, and the random
/// stream that its traffic goes on with.
pub(super) fn build(index: u32, plan: &Plan, cast: &Cast) -> (Key, Random) {
    let part = cast.part(index);
    let source = if let Part::Successor { of, .. } = part { of } else { index };
    let mut random = stream(plan.seed, u64::from(source));
    let mut key = Key::new(source, plan, cast.part(source), &mut random);
    if let Part::Successor { handover, .. } = part {
        random = stream(plan.seed, u64::from(index));
        key.succeed(index, handover, plan);
    } else {
        key.play(part, plan, &mut random);
        let next = cast.successor(index);
        key.registered.rotated_to =
            next.map(|next| key_id(plan.seed, next, &key.registered.environment));
    }
    key.signer.settle(&mut random);
    (key, random)
}

impl Key {
    fn new(index: u32, plan: &Plan, part: Part, random: &mut Random) -> Self {
        // First of all, so that the key id does not depend on the part.
        let environment = pick_weighted(random, &ENVIRONMENTS);
        let character = character_for(part, random);
        let home = home_for(part, character, random);
        let rotating = plan.confusers.contains(ConfuserKind::AddressRotation);
        let product = character.product(random);
        let routes: Vec<_> = product
            .iter()
            .map(|route| (route, route.weight * log_normal(random, 1.0, 0.5)))
            .collect();
        let mut rhythm = character.rhythm(home.utc_offset_minutes, random);
        if matches!(part, Part::Victim { .. }) {
            rhythm.clamp(VICTIM_RATE.0, VICTIM_RATE.1);
        }
        Self {
            index,
            registered: registration(index, plan, environment, &routes, random),
            whereabouts: character.whereabouts(home, rotating, random),
            signer: signer_for(part, character, random),
            rhythm,
            user_agent: character.user_agent(random),
            error_share: log_normal(random, 0.01, 0.8).clamp(0.0005, 0.12),
            latency_factor: log_normal(random, 1.0, 0.3),
            active: plan.window(),
            banned_from: None,
            routes,
        }
    }

    fn play(&mut self, part: Part, plan: &Plan, random: &mut Random) {
        match part {
            Part::Victim { kind, window } => self.suffer(kind, window.start, plan),
            Part::Confusing { kind, at } => self.confuse(kind, at, plan, random),
            Part::Ordinary if chance(random, 0.3) => self.register_addresses(),
            Part::Ordinary | Part::Successor { .. } => {}
        }
    }

    /// What must have become of the key before the attack at `start`.
    fn suffer(&mut self, kind: AttackKind, start: EventTime, plan: &Plan) {
        let recipe = kind.recipe();
        if kind == AttackKind::IpNotAllowed {
            self.register_addresses();
        }
        let before = Window { start: plan.start, end: start };
        match recipe.lifecycle {
            Lifecycle::InUse => {}
            Lifecycle::Retired => self.retire(Handover::before(start, plan)),
            Lifecycle::Expired => {
                self.active.end = before.at(0.8);
                self.registered.expires_at = Some(before.at(0.85));
            }
            Lifecycle::Revoked => {
                self.active.end = before.at(0.8);
                self.registered.revoked_at = Some(before.at(0.85));
                self.registered.status = KeyStatus::Revoked;
            }
            Lifecycle::Dormant => self.active.end = before.at(0.35),
        }
    }

    fn confuse(&mut self, kind: ConfuserKind, at: EventTime, plan: &Plan, random: &mut Random) {
        match kind {
            ConfuserKind::Deploy => self.move_to(deployed(self.home(), random), at),
            ConfuserKind::CarrierSwitch => self.switch_carrier(at, plan, random),
            ConfuserKind::Traveller => self.travel(plan, random),
            ConfuserKind::KeyRotation => self.retire(Handover::before(at, plan)),
            ConfuserKind::Ban => {
                self.banned_from = Some(at);
                self.registered.status = KeyStatus::Suspended;
                self.active.end = at.plus_seconds((plan.seconds * 0.05).min(2_400.0));
            }
            _ => {}
        }
    }

    /// Stops half-way through the overlap, as a careful owner's client does.
    fn retire(&mut self, handover: Handover) {
        let overlap = Window { start: handover.rotated_at, end: handover.grace_ends_at };
        self.active.end = overlap.at(0.5);
        self.registered.grace_ends_at = Some(handover.grace_ends_at);
        self.registered.status = KeyStatus::Retired;
    }

    /// Becomes the key that replaces the one it was built as.
    fn succeed(&mut self, index: u32, handover: Handover, plan: &Plan) {
        self.index = index;
        self.active = Window { start: handover.rotated_at, end: plan.window().end };
        self.registered.key_id = key_id(plan.seed, index, &self.registered.environment);
        self.registered.created_at = Some(handover.rotated_at);
    }

    fn home(&self) -> &'static Place {
        self.whereabouts.home().place
    }

    fn move_to(&mut self, after: Site, at: EventTime) {
        self.whereabouts = Whereabouts::Moved { before: *self.whereabouts.home(), after, at };
    }

    fn switch_carrier(&mut self, at: EventTime, plan: &Plan, random: &mut Random) {
        let carrier = match &self.whereabouts {
            Whereabouts::Roaming { mobile, .. } => *mobile,
            other => *other.home(),
        };
        let rotating = plan.confusers.contains(ConfuserKind::AddressRotation);
        if let Some(other) = any_place(random, |place| is_other_carrier(carrier.place, place)) {
            let after = mobile_site(other, rotating, random);
            self.whereabouts = Whereabouts::Moved { before: carrier, after, at };
        }
    }

    fn travel(&mut self, plan: &Plan, random: &mut Random) {
        let home = self.home();
        let near = |place: &Place| is_commutable(home, place);
        let Some(away) = any_place(random, near) else { return };
        let leg = plan.seconds / 5.0;
        self.whereabouts = Whereabouts::Commuting {
            cities: [*self.whereabouts.home(), fixed(away, 1, false, random)],
            since: plan.start,
            stay_seconds: (leg - journey_seconds(home, away)).max(2.0 * 3_600.0),
        };
    }

    /// Registers the half of the /24 in which the key's machines are.
    fn register_addresses(&mut self) {
        let Whereabouts::Fixed(site) = &self.whereabouts else { return };
        let IpNet::V4(net) = site.place.prefix else { return };
        let length = 32 - OWN_HOSTS.ilog2() as u8;
        if let Ok(half) = Ipv4Net::new(net.network(), length) {
            self.registered.allowed_cidrs = vec![half.into()];
        }
    }
}

fn key_id(seed: u64, index: u32, environment: &str) -> CompactString {
    let mode = if environment == "production" { "live" } else { "test" };
    let number = scramble(scramble(seed) ^ u64::from(index)) >> 16;
    format_compact!("kw_{mode}_{number:012x}")
}

fn registration(
    index: u32,
    plan: &Plan,
    environment: &'static str,
    routes: &[(&'static Route, f64)],
    random: &mut Random,
) -> RegisteredKey {
    let mut scopes: Vec<_> = routes.iter().map(|(route, _)| route.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    // A few tenants own most keys.
    let tenants = f64::from((plan.keys / 8).max(1));
    let tenant = (random.random::<f64>().powi(2) * tenants) as u32;
    let age_seconds = random.random_range(20.0..700.0) * 86_400.0;
    RegisteredKey {
        key_id: key_id(plan.seed, index, environment),
        owner: format_compact!("team-{tenant:04}@example.com"),
        tenant: format_compact!("tenant-{tenant:04}"),
        environment: environment.into(),
        scopes: scopes.into_iter().map(Into::into).collect(),
        created_at: Some(plan.start.plus_seconds(-age_seconds)),
        ..RegisteredKey::default()
    }
}

fn character_for(part: Part, random: &mut Random) -> Character {
    match part {
        Part::Victim { kind, .. } => pick(random, kind.recipe().characters),
        Part::Confusing { kind: ConfuserKind::Traveller, .. } => Character::OfficeHours,
        Part::Confusing { kind: ConfuserKind::CarrierSwitch, .. } => Character::Mobile,
        Part::Confusing { .. } => Character::SteadyServer,
        Part::Ordinary | Part::Successor { .. } => Character::any(random),
    }
}

/// A home that suits the character and from which its part can be played.
fn home_for(part: Part, character: Character, random: &mut Random) -> &'static Place {
    let suits = |place: &Place| {
        character.home_kinds().contains(&place.kind)
            && match part {
                Part::Victim { kind, .. } => {
                    let site = kind.recipe().site;
                    // The other half of an IPv4 prefix is where a neighbour lives.
                    site.is_possible_from(place) && (site != SiteChoice::Neighbour || place.is_v4())
                }
                Part::Confusing { kind: ConfuserKind::CarrierSwitch, .. } => {
                    !places_where(|other| is_other_carrier(place, other)).is_empty()
                }
                Part::Confusing { kind: ConfuserKind::Traveller, .. } => {
                    !places_where(|other| is_commutable(place, other)).is_empty()
                }
                Part::Confusing { .. } | Part::Ordinary | Part::Successor { .. } => true,
            }
    };
    let places = places_where(suits);
    // Every character and part has a home in the table: see the tests.
    pick(random, &places)
}

fn is_other_carrier(carrier: &Place, place: &Place) -> bool {
    place.kind == NetworkKind::Mobile
        && place.asn != carrier.asn
        && place.distance_km(carrier) < 60.0
}

fn is_commutable(home: &Place, place: &Place) -> bool {
    !place.is_rented() && (250.0..2_000.0).contains(&place.distance_km(home))
}

/// Other machines of the same AS, in another of its networks where there is one.
fn deployed(home: &'static Place, random: &mut Random) -> Site {
    let elsewhere =
        |place: &Place| place.asn == home.asn && place.prefix != home.prefix && place.is_v4();
    let place = any_place(random, elsewhere).unwrap_or(home);
    Site::hosts(place, 4, random)
}

fn signer_for(part: Part, character: Character, random: &mut Random) -> Signer {
    use Discipline::{Counter, Hex, Microseconds, Milliseconds, None, Uuid};
    let Part::Victim { kind, .. } = part else { return character.signer(random) };
    let choices: &[Discipline] = match kind.recipe().signing {
        SigningNeed::Any => return character.signer(random),
        SigningNeed::Nonce => &[Counter, Milliseconds, Microseconds, Hex, Uuid],
        SigningNeed::RisingNonce => &[Counter, Milliseconds, Microseconds],
        SigningNeed::RandomNonce => &[Hex, Uuid],
        SigningNeed::SignatureOnly => &[None],
    };
    Signer::new(pick(random, choices), true, true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::super::confusers::ConfuserKind;
    use super::super::kinds::Kind;
    use super::*;

    #[test]
    fn every_part_can_be_played() {
        let plan = Plan::new(1, 86_400.0, 1);
        let window = Window::starting(plan.start.plus_seconds(50_000.0), 600.0);
        let attacks = AttackKind::ALL.iter().map(|kind| Part::Victim { kind: *kind, window });
        let confusers =
            ConfuserKind::ALL.iter().map(|kind| Part::Confusing { kind: *kind, at: window.start });
        for part in attacks.chain(confusers) {
            for seed in 0..50 {
                let mut random = stream(seed, 0);
                let mut key = Key::new(0, &plan, part, &mut random);
                key.play(part, &plan, &mut random);
                assert!(key.active.seconds() > 0.0, "{part:?}");
            }
        }
    }

    #[test]
    fn an_allowlist_holds_the_keys_own_addresses() {
        let plan = Plan::new(1, 86_400.0, 1);
        let window = Window::starting(plan.start.plus_seconds(50_000.0), 600.0);
        let part = Part::Victim { kind: AttackKind::IpNotAllowed, window };
        let mut random = stream(3, 0);
        let mut key = Key::new(0, &plan, part, &mut random);
        key.play(part, &plan, &mut random);
        let [allowed] = key.registered.allowed_cidrs[..] else { panic!("one CIDR") };
        for second in 0..1_000 {
            let address =
                key.whereabouts.home().address(EventTime::from_seconds(second), &mut random);
            assert!(allowed.contains(&address), "{address}");
        }
    }
}
