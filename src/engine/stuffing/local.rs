//! Judges credential stuffing by the attempts of one log.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, DetectorId};
use crate::decide::{Decider, KnownKey, Moment, Occurrence, Policy, Subject};
use crate::detect::stuffing::{Stuffing, find_slow_stuffing, find_stuffing, find_wave};
use crate::event::{DAY_SECONDS, EventTime, HOUR_SECONDS, KeyId};
use crate::profile::stuffing::{Scope, SourceAttempt, SourceTable, machine_of, network_of};
use crate::profile::wave::WaveProfile;
use crate::proof::Standing;

use super::attempt::is_accepted;

const HOUR_MICROS: i64 = 3_600_000_000;

/// The profiles of machines and of their networks. An attempt that a machine's incident explains
/// does not count against its network, so that there is one incident and not two.
#[derive(Debug, Serialize, Deserialize)]
pub struct StuffingTables {
    machines: SourceTable,
    networks: SourceTable,
    wave: WaveProfile,
    /// Networks over a day: what tries a few keys an hour.
    slow: SourceTable,
}

impl Default for StuffingTables {
    fn default() -> Self {
        Self {
            machines: SourceTable::with_window(HOUR_SECONDS),
            networks: SourceTable::with_window(HOUR_SECONDS),
            wave: WaveProfile::default(),
            slow: SourceTable::with_window(DAY_SECONDS),
        }
    }
}

/// The parts that judge an attempt.
pub struct Judge<'a, 'b> {
    pub decider: &'a mut Decider,
    pub policy: &'a Policy,
    pub moment: Moment<'b>,
    pub threshold: f64,
    /// Whether the attempts come from several partitions. Which one comes first is then chance, so
    /// that an incident's id is made of the hour in which its source began.
    pub is_merged: bool,
}

/// The result of an attempt.
#[derive(Default)]
pub struct StuffingOutcome {
    /// Alerts about the attempt's source.
    pub alerts: Vec<Alert>,
    pub leaks: Vec<Leak>,
}

impl StuffingOutcome {
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.leaks.is_empty()
    }
}

/// A key that was accepted from a source that tries keys. Its own incident does not say so yet.
pub struct Leak {
    pub key_id: KeyId,
    pub stuffing: Stuffing,
}

impl StuffingTables {
    /// Whether the request can change anything here: it is refused, or its network was refused
    /// before.
    pub fn concern(&self, standing: &Standing<'_>, client_ip: IpAddr) -> bool {
        is_accepted(standing).is_some_and(|is_accepted| {
            !is_accepted || self.networks.is_watched(&network_of(client_ip))
        })
    }

    /// Counts an attempt without judging it. Returns whether its network was refused before.
    pub fn watch(&mut self, attempt: &SourceAttempt) -> bool {
        let network = network_of(attempt.client_ip);
        let is_watched = self.networks.is_watched(&network);
        self.networks.count(network, attempt);
        is_watched
    }

    /// Counts an attempt for its source, and judges the source. An excused refusal, which is the
    /// API's own failure, is counted but causes nothing.
    pub fn observe(
        &mut self,
        attempt: &SourceAttempt,
        is_excused: bool,
        judge: &mut Judge<'_, '_>,
    ) -> StuffingOutcome {
        let network = network_of(attempt.client_ip);
        let source = self.count(network, attempt);
        let is_affected = self.is_often_refused(source, network)
            && attempt.key_id.as_ref().is_some_and(|key_id| {
                self.note_affected(source, network, key_id, attempt.is_accepted)
            });
        let has_leaked = is_affected && attempt.is_accepted;
        if !(attempt.is_refused || has_leaked) || is_excused {
            return StuffingOutcome::default();
        }
        self.judge(source, network, attempt, has_leaked, judge)
    }

