//! Shows whether the number of false alerts stays within the promise.

use maud::{Markup, html};

use super::super::figures::{Calibration, Report};
use crate::page;
use crate::page::draw::{anchor, bar};
use crate::page::scale::{number, percent};

const HEIGHT: f64 = 180.0;

/// Renders the section; empty if calibration was not measured.
pub fn section(report: &Report) -> Markup {
    let Some(families) = report.calibration.as_deref().filter(|families| !families.is_empty())
    else {
        return html! {};
    };
    let measured = if report.labels > 0 { "false incidents" } else { "incidents" };
    let top = families.iter().map(|f| f.promised.max(f.measured)).fold(1e-9, f64::max);
    let body = html! {
        table {
            thead { tr { th { "Family" } th { "Promised false alerts" } th { "Measured " (measured) } } }
            tbody {
                @for family in families {
                    tr {
                        th { (family.family) }
                        td { (bar(family.promised / top, "plain", "promised")) (number(family.promised)) }
                        td { (bar(family.measured / top, if family.measured > family.promised { "false" } else { "true" }, "measured")) (number(family.measured)) }
                    }
                }
            }
        }
        div.pair style="margin-top:1.2rem" { @for family in families.iter().filter(|f| !f.points.is_empty()) { (curve(family)) } }
    };
    page::section(
        "Promised and measured",
        "The table compares the number of false alerts that the configuration allows in a run of \
         this length with the number measured. Each plot compares a rarity that the model promises \
         (say, once in 1,000 key-hours) with the measured one: points on the dashed line keep the \
         promise, points above it alert too often.",
        &body,
    )
}

/// An axis in decades of probability, from 1 down to the rarest; both axes of the plot use it.
struct Decades {
    lowest: f64,
}

impl Decades {
    fn of(points: &[(f64, f64)]) -> Self {
        let seen = points.iter().flat_map(|(promised, measured)| [*promised, *measured]);
        let least = seen.filter(|share| *share > 0.0).fold(0.1, f64::min);
        Self { lowest: least.log10().floor().max(-15.0) }
    }

    /// Position on the axis: 0 for the rarest, 1 for a probability of 1. A share of 0 is drawn as
    /// the rarest.
    fn at(&self, share: f64) -> f64 {
        let decades = if share > 0.0 { share.log10() } else { self.lowest };
        (1.0 - decades / self.lowest).clamp(0.0, 1.0)
    }

    fn marks(&self) -> Vec<(f64, String)> {
        let every = (-self.lowest / 4.0).ceil().max(1.0) as usize;
        let mark = |decade: i32| (10f64.powi(decade), one_in(decade));
        (self.lowest as i32..=0).rev().step_by(every).map(mark).collect()
    }
}

fn one_in(decade: i32) -> String {
    match decade {
        0 => "always".to_owned(),
        -6..0 => format!("1 in {}", number(10f64.powi(-decade))),
        _ => format!("1 in 10^{}", -decade),
    }
}

fn curve(family: &Calibration) -> Markup {
    let mut points = family.points.clone();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let decades = Decades::of(&points);
    let x = |share: f64| percent(decades.at(share));
    let y = |share: f64| format!("{:.1}", HEIGHT * (1.0 - decades.at(share)));
    html! {
        figure {
            figcaption { strong { (family.family) } ": promised (across), measured (up)" }
            svg.plot height=(HEIGHT + 20.0) role="img" aria-label={ "promised and measured rarity of " (family.family) } {
                svg height=(HEIGHT) {
                    @for (share, text) in decades.marks() {
                        line.grid x1="0" x2="100%" y1=(y(share)) y2=(y(share)) {}
                        line.grid x1=(x(share)) x2=(x(share)) y1="0" y2=(HEIGHT) {}
                        text.tick x=(x(share)) y=(HEIGHT + 15.0) text-anchor=(anchor(decades.at(share))) { (text) }
                    }
                    line.diagonal x1="0" x2="100%" y1=(HEIGHT) y2="0" {}
                    @for pair in points.windows(2) {
                        line.curve x1=(x(pair[0].0)) y1=(y(pair[0].1)) x2=(x(pair[1].0)) y2=(y(pair[1].1)) {}
                    }
                    @for (promised, measured) in &points {
                        circle class=(if *measured > 0.0 { "point" } else { "worst" }) cx=(x(*promised)) cy=(y(*measured)) r="3.5" {
                            title { "promised " (number(*promised)) ", measured " (number(*measured)) }
                        }
                    }
                }
            }
        }
    }
}
