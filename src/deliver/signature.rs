//! Signs webhooks by the symmetric scheme `v1` of Standard Webhooks.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use sha2::Sha256;

use super::post::Post;
use crate::config::Secret;

const HOW: &str = "make one with: echo whsec_$(openssl rand -base64 32)";

/// Signs with the secrets of one endpoint: with two of them while a receiver changes from one to the
/// other.
pub(super) struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// Reads secrets that spaces separate: each is `whsec_` and base64 of 24 to 64 bytes. The error
    /// names the fault and never quotes a secret.
    pub(super) fn new(secrets: &Secret) -> Result<Self, String> {
        let keys: Vec<_> = secrets.reveal().split_whitespace().map(Self::key).collect();
        if keys.is_empty() {
            return Err(format!("is missing; {HOW}"));
        }
        Ok(Self { keys: keys.into_iter().collect::<Result<_, _>>()? })
    }

    fn key(text: &str) -> Result<Hmac<Sha256>, String> {
        let encoded =
            text.strip_prefix("whsec_").ok_or(format!("must begin with `whsec_`; {HOW}"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| format!("must be base64 after `whsec_`; {HOW}"))?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(format!("must hold 24 to 64 bytes, holds {}; {HOW}", bytes.len()));
        }
        Hmac::new_from_slice(&bytes).map_err(|error| error.to_string())
    }

    /// A signed call of the endpoint. Receivers refuse old timestamps, so it has the time of the attempt.
    pub(super) fn call(&self, post: &Post, id: String, body: Vec<u8>) -> RequestBuilder {
        let timestamp = Timestamp::now().as_second();
        let signature = self.sign(&id, timestamp, &body);
        post.call("")
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body)
    }

    /// The value of `webhook-signature`: one signature for each secret, separated by spaces.
    /// `timestamp` is in seconds since the epoch.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let sign = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.keys.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example of the reference implementations
    /// (libraries/go/webhook_test.go, `TestWebhookSign`).
    #[test]
    fn signs_as_the_reference_implementations_do() {
        let signer = Signer::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        assert_eq!(
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn two_secrets_give_two_signatures_of_the_same_message() {
        let (old, new) = (
            format!("whsec_{}", STANDARD.encode([1; 24])),
            format!("whsec_{}", STANDARD.encode([2; 24])),
        );
        let sign =
            |secrets: &str| Signer::new(&Secret::new(secrets)).unwrap().sign("msg", 1, b"{}");
        assert_eq!(sign(&format!("{new} {old}")), format!("{} {}", sign(&new), sign(&old)));
    }

    #[test]
    fn unusable_secrets_are_named_but_not_shown() {
        let too_short = format!("whsec_{}", STANDARD.encode([1; 23]));
        for (secret, expected) in [
            ("", "is missing"),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin with"),
            ("whsec_%%%", "must be base64"),
            (too_short.as_str(), "24 to 64 bytes, holds 23"),
        ] {
            let error = Signer::new(&Secret::new(secret)).err().unwrap();
            assert!(error.contains(expected), "{error}");
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
    }
}
