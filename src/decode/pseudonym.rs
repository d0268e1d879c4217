//! Replaces secrets by keyed hashes: raw keys by key ids, nonces and signatures by fingerprints.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::SipHasher24;

use crate::event::{Fingerprint, KeyHash};

type HmacSha256 = Hmac<Sha256>;

/// Turns secrets into pseudonyms, all derived from one pepper.
///
/// Without a pepper, the fingerprints use a publicly known key. They are still equal for equal
/// inputs, but anyone who reads them can test guesses.
pub(super) struct Pseudonyms {
    /// Keyed once and cloned for each use.
    keyed: HmacSha256,
    nonce: SipHasher24,
    signature: SipHasher24,
    text: SipHasher24,
}

impl Pseudonyms {
    pub fn new(pepper: &str) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
        let keyed = HmacSha256::new_from_slice(pepper.as_bytes()).expect("any length");
        // 0xff never occurs in UTF-8, so no API key can equal a label and expose a derived
        // key as its key id.
        let derive = |label: &[u8]| {
            let digest = hmac(&keyed, &[b"\xffkeywatch fingerprint ", label]);
            let mut key = [0; 16];
            key.copy_from_slice(&digest[..16]);
            SipHasher24::new_with_key(&key)
        };
        Self {
            nonce: derive(b"nonce"),
            signature: derive(b"signature"),
            text: derive(b"text"),
            keyed,
        }
    }

    /// Returns HMAC-SHA-256(pepper, key).
    pub fn key_hash(&self, api_key: &str) -> KeyHash {
        KeyHash(hmac(&self.keyed, &[api_key.as_bytes()]))
    }

    pub fn nonce(&self, nonce: &str) -> Fingerprint {
        Fingerprint(self.nonce.hash(nonce.as_bytes()).as_u128())
    }

    pub fn signature(&self, signature: &str) -> Fingerprint {
        Fingerprint(self.signature.hash(signature.as_bytes()).as_u128())
    }

    /// Returns the fingerprint of text that is too long to store but must stay distinct.
    pub fn text(&self, text: &str) -> Fingerprint {
        Fingerprint(self.text.hash(text.as_bytes()).as_u128())
    }
}

fn hmac(keyed: &HmacSha256, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn key_hash_is_hmac_sha256() {
        assert_eq!(
            Pseudonyms::new("Jefe").key_hash("what do ya want for nothing?").to_key_id(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn fingerprints_depend_on_pepper_and_purpose() {
        let (one, two) = (Pseudonyms::new("pepper one"), Pseudonyms::new("pepper two"));
        assert_eq!(one.nonce("42"), Pseudonyms::new("pepper one").nonce("42"));
        assert_ne!(one.nonce("42"), one.nonce("43"));
        assert_ne!(one.nonce("42"), two.nonce("42"));
        assert_ne!(one.nonce("42"), one.signature("42"));
    }
}
