//! The report as one HTML page that stands alone: no scripts, no fonts, nothing fetched.
//! Every value goes through `maud`, which escapes it, so nothing from a log becomes markup.

mod calibration;
mod cases;
pub mod draw;
mod incidents;
mod kinds;
pub mod scale;
mod severities;
pub mod summary;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::report::Report;

const STYLE: &str = include_str!("style.css");

/// The same report gives the same bytes: there is no clock in the page.
pub fn render(report: &Report) -> String {
    let body = html! {
        (summary::head(report))
        (severities::section(report))
        (kinds::recall(report))
        (kinds::time_to_detect(report))
        (incidents::over_time(report))
        (incidents::by_detector(report))
        (calibration::section(report))
        (cases::attacks(report))
        (cases::incidents(report))
    };
    page("backtest", &summary::headline(report), &body)
}

/// A whole page of the command's.
pub fn page(command: &str, headline: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { "Keywatch " (command) ": " (headline) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (body)
                    footer {
                        p { "Made by keywatch " (env!("CARGO_PKG_VERSION")) " " (command) ". All times are event times, UTC. The report as JSON holds every figure of this page." }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// A part of the page with one plain sentence that says how to read it.
pub fn section(heading: &str, explanation: &str, body: &Markup) -> Markup {
    html! {
        section {
            h2 { (heading) }
            p.explain { (explanation) }
            (body)
        }
    }
}

#[cfg(test)]
mod tests;
