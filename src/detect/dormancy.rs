//! Finds a key that wakes up after a long silence: `lifecycle.dormant_key_use`.
//!
//! Among `n` exchangeable earlier silences, the probability that the next one is longer than all is
//! `1/(n+1)` (Rényi 1962, on records). Here `n` is how often the longest silence would fit into the
//! key's life. The ratio to the longest silence has a Pareto tail of index 1. This tail is so heavy
//! that it has no mean, because it must cover holidays, seasons and yearly jobs.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, DAY_SECONDS, HOUR_SECONDS};
use crate::profile::silence::{SilenceProfile, Waking};
use crate::text::duration;

/// A silence shorter than a night is not dormancy.
const MIN_SILENCE_SECONDS: f64 = 12.0 * HOUR_SECONDS;
/// The longest silence counts as at least this: dormancy is not measured in minutes.
const MIN_LONGEST_SECONDS: f64 = HOUR_SECONDS;
/// Nobody is under way for longer, wherever to: a shorter silence goes with the new place.
const JOURNEY_SECONDS: f64 = DAY_SECONDS;
/// Of the keys that wake after long, this share wakes in a place that it never used.
const WOKEN_ELSEWHERE: f64 = 0.05;

/// A key that woke up.
#[derive(Clone, Copy, Debug)]
pub struct DormantUse {
    pub p_value: f64,
    /// Probability that a silence is longer than any before.
    pub record: f64,
    pub waking: Waking,
    is_at_home: bool,
}

/// Judges an answered use after `silence_seconds`, without blackouts of the log. `is_at_home` says
/// whether the use came from a site where the key is established.
pub fn find_dormant_use(
    profile: &SilenceProfile,
    silence_seconds: f64,
    is_at_home: bool,
) -> Option<DormantUse> {
    let longest = profile.longest_seconds().max(MIN_LONGEST_SECONDS);
    if silence_seconds < MIN_SILENCE_SECONDS || silence_seconds <= longest {
        return None;
    }
    let silences = profile.known_seconds() / longest;
    let place = if is_at_home { 1.0 } else { WOKEN_ELSEWHERE };
    let record = 1.0 / (1.0 + silences);
    let waking = profile.waking(silence_seconds);
    Some(DormantUse {
        p_value: place * record * longest / silence_seconds,
        record,
        waking,
        is_at_home,
    })
}

impl DormantUse {
    /// Of a key that woke up within the session.
    pub const fn of_session(waking: Waking, p_value: f64, is_at_home: bool) -> Self {
        Self { p_value, record: 1.0, waking, is_at_home }
    }

    /// Whether the silence is longer than one of the key's own and a journey after it.
    pub fn is_beyond_a_journey(&self) -> bool {
        let Waking { silence_seconds, longest_seconds, .. } = self.waking;
        f64::from(silence_seconds) > f64::from(longest_seconds) + JOURNEY_SECONDS
    }

    /// The p-value where the place is weighed apart.
    pub fn p_value_of_silence(&self) -> f64 {
        if self.is_at_home { self.p_value } else { self.p_value / WOKEN_ELSEWHERE }
    }

    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let Waking { longest_seconds, known_seconds, last_used, silence_seconds } = self.waking;
        let [silence_seconds, longest_seconds, known_seconds] =
            [silence_seconds, longest_seconds, known_seconds].map(f64::from);
        let elsewhere = if self.is_at_home { "" } else { ", from a place that it never used" };
        let silence = duration(silence_seconds);
        Signal {
            detector: DetectorId::DormantKeyUse,
            p_value: self.p_value,
            observed: Some(silence_seconds),
            expected: Some(longest_seconds),
            headline: format!("woke up after {silence} of silence"),
            sentence: format!(
                "Used after {silence} of silence{elsewhere}; in {} before that it was never silent \
                 for more than {}.",
                duration(known_seconds),
                duration(longest_seconds),
            ),
            fields: json!({
                "silence_seconds": silence_seconds.round(),
                "usual_gap_seconds": longest_seconds.round(),
                "known_for_seconds": known_seconds.round(),
                "last_used": last_used,
                "ip": event.client_ip,
                "is_usual_place": self.is_at_home,
            }),
            ceiling: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    const DAY: i64 = 86_400;

    /// A key used at `hours` of its life, then again after `silence` days.
    fn p_value(hours: impl Iterator<Item = i64>, silence: i64) -> f64 {
        let mut profile = SilenceProfile::default();
        let mut last = None;
        for hour in hours {
            let time = EventTime::from_seconds(hour * 3_600);
            profile.learn(time, last.map_or(0.0, |last| time.seconds_since(last)));
            last = Some(time);
        }
        let found = find_dormant_use(&profile, (silence * DAY) as f64, true);
        found.map_or(1.0, |found| found.p_value)
    }

    #[test]
    fn silence_is_judged_by_the_silences_of_the_key() {
        let steady = || 0..30 * 24;
        let office =
            || (0..90 * 24).filter(|hour| hour / 24 % 7 < 5 && (9..18).contains(&(hour % 24)));
        let monthly = || (0..12).map(|month| month * 30 * 24);
        assert!(p_value(steady(), 90) < 1e-6);
        assert!(p_value(steady(), 90) < p_value(steady(), 5));
        assert_eq!(p_value(office(), 2), 1.0, "a weekend");
        assert!(p_value(office(), 21) > 1e-3, "a holiday");
        assert!(p_value(monthly(), 31) > 1e-2);
        assert!(p_value(monthly(), 365) > 1e-3);
    }
}
