//! Selects incidents by key, severity, detector, time and state.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::Deserialize;
use strum::VariantArray;

use crate::alert::{DetectorId, IncidentState, Severity};
use crate::event::{DAY_SECONDS, EventTime, HOUR_SECONDS};
use crate::store::{Store, StoreError};

const SQL: &str = include_str!("../../../sql/queries/incidents.sql");

/// The states that a filter names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChoice {
    Only(IncidentState),
    Any,
}

impl ValueEnum for StateChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [StateChoice; 4] = [
            StateChoice::Only(IncidentState::Open),
            StateChoice::Only(IncidentState::Acknowledged),
            StateChoice::Only(IncidentState::Closed),
            StateChoice::Any,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Only(state) => state.as_str(),
            Self::Any => "any",
        }))
    }
}

#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct Filter {
    /// Incidents of this key
    #[arg(long, value_name = "KEY_ID")]
    pub key: Option<String>,
    /// Incidents of these severities
    #[arg(long, value_delimiter = ',', value_parser = severity, value_name = "SEVERITY")]
    pub severity: Vec<Severity>,
    /// Incidents with evidence of one of these detectors; confirm and dismiss take only those
    /// without evidence of others
    #[arg(long, value_delimiter = ',', value_parser = detector, value_name = "DETECTOR")]
    pub detector: Vec<DetectorId>,
    /// Incidents with a detection since then: a time (2026-03-14T02:47:00Z, 2026-03-14), or a
    /// duration before now (30m, 24h, 7d)
    #[arg(long, value_parser = since, value_name = "TIME")]
    pub since: Option<EventTime>,
    /// Incidents in these states; without it, those that are not closed
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    pub state: Vec<StateChoice>,
}

/// One line of the list.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Row {
    pub id: String,
    pub about: String,
    pub severity: String,
    pub risk: f64,
    pub action: String,
    pub detectors: String,
    pub title: String,
    pub last_event_time: String,
    pub state: String,
    pub close_reason: String,
    pub assignee: String,
    /// Incidents that match, beyond the limit too.
    pub matching: u64,
}

impl Row {
    /// Whether it has no evidence but of these detectors.
    pub fn is_only_of(&self, detectors: &[DetectorId]) -> bool {
        let is_named = |name: &str| detectors.iter().any(|detector| detector.as_str() == name);
        self.detectors.split(',').map(str::trim).all(is_named)
    }
}

impl Filter {
    /// Whether it selects anything by itself: a bulk command must not mean everything by default.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the incidents that match, riskiest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self, store: &Store, limit: u32) -> Result<Vec<Row>, StoreError> {
        let since = self.since.unwrap_or_default().as_micros().to_string();
        let values = [
            ("states", list(self.states().iter().map(|state| state.as_str()))),
            ("key", self.key.clone().unwrap_or_default()),
            ("severities", list(self.severity.iter().map(|severity| severity.as_str()))),
            ("detectors", list(self.detector.iter().map(|detector| detector.as_str()))),
            ("since", since),
            ("limit", limit.to_string()),
        ];
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        store.query_rows(SQL, &values).await
    }

    fn states(&self) -> Vec<IncidentState> {
        let is_named = |state: &IncidentState| match self.state.as_slice() {
            [] => *state != IncidentState::Closed,
            named => {
                named.contains(&StateChoice::Any) || named.contains(&StateChoice::Only(*state))
            }
        };
        IncidentState::VARIANTS.iter().copied().filter(is_named).collect()
    }
}

/// A list of names as the query reads it.
fn list(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(",")
}

fn severity(text: &str) -> Result<Severity, String> {
    let known = "severities are low, medium, high and critical";
    Severity::named(text).ok_or_else(|| known.to_owned())
}

fn detector(text: &str) -> Result<DetectorId, String> {
    DetectorId::named(text).ok_or_else(|| match nearest(text) {
        Some(name) => format!("no detector has this name; did you mean {name}?"),
        None => "no detector has this name; the README lists them".to_owned(),
    })
}

fn nearest(text: &str) -> Option<&'static str> {
    let names = DetectorId::VARIANTS.iter().map(|detector| detector.as_str());
    let scored = names.map(|name| (strsim::jaro_winkler(text, name), name));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

pub fn since(text: &str) -> Result<EventTime, String> {
    since_before(text, EventTime::now()).ok_or_else(|| {
        "give a time (2026-03-14T02:47:00Z or 2026-03-14) or a duration (30m, 24h, 7d)".to_owned()
    })
}

fn since_before(text: &str, now: EventTime) -> Option<EventTime> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(EventTime::from_micros(time.as_microsecond()));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(EventTime::from_micros(midnight.timestamp().as_microsecond()));
    }
    let unit = match text.chars().last()? {
        'm' => 60.0,
        'h' => HOUR_SECONDS,
        'd' => DAY_SECONDS,
        'w' => 7.0 * DAY_SECONDS,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    Some(now.plus_seconds(-f64::from(count) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_times_dates_and_durations() {
        let now = EventTime::from_seconds(1_000_000_000);
        let seconds = |text| since_before(text, now).map(|time| time.as_micros() / 1_000_000);
        assert_eq!(seconds("24h"), Some(1_000_000_000 - 86_400));
        assert_eq!(seconds("7d"), Some(1_000_000_000 - 7 * 86_400));
        assert_eq!(seconds("2001-09-09T01:46:40Z"), Some(1_000_000_000));
        assert_eq!(seconds("2001-09-09"), Some(999_993_600));
        for bad in ["", "h", "5x", "-3h", "yesterday", "1é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_a_state_incidents_that_are_not_closed_match() {
        use IncidentState::{Acknowledged, Closed, Open};
        let states =
            |state: &[StateChoice]| Filter { state: state.to_vec(), ..Filter::default() }.states();
        assert_eq!(states(&[]), [Open, Acknowledged]);
        assert_eq!(states(&[StateChoice::Only(Closed)]), [Closed]);
        assert_eq!(states(&[StateChoice::Any]), [Open, Acknowledged, Closed]);
    }

    #[test]
    fn a_misspelt_detector_is_corrected() {
        let said = detector("rate.spikes").err().unwrap_or_default();
        assert!(said.ends_with("did you mean rate.spike?"), "{said}");
    }
}
