//! Hashes passwords with argon2id, at most two at once.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The fewest characters of a password.
pub const LEAST_PASSWORD: usize = 12;
/// The most bytes. Longer ones would only cost time.
const MOST_BYTES: usize = 1_024;
/// A hash takes 19 MiB and a core. More logins at once wait, and are refused after this time.
const WAIT: Duration = Duration::from_secs(3);
static PLACES: Semaphore = Semaphore::const_new(2);

/// A hash of no password, so that a name without an account takes as long as one with.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| argon2id(&hex::encode(rand::random::<[u8; 16]>())).unwrap_or_default());

#[derive(Debug, thiserror::Error)]
pub enum BadPassword {
    #[error("a password has at least {LEAST_PASSWORD} characters and at most {MOST_BYTES} bytes")]
    Length,
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Returns the hash of a new password as a PHC text, with argon2id and the parameters that OWASP
/// recommends (19 MiB, two passes).
///
/// # Errors
/// [`BadPassword`].
pub fn hash(password: &str) -> Result<String, BadPassword> {
    let is_long = password.chars().count() >= LEAST_PASSWORD && password.len() <= MOST_BYTES;
    if !is_long {
        return Err(BadPassword::Length);
    }
    argon2id(password).map_err(BadPassword::Hash)
}

fn argon2id(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

/// Compares a password with a stored hash; without one, takes the same time and returns false.
/// `None`: too many others are being compared.
pub async fn verify(password: String, hash: Option<String>) -> Option<bool> {
    let place = timeout(WAIT, PLACES.acquire()).await.ok()?.ok()?;
    let compared = tokio::task::spawn_blocking(move || {
        // The place is taken for as long as the hash takes, also when the client has gone.
        let _place = place;
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let is_short = password.len() <= MOST_BYTES;
        is_short && matches(&password, &hash) && is_known
    });
    Some(compared.await.unwrap_or(false))
}

fn matches(password: &str, hash: &str) -> bool {
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_alone() {
        let hash = hash("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let check = |text: &str, hash: Option<&String>| verify(text.to_owned(), hash.cloned());
        assert_eq!(check("correct horse battery", Some(&hash)).await, Some(true));
        assert_eq!(check("correct horse batterz", Some(&hash)).await, Some(false));
        assert_eq!(check("correct horse battery", None).await, Some(false));
        assert_eq!(check("x", Some(&"sha256:x".to_owned())).await, Some(false));
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(hash("elevenchars").is_err());
        assert!(hash(&"x".repeat(1_025)).is_err());
    }
}
