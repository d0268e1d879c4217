//! `keywatch report`: what came of the promises, and whether the models still fit, over the
//! last days that ClickHouse holds.
//!
//! Incidents are those that were told. Scores and features are measured by telling the same
//! events to an engine again ([`Retrospect`]), with the model in use.

pub mod page;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::{Alert, Severity};
use crate::app::Retrospect;
use crate::config::Config;
use crate::detect::calibration::MEASURED;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::FeatureDrift;
use crate::detect::{Family, Thresholds, family};
use crate::event::{EventTime, ShardId};
use crate::store::{Store, StoreError};

use self::text::DRIFTED;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub from: EventTime,
    pub until: EventTime,
    pub events: u64,
    pub keys: usize,
    /// The model that the features were held against.
    pub model: String,
    /// Opened in this time.
    pub incidents: usize,
    pub incidents_by_severity: BTreeMap<Severity, usize>,
    pub promises: Vec<Promise>,
    pub features: Vec<FeatureDrift>,
}

/// What one family of detectors promises, and what came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promise {
    pub family: &'static str,
    /// False alerts that are to be expected of so many hours of keys.
    pub promised: f64,
    /// Incidents whose strongest evidence is this family's. Not all of them are false: this is
    /// the most that false ones can be.
    pub incidents: usize,
    /// Share of key-hours in the tail of the scores, by the model and as counted.
    pub tail_promised: f64,
    pub tail_measured: f64,
}

/// Reads what was stored between two times. `on_progress` is called with the events read and
/// those there are.
///
/// # Errors
/// A store that cannot be read.
pub async fn measure(
    store: &Store,
    config: &Config,
    model: &Model,
    (from, until): (EventTime, EventTime),
    mut on_progress: impl FnMut(u64, u64),
) -> Result<Report, StoreError> {
    let slices = store.event_slices(from).await?;
    let total = slices.iter().map(|slice| slice.events).sum();
    let mut retrospect = Retrospect::new(config, model);
    let mut events = 0;
    for slice in slices {
        let told = store.read_events(slice, |batch| {
            events += batch.len() as u64;
            on_progress(events, total);
            retrospect.tell(batch);
            Ok::<(), StoreError>(())
        });
        told.await?;
    }
    let mut incidents = store.incidents(from).await?;
    incidents.retain(|incident| incident.detected_event_time >= from);
    let engine = retrospect.engine();
    Ok(Report {
        from,
        until,
        events,
        keys: engine.keys(),
        model: model.version(),
        incidents: incidents.len(),
        incidents_by_severity: by_severity(&incidents),
        promises: promises(&retrospect, &incidents),
        features: engine.feature_drift(),
    })
}

impl Report {
    /// Features of which much has changed.
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

fn promises(retrospect: &Retrospect, incidents: &[Alert]) -> Vec<Promise> {
    let engine = retrospect.engine();
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
