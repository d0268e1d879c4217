//! Shows text from requests safely and visibly. `maud` escapes markup; characters that hide, or
//! that change how their neighbours are shown, appear as their codes.

use maud::{Markup, html};

use crate::text::{Part, cut, parts, visible_within};

/// Longer texts are cut: a path may have a megabyte.
const MOST_CHARACTERS: usize = 600;

/// The text for attributes, titles and copied values: hidden characters as `⟨U+202E⟩`.
pub fn visible(text: &str) -> String {
    visible_within(text, MOST_CHARACTERS)
}

/// The text as markup. `bdi` keeps its writing direction from reaching its neighbours.
pub fn shown(text: &str) -> Markup {
    let (text, is_cut) = cut(text, MOST_CHARACTERS);
    html! {
        bdi {
            @for part in parts(text) {
                @match part {
                    Part::Plain(plain) => (plain),
                    Part::Unseen(_) => span.unseen title="A character that cannot be seen" { (part) },
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
