//! Compares the programs, bytes and ids of a request with what is usual for its key.

use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::detect::Signal;
use crate::detect::client::find_new_client;
use crate::detect::enumeration::find_enumeration;
use crate::detect::export::find_bulk_export;
use crate::event::DAY_SECONDS;
use crate::profile::client::Trait;
use crate::profile::outcome::Failure;
use crate::profile::signs::Sign;

use super::super::request::{NOVELTY, OWN_MACHINE};
use super::{Findings, Inspection};

/// A younger key may have a weekly job that has not run yet.
const WEEKLY_KNOWN_SECONDS: f64 = 8.0 * DAY_SECONDS;

impl Inspection<'_> {
    pub(super) fn inspect_client(&self, which: Trait, findings: &mut Findings) -> bool {
        let Some(client) = self.request.client(which) else { return false };
        if client.is_known() || !self.request.is_answered() {
            return false;
        }
        let (clients, fleet) = (&self.profile.clients, &self.peers.clients);
        let found = find_new_client(which, &client, clients, self.known_seconds(), fleet);
        let found = found.filter(|found| !found.is_young || self.woke_up(findings));
        found.is_some_and(|found| {
            let sign = match which {
                Trait::Agent => Sign::Agent,
                Trait::Fingerprint => Sign::Fingerprint,
            };
            let signals = &mut findings.signals;
            let new = found.turning.max(self.profile.places.variety());
            findings.signs.note(sign, new, found.p_value / found.turning * new);
            // A program is reported once. If nobody objects, it becomes one of the key's own.
            if client.was_told() || found.is_young {
                return false;
            }
            let signal = || found.into_signal(clients, fleet, &self.enriched.event);
            let (detector, threshold) = (found.detector(), self.thresholds.client);
            self.keep_under(self.program(), detector, found.p_value, threshold, signals, signal)
        })
    }

    /// The ceiling for a new program. On a machine where the key is established it is most likely
    /// its owner's next job.
    pub(super) fn program(&self) -> Option<Ceiling> {
        if self.profile.places.is_established_prefix(self.enriched.event.client_ip) {
            OWN_MACHINE
        } else {
            NOVELTY
        }
    }

    pub(super) fn inspect_volume(&self, signals: &mut Vec<Signal>) -> bool {
        let volume = &self.profile.volume;
        if !volume.is_current(self.enriched.event.time) {
            return false;
        }
        let Some(found) = find_bulk_export(volume, self.known_seconds()) else { return false };
        let signal = || found.into_signal(volume, &self.route_name());
        let (detector, threshold) = (DetectorId::BulkExport, self.thresholds.behaviour);
        self.keep_under(self.taking(), detector, found.p_value, threshold, signals, signal)
    }

    pub(super) fn inspect_walk(&self, signals: &mut Vec<Signal>) -> bool {
        let walks = &self.profile.walks;
        if !walks.is_current(self.enriched.event.time) {
            return false;
        }
        let answers = self.profile.named.current(Failure::Error);
        let found = find_enumeration(walks, self.known_seconds(), answers);
        let Some(found) = found else { return false };
        let signal = || found.into_signal(walks, &self.route_name());
        let (detector, threshold) = (DetectorId::Enumeration, self.thresholds.behaviour);
        self.keep_under(self.taking(), detector, found.p_value, threshold, signals, signal)
    }

    /// The ceiling for findings about data that is taken: backfills and exports by the owner look
    /// the same as theft.
    fn taking(&self) -> Option<Ceiling> {
        Some(if self.known_seconds() < WEEKLY_KNOWN_SECONDS {
            Ceiling { most: Action::Notify, reason: Restraint::YoungKey }
        } else {
            Ceiling { most: Action::Throttle, reason: Restraint::OrdinaryCause }
        })
    }

    fn route_name(&self) -> String {
        let event = &self.enriched.event;
        self.peers.templates.name(&event.method, &event.path)
    }

    pub(super) fn known_seconds(&self) -> f64 {
        self.enriched.event.time.seconds_since(self.profile.first_seen)
    }
}
