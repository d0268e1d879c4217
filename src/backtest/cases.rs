//! Picks the cases that a report shows one by one: attacks that were missed or found late, and the
//! incidents of highest risk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::labels::Label;
use super::matches::{Judged, Matches};
use super::tally::Observed;
use super::timeline::{Bin, Timeline};
use crate::alert::{DetectorId, Severity};
use crate::event::{EventTime, KeyId};

/// Cases of each kind that a report shows.
const SHOWN_CASES: usize = 6;
/// The largest number of alerts marked on a timeline.
const MARKED_ALERTS: usize = 20;
/// An attack counts as missed when no alert of at least this severity named it.
pub const MISSED_BELOW: Severity = Severity::Medium;

/// Requests of one key over time, and the alerts about the key.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Requests {
    pub bin_seconds: u32,
    /// Requests in bins; empty bins are left out.
    pub bins: Vec<Bin>,
    pub alerts: Vec<Mark>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    pub time: EventTime,
    pub severity: Severity,
    pub detectors: Vec<DetectorId>,
}

/// A labelled attack and how it was detected.
#[derive(Clone, Debug, Serialize)]
pub struct AttackCase {
    pub kind: String,
    pub key_id: Option<KeyId>,
    pub start: EventTime,
    pub end: EventTime,
    /// The detectors that count as finding the attack.
    pub detectors: Vec<String>,
    /// Seconds from the start to the first alert of medium severity or above that names the attack;
    /// `None` without such an alert.
    pub seconds_to_detect: Option<f64>,
    /// The same at any severity.
    pub seconds_to_first_sign: Option<f64>,
    pub from: EventTime,
    pub to: EventTime,
    pub requests: Requests,
}

#[derive(Clone, Debug, Serialize)]
pub struct IncidentCase {
    pub id: String,
    pub key_id: Option<KeyId>,
    /// The severity of the incident when its risk was highest.
    pub severity: Severity,
    pub risk: f64,
    pub title: String,
    pub explanation: String,
    pub detectors: Vec<DetectorId>,
    pub opened: EventTime,
    pub last_event_time: EventTime,
    pub from: EventTime,
    pub to: EventTime,
    pub requests: Requests,
}

pub fn worst_attacks(
    matches: &Matches<'_>,
    observed: &Observed,
    labels: &[Label],
) -> Vec<AttackCase> {
    let delay = |index: usize, severity| {
        matches.found(index, severity).map(|time| time.seconds_since(labels[index].start))
    };
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| {
        let badness = |index: usize| {
            let seconds = |severity| delay(index, severity).unwrap_or(f64::INFINITY);
            (seconds(MISSED_BELOW), seconds(Severity::Low))
        };
        badness(*b).partial_cmp(&badness(*a)).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
    });
    let case = |index: usize| {
        let label = &labels[index];
        let (from, to) = label.surroundings();
        let alerts = match &label.key_id {
            Some(key) => marks(matches, key, from, to),
            None => Vec::new(),
        };
        AttackCase {
            kind: label.kind.clone(),
            key_id: label.key_id.clone(),
            start: label.start,
            end: label.end,
            detectors: label.detectors.clone(),
            seconds_to_detect: delay(index, MISSED_BELOW),
            seconds_to_first_sign: delay(index, Severity::Low),
            from,
            to,
            requests: requests(&observed.attack_timelines[index], alerts),
        }
    };
    order.into_iter().take(SHOWN_CASES).map(case).collect()
}

/// The incidents of highest risk. With labels, incidents that a label explains are left out.
pub fn worst_incidents(matches: &Matches<'_>, observed: &Observed) -> Vec<IncidentCase> {
    let explained: BTreeSet<&str> =
        matches.alerts.iter().filter(|j| j.is_true).map(|j| j.alert.id.as_str()).collect();
    let mut incidents: BTreeMap<&str, Vec<Judged<'_>>> = BTreeMap::new();
    for judged in matches.alerts.iter().filter(|j| !explained.contains(j.alert.id.as_str())) {
        incidents.entry(&judged.alert.id).or_default().push(*judged);
    }
    let mut incidents: Vec<Vec<Judged<'_>>> = incidents.into_values().collect();
    let risk = |revisions: &[Judged<'_>]| {
        revisions.iter().map(|judged| judged.alert.risk).fold(0.0, f64::max)
    };
    incidents.sort_by(|a, b| {
        let first = |revisions: &[Judged<'_>]| revisions[0].alert.detected_event_time;
        risk(b).total_cmp(&risk(a)).then(first(a).cmp(&first(b)))
    });
    let case = |revisions: Vec<Judged<'_>>| incident_case(&revisions, matches, observed);
    incidents.into_iter().take(SHOWN_CASES).filter_map(case).collect()
}

fn incident_case(
    revisions: &[Judged<'_>],
    matches: &Matches<'_>,
    observed: &Observed,
) -> Option<IncidentCase> {
    let opened = revisions.first()?.alert.detected_event_time;
    let worst = revisions.iter().map(|j| j.alert).max_by(|a, b| a.risk.total_cmp(&b.risk))?;
    let (from, to) = observed.span?;
    let timeline = worst.key_id.as_ref().and_then(|key| observed.key_timelines.get(key));
    let alerts = worst.key_id.as_ref().map(|key| marks(matches, key, from, to));
    let requests = timeline.map(|timeline| requests(timeline, alerts.unwrap_or_default()));
    Some(IncidentCase {
        id: worst.id.clone(),
        key_id: worst.key_id.clone(),
        severity: worst.severity,
        risk: worst.risk,
        title: worst.title.clone(),
        explanation: worst.explanation.clone(),
        detectors: worst.detectors.clone(),
        opened,
        last_event_time: worst.last_event_time,
        from,
        to,
        requests: requests.unwrap_or_default(),
    })
}

fn requests(timeline: &Timeline, alerts: Vec<Mark>) -> Requests {
    Requests { bin_seconds: timeline.bin_seconds(), bins: timeline.bins(), alerts }
}

/// The most severe alerts about the key between two times, in order of time.
fn marks(matches: &Matches<'_>, key_id: &KeyId, from: EventTime, to: EventTime) -> Vec<Mark> {
    let about = |judged: &&Judged<'_>| {
        judged.alert.key_id.as_ref() == Some(key_id)
            && (from..=to).contains(&judged.alert.detected_event_time)
    };
    let mark = |judged: &Judged<'_>| Mark {
        time: judged.alert.detected_event_time,
        severity: judged.alert.severity,
        detectors: judged.alert.detectors.clone(),
    };
    let mut marks: Vec<Mark> = matches.alerts.iter().filter(about).map(mark).collect();
    marks.dedup();
    marks.sort_by_key(|mark| (Reverse(mark.severity), mark.time));
    marks.truncate(MARKED_ALERTS);
    marks.sort_by_key(|mark| mark.time);
    marks
}
