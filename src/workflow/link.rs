//! Makes and reads the signed links by which the registered owner of a key answers "Was it you?".
//!
//! A link names the incident, the answer and its own end, and nothing else: whoever reads it learns
//! no secret. It is bound to the incident and to no revision, because one question covers whatever
//! evidence comes. It may be used again until it ends, so that an owner may change their mind; how
//! often an answer counts is bounded where answers are stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::alert::OwnerAnswer;
use crate::event::EventTime;

type HmacSha256 = Hmac<Sha256>;

/// The path under which the console answers links.
const PATH: &str = "/was-it-you/";
/// A message for another purpose, signed with the same secret, is no link.
const PURPOSE: &[u8] = b"keywatch: was it you? v1\0";
/// Before the id of the incident: the answer and the end.
const HEAD_BYTES: usize = 1 + 8;
const MOST_INCIDENT_BYTES: usize = 128;
const LEAST_SECRET_BYTES: usize = 32;
const HOW: &str = "make one with: openssl rand -base64 32";

/// The content of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub incident: String,
    pub answer: OwnerAnswer,
    pub ends: EventTime,
}

/// Why a link cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLink {
    /// Nobody with the secret made it.
    Forged,
    Ended,
}

/// Signs links, and reads them.
#[derive(Clone)]
pub struct Links {
    /// The first signs. All are accepted, so that a secret can be changed while links are out.
    keys: Vec<HmacSha256>,
    /// The address of the console, without a slash at its end.
    base: String,
    valid_seconds: f64,
}

impl Links {
    /// `secrets` are texts of at least 32 bytes, separated by spaces.
    ///
    /// # Errors
    /// The fault of a secret. It is not quoted.
    pub fn new(secrets: &str, base: &str, valid_seconds: f64) -> Result<Self, String> {
        let keys: Vec<_> = secrets.split_whitespace().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(format!("is missing; {HOW}"));
        }
        Ok(Self { keys, base: base.trim_end_matches('/').to_owned(), valid_seconds })
    }

    /// The end of links that are made now.
    pub fn end(&self, now: EventTime) -> EventTime {
        EventTime::from_seconds(now.plus_seconds(self.valid_seconds).as_seconds() as i64)
    }

    /// The address of the page on which an owner gives this answer.
    pub fn address(&self, link: &Link) -> String {
        let token = self.keys.first().map(|key| token(key, link)).unwrap_or_default();
        format!("{}{PATH}{token}", self.base)
    }

    /// Reads the last part of an address.
    ///
    /// # Errors
    /// [`BadLink`].
    pub fn read(&self, token: &str, now: EventTime) -> Result<Link, BadLink> {
        let (said, mac) = token.split_once('.').ok_or(BadLink::Forged)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BadLink::Forged);
        if token.len() > 2 * (HEAD_BYTES + MOST_INCIDENT_BYTES) {
            return Err(BadLink::Forged);
        }
        let (said, mac) = (decode(said)?, decode(mac)?);
        let is_ours = |key: &HmacSha256| signed(key, &said).verify_slice(&mac).is_ok();
        if !self.keys.iter().any(is_ours) {
            return Err(BadLink::Forged);
        }
        let link = parse(&said).ok_or(BadLink::Forged)?;
        if now > link.ends { Err(BadLink::Ended) } else { Ok(link) }
    }
}

fn key(secret: &str) -> Result<HmacSha256, String> {
    if secret.len() < LEAST_SECRET_BYTES {
        return Err(format!("needs at least {LEAST_SECRET_BYTES} characters; {HOW}"));
    }
    HmacSha256::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())
}

fn signed(key: &HmacSha256, said: &[u8]) -> HmacSha256 {
    let mut mac = key.clone();
    mac.update(PURPOSE);
    mac.update(said);
    mac
}

fn token(key: &HmacSha256, link: &Link) -> String {
    let answer = match link.answer {
        OwnerAnswer::ItWasNotMe => 0,
        OwnerAnswer::ItWasMe => 1,
    };
    let ends = (link.ends.as_seconds() as i64).to_be_bytes();
    let said = [&[answer][..], &ends, link.incident.as_bytes()].concat();
    let mac = signed(key, &said).finalize().into_bytes();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(&said), URL_SAFE_NO_PAD.encode(mac))
}

