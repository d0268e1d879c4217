//! Decides who may send something to an endpoint: the right host, no page of another site, a token.

use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::{Names, Problem, Tokens};

/// The conditions of an endpoint that takes data.
#[derive(Clone, Debug)]
pub struct Access {
    names: Names,
    tokens: Tokens,
}

impl Access {
    pub fn new(names: Names, tokens: Tokens) -> Self {
        Self { names, tokens }
    }

    /// Checks the head of a request before its body is read. Returns the name of its token, which is
    /// empty when none is needed.
    ///
    /// A request without `Host` passes: browsers always send one.
    ///
    /// # Errors
    /// 421 for another host, 403 for a page of another site, 401 without a token.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<&str, Problem> {
        if headers.contains_key(header::HOST) && !self.names.are_named(uri, headers) {
            let detail = "the Host of this request is not a name of this endpoint: \
                use its address, or add the name to the setting `hosts`";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        if self.names.is_foreign(headers) {
            let detail = "a web page of another site caused this request";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.tokens.authorize(headers)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::Secret;

    fn status(headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let names = Names::of("127.0.0.1:8081".parse().unwrap(), &[], false);
        let tokens = Tokens::new(&Secret::new("right"), &BTreeMap::new()).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let uri = Uri::from_static("/v1/events");
        let checked = Access::new(names, tokens).check(&uri, &headers.collect()).map(|_| ());
        checked.err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_page_of_another_site_is_refused_even_with_a_token() {
        let token = ("authorization", "Bearer right");
        assert_eq!(status(&[token]), None);
        assert_eq!(status(&[token, ("host", "localhost:8081")]), None);
        assert_eq!(status(&[token, ("host", "rebound.example:8081")]), Some(421));
        assert_eq!(status(&[token, ("origin", "http://evil.example")]), Some(403));
        assert_eq!(status(&[token, ("sec-fetch-site", "cross-site")]), Some(403));
        assert_eq!(status(&[("host", "localhost:8081")]), Some(401));
    }
}
