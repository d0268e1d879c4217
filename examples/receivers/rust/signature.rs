//! Verifies messages as Standard Webhooks specifies: by signature and by age.

use anyhow::{Context, ensure};
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TOLERANCE_SECONDS: u64 = 300;

/// Several secrets are accepted while they are changed.
pub struct Secrets(Vec<Hmac<Sha256>>);

impl Secrets {
    /// Reads `whsec_` and base64, several of them separated by spaces.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let key = |secret: &str| {
            let encoded = secret.strip_prefix("whsec_").context("a secret begins with whsec_")?;
            // The error would quote the secret.
            let bytes = STANDARD.decode(encoded).ok().context("a secret is base64")?;
            ensure!(bytes.len() >= 24, "a secret needs at least 24 bytes");
            Ok(Hmac::new_from_slice(&bytes)?)
        };
        let keys: Vec<_> = text.split_whitespace().map(key).collect::<anyhow::Result<_>>()?;
        ensure!(!keys.is_empty(), "there is no secret");
        Ok(Self(keys))
    }

    pub fn accept(&self, headers: &HeaderMap, body: &[u8], now: i64) -> bool {
        self.check(headers, body, now).is_some()
    }

    fn check(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Option<()> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, stamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        if now.abs_diff(stamp.parse().ok()?) > TOLERANCE_SECONDS {
            return None;
        }
        let signatures = header("webhook-signature")?.split(' ');
        let given = signatures.filter_map(|it| STANDARD.decode(it.strip_prefix("v1,")?).ok());
        let given: Vec<_> = given.collect();
        let is_of = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{stamp}.").as_bytes());
            mac.update(body);
            // Compares in constant time.
            given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
        };
        self.0.iter().any(is_of).then_some(())
    }
}
