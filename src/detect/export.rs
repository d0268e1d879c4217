//! Finds an hour of far more bytes than usual that more requests do not explain:
//! `behaviour.bulk_export`.

use serde_json::json;
use statrs::function::erf::erfc;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::DAY_SECONDS;
use crate::profile::volume::VolumeProfile;

/// A younger key has not yet shown its daily jobs.
pub const MIN_KNOWN_SECONDS: f64 = DAY_SECONDS;
/// Least number of earlier hours of use.
const MIN_HOURS: u16 = 12;
/// Least number of requests in the hour: one large file is not an export.
const MIN_REQUESTS: u32 = 5;
/// The hour's bytes must exceed the largest recent hour by this factor ...
const ABOVE_LARGEST: f64 = 2.0;
/// ... and its bytes a request the usual ones by this factor. More requests of the usual size are
/// judged by their rate.
const LARGER_REQUESTS: f64 = 4.0;
/// Least spread of the logarithm of an hour's bytes, and of a request's.
const MIN_SPREAD: f64 = 0.4;

/// An hour of far more bytes than usual.
#[derive(Clone, Copy, Debug)]
pub struct BulkExport {
    pub p_value: f64,
    bytes: f64,
    usual: f64,
}

/// Judges the current hour so far against earlier full hours. `None` on a key's first day and in
/// its first twelve hours of use.
///
/// The bytes of an hour and the bytes of a request are both log-normal. The larger of the two
/// p-values counts.
pub fn find_bulk_export(volume: &VolumeProfile, known_seconds: f64) -> Option<BulkExport> {
    let (sums, sizes) = (volume.sums(), volume.sizes());
    let bytes = volume.bytes() as f64;
    if bytes <= ABOVE_LARGEST * sums.largest()
        || known_seconds < MIN_KNOWN_SECONDS
        || sums.hours() < MIN_HOURS
        || volume.requests() < MIN_REQUESTS
        || volume.size() < LARGER_REQUESTS * sizes.usual()
    {
        return None;
    }
    let tail = |amount: f64, level: &crate::profile::volume::Level| {
        let deviations = (amount / level.usual()).ln() / level.spread(MIN_SPREAD);
        erfc(deviations / std::f64::consts::SQRT_2) / 2.0
    };
    let p_value = tail(bytes, sums).max(tail(volume.size(), sizes)).max(f64::MIN_POSITIVE);
    Some(BulkExport { p_value, bytes, usual: sums.usual() })
}

impl BulkExport {
    pub fn into_signal(self, volume: &VolumeProfile, route: &str) -> Signal {
        let (requests, size, usual_size) =
            (volume.requests(), volume.size(), volume.sizes().usual());
        Signal {
            detector: DetectorId::BulkExport,
            p_value: self.p_value,
            observed: Some(self.bytes),
            expected: Some(self.usual),
            headline: format!(
                "received {:.0} times its usual bytes",
                self.bytes / self.usual.max(1.0)
            ),
            sentence: format!(
                "Received {:.0} bytes in this hour with {requests} requests, {size:.0} bytes each. An \
                 hour usually has {:.0} bytes and a request {usual_size:.0}; no recent hour had more \
                 than {:.0} bytes. The last route was {route}.",
                self.bytes,
                self.usual,
                volume.sums().largest(),
            ),
            fields: json!({
                "bytes": self.bytes,
                "usual_bytes": self.usual.round(),
                "largest_usual_bytes": volume.sums().largest().round(),
                "requests": requests,
                "bytes_a_request": size.round(),
                "usual_bytes_a_request": usual_size.round(),
                "routes": [route],
            }),
            ceiling: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    /// The p-value of the hour `then` (bytes, requests) after two days of `bytes` by `requests` an
    /// hour.
    fn p_value(bytes: impl Fn(i64) -> u64, requests: usize, then: (u64, usize)) -> Option<f64> {
        let mut volume = VolumeProfile::default();
        for hour in 0..48 {
            for _ in 0..requests {
                volume.count(EventTime::from_seconds(3_600 * hour), bytes(hour));
            }
        }
        for _ in 0..then.1 {
            volume.count(EventTime::from_seconds(3_600 * 48), then.0);
        }
        find_bulk_export(&volume, 2.0 * DAY_SECONDS).map(|found| found.p_value)
    }

    #[test]
    fn large_answers_at_an_ordinary_number_of_requests_are_an_export() {
        let p = p_value(|hour| 2_000 + hour as u64, 60, (300_000, 40));
        assert!(p.is_some_and(|p| p < 1e-9), "{p:?}");
    }

    #[test]
    fn more_requests_of_the_usual_size_are_not_an_export() {
        assert_eq!(p_value(|_| 2_000, 60, (2_000, 6_000)), None);
    }

    #[test]
    fn a_report_that_comes_every_night_is_not_an_export() {
        let bytes = |hour| if hour % 24 == 2 { 400_000 } else { 2_000 };
        assert_eq!(p_value(bytes, 60, (400_000, 60)), None);
    }

    #[test]
    fn a_key_of_varying_sizes_is_not_surprising() {
        let bytes = |hour: i64| 1_000 << (hour * 5 % 9);
        let p = p_value(bytes, 60, (1_000_000, 60));
        assert!(p.is_none_or(|p| p > 1e-4), "{p:?}");
    }
}
