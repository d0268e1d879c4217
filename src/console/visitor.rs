//! Knows who a request comes from, as far as pages and changes need it.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;

use super::answer::Failure;
use crate::access::{Pass, Role, SESSION_SECONDS, Secret, Visit};

/// Whoever made a request that `guard` let through.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// `None`: nobody has an account yet, or the page is for everybody.
    pub visit: Option<Visit>,
    /// Whether the browser reached the console by TLS.
    pub is_encrypted: bool,
}

impl Visitor {
    pub fn name(&self) -> Option<&str> {
        self.visit.as_ref().map(|visit| visit.name.as_str())
    }

    pub fn role(&self) -> Option<Role> {
        self.visit.as_ref().map(|visit| visit.role)
    }

    /// # Errors
    /// [`Failure::Forbidden`] for a lesser role.
    pub fn require(&self, role: Role) -> Result<(), Failure> {
        if self.role().is_some_and(|own| own >= role) {
            return Ok(());
        }
        let sentence = format!("This needs an account with the role {}.", role.as_str());
        Err(Failure::Forbidden(sentence))
    }

    pub fn pass(&self) -> Option<&Pass> {
        self.visit.as_ref().map(|visit| &visit.pass)
    }

    /// The token of this session's forms; empty without a session.
    pub fn form_token(&self) -> &str {
        self.visit.as_ref().map(|visit| visit.form_token.as_str()).unwrap_or_default()
    }

    /// Whether a form is one of this session.
    pub fn sent(&self, token: &str) -> bool {
        let own = self.form_token();
        !own.is_empty() && bool::from(own.as_bytes().ct_eq(token.as_bytes()))
    }
}

/// The cookie's name. `__Host-` has the browser refuse it from subdomains and without TLS.
const fn cookie_name(is_encrypted: bool) -> &'static str {
    if is_encrypted { "__Host-keywatch" } else { "keywatch" }
}

/// The cookie of the session, as the request carries it.
pub fn cookie(headers: &HeaderMap, is_encrypted: bool) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let name = cookie_name(is_encrypted);
    pairs.find(|(own, _)| own.trim() == name).map(|(_, value)| value.trim())
}

/// `Set-Cookie` of a new session.
pub fn set_cookie(secret: &Secret, is_encrypted: bool) -> Option<HeaderValue> {
    cookie_header(secret.reveal(), SESSION_SECONDS, is_encrypted)
}

/// `Set-Cookie` that makes the browser forget the session.
pub fn clear_cookie(is_encrypted: bool) -> Option<HeaderValue> {
    cookie_header("", 0, is_encrypted)
}

fn cookie_header(value: &str, seconds: u32, is_encrypted: bool) -> Option<HeaderValue> {
    let name = cookie_name(is_encrypted);
    let secure = if is_encrypted { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The token of a program (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_cookie_is_for_this_site_alone_and_no_script_reads_it() {
        let secret = Secret::random("");
        let header = set_cookie(&secret, true).unwrap();
        let text = header.to_str().unwrap();
        assert!(text.starts_with(&format!("__Host-keywatch={}; Path=/;", secret.reveal())));
        assert!(text.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{text}");
        assert!(!set_cookie(&secret, false).unwrap().to_str().unwrap().contains("Secure"));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let line = HeaderValue::from_static("a=b; xkeywatch=no; keywatch=yes; keywatch=late");
        let headers = HeaderMap::from_iter([(COOKIE, line)]);
        assert_eq!(cookie(&headers, false), Some("yes"));
        assert_eq!(cookie(&headers, true), None);
    }
}
