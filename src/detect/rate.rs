//! `rate.spike`: requests far above what this key does at this hour.

use serde_json::json;

use super::Signal;
use super::statistics::{log_normal_tail, negative_binomial_quantile, negative_binomial_tail};
use crate::alert::DetectorId;
use crate::event::EventTime;
use crate::profile::rate::{HOUR_WINDOW, RateProfile, WINDOW_SECONDS, WINDOWS};

/// A young key's rate is not judged before it has this much history.
const MIN_HISTORY_HOURS: f64 = 0.5;

/// An hour is judged without the level of the hours before, so a whole day must be known.
const MIN_HISTORY_OF_HOURS: f64 = 24.0;

/// Fewer requests in a window than this are nobody's spike.
const MIN_REQUESTS: u64 = 20;

/// A window counts as a spike only at this many times its mean, whatever its p-value:
/// a rise of half is news to a statistician, not to a security team.
const MIN_RATIO: f64 = 3.0;
/// ... and this many times the highest that the key was seen to do.
const MIN_PEAK_RATIO: f64 = 1.5;

/// Hours follow one another more closely than the sum assumes: it must be that much surer.
const UNMODELLED: f64 = 1e-4;
/// However far the sum goes, a lasting rise may be good business: it is told, as a mild sign.
const INNOCENT_RISE: f64 = 1e-3;
/// A lasting rise is told at this many times the usual.
const MIN_RAMP_RATIO: f64 = 2.0;

/// The most surprising window.
#[derive(Clone, Copy, Debug)]
pub struct Spike {
    pub p_value: f64,
    which: usize,
}

/// `surge` says how many times more than usual the other keys do in a window: what
/// everybody does is nobody's spike.
pub fn find_spike(rate: &RateProfile, surge: impl Fn(usize) -> f64) -> Option<Spike> {
    if rate.history_hours() < MIN_HISTORY_HOURS {
        return None;
    }
    let judged = if rate.history_hours() < MIN_HISTORY_OF_HOURS { HOUR_WINDOW } else { WINDOWS };
    (0..judged)
        .filter_map(|which| {
            let count = rate.current_count(which);
            if count < MIN_REQUESTS {
                return None;
            }
            let mut forecast = rate.forecast(which);
            let ordinary = MIN_RATIO * forecast.mean;
            if (count as f64) < ordinary.max(MIN_PEAK_RATIO * rate.peak(which)) {
                return None;
            }
            let surge = surge(which);
            forecast.mean *= surge;
            if (count as f64) < MIN_RATIO * forecast.mean {
                return None;
            }
            let plain = negative_binomial_tail(count, forecast);
            let burst = rate.burst_forecast(which, surge);
            let burst = burst.map_or(0.0, |forecast| log_normal_tail(count, forecast));
            Some(Spike { p_value: pooled(plain, burst), which })
        })
        .min_by(|a, b| a.p_value.total_cmp(&b.p_value))
}

/// The tail of a key that comes in bursts. The negative binomial ends too early for it; the
/// log-normal ends never, as if clients could send any number at once. Pooled by their logarithms
/// (Genest and Zidek, Statistical Science 1, 1986), with equal weights; never less than the first.
fn pooled(plain: f64, burst: f64) -> f64 {
    plain.max((plain * burst).sqrt())
}

/// A lasting rise, if its evidence is below the threshold. A likelihood ratio of `1 / p` comes
/// up by chance with probability at most `p` (Ville 1939).
///
/// `elsewhere` is how many times their expectation all keys are at over these hours.
pub fn find_ramp(rate: &RateProfile, elsewhere: f64, threshold: f64) -> Option<f64> {
    let ramp = rate.ramp();
    let p_value = f64::from(-ramp.evidence).exp();
    let rises = f64::from(ramp.observed) >= MIN_RAMP_RATIO * elsewhere * f64::from(ramp.expected);
    let sure = p_value < threshold * UNMODELLED;
    (sure && rises && !ramp.is_told).then_some(p_value.max(INNOCENT_RISE))
}

pub fn ramp_signal(rate: &RateProfile, p_value: f64) -> Signal {
    let ramp = rate.ramp();
    let since = EventTime::from_seconds(ramp.since);
    let ratio = f64::from(ramp.observed) / f64::from(ramp.expected);
    Signal {
        detector: DetectorId::RateSpike,
        p_value,
        observed: Some(f64::from(ramp.observed)),
        expected: Some(f64::from(ramp.expected)),
        headline: format!("requests have risen to {} the usual for hours", times(ratio)),
        sentence: format!(
            "Since {since} there were {:.0} requests where {:.0} are expected at these hours: a \
             slow rise that has lasted.",
            ramp.observed, ramp.expected
        ),
        fields: json!({ "since": since, "ratio": ratio }),
    }
}

impl Spike {
    pub fn into_signal(self, rate: &RateProfile) -> Signal {
        let count = rate.current_count(self.which);
        let forecast = rate.forecast(self.which);
        let usual_most = negative_binomial_quantile(forecast, 0.01);
        let window = WINDOW_SECONDS[self.which];
        let start = EventTime::from_seconds(rate.window_start(self.which));
        let ratio = count as f64 / forecast.mean;
        Signal {
            detector: DetectorId::RateSpike,
            p_value: self.p_value,
            observed: Some(count as f64),
            expected: Some(forecast.mean),
            headline: format!("{count} requests in {window} s, {} its usual rate", times(ratio)),
            sentence: format!(
                "{count} requests in the {window} seconds from {start}, where {:.1} are expected \
                 at this hour and more than {usual_most} come once in a hundred times.",
                forecast.mean
            ),
            fields: json!({
                "interval": [0, usual_most],
                "window_seconds": window,
                "window_start": start,
            }),
        }
    }
}

fn times(ratio: f64) -> String {
    if ratio >= 1_000.0 {
        "over 1,000 times".into()
    } else if ratio >= 10.0 {
        format!("{ratio:.0} times")
    } else {
        format!("{ratio:.1} times")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::rate::season::Shape;

    /// Two days of bursts, five a quarter of an hour, of 5 requests and, rarely, up to 90.
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
    fn a_burst_three_times_the_largest_is_rare_and_a_flood_no_burst() {
        assert!(p_value_of(270, 45) > 1e-7, "{}", p_value_of(270, 45));
        assert!(p_value_of(6_000, 600) < 1e-12, "{}", p_value_of(6_000, 600));
    }

    #[test]
    fn the_pooled_tail_is_between_both_and_never_below_the_first() {
        assert_eq!(pooled(1e-4, 1e-9), 1e-4);
        assert!((pooled(1e-8, 1e-4) / 1e-6 - 1.0).abs() < 1e-9);
    }
}
