//! Tells values that may be shown by the shape that their field has.

use std::borrow::Cow;

use super::MASK;
use crate::decode::path;

/// Returns true for values that have the shape of their field, which a secret does not have.
pub(super) fn is_plausible(field: &str, value: &str) -> bool {
    // A lone mark, which loggers write for nothing.
    if value == "-" {
        return true;
    }
    let shape = |limit: usize, allowed: &dyn Fn(char) -> bool| {
        !value.is_empty() && value.len() <= limit && value.chars().all(allowed)
    };
    let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    match field {
        "time" | "client_time" => {
            shape(40, &|c| c.is_ascii_alphanumeric() || ":.+-/, ".contains(c))
                && has_date_words(value)
        }
        "client_ip" => {
            shape(160, &|c| c.is_ascii_hexdigit() || ".:[], ".contains(c))
                && value.split(',').all(|address| address.trim().len() <= 47)
                && value.contains(['.', ':'])
        }
        "status" => shape(12, &|c| is_number(c) || ", ".contains(c)),
        "method" => shape(8, &|c| c.is_ascii_alphabetic()),
        "latency_ms" | "bytes_in" | "bytes_out" => shape(20, &is_number),
        _ => false,
    }
}

/// Returns true when all letters belong to names of months, days and zones, as in `Thu, 01 Jan 2026
/// 10:00:00 GMT`.
fn has_date_words(value: &str) -> bool {
    const WORDS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec \
                         Mon Tue Wed Thu Fri Sat Sun GMT UTC T t Z z";
    let words = value.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.clone().count() <= 4 && words.clone().all(|word| WORDS.split(' ').any(|w| w == word))
}

/// Returns the part of a value that a stored event would show as well; only in valid JSON.
pub(super) fn stored_part<'a>(field: &str, value: &'a str) -> Option<Cow<'a, str>> {
    // An escape could hide a `?`, a quote or any other character.
    if value.contains('\\') || value.len() > 256 {
        return None;
    }
    match field {
        "key_id" | "request_id" | "user_agent" | "environment" | "scope" | "tenant" => {
            Some(Cow::Borrowed(value))
        }
        "path" if value.is_empty() => Some(Cow::Borrowed(value)),
        "path" => {
            let shown = path::path(value);
            let query = value.find(['?', '#']).map(|at| &value[at..=at]);
            let rest = query.map(|mark| format!("{mark}{MASK}")).unwrap_or_default();
            Some(Cow::Owned(format!("{shown}{rest}")))
        }
        _ => None,
    }
}
