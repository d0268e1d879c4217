//! Compares the times of a log with each other: the server's with the client's, and both with whole
//! seconds.

use std::collections::HashMap;

use serde::Serialize;

use crate::event::{AccessEvent, EventTime, KeyId};

/// Share of times that must be whole seconds before the log is said to have no finer ones.
const WHOLE_SHARE: f64 = 0.99;
/// Keys whose clock is off by more are counted.
const OFF_SECONDS: f64 = 5.0;
/// A time that is this close to a whole second is one: durations in logs are rounded to a
/// millisecond.
const ROUNDING_MICROS: i64 = 600;

/// The server's and the clients' times of a sample.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    events: u64,
    whole: u64,
    span: Option<(EventTime, EventTime)>,
    skews: HashMap<KeyId, Vec<f32>>,
}

/// How far the clients' clocks are from the server's, in seconds; positive if the client's time is
/// earlier.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Offsets {
    pub median: f64,
    pub keys: usize,
    /// Keys whose usual offset is more than 5 s.
    pub keys_off: usize,
    /// The largest usual offset of a key.
    pub largest: f64,
}

impl Clocks {
    pub fn count(&mut self, event: &AccessEvent) {
        self.events += 1;
        self.whole += u64::from(is_whole_second(event));
        let (first, last) = self.span.unwrap_or((event.time, event.time));
        self.span = Some((first.min(event.time), last.max(event.time)));
        if let Some(client_time) = event.client_time {
            let skew = event.time.seconds_since(client_time) as f32;
            self.skews.entry(event.key_id.clone()).or_default().push(skew);
        }
    }

    pub fn span(&self) -> Option<(EventTime, EventTime)> {
        self.span
    }

    /// Whether the log has no time finer than a second.
    pub fn are_whole_seconds(&self) -> bool {
        self.events > 1 && self.whole as f64 >= WHOLE_SHARE * self.events as f64
    }

    /// `None`: no event has the client's time.
    pub fn offsets(&self) -> Option<Offsets> {
        let mut usual: Vec<f64> = self.skews.values().map(|skews| median(skews)).collect();
        usual.sort_by(f64::total_cmp);
        let is_off = |offset: &&f64| offset.abs() > OFF_SECONDS;
        Some(Offsets {
            median: *usual.get(usual.len() / 2)?,
            keys: usual.len(),
            keys_off: usual.iter().filter(is_off).count(),
            largest: usual.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?,
        })
    }
}

fn median(skews: &[f32]) -> f64 {
    let mut sorted = skews.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().map_or(0.0, f64::from)
}

/// Whether the logged time is a whole second. Some formats log the end, and the duration was
/// subtracted from it.
fn is_whole_second(event: &AccessEvent) -> bool {
    let is_whole = |micros: i64| {
        let rest = micros.rem_euclid(1_000_000);
        rest <= ROUNDING_MICROS || rest >= 1_000_000 - ROUNDING_MICROS
    };
    let begin = event.time.as_micros();
    let duration = event.latency_ms.map_or(0, |millis| (f64::from(millis) * 1e3) as i64);
    begin % 1_000_000 == 0 || duration > 0 && is_whole(begin.saturating_add(duration))
}
