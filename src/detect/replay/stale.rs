//! Finds an accepted request whose signed time is outside the validity window and far from the
//! key's own clock skew: `replay.stale_timestamp`.

use serde_json::json;

use crate::alert::DetectorId;
use crate::answer::Answer;
use crate::detect::Signal;
use crate::event::{AccessEvent, EventTime};
use crate::profile::ClockProfile;
use crate::text::duration;

/// Clocks of honest clients settle. A skew that is further off than this many deviations is not
/// theirs.
const CLOCK_DEVIATIONS: f64 = 8.0;
/// At a site where the key is established, a client may send again what it signed this long ago.
/// Its first request failed, so that it is not a proven use and the history does not know it.
const RESENT_SECONDS: f64 = 60.0;
/// Time zones differ by multiples of this (Nepal is at 5:45), ...
const ZONE_STEP_SECONDS: f64 = 900.0;
/// ... up to this, ...
const FARTHEST_ZONE_SECONDS: f64 = 14.0 * 3_600.0;
/// ... and a clock that is right but for its zone differs from such a multiple by less than this.
const ZONE_ERROR_SECONDS: f64 = 60.0;

/// An accepted request whose signed time is not valid. All numbers are in seconds.
#[derive(Clone, Copy, Debug)]
pub struct StaleTimestamp {
    pub p_value: f64,
    /// Whether the difference looks like a clock of another time zone.
    pub is_zone: bool,
    /// Whether the key's own clock skew is known.
    pub is_settled: bool,
    client_time: EventTime,
    /// Server time minus signed time.
    skew: f64,
    usual_skew: f64,
    window: f64,
}

/// Finds an accepted request with an invalid signed time. `window` is the validity in seconds of a
/// request that does not state its own.
pub fn find_stale_timestamp(
    clock: &ClockProfile,
    event: &AccessEvent,
    window: f64,
    is_at_home: bool,
) -> Option<StaleTimestamp> {
    let client_time = event.client_time?;
    let skew = event.time.seconds_since(client_time);
    let window = event.validity_ms.map_or(window, |millis| f64::from(millis) / 1_000.0);
    if event.answer() != Answer::Accepted || skew.abs() <= window {
        return None;
    }
    let is_settled = clock.settled_skew().is_some();
    let usual_skew = clock.settled_skew().unwrap_or(0.0);
    let spread = if is_settled { clock.deviation().max(1.0) } else { window.max(1.0) };
    let excess = (skew - usual_skew).abs();
    let resent = if is_at_home { RESENT_SECONDS } else { 0.0 };
    if excess <= window.max(CLOCK_DEVIATIONS * spread).max(resent) {
        return None;
    }
    // A heavy tail (Cauchy squared): clients do sleep, queue and lose their clock.
    let p_value = (spread / excess).powi(3).min(1.0) * if is_settled { 1e-3 } else { 1e-1 };
    let is_zone = is_zone(skew - usual_skew);
    Some(StaleTimestamp { p_value, is_zone, is_settled, client_time, skew, usual_skew, window })
}

fn is_zone(seconds: f64) -> bool {
    let steps = (seconds / ZONE_STEP_SECONDS).round();
    steps != 0.0
        && seconds.abs() <= FARTHEST_ZONE_SECONDS + ZONE_ERROR_SECONDS
        && (seconds - steps * ZONE_STEP_SECONDS).abs() <= ZONE_ERROR_SECONDS
}

impl StaleTimestamp {
    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let Self { client_time, skew, usual_skew, window, .. } = self;
        let side = if skew > 0.0 { "old" } else { "ahead" };
        let off = duration(skew.abs());
        let zone = match self.is_zone {
            true => " The difference fits a clock that is set to another time zone.",
            false => "",
        };
        Signal {
            detector: DetectorId::StaleTimestamp,
            p_value: self.p_value,
            observed: Some(skew),
            expected: Some(usual_skew),
            headline: format!("a request whose signed time is {off} {side} was accepted"),
            sentence: format!(
                "A request signed at {client_time} was accepted at {} (status {}). Its signed time is \
                 {off} {side}; {window:.0} s are valid, and this key's usual skew is \
                 {usual_skew:.1} s.{zone}",
                event.time, event.status,
            ),
            fields: json!({
                "skew_seconds": skew,
                "window_seconds": window,
                "usual_skew_seconds": usual_skew,
                "ip": event.client_ip,
                "status": event.status,
            }),
            ceiling: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_zone;

    #[test]
    fn zones_are_whole_quarters_of_an_hour_up_to_fourteen_hours() {
        for (seconds, expected) in [
            (3_600.2, true),
            (-3_595.0, true),
            (20_700.0, true),
            (900.0, true),
            (14.0 * 3_600.0, true),
            (15.0 * 3_600.0, false),
            (0.3, false),
            (1_300.0, false),
        ] {
            assert_eq!(is_zone(seconds), expected, "{seconds}");
        }
    }
}
