//! Reads what a receiver says about a request to suspend or revoke a key.

use reqwest::Response;
use serde::Deserialize;

/// Between the receiver and its word, in the detail of a delivery.
pub const SAID: &str = ", which answered: ";

/// All that a receiver can say; everything else is not recorded, since a receiver may send anything.
const WORDS: [&str; 4] = ["revoked", "suspended", "unknown_key", "refused"];

/// A longer answer is not read to its end.
const MOST_BYTES: usize = 4_096;

#[derive(Deserialize)]
struct Body {
    status: String,
}

/// The word of a JSON answer such as `{"status": "revoked"}`. `None` if there is none, or the body
/// breaks off: the request was accepted all the same.
pub(super) async fn read(mut response: Response) -> Option<&'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MOST_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    word(&body)
}

fn word(body: &[u8]) -> Option<&'static str> {
    let body: Body = serde_json::from_slice(body).ok()?;
    WORDS.into_iter().find(|word| *word == body.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_taken_from_an_answer() {
        assert_eq!(word(br#"{"status":"revoked","by":"me"}"#), Some("revoked"));
        assert_eq!(word(br#"{"status":"<script>"}"#), None);
        for other in ["", "OK", "[]", r#"{"state":"revoked"}"#] {
            assert_eq!(word(other.as_bytes()), None, "{other}");
        }
    }
}
