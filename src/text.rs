//! Writes numbers, counts and durations for people.

use std::fmt;

use crate::event::{DAY_SECONDS, HOUR_SECONDS};

/// `5 s`, `12 min`, `3.5 h`. Long durations stay in hours.
pub fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / HOUR_SECONDS)
    }
}

/// `3.2 s`, `4 min`, `2.5 h`, `3 days`: with about three digits, for figures.
pub fn duration_figure(seconds: f64) -> String {
    let unit = |size: f64, name: &str| format!("{} {name}", number(seconds / size));
    match seconds.abs() {
        ..0.05 => "0 s".to_owned(),
        ..120.0 => unit(1.0, "s"),
        ..7_200.0 => unit(60.0, "min"),
        ..172_800.0 => unit(HOUR_SECONDS, "h"),
        _ => unit(DAY_SECONDS, "days"),
    }
}

/// A number with about three digits and separated thousands. Fractions below a hundredth are
/// written as powers of ten.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.01.. => 2,
        0.0 => 0,
        _ => return format!("{value:.1e}"),
    };
    let fixed = format!("{value:.decimals$}");
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", separated(whole))
}

/// As [`number`], with four decimals below one, for values whose unit is unknown.
pub fn precise_number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (magnitude >= 100.0 || value.fract() == 0.0) && magnitude < 1e15 {
        return whole_number(value);
    }
    let decimals = match magnitude {
        1e15.. => return format!("{value:.1e}"),
        10.0.. => 1,
        1.0.. => 2,
        0.001.. => 4,
        _ => return format!("{value:.1e}"),
    };
    let fixed = format!("{value:.decimals$}");
    fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A rounded number, with thousands separated by commas.
pub fn whole_number(value: f64) -> String {
    separated(&format!("{value:.0}"))
}

pub fn count(value: usize) -> String {
    separated(&value.to_string())
}

/// `1 attack`, `2 attacks`.
pub fn counted(value: usize, noun: &str) -> String {
    format!("{} {}", count(value), plural(value as u64, noun))
}

/// The noun for this count: `record`, `records`.
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// `1.5 times`, `41 times`, `over 1,000 times`.
pub fn times(ratio: f64) -> String {
    if ratio >= 1_000.0 {
        "over 1,000 times".into()
    } else if ratio >= 10.0 {
        format!("{ratio:.0} times")
    } else {
        format!("{ratio:.1} times")
    }
}

/// A share in percent: `94 %`, `99.6 %`.
pub fn share(share: f64) -> String {
    let rounded = (share * 100.0).round();
    // 99.6 % must not read as all, nor 0.4 % as none.
    let is_exact = (share * 100.0 - rounded).abs() < 1e-9 || (1.0..99.0).contains(&(share * 100.0));
    if is_exact { format!("{rounded:.0} %") } else { format!("{:.1} %", share * 100.0) }
}

/// Whether a character is invisible or changes how its neighbours are shown: controls, characters
/// that set the writing direction, and characters without width (Unicode TR 36, section 2).
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}')
}

/// Part of a text, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Plain(&'a str),
    Unseen(char),
}

/// Hidden characters as `⟨U+202E⟩`.
impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(plain),
            Self::Unseen(c) => write!(f, "⟨U+{:04X}⟩", u32::from(*c)),
        }
    }
}

/// Divides a text into what can be seen and what cannot.
pub fn parts(text: &str) -> Vec<Part<'_>> {
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

/// The first `most` characters, and whether there are more.
pub fn cut(text: &str, most: usize) -> (&str, bool) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

/// The text in one line, with hidden characters as `⟨U+202E⟩`, cut after `most` characters.
pub fn visible_within(text: &str, most: usize) -> String {
    let (text, is_cut) = cut(text, most);
    let shown: String = parts(text).iter().map(ToString::to_string).collect();
    if is_cut { shown + "…" } else { shown }
}

/// The text in one line, whole.
pub fn visible(text: &str) -> String {
    visible_within(text, usize::MAX)
}

/// JSON with hidden characters as escapes. The value is the same.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings, JSON has no such characters but line ends and tabs.
        if is_deceptive(c) && !matches!(c, '\n' | '\r' | '\t') {
            let units = &mut [0; 2];
            shown.extend(c.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn separated(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (1_234_567.0, "1,234,567"),
            (-12.34, "-12.3"),
            (0.5, "0.5"),
            (1e-7, "1.0e-7"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (135_754.0, "135,754"),
            (8911.3, "8,911"),
            (0.2, "0.2"),
            (310.5, "310"),
            (12.345, "12.3"),
            (-1234.0, "-1,234"),
            (3.8e-8, "3.8e-8"),
            (1e18, "1.0e18"),
        ] {
            assert_eq!(precise_number(value), text);
        }
        assert_eq!([1_234_567.4, 12.0].map(whole_number), ["1,234,567", "12"]);
        assert_eq!([1.54, 41.2, 2_000.0].map(times), ["1.5 times", "41 times", "over 1,000 times"]);
        assert_eq!([0.94, 1.0, 0.996, 0.0].map(share), ["94 %", "100 %", "99.6 %", "0 %"]);
        assert_eq!([0, 1, 1_200].map(|n| counted(n, "key")), ["0 keys", "1 key", "1,200 keys"]);
    }

    #[test]
    fn hidden_characters_are_shown_by_their_codes() {
        assert_eq!(visible("a\u{202e}b\u{200b}\n\u{1b}"), "a⟨U+202E⟩b⟨U+200B⟩⟨U+000A⟩⟨U+001B⟩");
        assert_eq!(visible_within("äöü", 2), "äö…");
        let json = "{\"a\":\"\u{202e}\u{e0041}b\"}\n";
        let shown = visible_json(json);
        assert_eq!(shown, "{\"a\":\"\\u202e\\udb40\\udc41b\"}\n");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
        assert_eq!(value(&shown), value(json));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(
            [90.0, 600.0, 8_000.0, 259_200.0].map(duration),
            ["90 s", "10 min", "2.2 h", "72.0 h"]
        );
        assert_eq!(
            [0.0, 0.12, 161.0, 259_200.0].map(duration_figure),
            ["0 s", "0.12 s", "2.68 min", "3 days"]
        );
    }
}
