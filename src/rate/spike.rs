//! Judges whether a key's rate is far above its usual rate at this hour.

use super::habit::ORDINARY_TIMES;
use super::tail::{log_normal_tail, negative_binomial_tail, pooled};
use super::{Forecast, HOUR_WINDOW, RateProfile, WINDOW_SECONDS, WINDOWS};

/// Least history of a key whose rate is judged.
pub const MIN_HISTORY_HOURS: f64 = 0.5;
/// A key with less history than this may have a nightly job that it has not run yet. Its spikes
/// are mild evidence. Its hours are not judged, because their expectation does not include the
/// level of the hours before.
const WHOLE_DAY_HOURS: f64 = 24.0;
/// Fewest requests in a window that is judged.
const MIN_REQUESTS: u64 = 20;
/// Smallest spike, as a multiple of the expected count. A smaller rise is not evidence of theft,
/// whatever its p-value.
const MIN_RATIO: f64 = 3.0;
/// Smallest spike, as a multiple of the window's peak. It does not apply if the season is known.
const MIN_PEAK_RATIO: f64 = 1.5;
/// Fewest hours of history of a known season. A known season describes long windows better than
/// their peak.
const KNOWN_HOURS: f64 = 2.5;
/// The shortest window that is judged by a known season instead of its peak.
const LONG_WINDOW: usize = 3;

/// Longest window whose p-values are not corrected. A longer window is tested less often, so its
/// p-value is multiplied by this length over its own. Then all lengths have the same share of false
/// alerts.
const FULL_TESTS_SECONDS: f64 = 60.0;

/// Least p-value of mild evidence, which may be innocent however rare it is: also of a burst that
/// was reported before.
pub const MILD: f64 = 1e-3;

/// Factor on the threshold for lasting rises. The cumulative sum assumes independent hours, but
/// successive hours are correlated.
const UNMODELLED: f64 = 1e-2;
/// Smallest rise that is reported as mild evidence, as a multiple of the usual rate.
const MIN_RISE: f64 = 2.0;
/// Smallest steep rise, which is reported again. Business rarely grows as much within days.
const STEEP_RISE: f64 = 3.0;
/// A slow rise passes each height. A rise that is this high when it is first seen began at once, as
/// a launch or a month's end does; whether it is a burst is for [`find_spike`] to say.
const SUDDEN_RISE: f64 = 4.5;
/// Least p-value of a steep rise, because growing business explains it too.
const STEEP: f64 = 5e-5;

/// The most surprising current window of a key.
#[derive(Clone, Copy, Debug)]
pub struct Spike {
    pub p_value: f64,
    /// Least p-value of the evidence: the probability of an innocent explanation.
    pub innocence: f64,
    /// Probability that the key is used at all in such a window.
    pub activity: f64,
    /// Whether the key may only send what it could not send while it was silent.
    pub is_backlog: bool,
    /// Index of the window in [`WINDOW_SECONDS`].
    pub which: usize,
}

impl Spike {
    /// P-value of the count in a window in which the key is used at all. A use that is itself a rare
    /// event is the business of the other signs: the place or the program that is new in it.
    pub fn p_value_in_use(&self) -> f64 {
        (self.p_value / corrected(self.which) / self.activity).min(1.0)
    }
}

/// Finds the most surprising current window, if any is a spike. `surge` gives the rate of the
/// other keys in a window, as a multiple of their usual rate. A rise that other keys share is not
/// a spike.
pub fn find_spike(rate: &RateProfile, surge: impl Fn(usize) -> f64) -> Option<Spike> {
    let history = rate.history_hours();
    if history < MIN_HISTORY_HOURS {
        return None;
    }
    let judged = if history < WHOLE_DAY_HOURS { HOUR_WINDOW } else { WINDOWS };
    (0..judged)
        .filter_map(|which| judge(rate, which, &surge))
        .min_by(|a, b| a.p_value.total_cmp(&b.p_value))
}

