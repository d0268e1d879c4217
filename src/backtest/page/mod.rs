//! Renders the report of a backtest as one HTML page.

mod calibration;
mod cases;
mod incidents;
mod kinds;
mod severities;
mod summary;

use maud::html;

use super::figures::Report;
use crate::page::page;

/// The same report gives the same bytes: the page shows no current time.
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

#[cfg(test)]
mod tests;
