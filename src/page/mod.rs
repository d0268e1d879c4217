//! Builds self-contained HTML pages: no scripts, no fonts, no requests to other servers. `maud`
//! escapes every value, so no value from a log becomes markup.

pub mod draw;
pub mod scale;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A whole page of one command.
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
                        p { "Made by keywatch " (env!("CARGO_PKG_VERSION")) " " (command) ". All times are UTC. The report as JSON holds every figure of this page." }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// A section of the page, with one plain sentence that explains how to read it.
pub fn section(heading: &str, explanation: &str, body: &Markup) -> Markup {
    html! {
        section {
            h2 { (heading) }
            p.explain { (explanation) }
            (body)
        }
    }
}

/// A figure with its name above and a note below.
pub fn card(name: &str, value: &str, note: &str) -> Markup {
    html! { div { dt { (name) } dd { div.value { (value) } div.faint { (note) } } } }
}
