//! The frame of every page, and the small parts that all pages use.

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::routes::VERSION;
use super::source::Source;
use super::visible::{shown, visible};
use super::visitor::Visitor;
use crate::event::EventTime;
use crate::facts;

/// The content of a page. `body` is rendered, so that it can be kept.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    pub tab: Option<Tab>,
    /// Seconds after which an open page is made again; every new alert renews it too.
    pub refresh_seconds: Option<u32>,
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Incidents,
    Keys,
    Fleet,
    Policy,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Incidents, "/incidents?state=open", "Incidents"),
    (Tab::Keys, "/keys", "Keys"),
    (Tab::Fleet, "/fleet", "Fleet"),
    (Tab::Policy, "/policy", "Policy"),
];

/// Stands in a page that is remembered for the token of the reader's session. Nobody outside can
/// write it into a page, because it is made anew by each process.
static FORM_TOKEN: LazyLock<String> =
    LazyLock::new(|| format!("token-{}", hex::encode(rand::random::<[u8; 16]>())));

/// The field of a form that shows that a page of this session sends it.
pub fn form_token() -> Markup {
    html! { input type="hidden" name="token" value=(*FORM_TOKEN); }
}

/// The whole document. `away`: ClickHouse does not answer, for which reason, and the time at which
/// the content was true.
pub fn document(page: &Page, away: Option<(&str, Option<EventTime>)>, visitor: &Visitor) -> String {
    let version = &*VERSION;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Keywatch" }
                link rel="icon" href={ "/assets/icon.svg?" (version) } type="image/svg+xml";
                link rel="stylesheet" href={ "/assets/console.css?" (version) };
                script src={ "/assets/console.js?" (version) } defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (top(page, visitor))
                main #main data-refresh=[page.refresh_seconds] {
                    div #away role="status" data-live { @if let Some((reason, at)) = away { (banner(reason, at)) } }
                    (PreEscaped(&page.body))
                }
                footer {
                    p { "All times are UTC; point at one to see yours. Keywatch " (env!("CARGO_PKG_VERSION")) "." }
                    p.keys { kbd { "j" } " " kbd { "k" } " move · " kbd { "Enter" } " open · " kbd { "/" } " find a key or address · " kbd { "o" } " overview · " kbd { "i" } " incidents" }
                }
            }
        }
    };
    document.into_string().replace(&*FORM_TOKEN, visitor.form_token())
}

fn top(page: &Page, visitor: &Visitor) -> Markup {
    html! {
        header.top {
            a.brand href="/" { (mark()) span { "Keywatch" } }
            nav aria-label="Pages" {
                @for (tab, address, name) in TABS {
                    a href=(address) aria-current=[(page.tab == Some(tab)).then_some("page")] { (name) }
                }
            }
            form.find action="/key" method="get" role="search" {
                input #find type="search" name="id" placeholder="Key id or address" aria-label="Find a key by its id, or an address" autocomplete="off" spellcheck="false" maxlength="512" required;
            }
            span #line.line role="status" hidden[page.refresh_seconds.is_none()] { span.dot aria-hidden="true" {} span.word { "Loaded" } }
            @if let Some(name) = visitor.name() {
                form.account action="/logout" method="post" {
                    (form_token())
                    span title={ "Logged in as " (name) } { (name) }
                    button type="submit" { "Log out" }
                }
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            circle cx="9" cy="12" r="5.2" fill="none" stroke="currentColor" stroke-width="2.4" {}
            path d="M14.2 12H22M18.6 12v3.6" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" {}
            circle cx="9" cy="12" r="1.5" fill="currentColor" {}
        }
    }
}

fn banner(reason: &str, at: Option<EventTime>) -> Markup {
    html! {
        div.banner {
            strong { "ClickHouse does not answer." }
            @match at {
                Some(at) => { " This is what Keywatch knew at " (time(at)) ". " },
                None => { " Keywatch knows nothing of this page from before. " },
            }
            span.faint { (reason) }
        }
    }
}

/// A page of which nothing was known when ClickHouse went away.
pub fn unknown_page() -> Page {
    let body = html! {
        section.card.message {
            h1 { "Nothing to show yet" }
            p { "The page appears by itself when ClickHouse answers again." }
        }
    };
    let title = "ClickHouse is away".to_owned();
    Page { title, refresh_seconds: Some(3), body: body.into_string(), ..Page::default() }
}

/// A time for people; the script adds the reader's own zone.
pub fn time(at: EventTime) -> Markup {
    let text = facts::time(at);
    let text = text.trim_end_matches(" UTC");
    html! { time datetime=(at) title={ (text) " UTC" } { (text) } }
}

/// How long ago something was, with the time on hover.
pub fn ago(at: EventTime, now: EventTime) -> Markup {
    let seconds = now.seconds_since(at).max(0.0);
    let text = match seconds {
        ..60.0 => format!("{seconds:.0} s ago"),
        ..3_600.0 => format!("{:.0} min ago", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h ago", seconds / 3_600.0),
        _ => format!("{:.0} days ago", seconds / 86_400.0),
    };
    html! { time datetime=(at) title={ (facts::time(at)) } { (text) } }
}

/// A card with a heading and one sentence that says how to read it.
pub fn card(id: &str, heading: &str, explanation: &str, body: impl Render) -> Markup {
    html! {
        section.card id=(id) data-live aria-labelledby={ (id) "-heading" } {
            h2 id={ (id) "-heading" } { (heading) }
            @if !explanation.is_empty() { p.explain { (explanation) } }
            (body)
        }
    }
}

/// A link to the page of a key, whatever its id contains.
pub fn key_link(key: &str) -> Markup {
    html! { a.mono href={ "/key?id=" (encoded(key)) } title=(visible(key)) { (shown(key)) } }
}

/// A link to the page of an address or a network; anything else is shown as it is.
pub fn source_link(text: &str) -> Markup {
    match Source::parse(text) {
        Ok(source) => html! { a.mono href=(source.page()) { (source) } },
        Err(_) => shown(text),
    }
}

/// Percent-encodes a value of a query (RFC 3986, section 2.3).
pub fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_survive_any_key_id() {
        let link = key_link("a/../b?c=d&\"<é\u{202e}").into_string();
        let expected = "/key?id=a%2F..%2Fb%3Fc%3Dd%26%22%3C%C3%A9%E2%80%AE";
        assert!(link.contains(&format!("href=\"{expected}\"")), "{link}");
    }

    #[test]
    fn a_page_has_no_inline_script_or_style() {
        let page = document(&unknown_page(), Some(("refused", None)), &Visitor::default());
        assert!(!page.contains(" style=") && !page.contains("<style"), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("does not answer"));
    }
}
