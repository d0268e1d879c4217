//! Makes the random texts that prove an account: tokens and cookies of sessions.

use std::fmt;

use sha2::{Digest, Sha256};

/// 256 random bits in hexadecimal. Nobody can guess it, so a plain hash of it may be stored.
pub struct Secret(String);

impl Secret {
    /// `prefix` says what it is to whoever finds it in a log or in code.
    pub fn random(prefix: &str) -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(format!("{prefix}{}", hex::encode(bytes)))
    }

    /// The text itself, to be given away once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn digest(&self) -> String {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The token of the forms of a session. It follows from the cookie, which no script can read, and
/// which the browser sends to no other host.
pub fn form_token(cookie: &str) -> String {
    let digest = Sha256::new().chain_update("form/").chain_update(cookie).finalize();
    hex::encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret::random("kw_");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.reveal().len(), 3 + 64);
        assert_ne!(form_token(secret.reveal()), secret.digest());
    }
}
