//! Two configurations on one history: which keys one would revoke and the other not, and what
//! of the traffic would have broken.
//!
//! The log is read twice: once through both cores, for the revocations, and once for the
//! requests of the keys that were revoked by either.

mod loss;
pub mod page;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::labels::Label;
use super::timeline::Bin;
use crate::alert::{Alert, AlertType, DetectorId};
use crate::app::{AppError, Core};
use crate::config::Config;
use crate::event::{EventTime, KeyId};
use crate::source::{BatchLimits, FileReader};

use self::loss::{Losses, Served};

/// A configuration under the name that the person knows it by.
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
    /// Attacks are known, so that revocations are right or wrong.
    pub has_labels: bool,
    pub policies: [PolicyOutcome; 2],
    /// All keys that either revokes: first those that only one does, with the most requests lost.
    pub revoked: Vec<RevokedKey>,
}

/// What one configuration comes to.
#[derive(Debug, Serialize)]
pub struct PolicyOutcome {
    pub name: String,
    pub version: String,
    pub revoked: usize,
    /// Of these, keys that the other does not revoke.
    pub revoked_alone: usize,
    /// Of these, keys that no known attack explains, where attacks are known.
    pub revoked_wrongly: usize,
    pub lost: Served,
    /// Requests of the owners that would have been refused, by tenant; the empty name is none.
    pub lost_by_tenant: BTreeMap<String, u64>,
}

/// A key that one configuration or both revoke.
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

/// The request to revoke a key, and what would have been refused after it.
#[derive(Clone, Debug, Serialize)]
pub struct Revocation {
    pub time: EventTime,
    pub incident: String,
    /// When the evidence began.
    pub since: EventTime,
    pub detectors: Vec<DetectorId>,
    pub confidence: f64,
    pub title: String,
    pub explanation: String,
    pub lost: Served,
}

impl RevokedKey {
    /// Only one of the two revokes it.
    pub fn is_disputed(&self) -> bool {
        self.by.iter().flatten().count() == 1
    }

    fn most_lost(&self) -> u64 {
        self.by.iter().flatten().map(|revocation| revocation.lost.owner).max().unwrap_or(0)
    }
}

/// Runs `inputs` through both configurations. Each decides as if it were not a dry run: what
/// is compared is what would happen.
///
/// `on_progress` is called with the bytes read and the bytes to read.
///
/// # Errors
/// Unreadable input, configuration or databases.
pub fn run(
    inputs: &[PathBuf],
    candidates: &[Candidate; 2],
    labels: &[Label],
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Difference, AppError> {
    let limits = BatchLimits::from(&candidates[0].config.source);
    let mut cores = [live_core(&candidates[0].config)?, live_core(&candidates[1].config)?];
    let mut revocations: [Revocations; 2] = Default::default();
    let mut reader = FileReader::open(inputs.to_vec(), limits)?;
    let progress = reader.progress();
    for batch in reader.by_ref() {
        let batch = batch?;
        for (core, revocations) in cores.iter_mut().zip(&mut revocations) {
            note_revocations(revocations, &core.process(&batch, None).alerts);
        }
        on_progress(progress.read_bytes(), 2 * progress.total_bytes());
    }
    let [mut core, _] = cores;
    let mut losses = Losses::new(revocations);
    let mut reader = FileReader::open(inputs.to_vec(), limits)?;
    let progress = reader.progress();
    for batch in reader.by_ref() {
        losses.add(core.decode(&batch?, None).events());
        on_progress(progress.total_bytes() + progress.read_bytes(), 2 * progress.total_bytes());
    }
    Ok(compare(candidates, losses, core.keys(), labels))
}

/// First revocations by key.
type Revocations = BTreeMap<KeyId, Revocation>;

fn live_core(config: &Config) -> Result<Core, AppError> {
    let mut config = config.clone();
    config.policy.dry_run = false;
    Core::new(&config)
}

fn note_revocations(revocations: &mut Revocations, alerts: &[Alert]) {
    for alert in alerts.iter().filter(|alert| alert.alert_type == AlertType::RevocationRequested) {
        if let Some(key_id) = &alert.key_id {
            revocations.entry(key_id.clone()).or_insert_with(|| alert.into());
        }
    }
}

impl From<&Alert> for Revocation {
    fn from(alert: &Alert) -> Self {
        Self {
            time: alert.detected_event_time,
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
