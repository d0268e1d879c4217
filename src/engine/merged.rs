//! Sources that try keys of several partitions.
//!
//! Each partition hands out the attempts that may matter elsewhere. Whoever has those of one
//! network, of all partitions, judges them in the order of their times by the same rules as the
//! attempts of a single log. Nothing is remembered between two judgements: the second one,
//! with more attempts, tells what the first one told under the same ids, and then what is new.

use std::hash::BuildHasher;

use ipnet::IpNet;

use crate::alert::{Alert, DetectorId};
use crate::decide::{Decider, Moment, Occurrence, Policy, Subject};
use crate::detect::Signal;
use crate::event::{EventTime, KeyId};
use crate::profile::source::Attempt;

use super::log::Log;
use super::shard::Shard;
use super::sources::{Judge, Leak, Sources};

/// What is the same for all attempts.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pub threshold: f64,
    pub now: Option<EventTime>,
    pub model_version: &'a str,
    /// How far the logs have come: what was quiet since is closed.
    pub watermark: EventTime,
}

/// What the attempts of a network come to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// About the network or a machine in it, in order.
    pub alerts: Vec<Alert>,
    pub leaks: Vec<LeakedKey>,
}

/// A key that was answered where others are tried.
#[derive(Clone, Debug)]
pub struct LeakedKey {
    pub key_id: KeyId,
    /// The first one that was answered since the source is refused.
    pub attempt: Attempt,
    signal: Signal,
}

/// Judges the attempts of one network, which are in the order of their times.
pub fn judge(attempts: &[Attempt], session: Session<'_>, policy: &mut Policy) -> Verdict {
    let (mut sources, mut decider) = (Sources::default(), Decider::default());
    let mut verdict = Verdict::default();
    for attempt in attempts {
        let mut judge = Judge {
            decider: &mut decider,
            policy,
            moment: session.moment(attempt, attempt.time),
            threshold: session.threshold,
            is_merged: true,
        };
        let told = sources.observe(attempt, false, &mut judge);
        verdict.alerts.extend(told.alerts);
        let leaks = told.leaks.into_iter();
        verdict.leaks.extend(leaks.map(|leak| LeakedKey::new(leak, attempts, attempt)));
    }
    for attempt in attempts {
        let moment = session.moment(attempt, session.watermark);
        verdict.alerts.extend(decider.close_quiet(moment, policy));
    }
    verdict
}

/// The partition whose owner tells of `network`: any will do, as long as all processes agree.
pub fn home_of(network: IpNet, partition_count: usize) -> i32 {
    let hash = foldhash::quality::FixedState::default().hash_one(network);
    (hash % partition_count as u64) as i32
}

impl<'a> Session<'a> {
    fn moment(self, attempt: &'a Attempt, watermark: EventTime) -> Moment<'a> {
        let Self { now, model_version, .. } = self;
        Moment { partition: &attempt.partition, watermark, now, model_version }
    }
}

impl LeakedKey {
    /// `last` is the attempt by which it came to light.
    fn new(leak: Leak, attempts: &[Attempt], last: &Attempt) -> Self {
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
    /// Raises a key of this shard in its own incident. One that was told before is not opened
    /// again.
    pub fn raise(
        &mut self,
        leak: &LeakedKey,
        is_told: bool,
        now: Option<EventTime>,
        model_version: &str,
        policy: &mut Policy,
    ) -> Vec<Alert> {
        let LeakedKey { key_id, attempt, signal } = leak;
        let subject = Subject::Key(key_id.clone());
        let watermark = self.logs.get(&attempt.partition).and_then(Log::watermark);
        let watermark = watermark.unwrap_or(attempt.time);
        let moment = Moment { partition: &attempt.partition, watermark, now, model_version };
        let stale = self.decider.close_stale(&subject, watermark, moment, policy);
        let mut alerts: Vec<Alert> = stale.into_iter().collect();
        let is_new = if self.decider.is_open(&subject) {
            signal.p_value <= self.decider.news_below(&subject, DetectorId::CredentialStuffing)
        } else {
            !is_told
        };
        if is_new {
            let tenant = attempt.tenant.as_deref();
            let occurrence =
                Occurrence { tenant, source_ip: None, ..Occurrence::of_source(attempt, &[]) };
            let signals = vec![signal.clone()];
            alerts.extend(self.decider.consider(&subject, occurrence, signals, moment, policy));
        }
        self.note_revocations(&alerts);
        alerts
    }
}
