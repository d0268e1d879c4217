//! The numbers of an incident as pictures.

use maud::{Markup, html};
use serde_json::Value;

use super::load::{self, Incident, Place};
use crate::alert::Alert;
use crate::console::frame::{card, source_link, time};
use crate::console::plot::{self, Band, Spot};
use crate::console::visible::{shown, visible};
use crate::event::EventTime;
use crate::facts;
use crate::text::{count, counted};

/// Requests by time, in front of what is usual.
pub fn usage(incident: &Incident) -> Markup {
    let Some(series) = &incident.series else { return html! {} };
    let alert = incident.latest();
    let (from, to) = (series.from.as_seconds() as i64, series.to.as_seconds() as i64);
    let band =
        alert.key_id.as_ref().and_then(|_| Band::new(&series.counts, from, to, series.width));
    let span = (alert.first_event_time, alert.last_event_time);
    let plot =
        plot::usage(&series.counts, band.as_ref(), (series.from, series.to), series.width, span);
    let usual = match &band {
        Some(band) => format!(
            "what these times of the day held on the {} before (the middle 80 %)",
            counted(band.days as usize, "day")
        ),
        None => "not shown: less than a day is known before".to_owned(),
    };
    let legend = html! {
        p.legend {
            span { (swatch("requests")) " requests" }
            span { (swatch("incident")) " the incident" }
            span { (swatch("band")) " usual: " (usual) }
        }
    };
    let subject = if alert.key_id.is_some() { "key" } else { "address" };
    card("usage", &format!("Requests of this {subject}"), "", html! { (plot) (legend) })
}

fn swatch(class: &str) -> Markup {
    html! { svg width="12" height="12" aria-hidden="true" { rect class=(class) width="12" height="12" rx="2" {} } }
}

/// The journey between two places, if the evidence has one and both can be placed on a map.
pub fn journey(incident: &Incident) -> Option<Markup> {
    let alert = incident.latest();
    let (from, to) = (load::end(alert, "from")?, load::end(alert, "to")?);
    let spot = |end: &Value| {
        let address = load::address(Some(end));
        let place = incident.places.iter().find(|place| place.address == address)?;
        let note = load::time_of(Some(end)).map(|at| facts::time(at).get(5..19).map(str::to_owned));
        Some(Spot {
            latitude: place.latitude?,
            longitude: place.longitude?,
            name: visible(&name(place)),
            note: note.flatten().unwrap_or_default(),
        })
    };
    let (first, second) = (spot(from)?, spot(to)?);
    let words = sentence(alert, &first, &second);
    Some(card("journey", "The journey", &words, plot::journey(&first, &second, &words)))
}

fn sentence(alert: &Alert, first: &Spot, second: &Spot) -> String {
    let figure = |name: &str| {
        alert.evidence.iter().find_map(|evidence| evidence.fields.get(name)).and_then(Value::as_f64)
    };
    let way = format!("From {} to {}", first.name, second.name);
    match (figure("kilometres"), figure("kilometres_per_hour")) {
        (Some(far), Some(fast)) => {
            format!("{way}: {} km at {} km/h.", count(far as usize), count(fast as usize))
        }
        _ => format!("{way}."),
    }
}

fn name(place: &Place) -> String {
    let parts = [&place.city, &place.country];
    let named: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).cloned().collect();
    if named.is_empty() { place.address.clone() } else { named.join(", ") }
}

/// The addresses from which the key was used around the incident.
pub fn places(incident: &Incident) -> Markup {
    if incident.places.is_empty() {
        return html! {};
    }
    let rows = html! {
        div.scroll { table.plain {
            thead { tr { th { "Address" } th { "Place" } th { "Network" } th.number { "Requests" } th.number { "Failed" } th { "First" } th { "Last" } } }
            tbody {
                @for place in &incident.places {
                    tr {
                        td.mono { (source_link(&place.address)) }
                        td { (shown(&name(place))) }
                        td { @if place.asn > 0 { "AS" (place.asn) " " } (shown(&place.network)) }
                        td.number { (count(place.requests as usize)) }
                        td.number { (count(place.failed as usize)) }
                        td { (time(EventTime::from_micros(place.first))) }
                        td { (time(EventTime::from_micros(place.last))) }
                    }
                }
            }
        } }
    };
    card(
        "places",
        "Where the key was used",
        "Half an hour before the incident to half an hour after it, the busiest addresses.",
        rows,
    )
}
