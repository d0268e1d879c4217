//! How often a key creates, rotates, reads or deletes keys, secrets and tokens.

use crate::event::EventTime;

/// Requests are counted in windows of this length.
pub const WINDOW_SECONDS: i64 = 600;
/// A suspicious window teaches at most this much more than the usual one.
const SUSPICIOUS_RATIO: f64 = 2.0;
const SUSPICIOUS_REQUESTS: f64 = 10.0;

/// What is done with keys, secrets, tokens or credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAction {
    Create,
    Rotate,
    Read,
    Delete,
}

const THINGS: [&str; 12] = [
    "key",
    "keys",
    "apikey",
    "apikeys",
    "accesskey",
    "accesskeys",
    "secret",
    "secrets",
    "token",
    "tokens",
    "credential",
    "credentials",
];
const ROTATE: [&str; 6] = ["rotate", "rotation", "regenerate", "roll", "reissue", "renew"];
const READ: [&str; 3] = ["get", "list", "describe"];
const DELETE: [&str; 3] = ["delete", "destroy", "revoke"];

impl KeyAction {
    /// By the words of the path (`/v1/api-keys`, `/CreateAccessKey`), then by the method.
    pub fn of(method: &str, path: &str) -> Option<Self> {
        let among = |list: &[&str]| {
            words(path).any(|word| list.iter().any(|known| word.eq_ignore_ascii_case(known)))
        };
        if !among(&THINGS) {
            return None;
        }
        Some(match method {
            _ if among(&ROTATE) => Self::Rotate,
            "DELETE" => Self::Delete,
            "GET" | "HEAD" => Self::Read,
            _ if among(&READ) => Self::Read,
            _ if among(&DELETE) => Self::Delete,
            _ => Self::Create,
        })
    }
}

/// `/v1/api-keys/CreateSecret` has the words v1, api, keys, Create, Secret.
fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|piece| {
        let bytes = piece.as_bytes();
        let is_start =
            |at: usize| bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
        let mut from = 0;
        (1..=piece.len()).filter_map(move |at| {
            (at == bytes.len() || is_start(at)).then(|| {
                let word = &piece[from..at];
                from = at;
                word
            })
        })
    })
}

/// Requests of the current window by [`KeyAction`], and what the windows before were like.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyManagementProfile {
    window: i32,
    counts: [u16; 4],
    excluded: bool,
    /// Closed windows with such requests, and the requests in them.
    active_windows: f32,
    requests: f32,
}

impl KeyManagementProfile {
    pub fn count(&mut self, time: EventTime, action: KeyAction) {
        let window = time.as_micros().div_euclid(WINDOW_SECONDS * 1_000_000) as i32;
        if window > self.window {
            self.close();
            self.window = window;
        }
        let count = &mut self.counts[action as usize];
        *count = count.saturating_add(1);
    }

    /// Keeps most of the current window from being learned.
    pub fn exclude_current(&mut self) {
        self.excluded = true;
    }

    fn close(&mut self) {
        let count = f64::from(self.current());
        if count > 0.0 {
            let bound = SUSPICIOUS_RATIO * self.usual_requests() + SUSPICIOUS_REQUESTS;
            let learned = if self.excluded { count.min(bound) } else { count };
            self.active_windows += 1.0;
            self.requests += learned as f32;
        }
        self.counts = [0; 4];
        self.excluded = false;
    }

    /// Requests in the current window.
    pub fn current(&self) -> u32 {
        self.counts.iter().copied().map(u32::from).sum()
    }

    pub fn current_of(&self, action: KeyAction) -> u16 {
        self.counts[action as usize]
    }

    /// Requests in the closed windows that had any.
    pub fn active_windows(&self) -> f64 {
        f64::from(self.active_windows)
    }

    /// Requests of such a window, on average; two when there was none.
    pub fn usual_requests(&self) -> f64 {
        (f64::from(self.requests) + 2.0) / (f64::from(self.active_windows) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_method_and_path_tell_what_is_done() {
        for (method, path, action) in [
            ("POST", "/v1/api-keys", Some(KeyAction::Create)),
            ("POST", "/v1/api-keys/17/rotate", Some(KeyAction::Rotate)),
            ("POST", "/v1/api_keys/17:regenerate", Some(KeyAction::Rotate)),
            ("GET", "/v1/secrets/9", Some(KeyAction::Read)),
            ("DELETE", "/credentials/9", Some(KeyAction::Delete)),
            ("POST", "/CreateAccessKey", Some(KeyAction::Create)),
            ("POST", "/GetSecretValue", Some(KeyAction::Read)),
            ("GET", "/v1/monkeys", None),
            ("GET", "/v1/keyboards/é", None),
            ("GET", "/", None),
        ] {
            assert_eq!(KeyAction::of(method, path), action, "{method} {path}");
        }
    }

    #[test]
    fn a_suspicious_window_teaches_little() {
        let mut profile = KeyManagementProfile::default();
        for _ in 0..500 {
            profile.count(EventTime::from_seconds(0), KeyAction::Read);
        }
        profile.exclude_current();
        profile.count(EventTime::from_seconds(WINDOW_SECONDS), KeyAction::Read);
        assert!(profile.usual_requests() < 10.0);
        assert_eq!(profile.current(), 1);
    }
}