fn judge(rate: &RateProfile, which: usize, surge: &impl Fn(usize) -> f64) -> Option<Spike> {
    let count = rate.current_count(which);
    if count < MIN_REQUESTS || !rate.is_news(which) {
        return None;
    }
    let forecast = rate.forecast(which);
    let is_known = which >= LONG_WINDOW && rate.known_hours(which) >= KNOWN_HOURS;
    let peak = if is_known { 0.0 } else { MIN_PEAK_RATIO * rate.peak(which) };
    if (count as f64) < peak.max(MIN_RATIO * forecast.mean) {
        return None;
    }
    let times_told = rate.familiarity(which);
    if times_told >= ORDINARY_TIMES {
        return None;
    }
    let factor = surge(which) * rate.nearby_factor(which);
    let forecast = Forecast { mean: forecast.mean * factor, ..forecast };
    if (count as f64) < MIN_RATIO * forecast.mean {
        return None;
    }
    let mild = times_told > 0 || rate.history_hours() < WHOLE_DAY_HOURS;
    Some(Spike {
        p_value: p_value(rate, which, count, forecast, factor),
        innocence: if mild { MILD } else { 0.0 },
        activity: negative_binomial_tail(1, forecast),
        is_backlog: count as f64 <= MIN_RATIO * forecast.mean + rate.owed(),
        which,
    })
}

/// P-value of a count, corrected for the number of tests (see [`FULL_TESTS_SECONDS`]). `factor` is
/// the expected rate as a multiple of the usual.
fn p_value(rate: &RateProfile, which: usize, count: u64, forecast: Forecast, factor: f64) -> f64 {
    let plain = negative_binomial_tail(count, forecast);
    let burst = rate.burst_forecast(which, factor);
    let tail = burst.map_or(plain, |burst| {
        // The negative binomial tail is too light for a key with bursts. The log-normal tail is too
        // heavy, because no client can send arbitrarily large bursts.
        plain.max(pooled([(plain, 1.0), (log_normal_tail(count, burst), 1.0)]))
    });
    tail * corrected(which)
}

/// The factor on the p-values of a window: see [`FULL_TESTS_SECONDS`].
fn corrected(which: usize) -> f64 {
    (FULL_TESTS_SECONDS / WINDOW_SECONDS[which] as f64).min(1.0)
}

/// A lasting rise of a key's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    pub p_value: f64,
    /// Whether the rate is at least [`STEEP_RISE`] times the usual.
    pub is_steep: bool,
}

