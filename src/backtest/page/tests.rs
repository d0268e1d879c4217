#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::super::cases::{IncidentCase, Mark, Requests};
use super::super::figures::{
    AtSeverity, Calibration, DetectorFigures, IncidentTime, KindFigures, Quantiles, Volume,
};
use super::super::timeline::Bin;
use super::*;
use crate::alert::{DetectorId, Severity};
use crate::event::EventTime;

const START: EventTime = EventTime::from_seconds(1_767_571_200);

fn at(seconds: f64) -> EventTime {
    START.plus_seconds(seconds)
}

/// A run of one day with this number of incidents and labels.
fn report(incidents: usize, labels: usize) -> Report {
    let times = (0..incidents).map(|n| IncidentTime {
        opened: at(n as f64 * 86_400.0 / incidents.max(1) as f64),
        severity: Severity::ALL[n % 4],
    });
    Report {
        volume: Volume { events: 1_000, keys: 1, days: 1.0, ..Volume::default() },
        first_event_time: Some(START),
        last_event_time: Some(at(86_400.0)),
        labels,
        incidents,
        at_severity: Severity::ALL
            .iter()
            .map(|severity| figures(*severity, labels, incidents))
            .collect(),
        detectors: vec![DetectorFigures {
            detector: DetectorId::RateSpike,
            true_incidents: 0,
            false_incidents: incidents,
        }],
        incident_times: times.collect(),
        worst_incidents: (0..incidents.min(6)).map(|_| hostile_incident()).collect(),
        ..Report::default()
    }
}

fn figures(severity: Severity, labels: usize, incidents: usize) -> AtSeverity {
    let quantiles = Quantiles { median: 0.0, p95: 4.0, max: 5_000.0 };
    let kind = KindFigures {
        labels,
        found: labels,
        recall: 1.0,
        seconds_to_detect: Some(quantiles),
        requests_to_detect: None,
    };
    AtSeverity {
        severity,
        labels,
        found: labels,
        recall: (labels > 0).then_some(1.0),
        true_incidents: 0,
        false_incidents: incidents,
        precision: (incidents > 0).then_some(0.0),
        false_alerts_per_1000_key_days: incidents as f64,
        kinds: if labels > 0 {
            BTreeMap::from([("<b>spike".to_owned(), kind)])
        } else {
            BTreeMap::new()
        },
    }
}

fn hostile_incident() -> IncidentCase {
    let text = "</style><script>alert(1)</script>";
    let mark =
        Mark { time: at(90.0), severity: Severity::High, detectors: vec![DetectorId::RateSpike] };
    IncidentCase {
        id: "i".into(),
        key_id: Some(text.into()),
        severity: Severity::High,
        risk: 71.2,
        title: text.into(),
        explanation: text.into(),
        detectors: vec![DetectorId::RateSpike],
        opened: at(90.0),
        last_event_time: at(95.0),
        from: START,
        to: at(86_400.0),
        requests: Requests {
            bin_seconds: 60,
            bins: vec![Bin { start: at(60.0), requests: 7 }, Bin { start: at(1e9), requests: 1 }],
            alerts: vec![mark],
        },
    }
}

fn calibrated() -> Report {
    let family = Calibration {
        family: "rate".into(),
        promised: 2.5,
        measured: 0.0,
        points: vec![(0.1, 0.11), (0.001, 0.0), (0.01, 0.02)],
    };
    Report { calibration: Some(vec![family, Calibration::default()]), ..report(3, 2) }
}

fn all() -> [Report; 6] {
    [report(0, 0), report(1, 0), report(5_000, 0), report(40, 3), calibrated(), Report::default()]
}

/// Checks that every element closes and is one that this page writes.
#[test]
fn elements_are_ours_and_close_and_nothing_is_fetched() {
    const VOID: [&str; 3] = ["!DOCTYPE", "meta", "wbr"];
    for page in all().map(|report| render(&report)) {
        assert!(!page.contains("://") && !page.contains("url(") && !page.contains("@import"));
        let mut open = Vec::new();
        for element in page.split('<').skip(1) {
            let name = |c: &char| c.is_ascii_alphanumeric() || *c == '!';
            let closing = element.strip_prefix('/');
            let name: String = closing.unwrap_or(element).chars().take_while(name).collect();
            assert_ne!(name, "script");
            if closing.is_some() {
                assert_eq!(open.pop(), Some(name));
            } else if !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn every_place_is_a_number_within_the_plot() {
    for page in all().map(|report| render(&report)) {
        assert!(!page.contains("NaN") && !page.contains("inf%"), "{page}");
        for attribute in ["x=\"", "cx=\"", "x1=\"", "x2=\"", "width=\""] {
            for value in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                let Some(share) = value.strip_suffix('%') else { continue };
                assert!((0.0..=100.0).contains(&share.parse::<f64>().unwrap()), "{value}");
            }
        }
    }
}

#[test]
fn many_incidents_make_no_bigger_page_than_a_few() {
    assert!(render(&report(5_000, 0)).len() < render(&report(100, 0)).len() + 10_000);
}

#[test]
fn headings_say_what_the_run_can_tell() {
    let headings = |report: &Report| -> BTreeSet<String> {
        let page = render(report);
        let heading = |part: &str| part.split("</h2>").next().map(str::to_owned);
        page.split("<h2>").skip(1).filter_map(heading).collect()
    };
    let unlabelled = headings(&report(3, 0));
    assert!(unlabelled.contains("Incidents of highest risk"), "{unlabelled:?}");
    assert!(!unlabelled.contains("Attacks found, by kind"));
    let labelled = headings(&report(3, 2));
    for heading in
        ["Attacks found, by kind", "Time to detect, by kind", "False alerts of highest risk"]
    {
        assert!(labelled.contains(heading), "{labelled:?}");
    }
    assert!(!labelled.contains("Promised and measured"));
    assert!(headings(&calibrated()).contains("Promised and measured"));
    assert!(render(&report(0, 0)).contains("No incidents were opened."));
    assert!(render(&Report::default()).contains("The log holds no events."));
}