    /// Counts an attempt, and returns the source that it counts against: the network if that is
    /// known to try keys from many addresses, else the machine.
    fn count(&mut self, network: IpNet, attempt: &SourceAttempt) -> IpNet {
        let machine = machine_of(attempt.client_ip);
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

    /// Judges an attempt as part of a list that is tried from many addresses. Sources that are known
    /// to try keys have incidents of their own. `is_settled` says whether the key has had time to
    /// show its own places.
    pub fn observe_wave(
        &mut self,
        attempt: &SourceAttempt,
        is_settled: bool,
        judge: &mut Judge<'_, '_>,
    ) -> StuffingOutcome {
        if self.is_told(attempt.client_ip) || !attempt.is_away_from_home() {
            return StuffingOutcome::default();
        }
        let is_hit = self.wave.count(attempt, is_settled) && self.wave.is_told(attempt.time);
        if !attempt.is_refused && !is_hit {
            return StuffingOutcome::default();
        }
        let Some(wave) = find_wave(&self.wave, judge.threshold) else {
            return StuffingOutcome::default();
        };
        self.wave.tell(attempt.time);
        let affected = self.wave.affected().ids();
        let leaked = self.wave.affected_mut().take_untold();
        let alerts = judge.source(wave.source(), wave, attempt, &affected, is_hit);
        let leaks = leaked.into_iter().map(|key_id| Leak { key_id, stuffing: wave });
        StuffingOutcome { alerts, leaks: leaks.collect() }
    }

    /// Judges an attempt as part of a list that one network tries so slowly that no hour shows it.
    /// It is reported once in a window.
    pub fn observe_slow(
        &mut self,
        attempt: &SourceAttempt,
        judge: &mut Judge<'_, '_>,
    ) -> StuffingOutcome {
        let network = network_of(attempt.client_ip);
        // The cheap question first: most requests are of networks that are never refused.
        let is_concerned = attempt.is_refused || self.slow.is_watched(&network);
        if !is_concerned || self.is_told(attempt.client_ip) {
            return StuffingOutcome::default();
        }
        self.slow.count(network, attempt);
        let Some(profile) = self.slow.get_mut(&network) else { return StuffingOutcome::default() };
        let key_id = attempt.key_id.as_ref().filter(|_| profile.is_often_refused());
        let is_new = key_id.is_some_and(|id| profile.affected_mut().note(id, attempt.is_accepted));
        let has_leaked = is_new && attempt.is_accepted;
        if profile.is_told != has_leaked || !(attempt.is_refused || has_leaked) {
            return StuffingOutcome::default();
        }
        let Some(stuffing) = find_slow_stuffing(network, profile, judge.threshold) else {
            return StuffingOutcome::default();
        };
        profile.is_told = true;
        let (affected, leaked) = (profile.affected().ids(), profile.affected_mut().take_untold());
        let alerts = judge.source(network, stuffing, attempt, &affected, has_leaked);
        let leaks = leaked.into_iter().map(|key_id| Leak { key_id, stuffing });
        StuffingOutcome { alerts, leaks: leaks.collect() }
    }

    /// Whether a list of this address, or of its network, is told.
    pub fn is_told(&mut self, ip: IpAddr) -> bool {
        let (machine, network) = (machine_of(ip), network_of(ip));
        self.machines.get_mut(&machine).is_some_and(|profile| profile.is_told)
            || self.networks.get_mut(&network).is_some_and(|profile| profile.is_told)
    }

    fn is_often_refused(&mut self, source: IpNet, network: IpNet) -> bool {
        let table = if source == network { &mut self.networks } else { &mut self.machines };
        table.get_mut(&source).is_some_and(|profile| profile.is_often_refused())
    }

    /// Whether this is new: the key was not known to be affected, or not known to be accepted.
    fn note_affected(
        &mut self,
        source: IpNet,
        network: IpNet,
        key_id: &KeyId,
        is_answered: bool,
    ) -> bool {
        if source == network {
            return self.networks.note_affected(&network, key_id, is_answered);
        }
        if self.machines.get_mut(&source).is_some_and(|profile| !profile.is_told) {
            self.networks.note_affected(&network, key_id, is_answered);
        }
        self.machines.note_affected(&source, key_id, is_answered)
    }

    fn judge(
        &mut self,
        source: IpNet,
        network: IpNet,
        attempt: &SourceAttempt,
        has_leaked: bool,
        judge: &mut Judge<'_, '_>,
    ) -> StuffingOutcome {
        if source != network
            && let Some(profile) = self.machines.get_mut(&source)
            && let Some(stuffing) = find_stuffing(source, Scope::Machine, profile, judge.threshold)
        {
            if !profile.is_told {
                profile.is_told = true;
                self.networks.clear(&network);
            }
            return self.report(source, stuffing, attempt, has_leaked, judge);
        }
        let profile = self.networks.get_mut(&network);
        let Some(stuffing) = profile.and_then(|profile| {
            let stuffing = find_stuffing(network, Scope::Network, profile, judge.threshold)?;
            profile.is_told = true;
            Some(stuffing)
        }) else {
            return StuffingOutcome::default();
        };
        self.report(network, stuffing, attempt, has_leaked, judge)
    }

    fn report(
        &mut self,
        source: IpNet,
        stuffing: Stuffing,
        attempt: &SourceAttempt,
        has_leaked: bool,
        judge: &mut Judge<'_, '_>,
    ) -> StuffingOutcome {
        let is_network = source == network_of(attempt.client_ip);
        let table = if is_network { &mut self.networks } else { &mut self.machines };
        let Some(profile) = table.get_mut(&source) else { return StuffingOutcome::default() };
        let (affected, leaked) = (profile.affected().ids(), profile.affected_mut().take_untold());
        let alerts = judge.source(source, stuffing, attempt, &affected, has_leaked);
        let leaks = leaked.into_iter().map(|key_id| Leak { key_id, stuffing });
        StuffingOutcome { alerts, leaks: leaks.collect() }
    }
}

impl Judge<'_, '_> {
    fn source(
        &mut self,
        source: IpNet,
        stuffing: Stuffing,
        attempt: &SourceAttempt,
        affected: &[KeyId],
        has_leaked: bool,
    ) -> Vec<Alert> {
        let subject = Subject::Source(source);
        let named_after = if self.is_merged { merged_name(stuffing) } else { attempt.time };
        let occurrence = Occurrence { named_after, ..Occurrence::of_source(attempt, affected) };
        let stale = self.decider.close_stale(&subject, attempt.time, self.moment, self.policy);
        let mut alerts: Vec<Alert> = stale.into_iter().collect();
        let (detector, ceiling) = (DetectorId::CredentialStuffing, stuffing.ceiling());
        let known = self.decider.news_below(&subject, detector, ceiling);
        if stuffing.p_value > known && !has_leaked {
            self.decider.keep_open(&subject, occurrence, self.moment, self.policy);
            return alerts;
        }
        let signals = vec![stuffing.into_signal(attempt)];
        alerts.extend(self.decider.consider(
            &subject,
            occurrence,
            signals,
            self.moment,
            self.policy,
        ));
        alerts
    }

    /// Adds the leak to the key's own incident. The key may have been accepted some requests ago,
    /// before its source was recognised as stuffing.
    pub fn leaked_key(&mut self, leak: Leak, attempt: &SourceAttempt) -> Option<Alert> {
        let is_own = attempt.key_id.as_ref() == Some(&leak.key_id);
        let told_tenant = attempt.tenant.as_deref().filter(|_| is_own);
        let known = KnownKey { told_tenant, ..KnownKey::default() };
        let occurrence =
            Occurrence { known, source_ip: None, ..Occurrence::of_source(attempt, &[]) };
        let signals = vec![leak.stuffing.leak_signal(attempt)];
        let subject = Subject::Key(leak.key_id);
        self.decider.consider(&subject, occurrence, signals, self.moment, self.policy)
    }
}

/// The store forgets the first attempts of a list that goes on, and all processes must still name it
/// alike: a slow one is another list each day, and never each hour.
fn merged_name(stuffing: Stuffing) -> EventTime {
    let length = if stuffing.is_slow() { 24 * HOUR_MICROS } else { HOUR_MICROS };
    let micros = stuffing.since().as_micros();
    EventTime::from_micros(micros - micros.rem_euclid(length))
}
