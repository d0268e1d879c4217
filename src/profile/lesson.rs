//! Takes back what a thief has taught, and takes up what people say is ordinary.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{
    ClockProfile, ItemKind, KeyFacts, KeyManagementProfile, PlaceProfile, Profile, RouteProfile,
    Signers, client, volume,
};
use crate::event::EventTime;

/// The memories of a key that its holder shapes by where, with what and for what the key is used.
///
/// Rates, outcomes and silences are not among them: they are counts over time, and windows that an
/// alert reports are not learned. To set them back would make the time since then look empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memories {
    facts: KeyFacts,
    places: PlaceProfile,
    signers: Signers,
    clock: ClockProfile,
    routes: RouteProfile,
    clients: client::ClientProfile,
    volume: volume::VolumeProfile,
    walks: volume::WalkProfile,
    key_management: KeyManagementProfile,
}

impl Profile {
    /// The memories as they are now.
    pub fn memories(&self) -> Memories {
        Memories {
            facts: self.facts.clone(),
            places: self.places.clone(),
            signers: self.signers.clone(),
            clock: self.clock,
            routes: self.routes.clone(),
            clients: self.clients.clone(),
            volume: self.volume,
            walks: self.walks,
            key_management: self.key_management,
        }
    }

    /// Puts earlier memories in the place of those since `since`, in which a thief used the key.
    pub fn take_back(&mut self, memories: Memories, since: EventTime) {
        let Memories { facts, places, signers, clock, routes, clients, volume, .. } = memories;
        (self.facts, self.places, self.clock, self.routes) = (facts, places, clock, routes);
        (self.clients, self.volume, self.signers) = (clients, volume, signers);
        (self.walks, self.key_management) = (memories.walks, memories.key_management);
        self.rate.forget_habits_since(since);
        self.reports.forget_since(since);
        self.session = None;
    }

    /// Makes the places that were reported in `span` the key's own.
    pub fn take_up_places(&mut self, span: &RangeInclusive<EventTime>) {
        self.places.take_up(span);
    }

    /// Makes the programs that were reported in `span` the key's own.
    pub fn take_up_programs(&mut self, span: &RangeInclusive<EventTime>) {
        for which in [client::Trait::Agent, client::Trait::Fingerprint] {
            let programs = self.reports.items(which.into(), span);
            self.clients.take_up(which, programs);
        }
    }

    /// Makes the routes that were reported in `span` the key's own.
    pub fn take_up_routes(&mut self, span: &RangeInclusive<EventTime>) {
        self.routes.take_up(self.reports.items(ItemKind::Route, span));
    }

    /// Makes bursts of the height of those that were reported in `span` ordinary.
    pub fn take_up_bursts(&mut self, span: &RangeInclusive<EventTime>) {
        self.rate.take_up_habits(span);
    }
}
