//! Holds the profiles of keys: rates, places, nonces, clocks, routes, clients and more.
//!
//! A profile only counts and learns. `detect` judges each event before the profile learns it.

pub mod behaviour;
pub mod breadth;
pub mod client;
pub mod clock;
pub mod dependence;
pub mod key_management;
mod lesson;
pub mod nonce;
pub mod outcome;
pub mod peers;
pub mod place;
pub mod population;
pub mod recent;
pub mod repertoire;
pub mod reports;
pub mod route;
pub mod scores;
mod segment;
pub mod sightings;
pub mod signers;
pub mod signs;
pub mod silence;
pub mod strangers;
pub mod stuffing;
pub mod template;
pub mod volume;
pub mod wave;

use serde::{Deserialize, Serialize};

use compact_str::CompactString;

use crate::event::{AccessEvent, EventTime};
use crate::proof::{Accepted, Attempt};

use self::behaviour::BehaviourProfile;
use self::client::{ClientProfile, Trait};
pub use self::clock::ClockProfile;
pub use self::dependence::Dependence;
pub use self::key_management::KeyManagementProfile;
pub use self::lesson::Memories;
use self::nonce::Again;
pub use self::nonce::{NonceProfile, Repetitions};
pub use self::outcome::OutcomeProfile;
pub use self::peers::PeerRoutes;
use self::place::Arrival;
pub use self::place::PlaceProfile;
pub use self::population::{Population, PopulationPrior};
pub use self::recent::Recent;
pub use self::reports::{ItemKind, Reports};
pub use self::route::RouteProfile;
use self::scores::{HourScores, WorstScores};
pub use self::sightings::Sightings;
pub use self::signers::Signers;
use self::signs::Session;
pub use self::silence::SilenceProfile;
use self::strangers::Strangers;
use self::volume::{VolumeProfile, WalkProfile};
use crate::rate::season::Shape;
use crate::rate::{HourShare, RateProfile, Rise};

/// The findings of one event that the profile must not learn, or must learn only in part.
/// Otherwise a thief could teach the profile that the theft is ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Suspicion {
    pub rate: bool,
    /// A lasting rise. The profile learns it, because the new rate may be permanent, and records
    /// that it was reported.
    pub rise: Option<Rise>,
    pub outcomes: bool,
    pub place: bool,
    pub replay: bool,
    pub clock: bool,
    pub route: bool,
    /// The event breaks a rule of the registry. Rules have no profile of their own.
    pub rule: bool,
    pub key_management: bool,
    pub agent: bool,
    pub fingerprint: bool,
    pub volume: bool,
    pub walk: bool,
}

/// Tenant and environment of a key, from its latest proven use. Facts in the registry take
/// precedence.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeyFacts {
    pub tenant: Option<CompactString>,
    pub environment: Option<CompactString>,
}

impl KeyFacts {
    fn learn(&mut self, accepted: Accepted<'_>) {
        let event = accepted.event();
        for (fact, word) in
            [(&mut self.tenant, &event.tenant), (&mut self.environment, &event.environment)]
        {
            if word.is_some() && fact != word {
                fact.clone_from(word);
            }
        }
    }
}

impl Suspicion {
    /// Whether this trait of the client program is new and was reported.
    pub const fn of_client(self, which: Trait) -> bool {
        match which {
            Trait::Agent => self.agent,
            Trait::Fingerprint => self.fingerprint,
        }
    }

    /// Whether other evidence than the rate suggests theft. Errors do not count as such evidence,
    /// because an ordinary job that exceeds its quota causes errors too.
    const fn is_more_than_rate(self) -> bool {
        self.place || self.replay || self.route || self.rule || self.key_management
    }
}

/// The history of one key, in bounded memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    pub first_seen: EventTime,
    pub last_seen: EventTime,
    pub rate: RateProfile,
    /// Outcomes of the proven uses.
    pub outcomes: OutcomeProfile,
    /// Outcomes of all requests that name the key, including attempts. They are not evidence about
    /// the key's holder.
    pub named: OutcomeProfile,
    /// Networks that only name the key.
    pub strangers: Strangers,
    pub facts: KeyFacts,
    pub places: PlaceProfile,
    pub nonces: NonceProfile,
    pub signatures: Repetitions,
    pub signers: Signers,
    pub clock: ClockProfile,
    pub scores: HourScores,
    pub routes: RouteProfile,
    pub clients: ClientProfile,
    pub volume: VolumeProfile,
    pub walks: WalkProfile,
    pub key_management: KeyManagementProfile,
    pub silence: SilenceProfile,
    pub behaviour: BehaviourProfile,
    /// The programs and routes that were reported.
    pub reports: Reports,
    /// What was new within the hour; most keys have none.
    pub session: Option<Box<Session>>,
}

