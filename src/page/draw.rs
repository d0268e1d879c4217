//! Draws the parts of plots. Horizontal lengths are percentages, vertical ones are CSS pixels, so
//! that a plot reads the same on a phone, on a wide screen and on paper.

use maud::{Markup, html};

use super::scale::{TimeAxis, count, counted, duration_text, percent, time_text};
use crate::alert::Severity;
use crate::event::EventTime;

/// Height of the axis labels below a plot.
pub const AXIS_HEIGHT: f64 = 34.0;

/// A name like `rate.error_burst`, in which a line may break after a point or underscore.
pub fn name(text: &str) -> Markup {
    html! { @for part in text.split_inclusive(['.', '_']) { (part) wbr; } }
}

/// A bar from the left, as long as `share` of the cell; a hairline for any share above 0.
pub fn bar(share: f64, class: &str, label: &str) -> Markup {
    html! {
        svg.bar role="img" aria-label=(label) width="100%" height="10" {
            title { (label) }
            rect.track width="100%" height="10" rx="2" {}
            @if share > 0.0 { rect class=(class) width=(percent(share.max(0.006))) height="10" rx="2" {} }
        }
    }
}

/// A table cell with a small plot and its figure in words, side by side where the width allows.
pub fn figure_cell(plot: Markup, words: &str) -> Markup {
    html! { td { div.figure { (plot) span { (words) } } } }
}

/// Labels and hairlines of a time axis below a plot of this height.
pub fn time_axis(axis: &TimeAxis, height: f64) -> Markup {
    html! {
        line.axis x1="0" x2="100%" y1=(height) y2=(height) {}
        @for tick in axis.ticks() {
            line.grid x1=(percent(tick.at)) x2=(percent(tick.at)) y1="0" y2=(height + 4.0) {}
            text.tick x=(percent(tick.at)) y=(height + 16.0) text-anchor=(anchor(tick.at)) { (tick.text) }
            @if let Some(day) = tick.day {
                text.tick x=(percent(tick.at)) y=(height + 29.0) text-anchor=(anchor(tick.at)) { (day) }
            }
        }
    }
}

/// Labels near the ends would be cut off if they were centred.
pub fn anchor(at: f64) -> &'static str {
    match at {
        ..0.1 => "start",
        0.9.. => "end",
        _ => "middle",
    }
}

/// A hairline with its value written above its left end.
pub fn level(y: f64, text: &str) -> Markup {
    html! {
        line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
        text.tick x="0" y=(y - 3.0) { (text) }
    }
}

/// Height of the bars of a [`request_plot`].
pub const PLOT_HEIGHT: f64 = 84.0;
/// Room above the bars for the heads of marks.
const ABOVE: f64 = 26.0;

/// Requests over time as bars, one for each bin of `bins` (its start and its requests). `behind` is
/// drawn behind the bars and `marks` in front of them, both from zero at the top of the bars to
/// [`PLOT_HEIGHT`]. `marked` describes the marks in words.
pub fn request_plot(
    axis: &TimeAxis,
    bins: impl IntoIterator<Item = (EventTime, u32)>,
    bin_seconds: u32,
    marked: &str,
    behind: &Markup,
    marks: &Markup,
) -> Markup {
    let bin_seconds = f64::from(bin_seconds);
    let bars: Vec<_> = bins.into_iter().filter(|(start, _)| axis.shows(*start)).collect();
    let most = bars.iter().map(|(_, requests)| *requests).max().unwrap_or(0);
    let top = round_up(f64::from(most));
    // Leaves a gap between bars that are wide enough for one.
    let gap = if axis.width(bin_seconds) > 0.006 { 0.88 } else { 1.0 };
    let words = format!("requests in {}", duration_text(bin_seconds));
    html! {
        svg.plot height=(ABOVE + PLOT_HEIGHT + AXIS_HEIGHT) role="img" aria-label={ (words) ", at most " (most) ", with " (marked) } {
            svg y=(ABOVE) {
                (behind)
                (level(0.0, &format!("{} {words}", count(top as usize))))
                (time_axis(axis, PLOT_HEIGHT))
                @for (start, requests) in bars {
                    @let height = PLOT_HEIGHT * f64::from(requests) / top;
                    rect.requests x=(percent(axis.at(start))) width=(percent(axis.width(bin_seconds) * gap)) y=(format!("{:.1}", PLOT_HEIGHT - height)) height=(format!("{height:.1}")) {
                        title { (time_text(start)) ": " (counted(requests as usize, "request")) }
                    }
                }
                (marks)
            }
        }
    }
}

/// A round number at or above `value`, for the top of an axis.
pub fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.max(1.0).log10().floor());
    // Below ten, an axis of counts ends at a whole number.
    let steps: &[f64] = if decade < 10.0 {
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    } else {
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    };
    steps.iter().map(|step| step * decade).find(|top| *top >= value).unwrap_or(value)
}

/// The CSS class of a severity. The style sheet sets the colours, for light, dark and paper.
pub const fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

pub fn badge(severity: Severity) -> Markup {
    html! { span class={ "badge " (severity_class(severity)) } { (severity) } }
}

/// Explains the colours, below a plot.
pub fn legend(entries: &[(&str, &str)]) -> Markup {
    html! {
        p.legend {
            @for (class, text) in entries {
                span { svg width="12" height="12" aria-hidden="true" { rect class=(class) width="12" height="12" rx="2" {} } " " (text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 1.0, 3.0, 11.0, 480.0].map(round_up), [1.0, 1.0, 3.0, 12.0, 500.0]);
    }

    #[test]
    fn what_is_not_nothing_can_be_seen() {
        assert!(bar(1e-9, "found", "x").into_string().contains("0.60%"));
        assert!(!bar(0.0, "found", "x").into_string().contains("found"));
    }
}