/// Finds a lasting rise whose p-value is below `threshold`, unless it was reported already. The
/// p-value is the inverse of the likelihood ratio: a ratio of `1 / p` occurs by chance with
/// probability at most `p` (Ville 1939).
///
/// `elsewhere` is the rate of all keys over the same hours, as a multiple of their expectation. A
/// rise that begins at once is a new job of the owner if it comes from the key's own places, which is
/// asked only where there is a rise.
pub fn find_rise(
    rate: &RateProfile,
    elsewhere: f64,
    is_at_home: impl FnOnce() -> bool,
    threshold: f64,
) -> Option<Rise> {
    let ramp = rate.ramp();
    let p_value = f64::from(-ramp.evidence).exp();
    let ratio = ramp.height() / elsewhere;
    if p_value >= threshold * UNMODELLED || ratio < MIN_RISE {
        return None;
    }
    let is_steep = ratio >= STEEP_RISE;
    let is_told = if is_steep { ramp.is_steep_told } else { ramp.is_told };
    if is_told {
        return None;
    }
    let is_slow = ramp.is_told || ratio < SUDDEN_RISE;
    let innocence = if is_steep && (is_slow || !is_at_home()) { STEEP } else { MILD };
    Some(Rise { p_value: p_value.max(innocence), is_steep })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;
    use crate::rate::HOUR;
    use crate::rate::season::Shape;

    const MONDAY: i64 = 1_767_571_200;
    const THRESHOLD: f64 = 5e-9;

    /// Two days with a burst every three minutes, of about 5 and rarely up to 90 requests.
    fn trader() -> (RateProfile, i64) {
        let start = 1_767_571_200;
        let mut rate = RateProfile::new(EventTime::from_seconds(start));
        let sizes = [5, 3, 9, 2, 14, 5, 24, 4, 7, 2, 5, 40, 3, 11, 6, 4, 90, 8, 5, 2];
        for burst in 0..960 {
            let begin = start + burst * 180;
            for n in 0..sizes[burst as usize % sizes.len()] {
                rate.count(EventTime::from_seconds(begin + n / 6), &Shape::FLAT);
            }
        }
        (rate, start + 960 * 180)
    }

    fn p_value_of(requests: i64, seconds: i64) -> f64 {
        let (mut rate, now) = trader();
        let mut least = 1f64;
        for n in 0..requests {
            rate.count(EventTime::from_seconds(now + n * seconds / requests), &Shape::FLAT);
            least = find_spike(&rate, |_| 1.0).map_or(least, |spike| spike.p_value.min(least));
        }
        least
    }

    #[test]
    fn a_burst_of_three_times_the_largest_is_plausible_and_a_flood_is_not() {
        assert!(p_value_of(270, 45) > 1e-7, "{}", p_value_of(270, 45));
        assert!(p_value_of(6_000, 600) < 1e-12, "{}", p_value_of(6_000, 600));
    }

    /// Sends `count` requests, evenly over `seconds`. Returns the least `innocence` of the reported
    /// spikes, or `None` without a spike.
    fn send(rate: &mut RateProfile, start: i64, seconds: i64, count: i64) -> Option<f64> {
        let mut reported: Option<f64> = None;
        for n in 0..count {
            rate.count(EventTime::from_seconds(start + n * seconds / count), &Shape::FLAT);
            let spike = find_spike(rate, |_| 1.0).filter(|spike| spike.p_value < THRESHOLD);
            if let Some(spike) = spike {
                rate.exclude_current(false);
                reported = Some(reported.map_or(spike.innocence, |p| p.min(spike.innocence)));
            }
        }
        reported
    }

    /// A key with `an_hour` requests an hour and `days` of history.
    fn steady(an_hour: i64, days: i64) -> (RateProfile, i64) {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        assert_eq!(send(&mut rate, MONDAY, days * 24 * HOUR, days * 24 * an_hour), None);
        (rate, MONDAY + days * 24 * HOUR)
    }

    #[test]
    fn a_nightly_burst_is_mild_the_second_time_and_ordinary_the_fourth() {
        let (mut rate, mut night) = steady(20, 10);
        let mut reported = Vec::new();
        for _ in 0..8 {
            send(&mut rate, night, 24 * HOUR, 480);
            night += 24 * HOUR;
            reported.push(send(&mut rate, night, 60, 300));
            night += HOUR;
        }
        let expected = [Some(0.0), Some(MILD), Some(MILD), None, None, None, None, None];
        assert_eq!(reported, expected);
    }

    #[test]
    fn a_burst_in_the_first_night_is_mild() {
        let (mut rate, night) = steady(20, 0);
        send(&mut rate, night, 6 * HOUR, 120);
        assert_eq!(send(&mut rate, night + 6 * HOUR, 60, 300), Some(MILD));
    }

    #[test]
    fn a_burst_after_a_silence_may_be_what_was_not_sent() {
        let (mut rate, now) = steady(60, 10);
        let (silence, mut spikes) = (4 * HOUR, Vec::new());
        for n in 0..150 {
            rate.count(EventTime::from_seconds(now + silence + n / 3), &Shape::FLAT);
            spikes.extend(find_spike(&rate, |_| 1.0));
        }
        assert!(!spikes.is_empty() && spikes.iter().all(|spike| spike.is_backlog), "{spikes:?}");
        let (mut rate, now) = steady(60, 10);
        send(&mut rate, now, HOUR, 60);
        rate.count(EventTime::from_seconds(now + HOUR + 1), &Shape::FLAT);
        for n in 0..150 {
            rate.count(EventTime::from_seconds(now + HOUR + n / 3), &Shape::FLAT);
        }
        assert!(find_spike(&rate, |_| 1.0).is_some_and(|spike| !spike.is_backlog));
    }

    #[test]
    fn a_session_of_a_key_that_is_seldom_used_is_not_surprising_in_use() {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        for day in 0..14 {
            send(&mut rate, MONDAY + day * 24 * HOUR + day % 5 * HOUR, 1_200, 30);
        }
        let mut least = (1f64, 1f64);
        for n in 0..40 {
            let time = MONDAY + 14 * 24 * HOUR + 20 * HOUR + n * 30;
            rate.count(EventTime::from_seconds(time), &Shape::FLAT);
            if let Some(spike) = find_spike(&rate, |_| 1.0) {
                least = (least.0.min(spike.p_value), least.1.min(spike.p_value_in_use()));
            }
        }
        assert!(least.0 < 1e-3 && least.1 > 1e-2, "{least:?}");
    }

    #[test]
    fn an_hour_is_not_reported_again_for_a_burst_that_has_ended() {
        let (mut rate, now) = steady(200, 10);
        assert!(send(&mut rate, now + 60, 60, 2_000).is_some());
        assert_eq!(send(&mut rate, now + 1_800, 1_700, 90), None);
    }

    #[test]
    fn a_day_that_begins_an_hour_early_is_ordinary_and_a_rise_at_night_is_not() {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        let hours = |day: i64| (0..24).map(move |hour| (day * 24 + hour, hour));
        for (at, hour) in (0..12).flat_map(hours) {
            let count = if (8..18).contains(&hour) { 600 } else { 10 };
            send(&mut rate, MONDAY + at * HOUR, HOUR, count);
        }
        let day = MONDAY + 14 * 24 * HOUR;
        let mut shifted = rate.clone();
        assert_eq!(send(&mut shifted, day + 7 * HOUR, HOUR, 600), None);
        assert!(send(&mut rate, day + 3 * HOUR, HOUR, 600).is_some());
    }

    #[test]
    fn a_slow_rise_is_reported_and_reported_again_when_it_is_steep() {
        let (mut rate, start) = steady(300, 14);
        let mut reported = Vec::new();
        for hour in 0..60 {
            let count = (300.0 * 1.25f64.powi(hour / 4)) as i64;
            send(&mut rate, start + i64::from(hour) * HOUR, HOUR, count);
            if let Some(rise) = find_rise(&rate, 1.0, || true, THRESHOLD) {
                rate.tell_ramp(rise.is_steep);
                reported.push((hour, rise.is_steep));
            }
        }
        let are_steep: Vec<bool> = reported.iter().map(|(_, is_steep)| *is_steep).collect();
        assert_eq!(are_steep, [false, true], "{reported:?}");
    }

    /// The p-values of the rises that are reported in a day of `count` requests an hour, of which no
    /// burst is reported.
    fn rises(count: i64, is_at_home: bool) -> Vec<f64> {
        let (mut rate, start) = steady(300, 14);
        let mut reported = Vec::new();
        for n in 0..24 * count {
            rate.count(EventTime::from_seconds(start + n * HOUR / count), &Shape::FLAT);
            if let Some(rise) = find_rise(&rate, 1.0, || is_at_home, THRESHOLD) {
                rate.tell_ramp(rise.is_steep);
                reported.push(rise.p_value);
            }
        }
        reported
    }

    #[test]
    fn a_rise_that_begins_at_once_at_home_is_mild() {
        assert_eq!(rises(1_100, true), [STEEP]);
        assert_eq!(rises(1_800, true), [MILD]);
        assert_eq!(rises(1_800, false), [STEEP]);
    }
}
