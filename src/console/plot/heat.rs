//! Usage by hour and day.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::event::{DAY_SECONDS, EventTime};
use crate::page::scale::{counted, percent, time_text};

const ROW: f64 = 20.0;
/// Share of the width that the names of days take.
const LEFT: f64 = 0.12;
const TOP: f64 = 18.0;
const SHADES: u32 = 6;

/// A cell for each hour of `days` days up to the day of `to`, the last day at the bottom. `hours`
/// holds (start of the hour in seconds, requests). The shades are steps of the logarithm.
pub fn heat_map(hours: &[(i64, u64)], to: EventTime, days: i64) -> Markup {
    let day = DAY_SECONDS as i64;
    let last = (to.as_seconds() as i64).div_euclid(day);
    let most = hours.iter().map(|(_, requests)| *requests).max().unwrap_or(0);
    let known: HashMap<i64, u64> = hours.iter().copied().collect();
    let height = TOP + ROW * days as f64;
    html! {
        svg.heat width="100%" height=(height) role="img" aria-label={ "Requests by hour and day, at most " (most) " in an hour" } {
            @for row in 0..days {
                @let begin = (last - days + 1 + row) * day;
                text.tick x="0" y=(TOP + ROW * row as f64 + 14.0) { (day_name(begin)) }
            }
            @for hour in (0..24).step_by(3) {
                text.tick x=(percent(column(hour))) y="11" { (format!("{hour:02}")) }
            }
            @for row in 0..days {
                @for hour in 0..24 {
                    @let start = (last - days + 1 + row) * day + hour * 3_600;
                    @let requests = known.get(&start).copied().unwrap_or(0);
                    rect class={ "shade" (shade(requests, most)) } x=(percent(column(hour))) width=(percent(column(1) * 0.9 - column(0) * 0.9)) y=(TOP + ROW * row as f64) height=(ROW - 3.0) rx="3" {
                        @if requests > 0 { title { (time_text(EventTime::from_seconds(start))) ": " (counted(requests as usize, "request")) } }
                    }
                }
            }
        }
    }
}

/// Left edge of an hour's cells, as a share of the width.
fn column(hour: i64) -> f64 {
    LEFT + (1.0 - LEFT) * hour as f64 / 24.0
}

/// 0 for nothing, and 1 to [`SHADES`] by the logarithm.
fn shade(requests: u64, most: u64) -> u32 {
    if requests == 0 {
        return 0;
    }
    let share = (requests as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
    ((share * f64::from(SHADES)).ceil() as u32).clamp(1, SHADES)
}

fn day_name(start: i64) -> String {
    jiff::Timestamp::from_second(start)
        .map_or_else(|_| String::new(), |time| time.strftime("%-d %b").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_nothing_to_the_most() {
        assert_eq!([0, 1, 30, 1_000].map(|n| shade(n, 1_000)), [0, 1, 3, 6]);
        assert_eq!(shade(1, 1), 6);
    }
}
