//! `lifecycle.dormant_key_use`: a key silent for long wakes up.
//!
//! A silence longer than any before has, among `n` silences that could be exchanged for one
//! another, the probability 1 / (n + 1) (Rényi 1962, on records). Here `n` is how often the
//! longest silence would have fitted into the key's life. How much longer than the longest it
//! is follows a Pareto tail of index 1, as heavy as one without a mean: holidays, seasons and
//! yearly jobs are in it.

use serde_json::json;

use super::Signal;
use super::geo::duration;
use crate::alert::DetectorId;
use crate::event::AccessEvent;
use crate::profile::silence::SilenceProfile;

/// A night's sleep is no dormancy.
const MIN_SILENCE_SECONDS: f64 = 12.0 * 3_600.0;
/// What the longest silence counts as at least: nobody's dormancy is measured in minutes.
const MIN_LONGEST_SECONDS: f64 = 3_600.0;
/// Of the keys that wake after long, this share wakes in a place that it never used.
const WOKEN_ELSEWHERE: f64 = 0.05;

/// Judges a use with success after `silence_seconds`, in which the log itself spoke.
/// `is_at_home`: from a place that the key is used from.
pub fn wakes_up(
    profile: &SilenceProfile,
    silence_seconds: f64,
    is_at_home: bool,
    event: &AccessEvent,
) -> Option<Signal> {
    let longest = profile.longest_seconds().max(MIN_LONGEST_SECONDS);
    if silence_seconds < MIN_SILENCE_SECONDS || silence_seconds <= longest {
        return None;
    }
    let silences = profile.known_seconds() / longest;
    let place = if is_at_home { 1.0 } else { WOKEN_ELSEWHERE };
    let p_value = place * longest / silence_seconds / (1.0 + silences);
    let elsewhere = if is_at_home { "" } else { ", from a place that it never used" };
    Some(Signal {
        detector: DetectorId::DormantKeyUse,
        p_value,
        observed: Some(silence_seconds),
        expected: Some(profile.longest_seconds()),
        headline: format!("woke up after {} of silence", duration(silence_seconds)),
        sentence: format!(
            "Used after {} of silence{elsewhere}; in {} before that it was never silent for more \
             than {}.",
            duration(silence_seconds),
            duration(profile.known_seconds()),
            duration(profile.longest_seconds()),
        ),
        fields: json!({
            "silence_seconds": silence_seconds.round(),
            "usual_gap_seconds": profile.longest_seconds().round(),
            "known_for_seconds": profile.known_seconds().round(),
            "last_used": profile.last_used(),
            "ip": event.client_ip,
            "is_usual_place": is_at_home,
        }),
    })
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
        let home = std::net::Ipv4Addr::LOCALHOST.into();
        let event = AccessEvent::minimal(EventTime::from_seconds(0), "key", home);
        wakes_up(&profile, (silence * DAY) as f64, true, &event).map_or(1.0, |s| s.p_value)
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
