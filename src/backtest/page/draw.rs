//! Pieces of plots. Across, everything is in percent; down, in CSS pixels. So a plot reads
//! the same on a phone, on a wide screen and on paper.

use maud::{Markup, html};

use super::scale::{TimeAxis, percent};
use crate::alert::Severity;

/// Height of the axis labels below a plot.
pub const AXIS_HEIGHT: f64 = 34.0;

/// A name like `rate.error_burst`, which may be broken after a point or underscore.
pub fn name(text: &str) -> Markup {
    html! { @for part in text.split_inclusive(['.', '_']) { (part) wbr; } }
}

/// A bar from the left, as long as `share` of the cell; a hair when it is not nothing.
pub fn bar(share: f64, class: &str, label: &str) -> Markup {
    html! {
        svg.bar role="img" aria-label=(label) width="100%" height="10" {
            title { (label) }
            rect.track width="100%" height="10" rx="2" {}
            @if share > 0.0 { rect class=(class) width=(percent(share.max(0.006))) height="10" rx="2" {} }
        }
    }
}

/// A table cell with a small plot and its figure in words; beside each other where there is room.
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

/// A hairline with its value written above it, at the left.
pub fn level(y: f64, text: &str) -> Markup {
    html! {
        line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
        text.tick x="0" y=(y - 3.0) { (text) }
    }
}

/// A round number at or above `value`, for the top of an axis.
pub fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.max(1.0).log10().floor());
    // Counts below ten end at whole numbers.
    let steps: &[f64] = if decade < 10.0 {
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    } else {
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    };
    steps.iter().map(|step| step * decade).find(|top| *top >= value).unwrap_or(value)
}

/// Colours are set in the style sheet, for light, dark and paper.
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

/// What the colours mean, below a plot.
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
