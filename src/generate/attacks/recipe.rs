//! Defines the recipe of an attack: its victims, its rate, and its manner.

use super::super::characters::Character;
use super::super::plan::Plan;
use super::super::products::Product;
use super::super::window::Window;
use super::AttackKind;
use super::sites::SiteChoice;
use crate::event::EventTime;

/// The full description of one kind of attack.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Recipe {
    /// Ids of the detectors that count as finding it, the intended one first.
    pub detectors: &'static [&'static str],
    /// Characters whose keys can be victims.
    pub characters: &'static [Character],
    pub signing: SigningNeed,
    /// Shortest and longest, in minutes.
    pub minutes: (f64, f64),
    pub pace: Pace,
    pub site: SiteChoice,
    pub manner: Manner,
    pub lifecycle: Lifecycle,
    /// Lowest and highest mean rate of the victim's own client for which the attack stands out.
    pub own_rate: (f64, f64),
    /// If set, the attack begins between these hours of the victim's local time.
    pub night: Option<(f64, f64)>,
    /// An attack that precedes this one from the same place, and its duration in seconds.
    pub prelude: Option<(AttackKind, f64)>,
}

impl Recipe {
    /// Characters of the plan whose keys can be victims.
    pub fn suitable(&self, plan: &Plan) -> Vec<Character> {
        let characters = self.characters.iter().copied();
        characters.filter(|character| plan.characters.contains(*character)).collect()
    }
}

/// Fields that the victim's client must send for the attack to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum SigningNeed {
    Any,
    Nonce,
    RisingNonce,
    RandomNonce,
    /// A signature and a time but no nonce.
    SignatureOnly,
}

/// Requests a second: a multiple of the key's own mean rate, but at least a minimum.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Pace {
    pub factor: f64,
    pub at_least: f64,
    pub shape: Shape,
    /// Mean number of requests in a burst; 1 for no bursts.
    pub burst: f64,
}

impl Pace {
    pub const fn new(factor: f64, at_least: f64) -> Self {
        Self { factor, at_least, shape: Shape::Steady, burst: 1.0 }
    }

    pub const fn ramp(factor: f64, at_least: f64) -> Self {
        Self { factor, at_least, shape: Shape::Ramp, burst: 1.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Shape {
    Steady,
    /// Rises from nearly zero over the whole attack.
    Ramp,
    /// The key's whole rate rises by a quarter every four hours.
    Stairs,
}

impl Shape {
    const STAIR_SECONDS: f64 = 4.0 * 3_600.0;
    const STAIR: f64 = 1.25;

    /// The factor of the attack's rate at `time`.
    pub fn factor(self, window: Window, time: EventTime) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Ramp => 0.02 + 0.98 * window.share(time),
            Self::Stairs => {
                let stair = (time.seconds_since(window.start) / Self::STAIR_SECONDS).floor();
                Self::STAIR.powf(stair.max(0.0) + 1.0) - 1.0
            }
        }
    }
}

/// The properties of the attacker's requests; `None` means the same as the key's own.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Manner {
    pub product: Option<Product>,
    /// Requests mostly those of the key's own routes that it uses least.
    pub prefers_rare_routes: bool,
    /// Statuses with their weights.
    pub statuses: Option<&'static [(u16, f64)]>,
    pub trick: Trick,
    /// Uses a tool of the attacker's own.
    pub foreign_agent: bool,
    pub other_environment: bool,
    /// Responses are larger by this factor.
    pub bytes_factor: f64,
    pub names: Names,
    /// The attacker has at most a key id, but neither key nor secret: all requests are refused.
    pub outsider: bool,
    /// Requests one id after the other.
    pub counts_up: bool,
    /// The attack ends after this many requests.
    pub at_most: u64,
}

/// The key that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Names {
    /// The key under attack.
    Victim,
    /// Nearly always a key that does not exist.
    Invented,
    /// The public ids of all keys, one after the other.
    PublicIds,
    /// Mostly invented keys, the public ids of others now and then.
    Mixed,
}

/// How the attacker uses nonce, time and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Trick {
    /// Signs like the key's own client.
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
    /// Sends a request again within the seconds in which it is valid.
    ReplaySoon,
    /// Like `ReplaySoon`, from the client's own address.
    ReplayHere,
    /// A captured signature under a new nonce and time.
    NewNonce,
    /// An invented nonce, twice in a row.
    InventedNonce,
    /// A nonce that no counter would reach.
    HugeNonce,
    /// The nonces that the victim will use next.
    NextNonce,
}

/// The state of the key's life cycle by the time of the attack.
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

/// The key's own client at its usual pace, from which the recipes start.
pub(super) const OWN_CLIENT: Recipe = Recipe {
    detectors: &[],
    characters: AROUND_THE_CLOCK,
    signing: SigningNeed::Any,
    minutes: (10.0, 30.0),
    pace: Pace::new(1.0, 0.1),
    site: SiteChoice::Own,
    manner: AS_OWN,
    lifecycle: Lifecycle::InUse,
    own_rate: (0.02, 0.5),
    night: None,
    prelude: None,
};

pub(super) const AS_OWN: Manner = Manner {
    product: None,
    prefers_rare_routes: false,
    statuses: None,
    trick: Trick::Sign,
    foreign_agent: false,
    other_environment: false,
    bytes_factor: 1.0,
    names: Names::Victim,
    outsider: false,
    counts_up: false,
    at_most: u64::MAX,
};

pub(super) const ALL_WELL: &[(u16, f64)] = &[(200, 1.0)];
