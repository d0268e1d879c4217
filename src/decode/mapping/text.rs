//! Takes texts of a log apart: URLs, request lines, patterns.

/// Whether `text` matches a pattern, in which `*` stands for anything. Case does not count.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(text);
    };
    let (pattern, text) = (rest.as_bytes(), text.as_bytes());
    let Some((head, mut text)) = text.split_at_checked(start.len()) else { return false };
    if !head.eq_ignore_ascii_case(start.as_bytes()) {
        return false;
    }
    let mut parts = pattern.split(|byte| *byte == b'*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            let end = text.len().checked_sub(part.len()).map(|at| &text[at..]);
            return end.is_some_and(|end| end.eq_ignore_ascii_case(part));
        }
        if part.is_empty() {
            continue;
        }
        let found = text.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part));
        let Some(at) = found else { return false };
        text = &text[at + part.len()..];
    }
    true
}

/// Returns the path of `https://host/path?query` or of `/path?query`.
pub(super) fn url_path(url: &str) -> &str {
    let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    match url.split_once("://") {
        // What stands before the path may hold a user and a password.
        Some((scheme, rest)) if is_scheme(scheme) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => url,
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
}

/// Returns the value of the first parameter `name` in the query of a URL, decoded; `None` if it is
/// missing or empty.
pub(super) fn query_parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut parameters = query.split(['&', ';']).filter_map(|pair| pair.split_once('='));
    let (_, value) = parameters.find(|(known, _)| decoded(known) == name)?;
    Some(decoded(value)).filter(|value| !value.is_empty())
}

/// Decodes `%41` and `+`. Bytes that are not UTF-8 become U+FFFD.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => byte(*high, *low),
            _ => None,
        };
        rest = if escaped.is_some() { &after[2..] } else { after };
        bytes.push(escaped.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Splits `GET /v1/a HTTP/1.1` into method and target. Other text, such as the first bytes of a
/// TLS handshake on a plain port, is not a request.
pub(super) fn request_line(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    let is_method = !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'));
    let rest = rest.trim();
    let target = match rest.rsplit_once(' ') {
        Some((target, version)) if version.starts_with("HTTP/") => target,
        _ => rest,
    };
    (is_method && !target.is_empty()).then_some((method, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_case_does_not_count() {
        for (pattern, text, expected) in [
            ("Throttl*", "ThrottlingException", true),
            ("throttl*", "Throttled", true),
            ("*.amazonaws.com", "cloudtrail.amazonaws.com", true),
            ("*.amazonaws.com", "amazonaws.com", false),
            ("*Denied*", "Client.AccessDeniedException", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("GET", "get", true),
            ("GET", "GETS", false),
            ("é*", "ée", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn urls_give_their_path_and_their_parameters() {
        for (url, path) in [
            ("https://user:secret@api.example.com:8443/v1/orders?limit=5", "/v1/orders"),
            ("https://api.example.com", "/"),
            ("/v1/orders?next=https://x/y", "/v1/orders"),
            ("/v1/a#b", "/v1/a"),
            ("/proxy/http://x/y", "/proxy/http://x/y"),
        ] {
            assert_eq!(url_path(url), path, "{url}");
        }
        let key = |url| query_parameter(url, "apikey");
        assert_eq!(key("/v1?a=b&apikey=s%2F1+2#x").as_deref(), Some("s/1 2"));
        assert_eq!(key("/v1?api%6Bey=s").as_deref(), Some("s"));
        assert_eq!(key("/v1?apikey="), None);
        assert_eq!(key("/apikey=s"), None);
        assert_eq!(key("/v1?apikey=100%").as_deref(), Some("100%"));
    }

    #[test]
    fn request_lines_are_split_and_handshakes_are_none() {
        assert_eq!(request_line("GET /v1/a HTTP/1.1"), Some(("GET", "/v1/a")));
        assert_eq!(request_line("GET /v1/a"), Some(("GET", "/v1/a")));
        assert_eq!(request_line("GET /a b HTTP/1.0"), Some(("GET", "/a b")));
        for line in ["\\x16\\x03\\x01", "-", "", "\u{16}\u{3} x", "GET "] {
            assert_eq!(request_line(line), None, "{line}");
        }
    }
}
