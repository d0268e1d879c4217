//! `keywatch report` measures, over the last days that ClickHouse holds, whether promises were kept
//! and whether the models still fit.
//!
//! Incidents are those that were alerted. Scores and features are measured by feeding the same
//! events to an engine again ([`HistoryScorer`]), with the current model.

pub mod compliance;
pub mod outcomes;
pub mod page;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::{Alert, Severity};
use crate::config::Config;
use crate::detect::calibration::MEASURED;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::FeatureDrift;
use crate::detect::{Family, Thresholds, family};
use crate::engine::HistoryScorer;
use crate::event::{EventTime, ShardId};
use crate::store::{Store, StoreError};

use self::outcomes::{OfDetector, Range, by_confidence, by_detector};
use self::text::DRIFTED;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub from: EventTime,
    pub until: EventTime,
    pub events: u64,
    /// Number of these events whose time could not be trusted; no other figure includes them.
    pub quarantined: u64,
    pub keys: usize,
    /// The model whose features were compared with the measured ones.
    pub model: String,
    /// Number of incidents opened in this time.
    pub incidents: usize,
    pub incidents_by_severity: BTreeMap<Severity, usize>,
    pub promises: Vec<Promise>,
    pub features: Vec<FeatureDrift>,
    /// Confidence against what people decided.
    pub confidence: Vec<Range>,
    pub outcomes: Vec<OfDetector>,
}

/// The promise of one family of detectors, and the measured figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promise {
    pub family: &'static str,
    /// Expected number of false alerts over the measured key-hours.
    pub promised: f64,
    /// Number of incidents whose strongest evidence belongs to this family. Not all are false, so
    /// this is an upper bound of the false ones.
    pub incidents: usize,
    /// Share of key-hours in the tail of the scores: promised by the model, and measured.
    pub tail_promised: f64,
    pub tail_measured: f64,
}

/// Measures the events that were stored between two times. `on_progress` is called with the number
/// of events read and the total.
///
/// # Errors
/// Returns an error if the store cannot be read.
pub async fn measure(
    store: &Store,
    config: &Config,
    model: &Model,
    (from, until): (EventTime, EventTime),
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Report, StoreError> {
    let slices = store.event_slices(from).await?;
    let total = slices.iter().map(|slice| slice.events).sum();
    let mut scorer = HistoryScorer::new(config, model);
    let mut events = 0;
    for slice in slices {
        let told = store.read_events(slice, |batch| {
            events += batch.len() as u64;
            on_progress(events, total);
            scorer.score(batch);
            Ok::<(), StoreError>(())
        });
        told.await?;
    }
    let mut incidents = store.incidents(from).await?;
    incidents.retain(|incident| incident.detected_event_time >= from);
    let decided = store.outcomes(from).await?;
    let engine = scorer.engine();
    Ok(Report {
        from,
        until,
        events,
        quarantined: scorer.quarantined(),
        keys: engine.keys(),
        model: model.version(),
        incidents: incidents.len(),
        incidents_by_severity: by_severity(&incidents),
        promises: promises(&scorer, &incidents),
        features: engine.feature_drift(),
        confidence: by_confidence(&decided),
        outcomes: by_detector(&decided),
    })
}

impl Report {
    /// Number of features whose distribution has changed much.
    pub fn drifted(&self) -> usize {
        self.features.iter().filter(|feature| feature.stability_index >= DRIFTED).count()
    }
}

fn by_severity(incidents: &[Alert]) -> BTreeMap<Severity, usize> {
    let mut counts = BTreeMap::new();
    for incident in incidents {
        *counts.entry(incident.severity).or_default() += 1;
    }
    counts
}

fn promises(scorer: &HistoryScorer, incidents: &[Alert]) -> Vec<Promise> {
    let engine = scorer.engine();
    let Some((calibration, thresholds)) = engine.calibration(ShardId::Shared) else {
        return Vec::new();
    };
    let of_family = |which: Family| {
        let strongest = |incident: &&Alert| incident.detectors.first().copied().map(family);
        let (tail_promised, tail_measured) = calibration.tail_share(which);
        Promise {
            family: which.as_str(),
            promised: calibration.key_hours()
                * Thresholds::tests_an_hour(which)
                * thresholds.of(which),
            incidents: incidents.iter().filter(|one| strongest(one) == Some(which)).count(),
            tail_promised,
            tail_measured,
        }
    };
    MEASURED.into_iter().map(of_family).collect()
}
