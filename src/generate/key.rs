//! Builds one key: its identity and the clients that use it.

use compact_str::{CompactString, format_compact};
use ipnet::{IpNet, Ipv4Net};
use rand::RngExt;

use super::attacks::{AttackKind, Lifecycle, Recipe, SigningNeed, SiteChoice};
use super::cast::{Cast, Handover, Part};
use super::characters::{Character, Habits, Setting};
use super::client::Client;
use super::confusers::ConfuserKind;
use super::confusion::is_possible_from;
use super::places::{Place, places_where};
use super::plan::Plan;
use super::random::{Random, chance, log_normal, pick, pick_weighted, scramble, stream};
use super::signing::{Discipline, Signer};
use super::site::OWN_HOSTS;
use super::whereabouts::Whereabouts;
use super::window::Window;
use crate::event::EventTime;
use crate::registry::{KeyStatus, RegisteredKey};

const ENVIRONMENTS: [(&str, f64); 3] =
    [("production", 0.8), ("staging", 0.08), ("development", 0.12)];

#[derive(Debug)]
pub(super) struct Key {
    pub index: u32,
    pub character: Character,
    pub registered: RegisteredKey,
    /// The main client comes first; never empty.
    pub clients: Vec<Client>,
    /// Never empty.
    pub signers: Vec<Signer>,
    pub latency_factor: f64,
    pub gateway: Gateway,
}

/// Optional fields that the gateway in front of the key's API logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gateway {
    pub logs_outcome: bool,
    pub logs_tls: bool,
    pub logs_method: bool,
}

/// Builds the key of this number, the same for the same plan. Also returns the random stream from
/// which its traffic continues.
pub(super) fn build(index: u32, plan: &Plan, cast: &Cast) -> (Key, Random) {
    let part = cast.part(index);
    let source = if let Part::Successor { of, .. } = part { of } else { index };
    let mut random = stream(plan.seed, u64::from(source));
    let mut key = Key::new(source, plan, cast, &mut random);
    if let Part::Successor { handover, .. } = part {
        random = stream(plan.seed, u64::from(index));
        key.succeed(index, handover, plan);
    } else {
        key.play(part, plan, &mut random);
        let next = cast.successor(index);
        key.registered.rotated_to =
            next.map(|next| key_id(plan.seed, next, &key.registered.environment));
    }
    for signer in &mut key.signers {
        signer.settle(&mut random);
    }
    (key, random)
}

impl Key {
    fn new(index: u32, plan: &Plan, cast: &Cast, random: &mut Random) -> Self {
        let part = cast.part(index);
        // Drawn first, so that the key id does not depend on the part.
        let environment = pick_weighted(random, &ENVIRONMENTS);
        let character = character_for(part, cast.character(index), plan, random);
        let home = home_for(part, character, random);
        let rotating = plan.confusers.contains(ConfuserKind::AddressRotation);
        let Habits { mut clients, mut signers } =
            character.habits(&Setting { plan, home, rotating }, random);
        if let Part::Victim { kind, .. } = part {
            let (slowest, fastest) = kind.recipe().own_rate;
            clients[0].rhythm.clamp(slowest, fastest);
            if let Some(signer) = signer_for(kind.recipe(), random) {
                signers[0] = signer;
            }
        }
        let registered = registration(index, plan, environment, &clients, random);
        Self {
            index,
            character,
            gateway: Gateway::of(&registered.tenant),
            registered,
            clients,
            signers,
            latency_factor: log_normal(random, 1.0, 0.3),
        }
    }

    pub(super) fn main(&mut self) -> &mut Client {
        &mut self.clients[0]
    }

    pub(super) fn home(&self) -> &'static Place {
        self.clients[0].whereabouts.home().place
    }

    /// Mean number of requests a second over a week.
    pub(super) fn mean_per_second(&self) -> f64 {
        self.clients.iter().map(|client| client.rhythm.mean_per_second()).sum()
    }

    /// Seconds in which at least one client is active.
    pub(super) fn active_seconds(&self) -> f64 {
        let start = self.clients.iter().map(|client| client.active.start).min();
        let end = self.clients.iter().map(|client| client.active.end).max();
        start.zip(end).map_or(0.0, |(start, end)| end.seconds_since(start).max(0.0))
    }

    fn play(&mut self, part: Part, plan: &Plan, random: &mut Random) {
        match part {
            Part::Victim { kind, window } => self.suffer(kind, window.start, plan),
            Part::Confusing { kind, at } => self.confuse(kind, at, plan, random),
            Part::Ordinary if chance(random, 0.3) => self.register_addresses(),
            Part::Ordinary | Part::Successor { .. } => {}
        }
        if self.character == Character::ColdStart {
            self.registered.created_at = Some(self.clients[0].active.start);
        }
    }

    /// Prepares the key for the attack at `start`.
    fn suffer(&mut self, kind: AttackKind, start: EventTime, plan: &Plan) {
        if kind == AttackKind::IpNotAllowed {
            self.register_addresses();
        }
        let before = Window { start: plan.start, end: start };
        match kind.recipe().lifecycle {
            Lifecycle::InUse => {}
            Lifecycle::Retired => self.retire(Handover::before(start, plan)),
            Lifecycle::Expired => {
                self.main().active.end = before.at(0.8);
                self.registered.expires_at = Some(before.at(0.85));
            }
            Lifecycle::Revoked => {
                self.main().active.end = before.at(0.8);
                self.registered.revoked_at = Some(before.at(0.85));
                self.registered.status = KeyStatus::Revoked;
            }
            Lifecycle::Dormant => self.main().active.end = before.at(0.35),
        }
    }

    /// Turns this key into the successor of the key that it was built as.
    fn succeed(&mut self, index: u32, handover: Handover, plan: &Plan) {
        self.index = index;
        let main = self.main();
        main.active = Window { start: handover.rotated_at, end: plan.window().end };
        main.changes.fades_in = Some(handover.overlap());
        self.registered.key_id = key_id(plan.seed, index, &self.registered.environment);
        self.registered.created_at = Some(handover.rotated_at);
    }

    /// Registers the half of the /24 that holds the key's machines.
    fn register_addresses(&mut self) {
        let [Client { whereabouts: Whereabouts::Fixed(site), .. }] = &self.clients[..] else {
            return;
        };
        let IpNet::V4(net) = site.place.prefix else { return };
        let length = 32 - OWN_HOSTS.ilog2() as u8;
        if let Ok(half) = Ipv4Net::new(net.network(), length) {
            self.registered.allowed_cidrs = vec![half.into()].into();
        }
    }
}

