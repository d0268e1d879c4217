//! Counts how often a key creates, rotates, reads or deletes keys, secrets and tokens.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Length of a counting window.
pub const WINDOW_SECONDS: i64 = 600;
// A suspicious window teaches at most `SUSPICIOUS_RATIO` times the largest window before it plus
// `SUSPICIOUS_REQUESTS`.
const SUSPICIOUS_RATIO: f64 = 2.0;
const SUSPICIOUS_REQUESTS: f64 = 10.0;
/// Decay of the largest window with each that has any such request.
const KEEP: f32 = 0.995;

/// An operation on keys, secrets, tokens or credentials.
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
    /// Reads the operation from the words of the path (`/v1/api-keys`, `/CreateAccessKey`) and the
    /// method. `None` if no word of the path names a key, secret, token or credential.
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

/// Splits a path into words: `/v1/api-keys/CreateSecret` has v1, api, keys, Create and Secret.
fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|piece| {
        let bytes = piece.as_bytes();
        let is_start =
            |at: usize| bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
        let mut from = 0;
        let ends = (1..=piece.len()).filter(move |at| *at == bytes.len() || is_start(*at));
        ends.map(move |end| {
            let word = &piece[from..end];
            from = end;
            word
        })
    })
}

/// Requests of the current window by [`KeyAction`], and totals of the windows before.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct KeyManagementProfile {
    window: i32,
    counts: [u16; 4],
    excluded: bool,
    /// Closed windows with at least one such request. `requests` is the sum over them.
    active_windows: f32,
    requests: f32,
    /// Requests of the largest window, decayed.
    largest: f32,
}

impl KeyManagementProfile {
    /// Counts a request. It closes the current window if `time` is in a later one. A late request
    /// counts for the current window.
    pub fn count(&mut self, time: EventTime, action: KeyAction) {
        let window = time.as_micros().div_euclid(WINDOW_SECONDS * 1_000_000) as i32;
        if window > self.window {
            self.close();
            self.window = window;
        }
        let count = &mut self.counts[action as usize];
        *count = count.saturating_add(1);
    }

    /// Marks the current window as suspicious: the profile learns only a bounded part of it.
    pub fn exclude_current(&mut self) {
        self.excluded = true;
    }

    fn close(&mut self) {
        let count = f64::from(self.current());
        if count > 0.0 {
            let bound = SUSPICIOUS_RATIO * self.usual_most() + SUSPICIOUS_REQUESTS;
            let learned = if self.excluded { count.min(bound) } else { count };
            self.active_windows += 1.0;
            self.requests += learned as f32;
            self.largest = (self.largest * KEEP).max(learned as f32);
        }
        self.counts = [0; 4];
        self.excluded = false;
    }

    /// Requests in the current window.
    pub fn current(&self) -> u32 {
        self.counts.iter().copied().map(u32::from).sum()
    }

    /// Requests of one kind in the current window.
    pub fn current_of(&self, action: KeyAction) -> u16 {
        self.counts[action as usize]
    }

    /// Number of closed windows with at least one such request.
    pub fn active_windows(&self) -> f64 {
        f64::from(self.active_windows)
    }

    /// Requests in a busy window that is ordinary: a key that reads single tokens all day and a list
    /// of them once is usual with both.
    pub fn usual_most(&self) -> f64 {
        self.usual_requests().max(f64::from(self.largest))
    }

    /// Mean number of requests in a window that has any. The prior is one window of two requests.
    pub fn usual_requests(&self) -> f64 {
        (f64::from(self.requests) + 2.0) / (f64::from(self.active_windows) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_path_and_the_method_give_the_action() {
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
        assert!(profile.usual_requests() < 10.0 && profile.usual_most() < 20.0);
        assert_eq!(profile.current(), 1);
    }

    #[test]
    fn a_busy_window_that_comes_each_day_becomes_usual() {
        let mut profile = KeyManagementProfile::default();
        let mut usual = Vec::new();
        for window in 0..144 * 4 {
            let is_busy = window % 144 == 0;
            for _ in 0..if is_busy { 50 } else { 1 } {
                let time = EventTime::from_seconds(window * WINDOW_SECONDS);
                profile.count(time, KeyAction::Create);
            }
            if is_busy {
                usual.push(profile.usual_most());
                profile.exclude_current();
            }
        }
        assert!(usual[1] > 5.0 && usual[3] > 15.0, "{usual:?}");
    }
}
