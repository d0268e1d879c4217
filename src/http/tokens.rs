//! Holds the bearer tokens that an endpoint accepts, as hashes.
//!
//! A plain SHA-256 is enough: tokens are random and long, so nobody can guess them from a hash.

use std::collections::BTreeMap;

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Problem;
use crate::config::Secret;

/// The name of the one token that the configuration holds as it is.
const UNNAMED: &str = "token";

type Hash = [u8; 32];

/// Tokens by name.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(String, Hash)>);

/// A text in the place of a hash.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token \"{name}\" is not \"sha256:\" and 64 hexadecimal digits: write the output of \
     `printf %s TOKEN | sha256sum`"
)]
pub struct NotAHash {
    name: String,
}

impl Tokens {
    /// `plain` is a token, `hashed` has hashes of further tokens by name.
    ///
    /// # Errors
    /// A hash that is not one.
    pub fn new(plain: &Secret, hashed: &BTreeMap<String, String>) -> Result<Self, NotAHash> {
        let unnamed = (!plain.is_empty())
            .then(|| Ok((UNNAMED.to_owned(), Sha256::digest(plain.reveal()).into())));
        let named = hashed.iter().map(|(name, text)| match parse(text) {
            Some(hash) => Ok((name.clone(), hash)),
            None => Err(NotAHash { name: name.clone() }),
        });
        unnamed.into_iter().chain(named).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the token that the request carries; empty when no token is needed.
    ///
    /// # Errors
    /// 401 without one of the tokens.
    pub fn authorize(&self, headers: &HeaderMap) -> Result<&str, Problem> {
        if self.is_empty() {
            return Ok("");
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| bearer_token(value.as_bytes()));
        given.and_then(|given| self.name_of(given)).ok_or_else(|| {
            let detail = "send one of the configured tokens as `Authorization: Bearer TOKEN`";
            Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, "Bearer")
        })
    }

    /// Compares with every token, so that the time tells nothing.
    fn name_of(&self, given: &[u8]) -> Option<&str> {
        let given: Hash = Sha256::digest(given).into();
        let mut found = u64::MAX;
        for (place, (_, hash)) in (0..).zip(&self.0) {
            found.conditional_assign(&place, hash.ct_eq(&given));
        }
        let place = usize::try_from(found).ok()?;
        self.0.get(place).map(|(name, _)| name.as_str())
    }
}

fn parse(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut hash).ok()?;
    Some(hash)
}

/// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;

    use super::*;

    fn tokens(plain: &str, hashed: &[(&str, String)]) -> Result<Tokens, NotAHash> {
        let hashed = hashed.iter().map(|(name, hash)| ((*name).to_owned(), hash.clone()));
        Tokens::new(&Secret::new(plain), &hashed.collect())
    }

    fn hash(token: &str) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(token)))
    }

    fn bearing(token: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(token))])
    }

    #[test]
    fn each_token_has_its_name_and_others_have_none() {
        let tokens = tokens("plain", &[("kong", hash("one")), ("envoy", hash("two"))]).unwrap();
        assert_eq!(tokens.authorize(&bearing("Bearer one")).unwrap(), "kong");
        assert_eq!(tokens.authorize(&bearing("Bearer two")).unwrap(), "envoy");
        assert_eq!(tokens.authorize(&bearing("bearer  plain")).unwrap(), "token");
        for wrong in ["Bearer three", "Bearer ", "Bearer", "Basic one"] {
            assert_eq!(tokens.authorize(&bearing(wrong)).unwrap_err().status(), 401, "{wrong}");
        }
        assert_eq!(tokens.authorize(&HeaderMap::new()).unwrap_err().status(), 401);
    }

    #[test]
    fn a_hash_is_no_token() {
        let tokens = tokens("", &[("kong", hash("one"))]).unwrap();
        let value = HeaderValue::from_str(&format!("Bearer {}", hash("one"))).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert!(tokens.authorize(&headers).is_err());
    }

    #[test]
    fn a_token_in_the_place_of_a_hash_is_named_and_not_quoted() {
        for text in ["hidden", "sha256:hidden", "sha256:", &hash("x")[..70], &hash("x")[7..]] {
            let error = tokens("", &[("kong", text.to_owned())]).unwrap_err().to_string();
            assert!(error.contains("kong") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn without_tokens_everybody_may() {
        assert_eq!(tokens("", &[]).unwrap().authorize(&HeaderMap::new()).unwrap(), "");
    }
}
