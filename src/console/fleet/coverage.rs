//! Renders what each detector sees, and which techniques of attackers that covers.

use maud::{Markup, html};
use strum::VariantArray;

use super::load::{Fleet, Seen};
use crate::alert::{ATTACK_VERSION, DetectorId, TECHNIQUES};
use crate::console::frame::{ago, encoded};
use crate::console::sight::Blind;
use crate::console::words;
use crate::detect::family;
use crate::detect::sight::{SIGHTS, Sight};
use crate::event::EventTime;
use crate::page::draw;
use crate::text::{count, duration_figure, number};

pub(super) fn detectors(fleet: &Fleet, blind: &[Blind], now: EventTime) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Detectors" { table.plain.detector-rows {
            thead { tr {
                th { "Detector" } th { "Family" } th { "Sees" } th { "Begins to see a key" }
                th.number { "This week" } th.number { "Usual week" } th.when { "Last" }
            } }
            tbody { @for detector in DetectorId::VARIANTS { (detector_row(*detector, fleet, blind, now)) } }
        } }
    }
}

fn detector_row(detector: DetectorId, fleet: &Fleet, blind: &[Blind], now: EventTime) -> Markup {
    let seen = fleet.seen.iter().find(|row| row.detector == detector.as_str());
    let ages: Vec<&Sight> = SIGHTS.iter().filter(|it| it.detectors.contains(&detector)).collect();
    html! {
        tr {
            td { a.mono href={ "/incidents?detector=" (encoded(detector.as_str())) } { (draw::name(detector.as_str())) } div.faint { (words::sign(detector)) } }
            td.mono { (family(detector).as_str()) }
            td { (sees(detector, fleet, blind)) }
            td { @for sight in ages { div { (age(sight, detector)) } } }
            td.number { (count(seen.map_or(0, |row| row.week) as usize)) }
            td.number { (number(seen.map_or(0.0, |row| row.before as f64 / 4.0))) }
            td.when { @match seen { Some(row) => (ago(EventTime::from_micros(row.last), now)), None => "–" } }
        }
    }
}

fn age(sight: &Sight, detector: DetectorId) -> Markup {
    // The remark about those that see at once is about routes alone.
    let is_meant = sight.seconds > 0.0 || detector == DetectorId::UnexpectedEndpoint;
    html! {
        @if sight.seconds == 0.0 { "at once" } @else { "after " (duration_figure(sight.seconds)) }
        @if is_meant && !sight.remark.is_empty() { span.faint { ": " (sight.remark) } }
    }
}

fn sees(detector: DetectorId, fleet: &Fleet, blind: &[Blind]) -> Markup {
    html! {
        @if let Some(blind) = blindness(detector, blind) { span.mark-bad { "blind" } ": " (words::with_code(blind.lacks)) }
        @else if detector.is_of_monitor() { "Keywatch itself" }
        @else if fleet.inputs.events == 0 { span.faint { "not known: no request in the last hour" } }
        @else { "yes" }
    }
}

fn blindness(detector: DetectorId, blind: &[Blind]) -> Option<&Blind> {
    blind.iter().find(|blind| blind.detectors.contains(&detector))
}

pub(super) fn techniques(fleet: &Fleet, blind: &[Blind]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Techniques" { table.plain {
            thead { tr { th { "Technique" } th { "Detectors that see" } th.number { "Incidents of 5 weeks" } } }
            tbody { @for (id, name) in TECHNIQUES { (technique_row(id, name, fleet, blind)) } }
        } }
        p.note { "Technique ids are of MITRE ATT&CK, version " (ATTACK_VERSION) ". An incident counts for each of its detectors." }
    }
}

fn technique_row(id: &str, name: &str, fleet: &Fleet, blind: &[Blind]) -> Markup {
    let signs = DetectorId::VARIANTS.iter().filter(|it| it.references().techniques.contains(&id));
    let (blind, seeing): (Vec<DetectorId>, Vec<DetectorId>) =
        signs.partition(|detector| blindness(**detector, blind).is_some());
    let is_of = |row: &&Seen| {
        let names = blind.iter().chain(&seeing);
        names.map(|detector| detector.as_str()).any(|name| name == row.detector)
    };
    let incidents: u64 = fleet.seen.iter().filter(is_of).map(|row| row.week + row.before).sum();
    html! {
        tr {
            td { span.mono { (id) } div.faint { (name) } }
            td {
                @if fleet.inputs.events > 0 { div {
                    @if seeing.is_empty() { span.mark-bad { "none" } } @else { (seeing.len()) }
                    " of " (seeing.len() + blind.len())
                } }
                div.detectors { @for detector in &seeing { span { (draw::name(detector.as_str())) } } }
                @if !blind.is_empty() { div.detectors.unseen-ones { "blind: " @for detector in &blind { span { (draw::name(detector.as_str())) } } } }
            }
            td.number { (count(incidents as usize)) }
        }
    }
}
