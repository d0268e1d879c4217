//! The filter of the list, as the address carries it.

use serde::Deserialize;

use crate::alert::{DetectorId, IncidentState, Severity};
use crate::console::answer::Failure;
use crate::console::frame::encoded;

/// The address as it came; every value is somebody's input.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    severity: String,
    detector: String,
    state: String,
    key: String,
    since: String,
    sort: String,
    after: String,
}

/// A filter whose values exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub severity: Option<Severity>,
    pub detector: Option<DetectorId>,
    pub state: Option<IncidentState>,
    /// Part of a key id, or the beginning of a source's address.
    pub about: String,
    /// Hours; 0 for all time.
    pub hours: u32,
    pub by_risk: bool,
    pub after: Option<Cursor>,
}

/// The place in the list after which a page begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub rank: f64,
    pub id: String,
}

/// The choices of time: value in the address, hours, words.
pub const TIMES: [(&str, u32, &str); 5] = [
    ("1h", 1, "last hour"),
    ("24h", 24, "last day"),
    ("7d", 168, "last week"),
    ("30d", 720, "last 30 days"),
    ("", 0, "all time"),
];

impl Filter {
    /// # Errors
    /// Names the value that does not exist, and those that do.
    pub fn checked(self) -> Result<Choice, Failure> {
        let severity = optional(&self.severity, Severity::named);
        let state = optional(&self.state, IncidentState::named);
        let hours =
            TIMES.iter().find(|(value, ..)| *value == self.since).map(|(_, hours, _)| *hours);
        let after = optional(&self.after, Cursor::parse);
        let wrong =
            |name: &str, known: &str| Failure::BadAddress(format!("`{name}` must be {known}."));
        Ok(Choice {
            severity: severity.ok_or_else(|| wrong("severity", "low, medium, high or critical"))?,
            detector: optional(&self.detector, DetectorId::named)
                .ok_or_else(|| wrong("detector", "the id of a detector, such as rate.spike"))?,
            state: state.ok_or_else(|| wrong("state", "open, acknowledged or closed"))?,
            about: self.key.trim().chars().take(512).collect(),
            hours: hours.ok_or_else(|| wrong("since", "1h, 24h, 7d or 30d"))?,
            by_risk: optional(&self.sort, |name| (name == "risk").then_some(()))
                .ok_or_else(|| wrong("sort", "risk, or left out for the newest first"))?
                .is_some(),
            after: after.ok_or_else(|| wrong("after", "the end of another page of this list"))?,
        })
    }
}

/// `Some(None)` for an empty value, `None` for one that cannot be read.
fn optional<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (rank, id) = text.split_once('~')?;
        let rank: f64 = rank.parse().ok()?;
        let is_usable = rank.is_finite() && !id.is_empty() && id.len() <= 128;
        is_usable.then(|| Self { rank, id: id.to_owned() })
    }

    pub fn text(&self) -> String {
        format!("{}~{}", self.rank, self.id)
    }
}

impl Choice {
    /// All open incidents, the newest first.
    pub fn open() -> Self {
        Self { state: Some(IncidentState::Open), ..Self::default() }
    }

    pub fn severity_name(&self) -> &'static str {
        self.severity.map_or("", Severity::as_str)
    }

    pub fn detector_name(&self) -> &'static str {
        self.detector.map_or("", DetectorId::as_str)
    }

    pub fn state_name(&self) -> &'static str {
        self.state.map_or("", IncidentState::as_str)
    }

    pub fn time(&self) -> (&'static str, &'static str) {
        let found = TIMES.iter().find(|(_, hours, _)| *hours == self.hours);
        found.map_or(("", "all time"), |(value, _, words)| (value, words))
    }

    /// The address of this list from `after` on.
    pub fn address(&self, after: Option<&Cursor>) -> String {
        let after = after.map(Cursor::text).unwrap_or_default();
        let values = [
            ("state", self.state_name()),
            ("severity", self.severity_name()),
            ("detector", self.detector_name()),
            ("key", &self.about),
            ("since", self.time().0),
            ("sort", if self.by_risk { "risk" } else { "" }),
            ("after", &after),
        ];
        let given = values.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<_> =
            given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("/incidents?{}", query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(filter: Filter) -> Result<Choice, String> {
        filter.checked().map_err(|failure| match failure {
            Failure::BadAddress(sentence) => sentence,
            _ => "another failure".into(),
        })
    }

    #[test]
    fn an_address_reads_back() {
        let cursor = Cursor { rank: 1_764_203_115_123_456.0, id: "inc_7".into() };
        let choice = Choice {
            severity: Some(Severity::High),
            detector: Some(DetectorId::RateSpike),
            state: Some(IncidentState::Open),
            about: "a&b".into(),
            hours: 24,
            by_risk: true,
            after: None,
        };
        assert_eq!(
            choice.address(Some(&cursor)),
            "/incidents?state=open&severity=high&detector=rate.spike&key=a%26b&since=24h&sort=risk\
             &after=1764203115123456~inc_7"
        );
        let filter = Filter {
            severity: "high".into(),
            detector: "rate.spike".into(),
            state: "open".into(),
            key: "a&b".into(),
            since: "24h".into(),
            sort: "risk".into(),
            after: cursor.text(),
        };
        assert_eq!(checked(filter), Ok(Choice { after: Some(cursor), ..choice }));
    }

    #[test]
    fn values_that_do_not_exist_are_named() {
        let bad = [
            (Filter { severity: "x".into(), ..Filter::default() }, "`severity`"),
            (Filter { detector: "x".into(), ..Filter::default() }, "`detector`"),
            (Filter { state: "x".into(), ..Filter::default() }, "`state`"),
            (Filter { since: "x".into(), ..Filter::default() }, "`since`"),
            (Filter { sort: "x".into(), ..Filter::default() }, "`sort`"),
            (Filter { after: "NaN~x".into(), ..Filter::default() }, "`after`"),
        ];
        for (filter, name) in bad {
            assert!(checked(filter).is_err_and(|sentence| sentence.starts_with(name)), "{name}");
        }
        assert_eq!(checked(Filter::default()), Ok(Choice::default()));
    }
}