fn parse(said: &[u8]) -> Option<Link> {
    let (answer, rest) = said.split_first()?;
    let (ends, incident) = rest.split_first_chunk::<8>()?;
    let answer = match answer {
        0 => OwnerAnswer::ItWasNotMe,
        1 => OwnerAnswer::ItWasMe,
        _ => return None,
    };
    let incident = String::from_utf8(incident.to_vec()).ok()?;
    let ends = EventTime::from_seconds(i64::from_be_bytes(*ends));
    Some(Link { incident, answer, ends })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use strum::VariantArray;

    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn links(secrets: &str) -> Links {
        Links::new(secrets, "https://keywatch.example.com/", 3_600.0).unwrap()
    }

    fn link(incident: &str, answer: OwnerAnswer, ends: i64) -> Link {
        Link { incident: incident.into(), answer, ends: EventTime::from_seconds(ends) }
    }

    fn token_of(links: &Links, link: &Link) -> String {
        let address = links.address(link);
        address.strip_prefix("https://keywatch.example.com/was-it-you/").unwrap().to_owned()
    }

    #[test]
    fn a_link_ends() {
        let links = links(NEW);
        let now = EventTime::from_seconds(1_000);
        let made = link("inc_1", OwnerAnswer::ItWasMe, 4_600);
        assert_eq!(links.end(now), made.ends);
        let token = token_of(&links, &made);
        assert_eq!(links.read(&token, made.ends), Ok(made.clone()));
        assert_eq!(links.read(&token, made.ends.plus_seconds(1.0)), Err(BadLink::Ended));
    }

    #[test]
    fn a_secret_is_changed_while_links_are_out() {
        let made = link("inc_1", OwnerAnswer::ItWasNotMe, 10);
        let now = EventTime::from_seconds(0);
        let old = token_of(&links(OLD), &made);
        let both = links(&format!("{NEW} {OLD}"));
        assert_eq!(both.read(&old, now), Ok(made.clone()));
        assert_eq!(links(NEW).read(&token_of(&both, &made), now), Ok(made), "the first one signs");
        assert_eq!(links(NEW).read(&old, now), Err(BadLink::Forged));
    }

    #[test]
    fn weak_secrets_are_named_and_not_quoted() {
        for (secrets, expected) in [
            ("", "is missing"),
            ("  ", "is missing"),
            ("a-secret-of-31-characters-no-mo", "at least 32 characters"),
        ] {
            let fault = Links::new(secrets, "", 1.0).err().unwrap();
            assert!(fault.contains(expected), "{fault}");
            assert!(secrets.trim().is_empty() || !fault.contains(secrets), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn a_link_reads_back_and_fits_into_an_address(
            incident in "[a-zA-Z0-9_-]{1,64}",
            answer in proptest::sample::select(OwnerAnswer::VARIANTS),
            ends in 1_000i64..4_000_000_000,
        ) {
            let (links, made) = (links(NEW), link(&incident, answer, ends));
            let token = token_of(&links, &made);
            prop_assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
            prop_assert_eq!(links.read(&token, EventTime::from_seconds(0)), Ok(made));
        }

        /// Neither the answer nor the incident nor the end of a link can be changed.
        #[test]
        fn a_link_with_another_letter_is_forged(
            place in 0usize..1_000, letter in "[a-zA-Z0-9_.-]",
        ) {
            let links = links(NEW);
            let token = token_of(&links, &link("inc_9c0f6a1b2d3e4f50", OwnerAnswer::ItWasMe, 9_999));
            let place = place % token.len();
            let changed = format!("{}{letter}{}", &token[..place], &token[place + 1..]);
            prop_assume!(changed != token);
            let read = links.read(&changed, EventTime::from_seconds(0));
            prop_assert_eq!(read, Err(BadLink::Forged));
        }

        #[test]
        fn no_text_is_taken_for_a_link(text in ".{0,200}") {
            prop_assert_eq!(links(NEW).read(&text, EventTime::from_seconds(0)), Err(BadLink::Forged));
        }
    }
}
