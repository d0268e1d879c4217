//! The two requests of a replay, side by side.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::load::{Incident, time_of};
use crate::alert::{Alert, Evidence};
use crate::console::frame::{source_link, time};
use crate::console::visible::shown;
use crate::event::EventTime;
use crate::store::{Store, StoreError};
use crate::text::duration_figure;

/// What is stored of a request.
#[derive(Debug, Deserialize)]
pub struct StoredRequest {
    at: i64,
    record_offset: i64,
    method: String,
    path: String,
    user_agent: String,
    country: String,
    city: String,
    network: String,
    request_id: String,
    signed_at: Option<i64>,
}

/// The evidence that names two requests.
fn evidence(alert: &Alert) -> Option<&Evidence> {
    alert.evidence.iter().find(|evidence| evidence.fields.contains_key("second_request"))
}

/// Returns the rows of the two requests; none when the incident is not about a replay.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, alert: &Alert) -> Result<Vec<StoredRequest>, StoreError> {
    let (Some(key), Some(evidence)) = (&alert.key_id, evidence(alert)) else {
        return Ok(Vec::new());
    };
    let micros =
        |name: &str| time_of(evidence.fields.get(name)).map(|at| at.as_micros().to_string());
    let Some(second) = micros("second_request") else { return Ok(Vec::new()) };
    let first = micros("first_request").unwrap_or_else(|| second.clone());
    let values = [("key", key.as_str()), ("first", &first), ("second", &second)];
    store.query_rows(include_str!("../../../sql/console/two_requests.sql"), &values).await
}

pub fn side_by_side(incident: &Incident) -> Option<Markup> {
    let evidence = evidence(incident.latest())?;
    let (first, second) =
        (evidence.fields.get("first_request"), evidence.fields.get("second_request"));
    let gap = evidence.fields.get("gap_seconds").and_then(Value::as_f64);
    let row = |said: Option<&Value>| {
        let offset = said?.get("offset")?.as_i64()?;
        let at = time_of(said)?.as_micros();
        incident.replayed.iter().find(|row| row.record_offset == offset && row.at == at)
    };
    let (a, b) = (row(first), row(second));
    Some(html! {
        div.scroll { table.pair {
            thead { tr { th { span.unseen-heading { "Field" } } th { "First request" } th { "Second request" @if let Some(gap) = gap { span.faint { ", " (duration_figure(gap)) " later" } } } } }
            tbody {
                (said("Time", first, second, |request| time_of(Some(request)).map(time)))
                (said("Address", first, second, |request| Some(source_link(request.get("ip")?.as_str()?))))
                (stored("Place", a, b, |row| shown(&place(row))))
                (stored("Request", a, b, |row| html! { span.mono { (shown(&format!("{} {}", row.method, row.path))) } }))
                (said("Status", first, second, |request| Some(html! { (request.get("status")?.as_u64()?) })))
                (stored("Client", a, b, |row| shown(&row.user_agent)))
                (stored("Signed at", a, b, |row| html! { @if let Some(at) = row.signed_at { (time(EventTime::from_micros(at))) } }))
                (stored("Request id", a, b, |row| html! { span.mono { (shown(&row.request_id)) } }))
            }
        } }
        @if first.is_none_or(Value::is_null) { p.note { "The first request is only remembered by a fingerprint." } }
    })
}

fn place(row: &StoredRequest) -> String {
    let parts = [&row.city, &row.country, &row.network];
    parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")
}

/// A row from the evidence.
fn said(
    name: &str,
    first: Option<&Value>,
    second: Option<&Value>,
    show: impl Fn(&Value) -> Option<Markup>,
) -> Markup {
    line(name, &first.and_then(&show), &second.and_then(&show))
}

/// A row from what is stored of the requests.
fn stored(
    name: &str,
    first: Option<&StoredRequest>,
    second: Option<&StoredRequest>,
    show: impl Fn(&StoredRequest) -> Markup,
) -> Markup {
    line(name, &first.map(&show), &second.map(&show))
}

/// Marks what is not the same in both; the style sheet adds the word.
fn line(name: &str, first: &Option<Markup>, second: &Option<Markup>) -> Markup {
    let text = |cell: &Option<Markup>| cell.as_ref().map(|markup| markup.0.clone());
    let differs = first.is_some() && second.is_some() && text(first) != text(second);
    html! {
        @if first.is_some() || second.is_some() {
            tr.differs[differs] {
                th scope="row" { (name) }
                @for cell in [first, second] { td { @match cell { Some(cell) => (cell), None => span.faint { "unknown" } } } }
            }
        }
    }
}
