//! The HTML part is built from tables and inline styles, because Outlook and Gmail render those.
//! `maud` escapes every value, so no value from the log can become markup.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::content::{EvidenceReport, Report};
use super::digest::Digest;
use super::question::Letter;
use crate::alert::Severity;

const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;";
const MONOSPACE: &str = "font-family:Consolas,Menlo,'Courier New',monospace;";

/// Colours for mail programs that support their own dark style. The other programs invert the
/// colours themselves; plain colours on white stay readable when inverted.
const DARK: &str = "@media (prefers-color-scheme:dark){\
    .page{background:#111418!important}\
    .card{background:#1b1f24!important}\
    .card td,.card p{color:#e6e8eb!important}\
    .card .faint{color:#9aa4af!important}\
    .card .boxed{background:#262b32!important}\
    .card .banner td{color:#ffffff!important}\
    .card .ruled td{border-color:#3a414a!important}}";

pub(super) fn report(report: &Report) -> String {
    let what = |heading: &str, text: &str| html! { (section(heading, paragraph(text))) };
    let body = html! {
        (banner(report.severity, &report.rating, &report.title))
        (what("What happened", &report.what_happened))
        (what("What was done", &report.what_was_done))
        (section("Evidence", html! { @for e in &report.evidence { (evidence(e)) } }))
        (section("When and where", rows(report.facts.iter().map(|(name, value)| (*name, value.as_str())))))
        (section("Look further", html! { (code(&report.command)) (code(&report.query)) }))
    };
    document(&report.subject, &report.what_happened, &body)
}

pub(super) fn digest(digest: &Digest) -> String {
    let body = html! {
        (banner(digest.severity, "Several alerts in one mail", &digest.headline))
        (section("Why one mail", paragraph(&digest.summary)))
        (section("Alerts", html! { (digest_lines(digest)) }))
        (section("Look further", code(&digest.command)))
    };
    document(&digest.subject, &digest.headline, &body)
}

pub(super) fn letter(letter: &Letter) -> String {
    let facts = letter.facts.iter().map(|(name, value)| (*name, value.as_str()));
    let body = html! {
        (banner(Severity::Low, "A question about your API key", "Was it you?"))
        (section("What happened", html! { (paragraph(&letter.opening)) (rows(facts)) }))
        (section("Your answer", html! { @for (name, address) in &letter.links { (button(name, address)) } }))
        (section("What follows", html! { @for text in &letter.closing { (paragraph(text)) } }))
    };
    document(&letter.subject, &letter.opening, &body)
}

fn button(name: &str, address: &str) -> Markup {
    html! {
        p style={ (FONT) "margin:0 0 8px;font-size:15px;line-height:23px;" } { a href=(address) rel="noreferrer" { (name) } }
    }
}

fn document(title: &str, preview: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="supported-color-schemes" content="light dark";
                title { (title) }
                style { (PreEscaped(DARK)) }
            }
            body class="page" bgcolor="#eef0f3" style="margin:0;padding:0;background:#eef0f3;" {
                // Mail programs show this text next to the subject in the list of mails.
                div style="display:none;max-height:0;overflow:hidden;" { (preview) }
                table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0"
                    border="0" bgcolor="#eef0f3" style="background:#eef0f3;" {
                    tr { td align="center" style="padding:24px 12px;" {
                        table role="presentation" class="card" width="640" cellpadding="0"
                            cellspacing="0" border="0" bgcolor="#ffffff"
                            style="width:100%;max-width:640px;background:#ffffff;" { (body) }
                    } }
                }
            }
        }
    }
    .into_string()
}

fn banner(severity: Severity, small: &str, large: &str) -> Markup {
    let colour = colour(severity);
    html! {
        tr class="banner" { td bgcolor=(colour) style={ "padding:18px 24px;background:" (colour) ";" } {
            table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" {
                tr { td style={ (FONT) "font-size:13px;line-height:20px;color:#ffffff;" } { (small) } }
                tr { td style={ (FONT) "font-size:20px;line-height:28px;font-weight:bold;color:#ffffff;word-break:break-word;" } { (large) } }
            }
        } }
    }
}

/// White text on each of these has a contrast of at least 4.5 (WCAG 2.2 AA).
const fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "#4b5b6b",
        Severity::Medium => "#96610a",
        Severity::High => "#c2410c",
        Severity::Critical => "#a31621",
    }
}

