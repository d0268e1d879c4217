//! One number beside the number that was expected.

use maud::{Markup, html};

use crate::page::scale::percent;
use crate::text::precise_number;

/// A bar of the observed value with a mark at the expected one, and both in words. The scale is
/// linear, and ends at the larger of the two.
pub fn measure(observed: f64, expected: Option<f64>) -> Markup {
    let top = observed.max(expected.unwrap_or(0.0)).max(f64::MIN_POSITIVE);
    let words = match expected {
        Some(expected) => {
            format!("{} observed, {} expected", precise_number(observed), precise_number(expected))
        }
        None => format!("{} observed", precise_number(observed)),
    };
    html! {
        div.measure {
            svg width="100%" height="12" role="img" aria-label=(words) {
                rect.track width="100%" height="6" y="3" rx="3" {}
                rect.fill width=(percent((observed / top).max(0.01))) height="6" y="3" rx="3" {}
                @if let Some(expected) = expected {
                    @let at = percent((expected / top).clamp(0.004, 0.996));
                    line.expected x1=(at) x2=(at) y1="0" y2="12" {}
                }
            }
            span { (words) }
        }
    }
}
