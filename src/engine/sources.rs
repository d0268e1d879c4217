//! Requests seen from their source: addresses and networks that try keys.

use ipnet::IpNet;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, DetectorId};
use crate::decide::{Decider, Moment, Occurrence, Policy, Subject};
use crate::detect::stuffing::{Stuffing, find_stuffing};
use crate::event::{AccessEvent, EnrichedEvent, KeyId};
use crate::profile::Profile;
use crate::profile::source::{Attempt, SourceTable, machine_of, network_of};
use crate::registry::Registry;

use super::fleet::Fleet;

/// Single machines and the networks that they are in. What one machine explains is not
/// counted against its network, so that there is one incident and not two.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    machines: SourceTable,
    networks: SourceTable,
}

/// Who asks and what is known of it.
pub struct Caller<'a> {
    pub enriched: &'a EnrichedEvent,
    pub key_hash: u64,
    /// `None` for a key that was never accepted.
    pub profile: Option<&'a Profile>,
    pub registry: &'a Registry,
}

/// What the answers to an attempt need.
pub struct Judge<'a, 'b> {
    pub decider: &'a mut Decider,
    pub policy: &'a mut Policy,
    pub moment: Moment<'b>,
    pub threshold: f64,
}

impl Sources {
    /// Whether the request can change anything here: it is refused, or others from its network
    /// were.
    pub fn concern(&self, event: &AccessEvent) -> bool {
        is_accepted(event).is_some_and(|is_accepted| {
            !is_accepted || self.networks.is_watched(&network_of(event.client_ip))
        })
    }

    /// Counts one request for its source; returns the alerts it causes.
    pub fn observe(
        &mut self,
        caller: &Caller<'_>,
        fleet: &mut Fleet,
        judge: &mut Judge<'_, '_>,
    ) -> Vec<Alert> {
        let event = &caller.enriched.event;
        let Some(is_accepted) = is_accepted(event) else { return Vec::new() };
        let is_at_home = caller.is_at_home();
        if is_at_home
            && !is_accepted
            && let Some(profile) = caller.profile
        {
            fleet.count_refused_at_home(profile);
        }
        let is_refused = !is_accepted && !is_at_home;
        let attempt = Attempt { time: event.time, key_hash: caller.key_hash, is_refused };
        let network = network_of(event.client_ip);
        let source = self.count(event, network, &attempt);
        let may_be_affected = caller.is_known()
            && !is_at_home
            && self.is_often_refused(source, network)
            && !(is_accepted && caller.is_at_home());
        let is_affected =
            may_be_affected && self.note_affected(source, network, event, is_accepted);
        let has_leaked = is_affected && is_accepted;
        if !(is_refused || has_leaked) || fleet.is_refusing_most() {
            return Vec::new();
        }
        self.judge(source, network, caller.enriched, has_leaked, judge)
    }

    /// Counts an attempt; returns the source that it is held against: the network once that is
    /// known to try keys from many addresses, else the machine.
    fn count(&mut self, event: &AccessEvent, network: IpNet, attempt: &Attempt) -> IpNet {
        let machine = machine_of(event.client_ip);
        if self.networks.get_mut(&network).is_some_and(|profile| profile.is_told) {
            self.networks.count(network, attempt);
            return network;
        }
        self.machines.count(machine, attempt);
        if !self.machines.get_mut(&machine).is_some_and(|profile| profile.is_told) {
            self.networks.count(network, attempt);
        }
        machine
    }

    fn is_often_refused(&mut self, source: IpNet, network: IpNet) -> bool {
        let table = if source == network { &mut self.networks } else { &mut self.machines };
        table.get_mut(&source).is_some_and(|profile| profile.is_often_refused())
    }

    /// True when the key was not known to be affected, or not to be answered.
    fn note_affected(
        &mut self,
        source: IpNet,
        network: IpNet,
        event: &AccessEvent,
        is_answered: bool,
    ) -> bool {
        if source == network {
            return self.networks.note_affected(&network, &event.key_id, is_answered);
        }
        if self.machines.get_mut(&source).is_some_and(|profile| !profile.is_told) {
            self.networks.note_affected(&network, &event.key_id, is_answered);
        }
        self.machines.note_affected(&source, &event.key_id, is_answered)
    }