impl Gateway {
    /// The gateway of a tenant; all keys of the tenant are behind it.
    fn of(tenant: &str) -> Self {
        let draw = tenant.bytes().fold(0, |hash, byte| scramble(hash ^ u64::from(byte)));
        Self {
            logs_outcome: draw % 10 < 4,
            logs_tls: (draw >> 8) % 10 < 3,
            logs_method: (draw >> 16) % 10 < 4,
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
    clients: &[Client],
    random: &mut Random,
) -> RegisteredKey {
    let routes = clients.iter().flat_map(|client| &client.routes);
    let mut scopes: Vec<_> = routes.map(|(route, _)| route.scope).collect();
    scopes.retain(|scope| !scope.is_empty());
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

fn character_for(part: Part, dealt: Character, plan: &Plan, random: &mut Random) -> Character {
    match part {
        Part::Victim { kind, .. } => {
            let suitable = kind.recipe().suitable(plan);
            if suitable.contains(&dealt) { dealt } else { pick(random, &suitable) }
        }
        Part::Confusing { kind, .. } => kind.character(),
        Part::Ordinary | Part::Successor { .. } => dealt,
    }
}

/// A home that suits the character and at which its part can be played.
fn home_for(part: Part, character: Character, random: &mut Random) -> &'static Place {
    let suits = |place: &Place| {
        character.suits(place)
            && match part {
                Part::Victim { kind, .. } => {
                    let site = kind.recipe().site;
                    // A neighbour needs the other half of an IPv4 prefix.
                    site.is_possible_from(place) && (site != SiteChoice::Neighbour || place.is_v4())
                }
                Part::Confusing { kind, .. } => is_possible_from(kind, place),
                Part::Ordinary | Part::Successor { .. } => true,
            }
    };
    let places = places_where(suits);
    // The table has a home for every character and part, as the tests check.
    pick(random, &places)
}

/// A signer that the attack needs; `None` if the attack suits every signer.
fn signer_for(recipe: &Recipe, random: &mut Random) -> Option<Signer> {
    use Discipline::{Counter, Hex, Microseconds, Milliseconds, None, Uuid};
    let choices: &[Discipline] = match recipe.signing {
        SigningNeed::Any => return Option::None,
        SigningNeed::Nonce => &[Counter, Milliseconds, Microseconds, Hex, Uuid],
        SigningNeed::RisingNonce => &[Counter, Milliseconds, Microseconds],
        SigningNeed::RandomNonce => &[Hex, Uuid],
        SigningNeed::SignatureOnly => &[None],
    };
    Some(Signer::new(pick(random, choices), true, true))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::super::kinds::Kind;
    use super::*;

    fn played(plan: &Plan, part: Part, seed: u64) -> (Key, Random) {
        let cast = Cast::of_one(part, plan);
        let mut random = stream(seed, 0);
        let mut key = Key::new(0, plan, &cast, &mut random);
        key.play(part, plan, &mut random);
        (key, random)
    }

    #[test]
    fn every_part_can_be_played() {
        let plan = Plan::new(1, 10.0 * 86_400.0, 1);
        let window = Window::starting(plan.start.plus_seconds(50_000.0), 600.0);
        let attacks = AttackKind::ALL.iter().map(|kind| Part::Victim { kind: *kind, window });
        let confusers =
            ConfuserKind::ALL.iter().map(|kind| Part::Confusing { kind: *kind, at: window.start });
        for part in attacks.chain(confusers) {
            for seed in 0..20 {
                let (key, _) = played(&plan, part, seed);
                assert!(key.active_seconds() > 0.0, "{part:?}");
            }
        }
    }

    #[test]
    fn an_allowlist_holds_the_keys_own_addresses() {
        let plan = Plan::new(1, 86_400.0, 1);
        let window = Window::starting(plan.start.plus_seconds(50_000.0), 600.0);
        let part = Part::Victim { kind: AttackKind::IpNotAllowed, window };
        let (key, mut random) = played(&plan, part, 3);
        let [allowed] = *key.registered.allowed_cidrs.as_slice() else { panic!("one CIDR") };
        for second in 0..1_000 {
            let time = EventTime::from_seconds(second);
            let caller = key.clients[0].whereabouts.caller(time, &mut random);
            let Some(caller) = caller else { panic!("at home") };
            assert!(allowed.contains(&caller.address), "{}", caller.address);
        }
    }
}
