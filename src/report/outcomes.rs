//! Holds the confidence of incidents against what people decided about them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::DetectorId;
use crate::decide::risk::theft_given;
use crate::store::Outcomes;

/// Incidents of one range of confidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Range {
    /// 0 to 0.9: the lower end.
    pub from: f64,
    pub incidents: u64,
    pub confirmed: u64,
    pub dismissed: u64,
    /// The mean confidence of those that people closed; `None` without any.
    pub said: Option<f64>,
    /// The share of these that were confirmed.
    pub measured: Option<f64>,
}

/// Incidents whose strongest evidence is of one detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfDetector {
    pub detector: String,
    pub incidents: u64,
    pub confirmed: u64,
    pub dismissed: u64,
    /// The probability of theft that is assumed of its sign.
    pub assumed: Option<f64>,
    /// The share of those that people closed which were confirmed.
    pub measured: Option<f64>,
}

/// By confidence, lowest first; only ranges with incidents.
pub fn by_confidence(outcomes: &[Outcomes]) -> Vec<Range> {
    let mut sums: BTreeMap<u8, (u64, u64, u64, f64)> = BTreeMap::new();
    for it in outcomes {
        let (incidents, confirmed, dismissed, expected) = sums.entry(it.tenth).or_default();
        *incidents += it.incidents;
        *confirmed += it.confirmed;
        *dismissed += it.dismissed;
        *expected += it.expected;
    }
    let range =
        |(tenth, (incidents, confirmed, dismissed, expected)): (u8, (u64, u64, u64, f64))| Range {
            from: f64::from(tenth) / 10.0,
            incidents,
            confirmed,
            dismissed,
            said: share(expected, confirmed + dismissed),
            measured: share(confirmed as f64, confirmed + dismissed),
        };
    sums.into_iter().map(range).collect()
}

/// By detector, by name.
pub fn by_detector(outcomes: &[Outcomes]) -> Vec<OfDetector> {
    let mut sums: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for it in outcomes {
        let (incidents, confirmed, dismissed) = sums.entry(&it.detector).or_default();
        *incidents += it.incidents;
        *confirmed += it.confirmed;
        *dismissed += it.dismissed;
    }
    let row = |(detector, (incidents, confirmed, dismissed)): (&str, (u64, u64, u64))| OfDetector {
        detector: detector.to_owned(),
        incidents,
        confirmed,
        dismissed,
        assumed: DetectorId::named(detector).map(theft_given),
        measured: share(confirmed as f64, confirmed + dismissed),
    };
    sums.into_iter().map(row).collect()
}

fn share(part: f64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_stands_beside_what_people_found() {
        let row = |detector: &str, tenth, confirmed, dismissed, expected| Outcomes {
            detector: detector.into(),
            tenth,
            incidents: 10,
            confirmed,
            dismissed,
            expected,
        };
        let rows = [
            row("geo.impossible_travel", 9, 3, 1, 3.8),
            row("rate.spike", 9, 0, 4, 3.6),
            row("rate.spike", 2, 0, 0, 0.0),
        ];
        let ranges = by_confidence(&rows);
        assert_eq!(ranges.iter().map(|it| it.from).collect::<Vec<_>>(), [0.2, 0.9]);
        assert_eq!((ranges[0].said, ranges[0].measured), (None, None));
        assert_eq!(ranges[1].measured, Some(3.0 / 8.0));
        assert!(ranges[1].said.is_some_and(|said| (said - 0.925).abs() < 1e-9));
        let detectors = by_detector(&rows);
        assert_eq!((detectors[1].incidents, detectors[1].measured), (20, Some(0.0)));
        assert_eq!(detectors[0].assumed, Some(0.85));
    }
}
