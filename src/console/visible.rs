//! Shows text from requests safely and visibly. `maud` escapes markup; this module makes
//! characters visible that hide, or that change how their neighbours are shown.

use maud::{Markup, html};

use crate::text::is_deceptive;

/// Longer texts are cut: a path may have a megabyte.
const MOST_CHARACTERS: usize = 600;

/// Part of a text, as it is shown.
enum Part<'a> {
    Plain(&'a str),
    Unseen(char),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| is_deceptive(*c)) {
        parts.push(Part::Plain(&text[begin..at]));
        parts.push(Part::Unseen(c));
        begin = at + c.len_utf8();
    }
    parts.push(Part::Plain(&text[begin..]));
    parts
}

fn cut(text: &str) -> (&str, bool) {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

fn code(c: char) -> String {
    format!("⟨U+{:04X}⟩", u32::from(c))
}

/// The text for attributes, titles and copied values: hidden characters as `⟨U+202E⟩`.
pub fn visible(text: &str) -> String {
    let (text, is_cut) = cut(text);
    let mut shown = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Plain(plain) => shown.push_str(plain),
            Part::Unseen(c) => shown.push_str(&code(c)),
        }
    }
    if is_cut {
        shown.push('…');
    }
    shown
}

/// The text as markup. `bdi` keeps its writing direction from reaching its neighbours.
pub fn shown(text: &str) -> Markup {
    let (text, is_cut) = cut(text);
    html! {
        bdi {
            @for part in parts(text) {
                @match part {
                    Part::Plain(plain) => (plain),
                    Part::Unseen(c) => span.unseen title="A character that cannot be seen" { (code(c)) },
                }
            }
            @if is_cut { "…" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_by_their_codes() {
        assert_eq!(visible("a\u{202e}b\u{200b}\n"), "a⟨U+202E⟩b⟨U+200B⟩⟨U+000A⟩");
        assert_eq!(visible("São Paulo"), "São Paulo");
        assert_eq!(visible(&visible("\u{7}")), visible("\u{7}"));
    }

    #[test]
    fn markup_is_text_and_stays_in_its_own_direction() {
        let shown = shown("<script>\u{202e}").into_string();
        assert!(shown.starts_with("<bdi>&lt;script&gt;<span class=\"unseen\""), "{shown}");
        assert!(!shown.contains('\u{202e}'));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(visible(&"x".repeat(10_000)).chars().count(), MOST_CHARACTERS + 1);
    }
}
