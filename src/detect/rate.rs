//! Describes a finding of the rate model ([`crate::rate`]) as evidence: `rate.spike`, requests far
//! above the key's usual rate at this hour.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::EventTime;
use crate::rate::{RateProfile, Rise, Spike, WINDOW_SECONDS, negative_binomial_quantile};
use crate::text::times;

pub fn spike_signal(spike: Spike, rate: &RateProfile) -> Signal {
    let Spike { p_value, which, .. } = spike;
    let count = rate.current_count(which);
    let forecast = rate.forecast(which);
    let usual_most = negative_binomial_quantile(forecast, 0.01);
    let window = WINDOW_SECONDS[which];
    let start = EventTime::from_seconds(rate.window_start(which));
    let ratio = count as f64 / forecast.mean;
    Signal {
        detector: DetectorId::RateSpike,
        p_value,
        observed: Some(count as f64),
        expected: Some(forecast.mean),
        headline: format!("{count} requests in {window} s, {} its usual rate", times(ratio)),
        sentence: format!(
            "{count} requests in the {window} seconds from {start}, where {:.1} are expected \
             at this hour and more than {usual_most} are seen once in a hundred such windows.",
            forecast.mean
        ),
        fields: json!({
            "interval": [0, usual_most],
            "window_seconds": window,
            "window_start": start,
        }),
        ceiling: None,
    }
}

pub fn rise_signal(rate: &RateProfile, rise: Rise) -> Signal {
    let ramp = rate.ramp();
    let since = EventTime::from_seconds(ramp.since);
    let ratio = f64::from(ramp.observed) / f64::from(ramp.expected);
    Signal {
        detector: DetectorId::RateSpike,
        p_value: rise.p_value,
        observed: Some(f64::from(ramp.observed)),
        expected: Some(f64::from(ramp.expected)),
        headline: format!("requests have risen to {} the usual for hours", times(ratio)),
        sentence: format!(
            "Since {since} there were {:.0} requests where {:.0} are expected at these hours: a \
             slow and lasting rise.",
            ramp.observed, ramp.expected
        ),
        fields: json!({ "since": since, "ratio": ratio }),
        ceiling: None,
    }
}

/// Whether the signal is of a lasting rise, and not of a burst.
pub fn is_rise(signal: &Signal) -> bool {
    signal.fields.get("since").is_some()
}
