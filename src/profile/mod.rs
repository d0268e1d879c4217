//! What is known of one key: its rate, its places, its nonces, its clock, its routes.
//!
//! A profile only remembers. Whether an event is unusual is asked in `detect`,
//! before the event is learned here.

pub mod behaviour;
pub mod clock;
pub mod key_management;
pub mod nonce;
pub mod outcome;
pub mod peers;
pub mod place;
pub mod population;
pub mod rate;
pub mod recent;
pub mod route;
pub mod scores;
pub mod sightings;
pub mod silence;
pub mod source;
mod sparse;

use serde::{Deserialize, Serialize};

use crate::event::{AccessEvent, EnrichedEvent, EventTime};

use self::behaviour::BehaviourProfile;
pub use self::clock::ClockProfile;
pub use self::key_management::KeyManagementProfile;
pub use self::nonce::{NonceProfile, Repetitions};
pub use self::outcome::OutcomeProfile;
pub use self::peers::PeerRoutes;
pub use self::place::PlaceProfile;
pub use self::population::{Population, PopulationPrior};
use self::rate::HourShare;
pub use self::rate::RateProfile;
use self::rate::season::Shape;
pub use self::recent::Recent;
pub use self::route::RouteProfile;
use self::scores::HourScores;
pub use self::sightings::Sightings;
pub use self::silence::SilenceProfile;

/// What must not be learned because it was just found unusual: whoever steals a
/// key must not be able to teach the profile that theft is ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    pub rate: bool,
    /// Not kept from being learned, which a lasting rise must be in the end, but told once.
    pub ramp: bool,
    pub outcomes: bool,
    pub place: bool,
    pub replay: bool,
    pub clock: bool,
    pub route: bool,
    /// A rule of the registry is broken. Nothing is learned from rules.
    pub rule: bool,
    pub key_management: bool,
}

/// One key's history, of bounded size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    pub first_seen: EventTime,
    pub last_seen: EventTime,
    pub rate: RateProfile,
    pub outcomes: OutcomeProfile,
    pub places: PlaceProfile,
    pub nonces: NonceProfile,
    pub signatures: Repetitions,
    pub clock: ClockProfile,
    pub scores: HourScores,
    pub routes: RouteProfile,
    pub key_management: KeyManagementProfile,
    pub silence: SilenceProfile,
    pub behaviour: BehaviourProfile,
}

impl Profile {
    pub fn new(time: EventTime) -> Self {
        Self {
            first_seen: time,
            last_seen: time,
            rate: RateProfile::new(time),
            outcomes: OutcomeProfile::default(),
            places: PlaceProfile::default(),
            nonces: NonceProfile::default(),
            signatures: Repetitions::default(),
            clock: ClockProfile::default(),
            scores: HourScores::new(time),
            routes: RouteProfile::default(),
            key_management: KeyManagementProfile::default(),
            silence: SilenceProfile::default(),
            behaviour: BehaviourProfile::default(),
        }
    }

    /// Counts one event in its windows, before detection: a window is judged with the event
    /// that fills it. Returns the hour that ended with it, if it tells others something.
    pub fn count(&mut self, event: &AccessEvent, shape: &Shape) -> Option<HourShare> {
        self.outcomes.count(event.time, event.status);
        self.rate.count(event.time, shape)
    }

    /// Learns one event, after detection.
    ///
    /// `is_repeated`: its nonce, or without one its signature, came before in another request.
    pub fn learn(&mut self, enriched: &EnrichedEvent, is_repeated: bool, suspicion: Suspicion) {
        let event = &enriched.event;
        self.last_seen = self.last_seen.max(event.time);
        if suspicion.rate {
            self.rate.exclude_current();
        }
        if suspicion.ramp {
            self.rate.tell_ramp();
        }
        if suspicion.outcomes {
            self.outcomes.exclude_current();
        }
        self.places.learn(enriched, suspicion.place);
        if !suspicion.replay {
            match event.nonce {
                Some(nonce) => self.nonces.learn(&nonce, event.time, is_repeated),
                None if event.signature.is_some() => self.signatures.learn(is_repeated),
                None => {}
            }
        }
        if let Some(client_time) = event.client_time
            && !suspicion.clock
        {
            self.clock.learn(event.time.seconds_since(client_time));
        }
    }
}
