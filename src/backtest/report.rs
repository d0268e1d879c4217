//! What a backtest measured: recall, precision, false alerts, time to detect.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::labels::Label;
use crate::alert::{Alert, AlertType, Severity};
use crate::event::EventTime;

/// Volume of what was read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Volume {
    pub events: u64,
    pub rejections: u64,
    pub redelivered: u64,
    pub keys: usize,
    /// Days from the first event to the last.
    pub days: f64,
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub volume: Volume,
    pub first_event_time: Option<EventTime>,
    pub last_event_time: Option<EventTime>,
    pub incidents: usize,
    /// Incidents by their highest severity.
    pub incidents_by_severity: BTreeMap<Severity, usize>,
    /// One entry a severity: alerts of that severity and above are counted.
    pub at_severity: Vec<AtSeverity>,
}

/// Figures that count alerts of at least this severity.
#[derive(Debug, Serialize)]
pub struct AtSeverity {
    pub severity: Severity,
    pub labels: usize,
    pub found: usize,
    /// `None` without labels.
    pub recall: Option<f64>,
    pub true_incidents: usize,
    pub false_incidents: usize,
    pub precision: Option<f64>,
    pub false_alerts_per_1000_key_days: f64,
    pub kinds: BTreeMap<String, KindFigures>,
}

#[derive(Debug, Default, Serialize)]
pub struct KindFigures {
    pub labels: usize,
    pub found: usize,
    pub recall: f64,
    /// Seconds and requests of the key from the attack's start to the alert, of those found.
    pub seconds_to_detect: Option<Quantiles>,
    pub requests_to_detect: Option<Quantiles>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub median: f64,
    pub p95: f64,
    pub max: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles; `None` of nothing.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = |q: f64| (q * values.len() as f64).ceil() as usize;
        let at = |q: f64| values.get(rank(q).saturating_sub(1)).copied();
        Some(Self { median: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}

/// The requests of each label's key within the label's time, by event time.
pub type RequestTimes = Vec<Vec<EventTime>>;

pub const SEVERITIES: [Severity; 4] =
    [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// Measures alerts against labels.
pub fn measure(
    volume: Volume,
    span: Option<(EventTime, EventTime)>,
    alerts: &[Alert],
    labels: &[Label],
    requests: &RequestTimes,
) -> Report {
    let incidents = highest_severity(alerts);
    let mut incidents_by_severity = BTreeMap::new();
    for severity in incidents.values() {
        *incidents_by_severity.entry(*severity).or_default() += 1;
    }
    let at_severity = SEVERITIES
        .into_iter()
        .map(|severity| at_severity(severity, volume, alerts, labels, requests))
        .collect();
    Report {
        volume,
        first_event_time: span.map(|(first, _)| first),
        last_event_time: span.map(|(_, last)| last),
        incidents: incidents.len(),
        incidents_by_severity,
        at_severity,
    }
}

fn highest_severity(alerts: &[Alert]) -> BTreeMap<&str, Severity> {
    let mut highest = BTreeMap::new();
    for alert in alerts {
        let severity = highest.entry(alert.id.as_str()).or_insert(alert.severity);
        *severity = (*severity).max(alert.severity);
    }
    highest
}

fn at_severity(
    severity: Severity,
    volume: Volume,
    alerts: &[Alert],
    labels: &[Label],
    requests: &RequestTimes,
) -> AtSeverity {
    let counted: Vec<&Alert> = alerts
        .iter()
        .filter(|a| a.severity >= severity && a.alert_type != AlertType::Resolved)
        .collect();
    let true_ids: BTreeSet<&str> = counted
        .iter()
        .filter(|alert| labels.iter().any(|label| label.covers(alert)))
        .map(|alert| alert.id.as_str())
        .collect();
    let all_ids: BTreeSet<&str> = counted.iter().map(|alert| alert.id.as_str()).collect();
    let kinds = kinds(&counted, labels, requests);
    let found = kinds.values().map(|kind| kind.found).sum();
    let false_incidents = all_ids.len() - true_ids.len();
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let key_days = (volume.keys as f64 * volume.days).max(f64::MIN_POSITIVE);
    AtSeverity {
        severity,
        labels: labels.len(),
        found,
        recall: share(found, labels.len()),
        true_incidents: true_ids.len(),
        false_incidents,
        precision: share(true_ids.len(), all_ids.len()),
        false_alerts_per_1000_key_days: false_incidents as f64 / key_days * 1_000.0,
        kinds,
    }
}

fn kinds(
    alerts: &[&Alert],
    labels: &[Label],
    requests: &RequestTimes,
) -> BTreeMap<String, KindFigures> {
    let mut kinds: BTreeMap<String, (KindFigures, Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (label, times) in labels.iter().zip(requests) {
        let (figures, seconds, counts) = kinds.entry(label.kind.clone()).or_default();
        figures.labels += 1;
        let first = alerts
            .iter()
            .filter(|alert| label.is_found_by(alert))
            .map(|alert| alert.detected_event_time)
            .min();
        if let Some(time) = first {
            figures.found += 1;
            seconds.push(time.seconds_since(label.start));
            counts.push(times.iter().filter(|t| **t <= time).count() as f64);
        }
    }
    let finish = |(mut figures, seconds, counts): (KindFigures, Vec<f64>, Vec<f64>)| {
        figures.recall = figures.found as f64 / figures.labels as f64;
        figures.seconds_to_detect = Quantiles::of(seconds);
        figures.requests_to_detect = Quantiles::of(counts);
        figures
    };
    kinds.into_iter().map(|(kind, parts)| (kind, finish(parts))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let quantiles = Quantiles::of((1..=100).map(f64::from).collect()).unwrap();
        assert_eq!(quantiles, Quantiles { median: 50.0, p95: 95.0, max: 100.0 });
        assert_eq!(Quantiles::of(vec![]), None);
        assert_eq!(Quantiles::of(vec![3.0]).unwrap().p95, 3.0);
    }
}