impl Profile {
    pub fn new(time: EventTime) -> Self {
        Self {
            first_seen: time,
            last_seen: time,
            rate: RateProfile::new(time),
            outcomes: OutcomeProfile::default(),
            named: OutcomeProfile::default(),
            strangers: Strangers::default(),
            facts: KeyFacts::default(),
            places: PlaceProfile::default(),
            nonces: NonceProfile::default(),
            signatures: Repetitions::default(),
            signers: Signers::default(),
            clock: ClockProfile::default(),
            scores: HourScores::new(time),
            routes: RouteProfile::default(),
            clients: ClientProfile::default(),
            volume: VolumeProfile::default(),
            walks: WalkProfile::default(),
            key_management: KeyManagementProfile::default(),
            silence: SilenceProfile::default(),
            behaviour: BehaviourProfile::default(),
            reports: Reports::default(),
            session: None,
        }
    }

    /// The profile of a key that replaces this one and has the same holder, who goes on from the same
    /// places with the same programs. Memories of the credential itself begin anew.
    pub fn of_successor(&self, time: EventTime) -> Self {
        Self {
            named: OutcomeProfile::default(),
            strangers: Strangers::default(),
            nonces: NonceProfile::default(),
            signatures: Repetitions::default(),
            scores: HourScores::new(time),
            session: None,
            ..self.clone()
        }
    }

    /// Counts one event in its windows. The engine calls it before detection, so that a window is
    /// judged including the event. Returns the hour that the event ended, if the population
    /// should learn from it.
    pub fn count(&mut self, accepted: Accepted<'_>, shape: &Shape) -> Option<HourShare> {
        let event = accepted.event();
        self.outcomes.count(event.time, event.status);
        self.named.count(event.time, event.status);
        self.rate.count(event.time, shape)
    }

    /// Counts a request that only names the key.
    pub fn count_attempt(&mut self, attempt: Attempt<'_>) {
        let event = attempt.event();
        self.named.count(event.time, event.status);
    }

    /// Keeps what the judgement of one use adds to the hour's scores and to the session of weak
    /// signs. A suspected use keeps its hour out of the baselines.
    pub fn note_judgement(
        &mut self,
        scores: WorstScores,
        session: Option<Session>,
        suspicion: Suspicion,
    ) {
        let is_suspected = suspicion != Suspicion::default();
        self.scores.add(scores);
        if let Some(mut session) = session {
            session.is_suspected |= is_suspected;
            self.session = Some(Box::new(session));
        }
        if is_suspected {
            self.scores.exclude_current();
            self.behaviour.suspect_current(suspicion.is_more_than_rate());
        }
    }

    /// The session of weak signs that is over at `time`, if there is one.
    pub fn end_session_before(&mut self, time: EventTime) -> Option<Session> {
        self.session.take_if(|session| session.is_over(time)).map(|session| *session)
    }

    /// Learns one event, after detection.
    ///
    /// `again`: how it repeats another request, if it does. Returns the arrival in another country
    /// that the population should learn from, if the event was one.
    pub fn learn(
        &mut self,
        accepted: Accepted<'_>,
        again: Option<Again>,
        suspicion: Suspicion,
    ) -> Option<Arrival> {
        let (enriched, event) = (accepted.enriched(), accepted.event());
        self.facts.learn(accepted);
        self.last_seen = self.last_seen.max(event.time);
        if suspicion.rate {
            self.rate.exclude_current(suspicion.is_more_than_rate());
        }
        if let Some(rise) = suspicion.rise {
            self.rate.tell_ramp(rise.is_steep);
        }
        if suspicion.outcomes {
            self.outcomes.exclude_current();
        }
        let arrival = self.places.learn(enriched, suspicion.place);
        self.strangers.forget(event.client_ip);
        if !suspicion.replay {
            self.learn_signing(event, again);
        }
        let is_signed = event.nonce.is_some() || event.signature.is_some();
        // Who repeats a signed request need not be able to sign.
        let is_repeated = matches!(again, Some(Again::Replay | Again::NewNonce | Again::AtOnce));
        if is_signed && !is_repeated && !suspicion.replay && !suspicion.place {
            self.signers.learn(event.client_ip, event.time);
        }
        if let Some(client_time) = event.client_time
            && !suspicion.clock
        {
            self.clock.learn(event.time.seconds_since(client_time));
        }
        arrival
    }

    fn learn_signing(&mut self, event: &AccessEvent, again: Option<Again>) {
        if let Some(nonce) = event.nonce {
            self.nonces.learn(&nonce, (event.time, event.client_time), again);
        } else if event.signature.is_some() {
            self.nonces.twice.learn(event.time, again == Some(Again::AcceptedTwice));
        }
        if event.signature.is_some() {
            self.signatures.learn(matches!(again, Some(Again::Replay | Again::NewNonce)));
        }
    }
}
