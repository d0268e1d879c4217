//! Draws conclusions from the times of a log: how exact they are, whose clock is wrong, and which
//! events are too new or too old.

use super::clocks::Offsets;
use super::finding::{Finding, Level, Settings, finding};
use super::tally::Tally;
use crate::event::DAY_SECONDS;
use crate::text::{count, duration_figure};

/// Clocks that differ by less are ordinary.
const CLOCK_SECONDS: f64 = 2.0;

pub(super) fn whole_seconds(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    tally.clocks.are_whole_seconds().then(|| {
        let title = "all times are whole seconds";
        let detail = "the order within a second is that of the lines; short bursts, travel and \
                      stale requests are judged less exactly";
        finding(Level::Note, title, detail, settings.to_log(tally.format(), "time"))
    })
}

pub(super) fn clock(tally: &Tally) -> Option<Finding> {
    let Offsets { median, keys, .. } = tally.clocks.offsets()?;
    if median.abs() <= CLOCK_SECONDS {
        return None;
    }
    let by = duration_figure(median.abs());
    let side = if median > 0.0 { "later" } else { "earlier" };
    let title = format!("the log's times are {by} {side} than the clients' (half of {keys} keys)");
    let hours = median / 1_800.0;
    let is_zone = hours.abs() > 0.9 && (hours - hours.round()).abs() < 0.05;
    let detail = if is_zone {
        "a multiple of half an hour: times without a zone are read in the wrong one"
    } else {
        "the server's clock is wrong, or `client_time` is not the time of signing"
    };
    let remedy = is_zone.then(|| "zone = \"+02:00\" in [decode.mapping]".to_owned());
    Some(finding(Level::Warn, title, detail, remedy))
}

pub(super) fn clocks_of_keys(tally: &Tally) -> Option<Finding> {
    let Offsets { keys, keys_off, largest, .. } = tally.clocks.offsets()?;
    (keys_off > 0).then(|| {
        let title = format!("the clocks of {keys_off} of {keys} keys are more than 5 s off");
        let detail = format!(
            "the largest usual offset is {}; a constant one is learned",
            duration_figure(largest.abs())
        );
        finding(Level::Note, title, detail, None)
    })
}

pub(super) fn future(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    let ahead = settings.config.decode.max_future_seconds as f64;
    let latest = settings.now.plus_seconds(ahead);
    let number = tally.times.iter().filter(|time| **time > latest).count();
    (number > 0).then(|| {
        let title = format!("{} {} in the future", count(number), events_are(number));
        let detail = "`keywatch run` rejects them; a backtest reads them".to_owned();
        finding(Level::Warn, title, detail, None)
    })
}

pub(super) fn old(tally: &Tally, settings: &Settings<'_>) -> Option<Finding> {
    let days = settings.config.clickhouse.raw_retention_days;
    let oldest = settings.now.plus_seconds(-f64::from(days) * DAY_SECONDS);
    if days == 0 {
        return None;
    }
    let number = tally.times.iter().filter(|time| **time < oldest).count();
    (number > 0).then(|| {
        let title = format!("{} {} older than {days} days", count(number), events_are(number));
        let detail = "ClickHouse deletes such rows, so `keywatch run` refuses to import the file; a \
                      backtest does not mind";
        let remedy = "clickhouse.raw_retention_days, 0 for ever".to_owned();
        finding(Level::Warn, title, detail, remedy)
    })
}

fn events_are(number: usize) -> &'static str {
    if number == 1 { "event is" } else { "events are" }
}
