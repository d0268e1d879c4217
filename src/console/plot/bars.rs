//! Small plots of counts over time.

use maud::{Markup, html};

use crate::alert::Severity;
use crate::event::EventTime;
use crate::page::draw::{self, AXIS_HEIGHT, level, round_up, time_axis};
use crate::page::scale::{TimeAxis, count, counted, percent, time_text};

/// Bars without an axis; `label` says what they show. The largest bar fills the height, unless it
/// is far above the others: a burst would flatten the rest.
pub fn spark(values: &[u64], label: &str) -> Markup {
    const HEIGHT: f64 = 36.0;
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let ninth = sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(0);
    let most = sorted.last().copied().unwrap_or(0);
    let top = if most > 4 * ninth.max(1) { 4 * ninth.max(1) } else { most.max(1) } as f64;
    let width = 1.0 / values.len().max(1) as f64;
    html! {
        svg.spark width="100%" height=(HEIGHT) role="img" aria-label=(label) {
            title { (label) }
            @for (at, value) in values.iter().enumerate() {
                @let height = (HEIGHT * (*value as f64 / top).min(1.0)).max(1.5);
                rect class=(if *value > 0 { "fill" } else { "track" }) x=(percent(at as f64 * width)) width=(percent(width * 0.72)) y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) rx="1" {}
            }
        }
    }
}

/// Incidents by the hour in which they opened, the worst severity at the bottom.
pub fn severities_by_hour(
    counts: &[(EventTime, Severity, u64)],
    from: EventTime,
    to: EventTime,
) -> Markup {
    const HEIGHT: f64 = 110.0;
    let axis = TimeAxis::new(from, to);
    let sum = |hour: EventTime| -> u64 {
        counts.iter().filter(|(at, ..)| *at == hour).map(|(.., n)| n).sum()
    };
    let most = counts.iter().map(|(at, ..)| sum(*at)).max().unwrap_or(0);
    let top = round_up(most as f64);
    let total: u64 = counts.iter().map(|(.., n)| n).sum();
    let label =
        format!("{} opened, at most {most} in an hour", counted(total as usize, "incident"));
    let mut stacked: Vec<_> = counts.iter().filter(|(at, ..)| axis.at(*at) >= 0.0).collect();
    stacked.sort_by_key(|(at, severity, _)| (*at, std::cmp::Reverse(*severity)));
    let bars =
        stacked.iter().scan((EventTime::default(), 0u64), |(hour, below), (at, severity, n)| {
            if hour != at {
                (*hour, *below) = (*at, 0);
            }
            let begin = *below;
            *below += n;
            Some((*at, *severity, *n, begin))
        });
    html! {
        svg.plot width="100%" height=(HEIGHT + 18.0 + AXIS_HEIGHT) role="img" aria-label=(label) {
            svg y="18" {
                (level(0.0, &format!("{} an hour", count(top as usize))))
                (time_axis(&axis, HEIGHT))
                @for (at, severity, n, below) in bars {
                    @let height = HEIGHT * n as f64 / top;
                    @let y = HEIGHT - HEIGHT * (below + n) as f64 / top;
                    rect class=(draw::severity_class(severity)) x=(percent(axis.at(at))) width=(percent(axis.width(3_600.0) * 0.8)) y=(format!("{y:.1}")) height=(format!("{height:.1}")) {
                        title { (time_text(at)) ": " (counted(n as usize, severity.as_str())) }
                    }
                }
            }
        }
    }
}
