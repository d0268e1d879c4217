//! Reads points in time as people write them on the command line.

use crate::event::{DAY_SECONDS, EventTime, HOUR_SECONDS};

/// Reads a time (`2026-03-14T02:47:00Z`, `2026-03-14`) or a duration before now (`30m`, `24h`).
///
/// # Errors
/// A sentence that names the forms.
pub fn moment(text: &str) -> Result<EventTime, String> {
    moment_before(text, EventTime::now()).ok_or_else(|| {
        "give a time (2026-03-14T02:47:00Z or 2026-03-14) or a duration (30m, 24h, 7d)".to_owned()
    })
}

/// Reads a time to come: as [`moment`], with durations from now on.
///
/// # Errors
/// A sentence that names the forms.
pub fn ahead(text: &str) -> Result<EventTime, String> {
    let now = EventTime::now();
    let said = "give a time (2027-01-01, 2026-12-01T22:00:00Z) or a duration (8h, 14d)".to_owned();
    let time = moment_before(text, now).ok_or(said)?;
    // A duration is read as one before now.
    let is_duration = text.ends_with(['m', 'h', 'd', 'w']);
    Ok(if is_duration { now.plus_seconds(now.seconds_since(time)) } else { time })
}

fn moment_before(text: &str, now: EventTime) -> Option<EventTime> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(EventTime::from_micros(time.as_microsecond()));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(EventTime::from_micros(midnight.timestamp().as_microsecond()));
    }
    Some(now.plus_seconds(-seconds(text)?))
}

/// Reads the seconds of a duration (`30m`, `24h`, `7d`, `2w`).
pub fn seconds(text: &str) -> Option<f64> {
    let unit = match text.chars().last()? {
        'm' => 60.0,
        'h' => HOUR_SECONDS,
        'd' => DAY_SECONDS,
        'w' => 7.0 * DAY_SECONDS,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    Some(f64::from(count) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_times_dates_and_durations() {
        let now = EventTime::from_seconds(1_000_000_000);
        let seconds = |text| moment_before(text, now).map(|time| time.as_micros() / 1_000_000);
        assert_eq!(seconds("24h"), Some(1_000_000_000 - 86_400));
        assert_eq!(seconds("7d"), Some(1_000_000_000 - 7 * 86_400));
        assert_eq!(seconds("2001-09-09T01:46:40Z"), Some(1_000_000_000));
        assert_eq!(seconds("2001-09-09"), Some(999_993_600));
        for bad in ["", "h", "5x", "-3h", "yesterday", "1é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
