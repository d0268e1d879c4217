//! Computes the figures of a backtest: recall, precision, false alerts, time to detect.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cases::{self, AttackCase, IncidentCase};
use super::labels::Label;
use super::matches::Matches;
use super::tally::Observed;
use crate::alert::{Alert, AlertType, DetectorId, Severity};
use crate::event::EventTime;

/// The volume of the log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Volume {
    /// Distinct events: redelivered copies are not counted.
    pub events: u64,
    pub rejections: u64,
    /// Records that were redelivered; `events` does not include them.
    pub redelivered: u64,
    /// Requests that the format leaves out, such as those of the gateway itself.
    pub skipped: u64,
    /// Optional fields that could not be used, by name: their events lack them.
    pub fields_left_out: BTreeMap<&'static str, u64>,
    pub keys: usize,
    /// Days from the first event to the last.
    pub days: f64,
}

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub volume: Volume,
    pub first_event_time: Option<EventTime>,
    pub last_event_time: Option<EventTime>,
    pub labels: usize,
    pub incidents: usize,
    /// Incidents by their highest severity.
    pub incidents_by_severity: BTreeMap<Severity, usize>,
    /// One entry for each severity; it counts alerts of that severity and above.
    pub at_severity: Vec<AtSeverity>,
    /// The detectors that opened the incidents, the most frequent first.
    pub detectors: Vec<DetectorFigures>,
    /// Time and severity of each incident, in order of time.
    pub incident_times: Vec<IncidentTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Vec<Calibration>>,
    /// The attacks that were missed or found latest, worst first.
    pub worst_attacks: Vec<AttackCase>,
    /// The incidents of highest risk; with labels, the false ones only.
    pub worst_incidents: Vec<IncidentCase>,
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
    /// Seconds, and requests of the key, from the attack's start to the alert, over the attacks
    /// found.
    pub seconds_to_detect: Option<Quantiles>,
    pub requests_to_detect: Option<Quantiles>,
}

/// Incidents that this detector opened. Without labels all of them count as false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DetectorFigures {
    pub detector: DetectorId,
    pub true_incidents: usize,
    pub false_incidents: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct IncidentTime {
    pub opened: EventTime,
    /// The highest severity that the incident reached.
    pub severity: Severity,
}

/// The promised and the measured figures of one family of detectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    pub family: String,
    /// Promised number of false alerts in the whole run.
    pub promised: f64,
    /// Incidents of this family; with labels, only the false ones.
    pub measured: f64,
    /// Pairs of a promised tail probability and the measured share of key-hours beyond it.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub median: f64,
    pub p95: f64,
    pub max: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles; `None` without values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = |q: f64| (q * values.len() as f64).ceil() as usize;
        let at = |q: f64| values.get(rank(q).saturating_sub(1)).copied();
        Some(Self { median: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}

/// Measures alerts against labels. `alerts` must stand in the order in which they were made.
pub fn measure(observed: &Observed, alerts: &[Alert], labels: &[Label]) -> Report {
    let matches = Matches::new(alerts, labels);
    let incident_times = incident_times(alerts);
    let mut incidents_by_severity = BTreeMap::new();
    for incident in &incident_times {
        *incidents_by_severity.entry(incident.severity).or_default() += 1;
    }
    let at = |severity| at_severity(severity, &matches, observed, labels);
    Report {
        volume: observed.volume.clone(),
        first_event_time: observed.span.map(|(first, _)| first),
        last_event_time: observed.span.map(|(_, last)| last),
        labels: labels.len(),
        incidents: incident_times.len(),
        incidents_by_severity,
        at_severity: Severity::ALL.iter().copied().map(at).collect(),
        detectors: detectors(&matches),
        incident_times,
        calibration: None,
        worst_attacks: cases::worst_attacks(&matches, observed, labels),
        worst_incidents: cases::worst_incidents(&matches, observed),
    }
}

fn incident_times(alerts: &[Alert]) -> Vec<IncidentTime> {
    let mut incidents: BTreeMap<&str, IncidentTime> = BTreeMap::new();
    for alert in alerts {
        let this = IncidentTime { opened: alert.detected_event_time, severity: alert.severity };
        let incident = incidents.entry(&alert.id).or_insert(this);
        incident.severity = incident.severity.max(alert.severity);
    }
    let mut times: Vec<IncidentTime> = incidents.into_values().collect();
    times.sort_unstable();
    times
}

fn detectors(matches: &Matches<'_>) -> Vec<DetectorFigures> {
    let true_ids: BTreeSet<&str> =
        matches.alerts.iter().filter(|j| j.is_true).map(|j| j.alert.id.as_str()).collect();
    let mut counts: BTreeMap<DetectorId, DetectorFigures> = BTreeMap::new();
    let opened = matches.alerts.iter().filter(|j| j.alert.alert_type == AlertType::Opened);
    for alert in opened.map(|judged| judged.alert) {
        let Some(&detector) = alert.detectors.first() else { continue };
        let none = DetectorFigures { detector, true_incidents: 0, false_incidents: 0 };
        let figures = counts.entry(detector).or_insert(none);
        if true_ids.contains(alert.id.as_str()) {
            figures.true_incidents += 1;
        } else {
            figures.false_incidents += 1;
        }
    }
    let mut figures: Vec<DetectorFigures> = counts.into_values().collect();
    figures.sort_by_key(|f| std::cmp::Reverse(f.true_incidents + f.false_incidents));
    figures
}

fn at_severity(
    severity: Severity,
    matches: &Matches<'_>,
    observed: &Observed,
    labels: &[Label],
) -> AtSeverity {
    let id = |judged: super::matches::Judged<'_>| judged.alert.id.clone();
    let all_ids: BTreeSet<String> = matches.at_least(severity).map(id).collect();
    let true_ids: BTreeSet<String> =
        matches.at_least(severity).filter(|judged| judged.is_true).map(id).collect();
    let kinds = kinds(severity, matches, observed, labels);
    let found = kinds.values().map(|kind| kind.found).sum();
    let false_incidents = all_ids.len() - true_ids.len();
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let key_days = observed.volume.keys as f64 * observed.volume.days;
    let per_key_day = if key_days > 0.0 { false_incidents as f64 / key_days } else { 0.0 };
    AtSeverity {
        severity,
        labels: labels.len(),
        found,
        recall: share(found, labels.len()),
        true_incidents: true_ids.len(),
        false_incidents,
        precision: share(true_ids.len(), all_ids.len()),
        false_alerts_per_1000_key_days: per_key_day * 1_000.0,
        kinds,
    }
}

fn kinds(
    severity: Severity,
    matches: &Matches<'_>,
    observed: &Observed,
    labels: &[Label],
) -> BTreeMap<String, KindFigures> {
    let mut kinds: BTreeMap<String, (KindFigures, Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (index, label) in labels.iter().enumerate() {
        let (figures, seconds, requests) = kinds.entry(label.kind.clone()).or_default();
        figures.labels += 1;
        let Some(found) = matches.found(index, severity) else { continue };
        figures.found += 1;
        seconds.push(found.seconds_since(label.start));
        if label.key_id.is_some() {
            let times = &observed.attack_requests[index];
            requests.push(times.iter().filter(|time| **time <= found).count() as f64);
        }
    }
    let finish = |(mut figures, seconds, requests): (KindFigures, Vec<f64>, Vec<f64>)| {
        figures.recall = figures.found as f64 / figures.labels as f64;
        figures.seconds_to_detect = Quantiles::of(seconds);
        figures.requests_to_detect = Quantiles::of(requests);
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
