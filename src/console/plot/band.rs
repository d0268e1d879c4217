//! Requests over time in front of the band of what is usual at these times of the day.

use maud::{Markup, PreEscaped, html};

use crate::event::{DAY_SECONDS, EventTime};
use crate::page::draw::{AXIS_HEIGHT, level, round_up, time_axis};
use crate::page::scale::{TimeAxis, counted, percent, time_text};

/// Neighbouring bins on each side that count as the same time of day: of few days, more of them.
fn neighbours(days: i64) -> i64 {
    (8 / days).max(2)
}
const HEIGHT: f64 = 150.0;
const ABOVE: f64 = 20.0;

/// The usual requests of each bin: the 10th and 90th percentile of the same time of day.
pub struct Band {
    pub days: i64,
    /// Seconds since the epoch of the bin's start, low, high.
    bins: Vec<(i64, f64, f64)>,
}

impl Band {
    /// `counts` holds (start of the bin, requests) of `width` seconds each, without empty bins, over
    /// days before `from` and up to `to`. `width` divides a day.
    pub fn new(counts: &[(i64, u64)], from: i64, to: i64, width: i64) -> Option<Self> {
        let first = counts.iter().map(|(start, _)| *start).min()?;
        let day = DAY_SECONDS as i64;
        let days = (from - first) / day;
        if days < 1 {
            return None;
        }
        let near = neighbours(days);
        let known: std::collections::HashMap<i64, u64> = counts.iter().copied().collect();
        let begin = from.div_euclid(width) * width;
        let bins = (0..).map(|n| begin + n * width).take_while(|start| *start < to).map(|start| {
            let mut usual: Vec<u64> = (1..=days)
                .flat_map(|back| (-near..=near).map(move |n| start - back * day + n * width))
                .filter(|at| (first..from).contains(at))
                .map(|at| known.get(&at).copied().unwrap_or(0))
                .collect();
            usual.sort_unstable();
            let quantile = |share: f64| {
                usual
                    .get((share * (usual.len().max(1) - 1) as f64).round() as usize)
                    .copied()
                    .unwrap_or(0) as f64
            };
            (start, quantile(0.1), quantile(0.9))
        });
        Some(Self { days, bins: bins.collect() })
    }
}

/// Requests from `from` to `to`, with the band behind and the time of the incident marked.
pub fn usage(
    counts: &[(i64, u64)],
    band: Option<&Band>,
    (from, to): (EventTime, EventTime),
    width: i64,
    marked: (EventTime, EventTime),
) -> Markup {
    let axis = TimeAxis::new(from, to);
    let shown: Vec<_> = counts
        .iter()
        .map(|(start, n)| (EventTime::from_seconds(*start), *n))
        .filter(|(start, _)| axis.shows(*start))
        .collect();
    let most = shown.iter().map(|(_, n)| *n).max().unwrap_or(0) as f64;
    let high =
        band.map_or(0.0, |band| band.bins.iter().map(|(.., high)| *high).fold(0.0, f64::max));
    let top = round_up(most.max(high));
    let words = crate::text::duration_figure(width as f64);
    let label =
        format!("Requests in each {words}, at most {}; the incident is marked", most as u64);
    html! {
        svg.plot width="100%" height=(ABOVE + HEIGHT + AXIS_HEIGHT) role="img" aria-label=(label) {
            svg y=(ABOVE) {
                (during(&axis, marked))
                (level(0.0, &format!("{} in {words}", counted(top as usize, "request"))))
                (time_axis(&axis, HEIGHT))
                @if let Some(band) = band { (area(band, &axis, top)) }
                @for (start, n) in shown {
                    @let height = (HEIGHT * n as f64 / top).max(1.0);
                    rect.requests x=(percent(axis.at(start))) width=(percent(axis.width(width as f64) * 0.8)) y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) {
                        title { (time_text(start)) ": " (counted(n as usize, "request")) }
                    }
                }
            }
        }
    }
}

/// The time of the incident, at least a hairline wide.
fn during(axis: &TimeAxis, (from, to): (EventTime, EventTime)) -> Markup {
    let (begin, end) = (axis.at(from).clamp(0.0, 1.0), axis.at(to).clamp(0.0, 1.0));
    html! {
        rect.incident x=(percent(begin)) width=(percent((end - begin).max(0.008))) y="-6" height=(HEIGHT + 6.0) {
            title { "The incident: " (time_text(from)) " to " (time_text(to)) }
        }
    }
}

/// The band as one shape. A path knows no percentages, so it has a stretched system of its own.
fn area(band: &Band, axis: &TimeAxis, top: f64) -> Markup {
    const UNITS: f64 = 1_000.0;
    let x = |start: i64| axis.at(EventTime::from_seconds(start)) * UNITS;
    let y = |value: f64| HEIGHT - HEIGHT * value / top;
    let Some(width) = band.bins.windows(2).next().map(|pair| pair[1].0 - pair[0].0) else {
        return html! {};
    };
    let point = |start: i64, value: f64| format!("{:.1} {:.1}", x(start), y(value));
    let upper = band
        .bins
        .iter()
        .flat_map(|(start, _, high)| [point(*start, *high), point(start + width, *high)]);
    let lower = band
        .bins
        .iter()
        .rev()
        .flat_map(|(start, low, _)| [point(start + width, *low), point(*start, *low)]);
    let points: Vec<_> = upper.chain(lower).collect();
    html! {
        svg.stretched x="0" y="0" width="100%" height=(HEIGHT) viewBox={ "0 0 " (UNITS) " " (HEIGHT) } preserveAspectRatio="none" {
            path.band d={ "M" (PreEscaped(points.join("L"))) "Z" } { title { "Usual at these times of the day" } }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_band_is_what_the_same_time_of_other_days_held() {
        let (day, width) = (86_400, 3_600);
        let from = 20_000 * day;
        // Ten requests at noon of each of five days before; nothing else but a first night.
        let mut counts: Vec<_> = (1..=5).map(|back| (from - back * day + 12 * width, 10)).collect();
        counts.push((from - 5 * day, 1));
        counts.push((from + 12 * width, 500));
        let band = Band::new(&counts, from, from + day, width).unwrap();
        assert_eq!(band.days, 5);
        let (start, low, high) = band.bins[12];
        assert_eq!((start, low, high), (from + 12 * width, 0.0, 10.0));
        assert_eq!(band.bins[3], (from + 3 * width, 0.0, 0.0));
    }

    #[test]
    fn less_than_a_day_of_history_makes_no_band() {
        assert!(Band::new(&[(0, 1)], 80_000, 172_800, 3_600).is_none());
        assert!(Band::new(&[], 0, 10, 3_600).is_none());
    }
}
