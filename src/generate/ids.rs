//! Writes the ids that APIs put into their paths, in the shapes that real APIs use.

use std::fmt::Write;

use compact_str::CompactString;
use rand::RngExt;

use super::random::{Random, log_normal, pick};

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Crockford's base 32, which ULIDs use.
const CROCKFORD: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const URL_SAFE: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LOCALES: &[&str] = &[
    "en", "en-GB", "en-US", "de", "de-AT", "fr", "fr-CA", "es", "es-MX", "pt-BR", "ja", "zh-Hant",
];
const MAIL_HOSTS: &[&str] = &["example.com", "example.org", "mail.example.net"];
const WORDS: &[&str] = &[
    "winter", "summer", "garden", "kitchen", "travel", "guide", "lamp", "table", "running",
    "shoes", "coffee", "paper", "blue", "small", "large", "second", "edition", "house", "river",
    "night",
];
/// A year around the beginning of 2026, in days since the epoch.
const DATES: std::ops::Range<i64> = 20_089..20_454;

/// Writes an id for the placeholder `name`; writes `name` itself if no placeholder has that name.
pub(super) fn write_id(name: &str, path: &mut CompactString, random: &mut Random) {
    match name {
        "id" => number(path, random.random_range(1_000..90_000)),
        "cus" => prefixed(path, "cus_", 14, random),
        "ch" => prefixed(path, "ch_", 24, random),
        "sub" => prefixed(path, "sub_", 14, random),
        "ulid" => ulid(path, random),
        "nanoid" => letters(path, URL_SAFE, 21, random),
        "base64" => letters(path, URL_SAFE, 22, random),
        "hash" => hex(path, 40, random),
        "locale" => path.push_str(pick(random, LOCALES)),
        "date" => date(path, random),
        "email" => email(path, random),
        "slug" => slug(path, random),
        "sku" => sku(path, random),
        _ => path.push_str(name),
    }
}

/// Writes the number at step `step` of a client that counts upwards.
pub(super) fn number(path: &mut CompactString, number: u64) {
    // Writing into a string cannot fail.
    let _ = write!(path, "{number}");
}

fn letters(path: &mut CompactString, alphabet: &[u8], count: usize, random: &mut Random) {
    for _ in 0..count {
        path.push(char::from(pick(random, alphabet)));
    }
}

fn prefixed(path: &mut CompactString, prefix: &str, count: usize, random: &mut Random) {
    path.push_str(prefix);
    letters(path, BASE62, count, random);
}

/// The time comes first, so the first letters hardly change.
fn ulid(path: &mut CompactString, random: &mut Random) {
    path.push_str("01KE");
    letters(path, CROCKFORD, 22, random);
}

fn hex(path: &mut CompactString, digits: usize, random: &mut Random) {
    let bits: u128 = random.random();
    let more: u64 = random.random();
    // Writing into a string cannot fail.
    let _ = write!(path, "{bits:032x}{:0width$x}", more >> 32, width = digits - 32);
}

fn date(path: &mut CompactString, random: &mut Random) {
    let day = random.random_range(DATES);
    if let Ok(time) = jiff::Timestamp::from_second(day * 86_400) {
        // Writing into a string cannot fail.
        let _ = write!(path, "{}", time.strftime("%Y-%m-%d"));
    }
}

fn email(path: &mut CompactString, random: &mut Random) {
    let length = random.random_range(4..11);
    letters(path, LETTERS, length, random);
    path.push('.');
    letters(path, LETTERS, length / 2 + 2, random);
    path.push('@');
    path.push_str(pick(random, MAIL_HOSTS));
}

/// A few articles are read far more often than the rest.
fn slug(path: &mut CompactString, random: &mut Random) {
    let article = log_normal(random, 40.0, 1.5) as usize;
    let word = |step: usize| WORDS[(article / step + step) % WORDS.len()];
    // Writing into a string cannot fail.
    let _ = write!(path, "{}-{}-{}", word(1), word(7), word(49));
}

fn sku(path: &mut CompactString, random: &mut Random) {
    letters(path, &BASE62[10..36], 3, random);
    // Writing into a string cannot fail.
    let _ = write!(path, "-{:05}", random.random_range(0..100_000));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::random::stream;
    use super::*;

    fn ids(name: &str) -> Vec<CompactString> {
        let mut random = stream(1, 0);
        let mut one = || {
            let mut path = CompactString::default();
            write_id(name, &mut path, &mut random);
            path
        };
        (0..500).map(|_| one()).collect()
    }

    #[test]
    fn ids_have_the_shape_of_their_kind() {
        let all = |name, holds: fn(&str) -> bool| {
            for id in ids(name) {
                assert!(holds(&id), "{name}: {id}");
            }
        };
        all("cus", |id| id.starts_with("cus_") && id.len() == 18);
        all("ulid", |id| id.len() == 26 && id.chars().all(|c| c.is_ascii_alphanumeric()));
        all("nanoid", |id| id.len() == 21);
        all("hash", |id| id.len() == 40 && id.chars().all(|c| c.is_ascii_hexdigit()));
        all("date", |id| id.parse::<jiff::civil::Date>().is_ok());
        all("email", |id| {
            id.split_once('@').is_some_and(|(name, host)| name.len() > 5 && host.contains('.'))
        });
        all("sku", |id| id.len() == 9 && id.as_bytes()[3] == b'-');
    }

    #[test]
    fn ids_are_many_and_locales_few() {
        let distinct = |name| ids(name).into_iter().collect::<HashSet<_>>().len();
        for name in ["cus", "ch", "ulid", "nanoid", "base64", "hash", "email"] {
            assert_eq!(distinct(name), 500, "{name}");
        }
        assert!(distinct("date") > 200 && distinct("locale") == LOCALES.len());
    }
}