fn section(heading: &str, body: Markup) -> Markup {
    html! {
        tr { td class="faint" style={ (FONT) "padding:20px 24px 4px;font-size:12px;line-height:18px;font-weight:bold;letter-spacing:.5px;color:#5b6570;text-transform:uppercase;" } { (heading) } }
        tr { td style="padding:0 24px;" { (body) } }
        tr { td style="padding:0 0 4px;font-size:1px;line-height:1px;" { (PreEscaped("&nbsp;")) } }
    }
}

fn paragraph(text: &str) -> Markup {
    html! {
        p style={ (FONT) "margin:0;font-size:15px;line-height:23px;color:#1c2126;word-break:break-word;" } { (text) }
    }
}

fn evidence(evidence: &EvidenceReport) -> Markup {
    let pairs = evidence.rows.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    html! {
        table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" {
            tr { td style={ (FONT) "padding:6px 0 2px;font-size:15px;line-height:22px;color:#1c2126;" } {
                strong { (evidence.detector) }
                span class="faint" style="font-size:13px;color:#5b6570;" { " (" (evidence.surprise) ")" }
            } }
        }
        (rows(pairs))
    }
}

fn rows<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    const CELL: &str = "font-size:14px;line-height:20px;border-top:1px solid #e1e4e8;";
    html! {
        table class="ruled" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin-bottom:8px;" {
            @for (name, value) in pairs {
                tr {
                    td class="faint" width="34%" valign="top" style={ (FONT) (CELL) "padding:5px 12px 5px 0;color:#5b6570;word-break:break-word;" } { (name) }
                    td valign="top" style={ (FONT) (CELL) "padding:5px 0;color:#1c2126;word-break:break-word;" } { (value) }
                }
            }
        }
    }
}

fn digest_lines(digest: &Digest) -> Markup {
    html! {
        table class="ruled" width="100%" cellpadding="0" cellspacing="0" border="0" {
            @for line in &digest.lines {
                tr {
                    td width="88" valign="top" style={ (FONT) "padding:8px 12px 8px 0;font-size:12px;line-height:20px;border-top:1px solid #e1e4e8;" } {
                        span style={ "padding:2px 6px;font-weight:bold;color:#ffffff;background:" (colour(line.severity)) ";" } { (line.severity.as_str().to_uppercase()) }
                    }
                    td valign="top" style={ (FONT) "padding:8px 0;font-size:14px;line-height:20px;border-top:1px solid #e1e4e8;color:#1c2126;word-break:break-word;" } {
                        (line.title) br;
                        span class="faint" style="font-size:12px;color:#5b6570;" { (line.time) ", " (line.id) }
                    }
                }
            }
        }
        @if let Some(omitted) = &digest.omitted { (paragraph(omitted)) }
    }
}

/// Breaks lines with `br`, since Outlook ignores `white-space`.
fn code(text: &str) -> Markup {
    html! {
        table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin-bottom:8px;" {
            tr { td class="boxed" bgcolor="#f3f5f7" style={ (MONOSPACE) "padding:10px 12px;background:#f3f5f7;font-size:13px;line-height:20px;color:#1c2126;word-break:break-word;" } {
                @for (n, line) in text.lines().enumerate() {
                    @if n > 0 { br; }
                    (line)
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::super::digest as digests;
    use super::*;

    /// Puts each element on its own line, so that a diff of two snapshots is readable.
    fn lines(html: &str) -> String {
        html.replace("><", ">\n<")
    }

    #[test]
    fn mails_keep_their_form() {
        for name in ["impossible_travel", "revocation_requested", "hostile", "source_resolved"] {
            insta::assert_snapshot!(
                name,
                lines(&report(&Report::new(&fixtures::alert(name), "keywatch")))
            );
        }
        insta::assert_snapshot!("digest", lines(&digest(&digests::tests::sample())));
    }

    /// The test compares every `<` in the mail with the elements that this file writes.
    #[test]
    fn nothing_from_the_log_becomes_markup() {
        const OURS: [&str; 15] = [
            "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "div", "table", "tr",
            "td", "p", "strong", "span", "br",
        ];
        let html = report(&Report::new(&fixtures::alert("hostile"), "keywatch"));
        for element in html.split('<').skip(1) {
            let name = element.trim_start_matches('/');
            let name: String =
                name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
            assert!(OURS.contains(&name.as_str()), "<{element}");
        }
        assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"));
        assert!(!html.contains("://"), "a link that a mail program would make clickable");
    }
}
