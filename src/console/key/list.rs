//! The busiest keys, as a way into their pages.

use maud::{Markup, html};
use serde::Deserialize;

use crate::console::Console;
use crate::console::answer::Failure;
use crate::console::frame::{Page, Tab, ago, key_link};
use crate::event::EventTime;
use crate::text::{count, share};

#[derive(Deserialize)]
struct Row {
    key: String,
    requests: u64,
    failed: u64,
    throttled: u64,
    addresses: u64,
    countries: u64,
    networks: u64,
    last: i64,
}

pub async fn list(console: &Console) -> Result<Page, Failure> {
    let rows: Vec<Row> =
        console.store.query_rows(include_str!("../../../sql/console/keys.sql"), &[]).await?;
    let body = html! {
        div.heading { h1 { "Busiest keys" } p.faint { "of the last day; find any other by its id above" } }
        section #keys.card.flush data-live aria-label="Keys" {
            @if rows.is_empty() { div.empty { h2 { "No key was used in the last day" } } }
            @else { (table(&rows, EventTime::now())) }
        }
    };
    Ok(Page {
        title: "Keys".to_owned(),
        tab: Some(Tab::Keys),
        refresh_seconds: Some(15),
        body: body.into_string(),
    })
}

fn table(rows: &[Row], now: EventTime) -> Markup {
    html! {
        table.rows {
            thead { tr {
                th { "Key" } th.number { "Requests" } th.number { "Failed" } th.number.wide { "Throttled" }
                th.number.wide { "Addresses" } th.number.wide { "Networks" } th.number.wide { "Countries" } th.when { "Last hour of use" }
            } }
            tbody {
                @for row in rows {
                    tr data-row {
                        td.title { (key_link(&row.key)) }
                        td.number { (count(row.requests as usize)) }
                        td.number { (share(row.failed as f64 / row.requests.max(1) as f64)) }
                        td.number.wide { (count(row.throttled as usize)) }
                        td.number.wide { (count(row.addresses as usize)) }
                        td.number.wide { (count(row.networks as usize)) }
                        td.number.wide { (count(row.countries as usize)) }
                        td.when { (ago(EventTime::from_micros(row.last), now)) }
                    }
                }
            }
        }
    }
}
