//! Judges credential stuffing by the attempts of one network over all partitions.
//!
//! Each partition hands out the attempts that other partitions may need. One process collects those
//! of a network, and judges them in the order of their times by the same rules as the attempts of
//! one log. It remembers nothing between two judgements. A second judgement, with more attempts,
//! gives the alerts of the first one again under the same ids, and then the new ones.

use std::hash::BuildHasher;

use ipnet::IpNet;

use crate::alert::Alert;
use crate::decide::{Decider, KnownKey, Moment, Occurrence, Policy, Subject};
use crate::detect::Signal;
use crate::event::{EventTime, KeyId};
use crate::profile::stuffing::SourceAttempt;

use super::local::{Judge, Leak, StuffingTables};
use crate::engine::partition_clock::PartitionClock;
use crate::engine::shard::Shard;

/// The parts that all attempts of a judgement share.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub threshold: f64,
    pub now: Option<EventTime>,
    pub model_version: &'a str,
    /// The event time that the logs have reached. Incidents that are quiet by then are closed.
    pub watermark: EventTime,
}

/// The result for the attempts of one network.
#[derive(Debug, Default)]
pub struct NetworkVerdict {
    /// Alerts about the network or a machine in it, in order.
    pub alerts: Vec<Alert>,
    pub leaks: Vec<LeakedKey>,
}

/// A key that was accepted from a source that tries keys.
#[derive(Clone, Debug)]
pub struct LeakedKey {
    pub key_id: KeyId,
    /// The key's first accepted request since the source began to be refused.
    pub attempt: SourceAttempt,
    signal: Signal,
}

/// Judges the attempts of one network. `attempts` is sorted by time.
pub fn judge(attempts: &[SourceAttempt], session: Session<'_>, policy: &Policy) -> NetworkVerdict {
    let (mut tables, mut decider) = (StuffingTables::default(), Decider::default());
    let mut verdict = NetworkVerdict::default();
    for attempt in attempts {
        let mut judge = Judge {
            decider: &mut decider,
            policy,
            moment: session.moment(attempt, attempt.time),
            threshold: session.threshold,
            is_merged: true,
        };
        let mut outcome = tables.observe(attempt, false, &mut judge);
        if outcome.is_empty() {
            outcome = tables.observe_slow(attempt, &mut judge);
        }
        verdict.alerts.extend(outcome.alerts);
        let leaks = outcome.leaks.into_iter();
        verdict.leaks.extend(leaks.map(|leak| LeakedKey::new(leak, attempts, attempt)));
    }
    for attempt in attempts {
        let moment = session.moment(attempt, session.watermark);
        verdict.alerts.extend(decider.close_quiet(moment, policy));
    }
    verdict
}

/// The partition whose owner judges `network`. All processes must agree on it; which one it is does
/// not matter.
pub fn home_of(network: IpNet, partition_count: usize) -> i32 {
    let hash = foldhash::quality::FixedState::default().hash_one(network);
    (hash % partition_count as u64) as i32
}

impl<'a> Session<'a> {
    fn moment(self, attempt: &'a SourceAttempt, watermark: EventTime) -> Moment<'a> {
        let Self { now, model_version, .. } = self;
        Moment { partition: &attempt.partition, watermark, now, model_version }
    }
}

impl LeakedKey {
    /// `last` is the attempt that revealed the leak.
    fn new(leak: Leak, attempts: &[SourceAttempt], last: &SourceAttempt) -> Self {
        let since = leak.stuffing.since();
        let first = attempts.iter().find(|attempt| {
            attempt.is_accepted
                && attempt.time >= since
                && attempt.key_id.as_ref() == Some(&leak.key_id)
                && leak.stuffing.source().contains(&attempt.client_ip)
        });
        let attempt = first.unwrap_or(last).clone();
        Self { signal: leak.stuffing.leak_signal(last), key_id: leak.key_id, attempt }
    }
}

impl Shard {
    /// Adds the leak to the key's own incident. A leak that was reported before (`is_told`) does
    /// not open a new incident.
    pub fn raise(
        &mut self,
        leak: &LeakedKey,
        is_told: bool,
        now: Option<EventTime>,
        model_version: &str,
        policy: &Policy,
    ) -> Vec<Alert> {
        let LeakedKey { key_id, attempt, signal } = leak;
        let subject = Subject::Key(key_id.clone());
        let watermark = self.clocks.get(&attempt.partition).and_then(PartitionClock::watermark);
        let watermark = watermark.unwrap_or(attempt.time);
        let moment = Moment { partition: &attempt.partition, watermark, now, model_version };
        let stale = self.decider.close_stale(&subject, watermark, moment, policy);
        let mut alerts: Vec<Alert> = stale.into_iter().collect();
        let is_new = if self.decider.is_open(&subject) {
            let known = self.decider.news_below(&subject, signal.detector, signal.ceiling);
            signal.p_value <= known
        } else {
            !is_told
        };
        if is_new {
            let profile = self.profiles.get(key_id).map(|kept| &*kept.profile);
            // The latest attempt may be on another key.
            let is_own = attempt.key_id.as_ref() == Some(key_id);
            let told_tenant = attempt.tenant.as_deref().filter(|_| is_own);
            let known = KnownKey { registered: None, profile, told_tenant };
            let occurrence =
                Occurrence { known, source_ip: None, ..Occurrence::of_source(attempt, &[]) };
            let signals = vec![signal.clone()];
            alerts.extend(self.decider.consider(&subject, occurrence, signals, moment, policy));
        }
        alerts
    }
}
