//! Verifies the signature of a report, as GitHub makes it: ECDSA on P-256 with SHA-256 over the body.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;

/// The public keys of the sender, by their identifiers.
pub struct PublicKeys(HashMap<String, Vec<u8>>);

#[derive(Debug, thiserror::Error)]
#[error(
    "{path}: {reason}; expected the answer of \
    https://api.github.com/meta/public_keys/secret_scanning"
)]
pub struct KeysError {
    path: String,
    reason: String,
}

#[derive(Deserialize)]
struct File {
    public_keys: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    key_identifier: String,
    key: String,
}

/// The DER of a public key on P-256 before its point (RFC 5480): the algorithm and the curve.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT_BYTES: usize = 65;

impl PublicKeys {
    /// # Errors
    /// The file cannot be read, or a key in it is not one on P-256.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let error = |reason: String| KeysError { path: path.display().to_string(), reason };
        let text = fs::read_to_string(path).map_err(|reason| error(reason.to_string()))?;
        let file: File = serde_json::from_str(&text).map_err(|reason| error(reason.to_string()))?;
        let key = |Entry { key_identifier, key }| match point(&key) {
            Some(point) => Ok((key_identifier, point)),
            None => Err(error(format!("the key {key_identifier} is not a PEM of a key on P-256"))),
        };
        Ok(Self(file.public_keys.into_iter().map(key).collect::<Result<_, _>>()?))
    }

    /// Whether the key of this identifier has signed the body.
    pub fn verify(&self, identifier: &str, signature: &str, body: &[u8]) -> bool {
        let key = self.0.get(identifier);
        let signature = STANDARD.decode(signature.trim());
        let (Some(point), Ok(signature)) = (key, signature) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        key.verify(body, &signature).is_ok()
    }
}

/// The point of a public key in PEM.
fn point(pem: &str) -> Option<Vec<u8>> {
    let lines = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let der = STANDARD.decode(lines.collect::<String>()).ok()?;
    let point = der.strip_prefix(&SPKI)?;
    (point.len() == POINT_BYTES).then(|| point.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    #[test]
    fn only_the_signed_body_under_its_own_key_is_accepted() {
        let random = SystemRandom::new();
        let pair = |algorithm| {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
        };
        let [one, other] =
            [pair(&ECDSA_P256_SHA256_ASN1_SIGNING), pair(&ECDSA_P256_SHA256_ASN1_SIGNING)];
        let pem = |pair: &EcdsaKeyPair| {
            let der = STANDARD.encode([&SPKI[..], pair.public_key().as_ref()].concat());
            format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = serde_json::json!({ "public_keys": [
            { "key_identifier": "one", "key": pem(&one), "is_current": true },
            { "key_identifier": "other", "key": pem(&other), "is_current": false },
        ]});
        fs::write(file.path(), keys.to_string()).unwrap();
        let keys = PublicKeys::read(file.path()).unwrap();
        let signature = STANDARD.encode(one.sign(&random, b"[{}]").unwrap());
        assert!(keys.verify("one", &signature, b"[{}]"));
        assert!(!keys.verify("one", &signature, b"[{} ]"), "another body");
        assert!(!keys.verify("other", &signature, b"[{}]"), "another key");
        assert!(!keys.verify("unknown", &signature, b"[{}]"));
        for bad in ["", "AAAA", "not base64", "\u{0}"] {
            assert!(!keys.verify("one", bad, b"[{}]"), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_a_list_of_keys_says_so() {
        for text in ["", "{}", r#"{"public_keys":[{"key_identifier":"a","key":"AAAA"}]}"#] {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), text).unwrap();
            let error = PublicKeys::read(file.path()).err().unwrap().to_string();
            assert!(error.contains("meta/public_keys/secret_scanning"), "{error}");
        }
    }
}
