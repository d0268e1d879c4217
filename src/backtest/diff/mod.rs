//! Compares two configurations on one history: which keys only one of them would revoke, and how
//! much traffic that would have broken.
//!
//! The log is read twice: once through both scorers, for the revocations, and once for the requests
//! of the keys that either revokes.

mod loss;
pub mod page;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::labels::Label;
use super::timeline::Bin;
use crate::alert::{Alert, AlertType, DetectorId};
use crate::backtest::BacktestError;
use crate::config::Config;
use crate::engine::Scorer;
use crate::event::{EventTime, KeyId};
use crate::record::BatchLimits;
use crate::respond::{self, Granted};
use crate::source::FileReader;

use self::loss::{Losses, Served};

/// A configuration and the file name that the user gave.
pub struct Candidate {
    pub name: String,
    pub config: Config,
}

#[derive(Debug, Serialize)]
pub struct Difference {
    pub events: u64,
    pub keys: usize,
    pub first_event_time: Option<EventTime>,
    pub last_event_time: Option<EventTime>,
    /// Whether attacks are labelled, so that a revocation can be called right or wrong.
    pub has_labels: bool,
    pub policies: [PolicyOutcome; 2],
    /// All keys that either configuration revokes. Keys that only one revokes come first, ordered
    /// by lost requests.
    pub revoked: Vec<RevokedKey>,
}

/// The result of one configuration.
#[derive(Debug, Serialize)]
pub struct PolicyOutcome {
    pub name: String,
    pub version: String,
    pub revoked: usize,
    /// The number of these keys that the other configuration does not revoke.
    pub revoked_alone: usize,
    /// The number of these keys that no known attack explains; `None` without labels.
    pub revoked_wrongly: usize,
    pub lost: Served,
    /// Requests of the owners that would have been refused, by tenant. The empty name stands for
    /// keys without a tenant.
    pub lost_by_tenant: BTreeMap<String, u64>,
}

/// A key that one configuration or both would revoke.
#[derive(Debug, Serialize)]
pub struct RevokedKey {
    pub key_id: KeyId,
    pub tenant: Option<String>,
    /// The kind of a known attack on this key that had begun by then.
    pub attack: Option<String>,
    pub by: [Option<Revocation>; 2],
    pub bin_seconds: u32,
    /// All requests of the key.
    pub requests: Vec<Bin>,
}

/// The request to revoke a key, and the requests that would have been refused after it.
#[derive(Clone, Debug, Serialize)]
pub struct Revocation {
    pub time: EventTime,
    pub incident: String,
    /// The time of the first evidence.
    pub since: EventTime,
    pub detectors: Vec<DetectorId>,
    pub confidence: f64,
    pub title: String,
    pub explanation: String,
    pub lost: Served,
}

impl RevokedKey {
    /// Whether only one of the two configurations revokes it.
    pub fn is_disputed(&self) -> bool {
        self.by.iter().flatten().count() == 1
    }

    fn most_lost(&self) -> u64 {
        self.by.iter().flatten().map(|revocation| revocation.lost.owner).max().unwrap_or(0)
    }
}

/// Runs `inputs` through both configurations. Both run with `dry_run` off, because the comparison
/// is about their effect.
///
/// `on_progress` is called with the bytes read and the total.
///
/// # Errors
/// Returns an error for unreadable input, configuration or databases.
pub fn run(
    inputs: &[PathBuf],
    candidates: &[Candidate; 2],
    labels: &[Label],
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Difference, BacktestError> {
    let limits = BatchLimits::from(&candidates[0].config.source);
    let configs = [0, 1].map(|side: usize| live(&candidates[side].config));
    let mut scorers = [Scorer::open(&configs[0])?, Scorer::open(&configs[1])?];
    let mut alerts: [Vec<Alert>; 2] = Default::default();
    let mut reader = FileReader::open(inputs.to_vec(), limits)?;
    let progress = reader.progress();
    for batch in reader.by_ref() {
        let batch = batch?;
        for (scorer, alerts) in scorers.iter_mut().zip(&mut alerts) {
            alerts.append(&mut scorer.process(&batch, None).outcome.alerts);
        }
        on_progress(progress.read_bytes(), 2 * progress.total_bytes());
    }
    let [mut scorer, _] = scorers;
    let mut losses = Losses::new([0, 1].map(|side| revocations(&alerts[side], &configs[side])));
    let mut reader = FileReader::open(inputs.to_vec(), limits)?;
    let progress = reader.progress();
    for batch in reader.by_ref() {
        losses.add(scorer.decode(&batch?, None).events());
        on_progress(progress.total_bytes() + progress.read_bytes(), 2 * progress.total_bytes());
    }
    Ok(compare(candidates, losses, scorer.engine().keys(), labels))
}

/// The first revocation of each key.
type Revocations = BTreeMap<KeyId, Revocation>;

fn live(config: &Config) -> Config {
    let mut config = config.clone();
    config.policy.dry_run = false;
    config
}

fn revocations(alerts: &[Alert], config: &Config) -> Revocations {
    let rules = respond::Rules::new(&config.policy);
    let mut revocations = Revocations::new();
    for granted in respond::replay(alerts, &rules, config.policy.quiet_close_seconds) {
        let is_revocation = granted.alert.alert_type == AlertType::RevocationRequested;
        if let Some(key_id) = granted.alert.key_id.as_ref().filter(|_| is_revocation) {
            revocations.entry(key_id.clone()).or_insert_with(|| Revocation::of(&granted));
        }
    }
    revocations
}

impl Revocation {
    fn of(granted: &Granted) -> Self {
        let alert = &granted.alert;
        Self {
            time: granted.time,
            incident: alert.id.clone(),
            since: alert.first_event_time,
            detectors: alert.detectors.clone(),
            confidence: alert.confidence,
            title: alert.title.clone(),
            explanation: alert.explanation.clone(),
            lost: Served::default(),
        }
    }
}

fn compare(
    candidates: &[Candidate; 2],
    losses: Losses,
    keys: usize,
    labels: &[Label],
) -> Difference {
    let (events, span) = (losses.events(), losses.span());
    let mut revoked: Vec<RevokedKey> = losses.finish(labels);
    revoked.sort_by_key(|key| {
        (Reverse(key.is_disputed()), Reverse(key.most_lost()), key.key_id.clone())
    });
    let outcome = |side: usize| PolicyOutcome::of(&candidates[side], &revoked, side, labels);
    Difference {
        events,
        keys,
        first_event_time: span.map(|(first, _)| first),
        last_event_time: span.map(|(_, last)| last),
        has_labels: !labels.is_empty(),
        policies: [outcome(0), outcome(1)],
        revoked,
    }
}

impl PolicyOutcome {
    fn of(candidate: &Candidate, revoked: &[RevokedKey], side: usize, labels: &[Label]) -> Self {
        let mut outcome = Self {
            name: candidate.name.clone(),
            version: candidate.config.policy.version.clone(),
            revoked: 0,
            revoked_alone: 0,
            revoked_wrongly: 0,
            lost: Served::default(),
            lost_by_tenant: BTreeMap::new(),
        };
        for key in revoked {
            let Some(revocation) = &key.by[side] else { continue };
            outcome.revoked += 1;
            outcome.revoked_alone += usize::from(key.is_disputed());
            outcome.revoked_wrongly += usize::from(!labels.is_empty() && key.attack.is_none());
            outcome.lost += revocation.lost;
            let tenant = key.tenant.clone().unwrap_or_default();
            *outcome.lost_by_tenant.entry(tenant).or_default() += revocation.lost.owner;
        }
        outcome
    }
}