    fn judge(
        &mut self,
        source: IpNet,
        network: IpNet,
        enriched: &EnrichedEvent,
        has_leaked: bool,
        judge: &mut Judge<'_, '_>,
    ) -> Vec<Alert> {
        if source != network
            && let Some(profile) = self.machines.get_mut(&source)
            && let Some(stuffing) = find_stuffing(source, profile, judge.threshold)
        {
            if !profile.is_told {
                profile.is_told = true;
                self.networks.clear(&network);
            }
            return self.tell(source, stuffing, enriched, has_leaked, judge);
        }
        let profile = self.networks.get_mut(&network);
        let Some(stuffing) = profile.and_then(|profile| {
            let stuffing = find_stuffing(network, profile, judge.threshold)?;
            profile.is_told = true;
            Some(stuffing)
        }) else {
            return Vec::new();
        };
        self.tell(network, stuffing, enriched, has_leaked, judge)
    }

    fn tell(
        &mut self,
        source: IpNet,
        stuffing: Stuffing,
        enriched: &EnrichedEvent,
        has_leaked: bool,
        judge: &mut Judge<'_, '_>,
    ) -> Vec<Alert> {
        let is_network = source == network_of(enriched.event.client_ip);
        let table = if is_network { &mut self.networks } else { &mut self.machines };
        let Some(profile) = table.get_mut(&source) else { return Vec::new() };
        let (affected, leaked) = (profile.affected_keys(), profile.take_untold());
        let mut alerts = judge.source(source, &stuffing, enriched, &affected, has_leaked);
        for key_id in leaked {
            alerts.extend(judge.leaked_key(Subject::Key(key_id), &stuffing, enriched));
        }
        alerts
    }
}

impl Judge<'_, '_> {
    fn source(
        &mut self,
        source: IpNet,
        stuffing: &Stuffing,
        enriched: &EnrichedEvent,
        affected: &[KeyId],
        has_leaked: bool,
    ) -> Vec<Alert> {
        let subject = Subject::Source(source);
        let occurrence = Occurrence::of_source(enriched, affected);
        let time = enriched.event.time;
        let mut alerts: Vec<Alert> = self
            .decider
            .close_stale(&subject, time, self.moment, self.policy)
            .into_iter()
            .collect();
        let known = self.decider.news_below(&subject, DetectorId::CredentialStuffing);
        if stuffing.p_value > known && !has_leaked {
            self.decider.keep_open(&subject, occurrence, self.moment, self.policy);
            return alerts;
        }
        let signals = vec![stuffing.into_signal(&enriched.event)];
        alerts.extend(self.decider.consider(
            &subject,
            occurrence,
            signals,
            self.moment,
            self.policy,
        ));
        alerts
    }

    /// The key's own incident: it may have been answered some requests ago, before its source
    /// was known for what it is.
    fn leaked_key(
        &mut self,
        subject: Subject,
        stuffing: &Stuffing,
        enriched: &EnrichedEvent,
    ) -> Vec<Alert> {
        let own = subject.key_id() == Some(&enriched.event.key_id);
        let tenant = if own { enriched.event.tenant.as_deref() } else { None };
        let occurrence = Occurrence { tenant, ..Occurrence::of_key(enriched) };
        let signals = vec![stuffing.leak_signal(&enriched.event)];
        self.decider.consider(&subject, occurrence, signals, self.moment, self.policy)
    }
}

/// `None` for answers that say nothing of the key: failures of the server, throttling, bad
/// requests.
const fn is_accepted(event: &AccessEvent) -> Option<bool> {
    match event.status {
        200..=399 => Some(true),
        401 | 403 => Some(false),
        _ => None,
    }
}

impl Caller<'_> {
    /// Whether there is such a key.
    fn is_known(&self) -> bool {
        self.profile.is_some() || self.registry.get(&self.enriched.event.key_id).is_some()
    }

    /// Whether the key is used from here anyhow. In data centres neighbours are strangers,
    /// so that there only the network's own prefix counts.
    fn is_at_home(&self) -> bool {
        let ip = self.enriched.event.client_ip;
        self.profile.is_some_and(|profile| {
            if self.enriched.origin.is_hosting {
                profile.places.is_established_prefix(ip)
            } else {
                profile.places.is_established(ip, &self.enriched.origin)
            }
        })
    }
}
